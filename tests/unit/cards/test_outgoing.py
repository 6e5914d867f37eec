"""The CDS Hooks messages that go out: valid by construction."""

import ast
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from msgspec import ValidationError

import fhir_cds
from fhir_cds.cards import outgoing
from fhir_cds.cards.outgoing import (
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
)
from fhir_cds.fhir import codec

SCHEMAS = Path(__file__).parents[2] / "hooks" / "schema"
UUID = "3f0b8a8e-5d0e-4a63-9c38-7f5d2f2b7c11"


def schema(name: str) -> jsonschema.Draft202012Validator:
    """Return the validator of one of our schemas."""
    return jsonschema.Draft202012Validator(json.loads((SCHEMAS / f"{name}.json").read_text()))


def sent(message: Outgoing) -> Any:
    """Return a message as a client decodes it."""
    return codec.decode(codec.encode(message))


def card(**changes: object) -> Card:
    """Return a small valid card with changes."""
    base: dict[str, object] = {"uuid": UUID, "summary": "s", "indicator": "info", "source": Source.of(label="l")}
    return Card.of(**{**base, **changes})


def action(**changes: object) -> Action:
    """Return a create action with changes."""
    base: dict[str, object] = {"type": "create", "description": "d", "resource": {"resourceType": "Task", "id": "t"}}
    return Action.of(**{**base, **changes})


def full_card() -> Card:
    """Return a card that uses every member."""
    suggestion = Suggestion.of(label="s", uuid=UUID, isRecommended=True, actions=(action(),))
    return card(
        detail="**d**",
        source=Source.of(label="l", url="https://e.org", topic=Coding.of(system="https://e.org/s", code="c")),
        suggestions=(suggestion,),
        selectionBehavior="at-most-one",
        overrideReasons=(OverrideReason.of(system="https://e.org/s", code="c", display="d"),),
        links=(Link.of(label="l", url="https://e.org/a", type="smart", appContext="x"),),
        extension={"org.example": 1},
    )


def test_full_card_meets_schema() -> None:
    """A card with every member passes our JSON Schema of the response."""
    schema("response").validate(sent(Response.of(cards=(full_card(),))))


def test_empty_response_keeps_cards() -> None:
    """Nothing to say is an empty list, not a missing member."""
    assert sent(Response.of(cards=())) == {"cards": []}


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
            "selectionBehavior": "any",
            "suggestions": (
                {
                    "label": "a",
                    "uuid": UUID,
                    "actions": [{"type": "create", "description": "d", "resource": {"id": "x"}}],
                },
            ),
        },
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
    message = sent(action(type="delete", resource=None, resourceId="Task/t"))
    assert message == {"type": "delete", "description": "d", "resourceId": "Task/t"}


def test_app_context_needs_smart() -> None:
    """An absolute link has no appContext."""
    with pytest.raises(ValidationError):
        Link.of(label="l", url="https://e.org", type="absolute", appContext="x")


def test_decimals_of_resources_keep_their_digits() -> None:
    """A resource in an action goes out as it is, nulls in primitive arrays included."""
    resource = {"resourceType": "Task", "id": "t", "x": [None, Decimal("1.10")]}
    assert sent(action(resource=resource))["resource"] == resource


def test_discovery_meets_schema() -> None:
    """A discovery entry passes our JSON Schema."""
    entry = ServiceEntry.of(
        hook="patient-view",
        id="a-b",
        title="t",
        description="d",
        prefetch={"patient": "Patient/{{context.patientId}}"},
        usageRequirements="u",
        version="3.0.0",
    )
    schema("discovery").validate(sent(Discovery.of(services=(entry,))))


@pytest.mark.parametrize(
    ("url", "valid"),
    [
        ("https://e.org", True),
        ("http://e.org/a?b#c", True),
        ("urn:ietf:rfc:3986", True),
        ("/relative", False),
        ("e.org/a", False),
        ("https:///no-host", False),
        ("https:e.org", False),
        ("https://e.org/a b", False),
        ("", False),
    ],
)
def test_urls_are_absolute(url: str, valid: bool) -> None:
    """A link's address can be followed from anywhere."""
    if valid:
        assert Link.of(label="l", url=url, type="absolute").url == url
    else:
        with pytest.raises(ValidationError):
            Link.of(label="l", url=url, type="absolute")


def messages() -> set[str]:
    """Return the names of the messages."""
    return {name for name, kind in vars(outgoing).items() if isinstance(kind, type) and issubclass(kind, Outgoing)}


def test_messages_are_made_checked() -> None:
    """The product makes a message with `of` or from JSON, never by its bare constructor, which checks nothing."""
    bare = [
        f"{path.name}:{node.lineno}"
        for path in Path(fhir_cds.__file__).parent.rglob("*.py")
        if "cards.outgoing import" in (text := path.read_text(encoding="utf-8"))
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in messages()
    ]
    assert not bare


@pytest.mark.parametrize("name", sorted(messages() - {"Outgoing"}))
def test_messages_are_closed(name: str) -> None:
    """A member that the standard does not know cannot be sent."""
    with pytest.raises(ValidationError, match="unknown field `resource_type`"):
        getattr(outgoing, name).of(resource_type="x")
