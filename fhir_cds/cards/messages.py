"""The messages of CDS Hooks that are sent to us, checked once; what we send is in `outgoing`.

Members they do not know are tolerated (`extension` may sit anywhere). Field names are the standard's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Final, Literal, TypeVar
from uuid import UUID

from pydantic import (
    AfterValidator,
    AnyUrl,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from fhir_cds.errors import InputError

Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Id = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""An id or a code: without control characters, which no database need take."""

_URL: Final[TypeAdapter[AnyUrl]] = TypeAdapter(AnyUrl)


def _absolute(url: str) -> str:
    """Return `url` if it is an absolute URL, else raise ValueError."""
    _URL.validate_python(url)
    return url


_RFC_3339: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.IGNORECASE)


def _instant(value: object) -> object:
    """Return a text of RFC 3339 §5.6, which pydantic reads then; anything else (epoch seconds …) is a ValueError."""
    if not isinstance(value, str) or not _RFC_3339.fullmatch(value):
        raise ValueError("must be a timestamp of RFC 3339 with its offset, 2026-01-31T10:00:00Z")
    return value


def _in_utc(value: datetime) -> datetime:
    """Return an instant in UTC; one that UTC has no year for is a ValueError."""
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("must be an instant of the years 1 to 9999 in UTC") from None


Instant = Annotated[AwareDatetime, BeforeValidator(_instant), AfterValidator(_in_utc)]
Url = Annotated[str, StringConstraints(min_length=1), AfterValidator(_absolute)]


class Incoming(BaseModel):
    """A message sent to us: members we do not know are tolerated."""

    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel, populate_by_name=True)

    name: ClassVar[str] = "message"


_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "missing": "is missing",
        "dict_type": "must be an object",
        "model_type": "must be an object",
        "model_attributes_type": "must be an object",
        "tuple_type": "must be a list",
        "too_short": "must not be empty",
        "string_type": "must be a text",
        "string_too_short": "must not be empty",
        "string_pattern_mismatch": "holds a control character",
        "uuid_type": "must be a UUID",
        "uuid_parsing": "must be a UUID",
        "int_type": "must be a whole number",
        "int_parsing": "must be a whole number",
        "int_from_float": "must be a whole number",
    }
)
"""What pydantic calls a fault, in words of JSON; the others say it well enough."""

M = TypeVar("M", bound=Incoming)


class FhirAuthorization(Incoming):
    """The token that lets us read from the client's FHIR server; never logged, never stored."""

    access_token: Annotated[str, Field(alias="access_token", min_length=1, repr=False)]
    token_type: Annotated[Literal["Bearer"], Field(alias="token_type")]
    expires_in: Annotated[int, Field(alias="expires_in", ge=0)]
    scope: Annotated[str, Field(alias="scope")]
    subject: Annotated[str, Field(alias="subject")]
    patient: Annotated[str | None, Field(alias="patient")] = None


class Request(Incoming):
    """A call of a service, CDS Hooks 1.0 to 3.0 ballot; the context is checked by `contexts.check`."""

    name: ClassVar[str] = "CDS Hooks request"

    hook: Text
    hook_instance: UUID
    context: dict[str, Any]
    fhir_server: Url | None = None
    fhir_authorization: FhirAuthorization | None = None
    prefetch: dict[str, Any] | None = None
    extension: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _server_for_token(self) -> Request:
        if self.fhir_authorization is not None and self.fhir_server is None:
            raise ValueError("fhirAuthorization without fhirServer")
        return self


class FeedbackReason(Incoming):
    """The coded reason a clinician picked; the display may be missing."""

    code: Id
    system: Id
    display: str | None = None


class FeedbackOverride(Incoming):
    """Why advice was not followed: a reason, a comment, or both."""

    reason: FeedbackReason | None = None
    user_comment: Text | None = None

    @model_validator(mode="after")
    def _not_empty(self) -> FeedbackOverride:
        if self.reason is None and self.user_comment is None:
            raise ValueError("overrideReason needs a reason or a userComment")
        return self


class AcceptedSuggestion(Incoming):
    """The uuid of a suggestion that was taken."""

    id: Id


class FeedbackItem(Incoming):
    """What became of one card."""

    card: Id
    outcome: Literal["accepted", "overridden"]
    outcome_timestamp: Instant
    accepted_suggestions: tuple[AcceptedSuggestion, ...] | None = None
    override_reason: FeedbackOverride | None = None

    @model_validator(mode="after")
    def _grounds(self) -> FeedbackItem:
        if self.outcome == "accepted" and not self.accepted_suggestions:
            raise ValueError("outcome accepted needs acceptedSuggestions")
        return self


class Feedback(Incoming):
    """The body of a feedback call."""

    name: ClassVar[str] = "CDS Hooks feedback"

    feedback: Annotated[tuple[FeedbackItem, ...], Field(min_length=1)]


def parse_request(document: Any) -> Request:
    """Return the request in a decoded JSON document.

    Raises InputError naming the members that are wrong (never their values).
    """
    return _parse(Request, document)


def parse_feedback(document: Any) -> Feedback:
    """Return the feedback in a decoded JSON document; raises InputError as `parse_request` does."""
    return _parse(Feedback, document)


def _parse(model: type[M], document: Any) -> M:
    """Validate, telling what is wrong and where without repeating what was sent."""
    if not isinstance(document, dict):
        raise InputError(f"a {model.name} is a JSON object")
    try:
        return model.model_validate(document)
    except ValidationError as error:
        found = {_place(fault): _told(fault) for fault in error.errors(include_url=False, include_input=False)}
        # of a list whose items are wrong pydantic also says that it is too short
        faults = {where: text for where, text in found.items() if not any(o.startswith(f"{where}.") for o in found)}
        told = "; ".join(f"{where or '(root)'}: {text}" for where, text in faults.items())
        raise InputError(f"not a valid {model.name}: {told}", where=next(iter(faults)) or None) from None


def _place(fault: ErrorDetails) -> str:
    """Return the member that a fault is about."""
    return ".".join(str(part) for part in fault["loc"])


def _told(fault: ErrorDetails) -> str:
    """Return what is wrong in words of JSON."""
    return _WORDS.get(fault["type"]) or fault["msg"].removeprefix("Value error, ")
