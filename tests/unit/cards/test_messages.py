"""The CDS Hooks messages: valid by construction going out, checked once coming in."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError

from fhir_cds.cards.messages import (
    Action,
    Card,
    Coding,
    Discovery,
    Link,
    Outgoing,
    OverrideReason,
    Response,
    ServiceEntry,
    Source,
    Suggestion,
    parse_feedback,
    parse_request,
)
from fhir_cds.errors import InputError
from fhir_cds.fhir import codec

SCHEMAS = Path(__file__).parents[2] / "hooks" / "schema"
UUID = "3f0b8a8e-5d0e-4a63-9c38-7f5d2f2b7c11"


def schema(name: str) -> jsonschema.Draft202012Validator:
    """Return the validator of one of our schemas."""
    return jsonschema.Draft202012Validator(json.loads((SCHEMAS / f"{name}.json").read_text()))


def sent(message: Outgoing) -> Any:
    """Return a message as a client decodes it."""
    return codec.decode(codec.encode(message.json_object()))


def card(**changes: object) -> Card:
    """Return a small valid card with changes."""
    base: dict[str, object] = {"uuid": UUID, "summary": "s", "indicator": "info", "source": Source(label="l")}
    return Card.model_validate({**base, **changes})


def action(**changes: object) -> Action:
    """Return a create action with changes."""
    base: dict[str, object] = {"type": "create", "description": "d", "resource": {"resourceType": "Task", "id": "t"}}
    return Action.model_validate({**base, **changes})


def full_card() -> Card:
    """Return a card that uses every member."""
    suggestion = Suggestion(label="s", uuid=UUID, is_recommended=True, actions=(action(),))
    return card(
        detail="**d**",
        source=Source(label="l", url="https://e.org", topic=Coding(system="https://e.org/s", code="c")),
        suggestions=(suggestion,),
        selection_behavior="at-most-one",
        override_reasons=(OverrideReason(system="https://e.org/s", code="c", display="d"),),
        links=(Link(label="l", url="https://e.org/a", type="smart", app_context="x"),),
        extension={"org.example": 1},
    )


def test_full_card_meets_schema() -> None:
    """A card with every member passes our JSON Schema of the response."""
    schema("response").validate(sent(Response(cards=(full_card(),))))


def test_empty_response_keeps_cards() -> None:
    """Nothing to say is an empty list, not a missing member."""
    assert sent(Response(cards=())) == {"cards": []}


def test_names_are_the_standards() -> None:
    """Members go out in camel case and without nulls."""
    message = sent(full_card())
    assert {"selectionBehavior", "overrideReasons"} <= message.keys()
    assert "isRecommended" in message["suggestions"][0]
    assert message["links"][0]["appContext"] == "x"
    assert "icon" not in message["source"]


@pytest.mark.parametrize(("length", "valid"), [(139, True), (140, False)])
def test_summary_is_shorter_than_140(length: int, valid: bool) -> None:
    """139 characters pass, 140 do not."""
    if valid:
        assert len(card(summary="x" * length).summary) == length
    else:
        with pytest.raises(ValidationError):
            card(summary="x" * length)


@pytest.mark.parametrize(
    "changes",
    [
        {"summary": ""},
        {"indicator": "hard-stop"},
        {"detail": "  "},
        {"suggestions": ()},
        {"suggestions": ({"label": "l", "uuid": UUID},)},
        {"links": ()},
        {"overrideReasons": ({"system": "https://e.org", "code": "c"},)},
        {"extension": {}},
        {"unknown": 1},
        {"source": {"label": "l", "url": "not absolute"}},
        {
            "selectionBehavior": "at-most-one",
            "suggestions": (
                {"label": "a", "uuid": UUID, "isRecommended": True},
                {"label": "b", "uuid": UUID, "isRecommended": True},
            ),
        },
    ],
)
def test_invalid_cards_cannot_be_made(changes: dict[str, object]) -> None:
    """What the standard forbids is refused when the card is built."""
    with pytest.raises(ValidationError):
        card(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"description": ""},
        {"resource": None},
        {"resource": {}},
        {"resource": {"id": "x"}},
        {"type": "remove"},
        {"type": "delete"},
        {"type": "delete", "resource": None},
        {"resourceId": "Task/t"},
    ],
)
def test_invalid_actions_cannot_be_made(changes: dict[str, object]) -> None:
    """Creates and updates carry a whole resource, deletes an id and no resource."""
    with pytest.raises(ValidationError):
        action(**changes)


def test_delete_names_the_resource() -> None:
    """A delete carries resourceId alone."""
    message = sent(action(type="delete", resource=None, resource_id="Task/t"))
    assert message == {"type": "delete", "description": "d", "resourceId": "Task/t"}


def test_app_context_needs_smart() -> None:
    """An absolute link has no appContext."""
    with pytest.raises(ValidationError):
        Link(label="l", url="https://e.org", type="absolute", app_context="x")


def test_decimals_of_resources_keep_their_digits() -> None:
    """A resource in an action goes out as it is, nulls in primitive arrays included."""
    resource = {"resourceType": "Task", "id": "t", "x": [None, Decimal("1.10")]}
    assert action(resource=resource).json_object()["resource"] == resource


def test_discovery_meets_schema() -> None:
    """A discovery entry passes our JSON Schema."""
    entry = ServiceEntry(
        hook="patient-view",
        id="a-b",
        title="t",
        description="d",
        prefetch={"patient": "Patient/{{context.patientId}}"},
        usage_requirements="u",
        version="3.0.0",
    )
    schema("discovery").validate(sent(Discovery(services=(entry,))))


def request(**changes: object) -> dict[str, object]:
    """Return a valid request with changes; None removes a member."""
    base: dict[str, object] = {"hook": "patient-view", "hookInstance": UUID, "context": {"patientId": "1"}}
    return {name: value for name, value in {**base, **changes}.items() if value is not None}


TOKEN = {"access_token": "t0k3n", "token_type": "Bearer", "expires_in": 300, "scope": "patient/*.read", "subject": "c"}


def test_request_with_everything() -> None:
    """A request with server, token, prefetch and unknown members is accepted."""
    parsed = parse_request(
        request(
            fhirServer="https://e.org/fhir",
            fhirAuthorization={**TOKEN, "patient": "1", "extension": {"a": 1}},
            prefetch={"patient": None},
            extension={"org.example": {}},
            somethingNew=1,
        )
    )
    assert parsed.prefetch == {"patient": None}
    assert parsed.fhir_authorization is not None
    assert parsed.fhir_authorization.scope == "patient/*.read"


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"hook": ""}, "hook"),
        ({"hookInstance": "no-uuid"}, "hookInstance"),
        ({"context": []}, "context"),
        ({"fhirServer": "relative"}, "fhirServer"),
        ({"fhirAuthorization": TOKEN}, None),
        ({"fhirServer": "https://e.org", "fhirAuthorization": {**TOKEN, "token_type": "mac"}}, "fhirAuthorization"),
        ({"prefetch": []}, "prefetch"),
    ],
)
def test_bad_requests_say_where(changes: dict[str, object], place: str | None) -> None:
    """The first wrong member is named, and no value is repeated."""
    with pytest.raises(InputError) as caught:
        parse_request(request(**changes))
    assert (caught.value.where or "").startswith(place or "")
    assert "t0k3n" not in str(caught.value)


@pytest.mark.parametrize("member", ["hook", "hookInstance", "context"])
def test_mandatory_members(member: str) -> None:
    """A request without one of the three mandatory members names it."""
    with pytest.raises(InputError, match=member):
        parse_request(request(**{member: None}))


@pytest.mark.parametrize("document", [None, [], "x", 1])
def test_request_is_an_object(document: object) -> None:
    """Anything but an object is refused in words."""
    with pytest.raises(InputError, match="JSON object"):
        parse_request(document)


def test_token_is_not_shown() -> None:
    """The representation of a request does not hold its token."""
    parsed = parse_request(request(fhirServer="https://e.org", fhirAuthorization=TOKEN))
    assert "t0k3n" not in repr(parsed)


FEEDBACK = {"card": UUID, "outcome": "accepted", "outcomeTimestamp": "2026-01-31T10:00:00Z"}


def test_feedback_accepted() -> None:
    """An accepted card names its suggestions."""
    parsed = parse_feedback({"feedback": [{**FEEDBACK, "acceptedSuggestions": [{"id": UUID}]}]})
    assert parsed.feedback[0].accepted_suggestions[0].id == UUID


def test_feedback_overridden_needs_no_reason() -> None:
    """A card may be overridden without a reason; a reason's display may be missing."""
    reason = {"reason": {"code": "c", "system": "https://e.org"}}
    items = [{**FEEDBACK, "outcome": "overridden"}, {**FEEDBACK, "outcome": "overridden", "overrideReason": reason}]
    assert len(parse_feedback({"feedback": items}).feedback) == 2


@pytest.mark.parametrize(
    "item",
    [
        FEEDBACK,
        {**FEEDBACK, "outcome": "ignored"},
        {**FEEDBACK, "outcome": "overridden", "overrideReason": {}},
        {**FEEDBACK, "outcome": "overridden", "outcomeTimestamp": "2026-01-31"},
        {**FEEDBACK, "outcome": "overridden", "card": ""},
    ],
)
def test_bad_feedback(item: dict[str, object]) -> None:
    """Feedback that the standard does not allow is refused."""
    with pytest.raises(InputError):
        parse_feedback({"feedback": [item]})


def test_feedback_is_a_list_in_an_object() -> None:
    """One bare item, as some clients send it, is not the standard's form."""
    with pytest.raises(InputError, match="feedback"):
        parse_feedback({**FEEDBACK, "outcome": "overridden"})
