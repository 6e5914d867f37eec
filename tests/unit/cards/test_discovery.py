"""Discovery: order, ETag, what is hidden, and templates that clients cannot fill."""

from typing import Any

import pytest

from fhir_cds.cards.discovery import document, offers
from fhir_cds.errors import ContentError
from fhir_cds.fhir import codec
from fhir_cds.knowledge.service import service_of


def entry(**changes: Any) -> dict[str, Any]:
    """Return a hooks file."""
    base = {
        "hook": "patient-view",
        "id": "svc",
        "title": "t",
        "description": "d",
        "prefetch": {"patient": "Patient/{{context.patientId}}"},
        "extension": {"org.fhir-cds.plans": ["https://e.org/p"]},
    }
    return {**base, **changes}


def made(*documents: dict[str, Any]) -> Any:
    """Return the offers of some hooks files."""
    return offers(service_of(item, f"hooks/{number}.json") for number, item in enumerate(documents))


def test_order_and_etag_do_not_depend_on_files() -> None:
    """The same services give the same bytes whatever the order of their files."""
    first, second = entry(), entry(id="abc")
    assert document(made(first, second)) == document(made(second, first))
    assert document(made(first))[1] != document(made(second))[1]


def test_own_extensions_are_not_sent() -> None:
    """What steers the service stays inside; another extension goes out."""
    reasons = [{"system": "https://e.org/s", "code": "c", "display": "d"}]
    extension = {"org.fhir-cds.plans": ["x"], "org.fhir-cds.override-reasons": reasons, "org.example.a": 1}
    (offer,) = made(entry(extension=extension))
    sent = codec.decode(document((offer,))[0])
    assert sent["services"][0]["extension"] == {"org.example.a": 1}
    assert offer.override_reasons[0].code == "c"
    assert offer.required == {"patient"}


def test_one_id_on_two_hooks() -> None:
    """An id may be offered once per hook, not twice on one."""
    two = made(entry(), entry(hook="encounter-start"))
    assert [offer.service.hook for offer in two] == ["encounter-start", "patient-view"]
    with pytest.raises(ContentError, match="second entry"):
        made(entry(), entry())


def test_user_tokens() -> None:
    """The four user tokens of 2.0 are known."""
    made(entry(prefetch={"user": "Practitioner/{{userPractitionerId}}"}))


def test_own_hooks_may_use_any_field() -> None:
    """A hook that the library does not define brings its own context fields."""
    made(entry(hook="org.example.board", prefetch={"x": "Condition?encounter={{context.boardId}}"}))


@pytest.mark.parametrize(
    "changes",
    [
        {"prefetch": {"a": "Condition?x={{context.draftOrders}}"}},
        {"prefetch": {"a": "Condition?x={{context.encounter}}"}},
        {"prefetch": {"a": "Condition?date=ge{{today()}}"}},
        {"prefetch": {"a": "https://e.org/Condition?patient=1"}},
        {"prefetch": {"a": "Condition"}},
        {"hook": "order-sign", "prefetch": {"a": "Condition?x={{context.selections}}"}},
        {"id": "a/b"},
        {"title": ""},
        {"unknown": 1},
        {"extension": {"org.fhir-cds.plans": ["x"], "org.fhir-cds.override-reasons": [{"code": "c"}]}},
    ],
)
def test_wrong_entries_fail_at_load(changes: dict[str, Any]) -> None:
    """A template or member that clients cannot use is refused when content loads, naming the file."""
    with pytest.raises(ContentError, match=r"hooks/0\.json"):
        made(entry(**changes))
