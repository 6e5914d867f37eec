"""The messages of CDS Hooks as pydantic models: what goes out is valid by construction, what comes in is checked once.

Outgoing models are closed and hold no null, empty text, list or object (CDS Hooks 2.0 and 3.0 ballot, "JSON");
incoming ones tolerate members they do not know (`extension` may sit anywhere). Field names are the standard's.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final, Literal, TypeVar
from uuid import UUID

from pydantic import (
    AfterValidator,
    AnyUrl,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel

from fhir_cds.errors import InputError

SUMMARY_LIMIT: Final = 139
"""Longest `summary` (CDS Hooks: fewer than 140 characters)."""

Indicator = Literal["info", "warning", "critical"]
Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]


_URL: Final[TypeAdapter[AnyUrl]] = TypeAdapter(AnyUrl)


def _absolute(url: str) -> str:
    """Return `url` if it is an absolute URL, else raise ValueError."""
    _URL.validate_python(url)
    return url


def _full(value: dict[str, Any]) -> dict[str, Any]:
    """Return an object that has members, else raise ValueError."""
    if not value:
        raise ValueError("an object without members is not allowed")
    return value


Url = Annotated[str, StringConstraints(min_length=1), AfterValidator(_absolute)]
Full = Annotated[dict[str, Any], AfterValidator(_full)]


class Outgoing(BaseModel):
    """A message we send: closed and frozen; `json_object` leaves out what has no value."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)

    extension: Full | None = None

    def json_object(self) -> dict[str, Any]:
        """Return the JSON object of this message, decimals of FHIR resources kept as they are."""
        return self.model_dump(by_alias=True, exclude_none=True)


class Coding(Outgoing):
    """A code with its system, as used for topics."""

    system: Url
    code: Text
    display: Text | None = None


class OverrideReason(Coding):
    """A reason a clinician may give for not following a card: display is mandatory here."""

    display: Text


class Source(Outgoing):
    """Where the advice of a card comes from: the organisation or the guideline, and the card's topic."""

    label: Text
    url: Url | None = None
    icon: Url | None = None
    topic: Coding | None = None


class Action(Outgoing):
    """One change of a suggestion: a whole resource to create or update, or the id of one to delete."""

    type: Literal["create", "update", "delete"]
    description: Text
    resource: Full | None = None
    resource_id: Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Za-z]+/[A-Za-z0-9\-._]{1,64}$")] | None = None

    @model_validator(mode="after")
    def _whole(self) -> Action:
        if self.type == "delete":
            if self.resource is not None or self.resource_id is None:
                raise ValueError("a delete action names resourceId and carries no resource")
        elif self.resource is None or not self.resource.get("resourceType") or self.resource_id is not None:
            raise ValueError(f"a {self.type} action carries a whole FHIR resource")
        return self


class Suggestion(Outgoing):
    """Changes that belong together and are accepted as one, unless `action_selection_behavior` (3.0 ballot) is set."""

    label: Text
    uuid: Text
    is_recommended: bool | None = None
    action_selection_behavior: Literal["all", "any", "at-most-one"] | None = None
    actions: Annotated[tuple[Action, ...], Field(min_length=1)] | None = None


class Link(Outgoing):
    """A link out of a card; `app_context` goes with SMART links only."""

    label: Text
    url: Url
    type: Literal["absolute", "smart"]
    app_context: Text | None = None
    autolaunchable: bool | None = None

    @model_validator(mode="after")
    def _smart(self) -> Link:
        if self.app_context is not None and self.type != "smart":
            raise ValueError("appContext goes with smart links only")
        return self


class Card(Outgoing):
    """One card."""

    uuid: Text
    summary: Annotated[str, StringConstraints(min_length=1, max_length=SUMMARY_LIMIT, strip_whitespace=True)]
    detail: Text | None = None
    indicator: Indicator
    source: Source
    suggestions: Annotated[tuple[Suggestion, ...], Field(min_length=1)] | None = None
    selection_behavior: Literal["at-most-one", "any"] | None = None
    override_reasons: Annotated[tuple[OverrideReason, ...], Field(min_length=1)] | None = None
    links: Annotated[tuple[Link, ...], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _choices(self) -> Card:
        if self.suggestions and self.selection_behavior is None:
            raise ValueError("a card with suggestions needs selectionBehavior")
        recommended = sum(1 for suggestion in self.suggestions or () if suggestion.is_recommended)
        if self.selection_behavior == "at-most-one" and recommended > 1:
            raise ValueError("at most one suggestion may be recommended where at most one can be chosen")
        return self


class Response(Outgoing):
    """The answer of a service; `cards` may be empty, `system_actions` is left out unless agreed with the client."""

    cards: tuple[Card, ...]
    system_actions: Annotated[tuple[Action, ...], Field(min_length=1)] | None = None


class ServiceEntry(Outgoing):
    """One entry of discovery."""

    hook: Text
    id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._~-]*$")]
    description: Text
    title: Text
    prefetch: dict[str, Text] | None = None
    usage_requirements: Text | None = None
    version: Text | None = None
    hook_version: Text | None = None


class Discovery(Outgoing):
    """The discovery document; `services` may be empty."""

    services: tuple[ServiceEntry, ...]


class Incoming(BaseModel):
    """A message sent to us: members we do not know are tolerated."""

    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel, populate_by_name=True)

    name: ClassVar[str] = "message"


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

    code: Text
    system: Text
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

    id: Text


class FeedbackItem(Incoming):
    """What became of one card."""

    card: Text
    outcome: Literal["accepted", "overridden"]
    outcome_timestamp: AwareDatetime
    accepted_suggestions: tuple[AcceptedSuggestion, ...] = ()
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
        faults = [
            f"{'.'.join(str(part) for part in fault['loc']) or '(root)'}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_input=False, include_context=False)
        ]
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or None
        raise InputError(f"not a valid {model.name}: {'; '.join(faults)}", where=where) from None
