"""The CDS Hooks messages that come in: checked once."""

import pytest

from fhir_cds.cards.messages import parse_feedback, parse_request
from fhir_cds.errors import InputError

UUID = "3f0b8a8e-5d0e-4a63-9c38-7f5d2f2b7c11"


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


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ({"feedback": {}}, "feedback: must be a list"),
        ({"feedback": []}, "feedback: must not be empty"),
        ({"feedback": [1]}, "feedback.0: must be an object"),
        ({"feedback": [{**FEEDBACK, "outcome": "overridden", "card": 1}]}, "feedback.0.card: must be a text"),
        ({"feedback": [{"card": "c", "outcome": "overridden"}]}, "feedback.0.outcomeTimestamp: is missing"),
        ({"feedback": [FEEDBACK]}, "feedback.0: outcome accepted needs acceptedSuggestions"),
    ],
)
def test_faults_are_told_in_words_of_json(message: object, told: str) -> None:
    """What is wrong is told once, in words of JSON: no tuple, dictionary or "Value error"."""
    with pytest.raises(InputError) as caught:
        parse_feedback(message)
    assert caught.value.message == f"not a valid CDS Hooks feedback: {told}"
