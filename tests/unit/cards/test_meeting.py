"""Decisions of several guidelines on one question share a card; where what applies differs, the card says so."""

from typing import Any

import pytest

from fhir_cds.cards.cards import chosen, recommendations_of
from fhir_cds.cards.outgoing import Card
from fhir_cds.cards.projection import Projection
from fhir_cds.reasoning.outcome import Applied, Outcome, Stated, Verdict

from . import card_builders as b

TOPICS = f"{b.BASE}/CodeSystem/decision-topic"


def question(name: str, topic: str | None = None) -> dict[str, Any]:
    """Return a strategy with a decision topic."""
    topics = [{"coding": [{"system": TOPICS, "code": topic}]}] if topic else []
    return {**b.strategy(name), "topic": topics}


def rule(source: str, number: str, *relations: tuple[str, str, str], **changes: Any) -> dict[str, Any]:
    """Return a recommendation of a source; each relation is (entry, code, the other end)."""
    made = b.rule(f"{source}-{number}", **changes)
    made["identifier"] = [{"system": f"{b.BASE}/recommendation", "value": f"{source}:{number}"}]
    made["subtitle"] = f"{source}, {number}"
    made["extension"] += [
        {
            "url": f"{b.BASE}/StructureDefinition/recommendation-relation",
            "extension": [
                {"url": "id", "valueString": entry},
                {"url": "relation", "valueCode": code},
                {"url": "with", "valueString": other},
                {"url": "text", "valueString": f"{entry}: 6 months here, 12 there."},
                {"url": "resolution", "valueString": "Both stand."},
            ],
        }
        for entry, code, other in relations
    ]
    return made


def cards(*applied: Applied, **changes: Any) -> tuple[Card, ...]:
    """Return the cards of the applied plans."""
    projection = Projection(seed="call", **changes)
    return b.cards_from(chosen(applied, projection), projection)


def body(card: Card) -> str:
    """Return the body of a card."""
    assert card.detail is not None
    return card.detail


def test_one_topic_one_card() -> None:
    """Strategies of the same topic share a card; the first one leads, both statements and grades are on it."""
    first = b.group(question("a", "imaging"), b.leaf(rule("one", "1"), b.YES))
    second = b.group(question("b", "imaging"), b.leaf(rule("two", "2", strength="A"), b.YES))
    other = b.group(question("c", "tissue"), b.leaf(rule("one", "3"), b.YES))
    made = cards(first, second, other)
    assert [card.summary for card in made] == ["Do one-1 (+1 more)", "Do one-3"]
    assert body(made[0]).index("Says one-1") < body(made[0]).index("**Question b**") < body(made[0]).index("Says two-2")


def test_a_fact_stands_once_on_a_card() -> None:
    """What stands above is not repeated for the guideline that joined; what only that one rests on is added."""
    more = Outcome(Verdict.APPLICABLE, (), Stated((*b.YES.because, b.reason("sts_diagnosis", True))))
    first = b.group(question("a", "x"), b.leaf(rule("one", "1"), b.YES))
    (card,) = cards(first, b.group(question("b", "x"), b.leaf(rule("two", "2"), more)))
    assert body(card).count("Metastasis count — 3") == 1
    assert "**Why, besides the facts above**\n\n- Sts diagnosis — yes" in body(card)


def test_feedback_counts_the_recommendations_of_both() -> None:
    """A shared card is recorded with the recommendations of every guideline on it."""
    applied = [b.group(question(n, "x"), b.leaf(rule(n, "1"), b.YES)) for n in ("one", "two")]
    projection = Projection(seed="call")
    decisions = chosen(applied, projection)
    found = recommendations_of(b.cards_from(decisions, projection), decisions)
    assert list(found.values()) == [("one:1", "two:1")]


def test_a_failure_in_what_joins_is_a_warning() -> None:
    """The failure of one guideline shows on the shared card, and makes it a warning."""
    first = b.group(question("a", "x"), b.leaf(rule("one", "1"), b.YES))
    (card,) = cards(first, b.group(question("b", "x"), b.leaf(rule("two", "2"), b.FAILED)))
    assert card.indicator == "warning"
    assert 'Logic."D" (1:1-1:2) failed' in body(card)


def test_missing_facts_of_both_are_counted() -> None:
    """Where nothing applies yet, the summary counts what is missing for either guideline."""
    first = b.group(question("a", "x"), b.leaf(rule("one", "1"), b.unknown("alpha", "beta")))
    second = b.group(question("b", "x"), b.leaf(rule("two", "2"), b.unknown("beta", "gamma")))
    (card,) = cards(first, second)
    assert card.summary == "Question a: cannot be decided yet, 3 missing"


def test_a_difference_is_shown_where_both_apply() -> None:
    """Point, how it is handled, and both recommendations with their grades; once, on the card of the first."""
    first = b.group(question("a"), b.leaf(rule("one", "1", ("C1", "differs", "two:2")), b.YES))
    second = b.group(question("b"), b.leaf(rule("two", "2", ("C1", "differs", "one:1"), strength="C"), b.YES))
    made = cards(first, second)
    assert "C1: 6 months here, 12 there. Both stand." in body(made[0])
    assert "- one, 1: Do one-1 — level V, strength B · 92 %, 33 of 36" in body(made[0])
    assert "- two, 2: Says two-2 — level V, strength C · 92 %, 33 of 36" in body(made[0])
    assert "C1" not in body(made[1])


@pytest.mark.parametrize("outcome", [b.NO, b.unknown("x"), b.FAILED])
def test_no_difference_with_what_does_not_apply(outcome: Outcome) -> None:
    """A recommendation that does not apply, or is not known to, differs from nothing."""
    first = b.group(question("a"), b.leaf(rule("one", "1", ("C1", "differs", "two:2")), b.YES))
    second = b.group(question("b"), b.leaf(rule("two", "2", ("C1", "differs", "one:1")), outcome))
    assert "C1" not in "".join(body(card) for card in cards(first, second))


@pytest.mark.parametrize(("code", "said"), [("contradicts", True), ("restates", False), ("refines", False)])
def test_only_differences_are_said(code: str, said: bool) -> None:
    """Recommendations that restate or refine one another are not called different."""
    first = b.group(question("a"), b.leaf(rule("one", "1", ("C1", code, "two:2")), b.YES))
    second = b.group(question("b"), b.leaf(rule("two", "2", ("C1", code, "one:1")), b.YES))
    assert ("C1" in "".join(body(card) for card in cards(first, second))) is said


def test_a_suppressed_recommendation_is_no_side() -> None:
    """What is never advice is not shown as a difference either."""
    first = b.group(question("a"), b.leaf(rule("one", "1", ("C1", "differs", "two:2")), b.YES))
    second = b.group(question("b"), b.leaf(rule("two", "2", display="suppressed"), b.YES))
    assert "C1" not in "".join(body(card) for card in cards(first, second))


@pytest.mark.parametrize(("outcome", "said"), [(b.YES, False), (b.NO, True), (b.unknown("x"), True)])
def test_no_difference_that_is_settled_for_the_patient(outcome: Outcome, said: bool) -> None:
    """A criterion that is met settles what two guidelines would have asked of it: nothing differs then."""
    criterion = rule("two", "2a", ("C1", "differs", "one:1"))
    asks = rule("two", "2", ("C1", "differs", "one:1"))
    for plan in (asks, criterion):
        plan["extension"][-1]["extension"].append({"url": "unless", "valueString": "two:2a"})
    first = b.group(question("a"), b.leaf(rule("one", "1"), b.YES))
    second = b.group(question("b"), b.leaf(asks, b.YES), b.leaf(criterion, outcome))
    assert ("C1" in "".join(body(card) for card in cards(first, second))) is said


def test_a_side_is_named_by_its_first_action() -> None:
    """A note of a recommendation does not stand for it among the sides of a difference."""
    note = rule("two", "2", ("C1", "differs", "one:1"), display="background")
    note["action"][0] |= {"title": "A note beside", "description": "A note beside"}
    first = b.group(question("a"), b.leaf(rule("one", "1"), b.YES))
    second = b.group(question("b"), b.leaf(rule("two", "2", ("C1", "differs", "one:1")), b.YES), b.leaf(note, b.YES))
    text = "".join(body(card) for card in cards(first, second))
    assert "- two, 2: Says two-2 —" in text
    assert "- two, 2: A note beside" not in text


def test_context_stands_on_the_first_card() -> None:
    """Background that stands beside every decision is on the first card, and makes no card."""
    beside = b.group(question("s", "context"), b.leaf(rule("two", "scope", display="background"), b.YES))
    assert cards(beside) == ()
    made = cards(beside, b.group(question("a"), b.leaf(rule("one", "1"), b.YES)))
    assert len(made) == 1
    assert "Says two-scope" in body(made[0])


def test_two_schedules() -> None:
    """Two guidelines that date the follow-up: one may be accepted, the leading one is recommended, and says why."""
    plans = [rule("one", "1", ("C1", "differs", "two:2")), rule("two", "2", ("C1", "differs", "one:1"))]
    applied = [
        b.group(question(name, "follow-up"), b.leaf(plan, b.YES)) for name, plan in zip("ab", plans, strict=True)
    ]
    careplans = tuple(
        {
            "resourceType": "CarePlan",
            "id": f"c{number}",
            "status": "draft",
            "intent": "proposal",
            "instantiatesCanonical": [f"{plan['url']}|1"],
            "subject": {"reference": "Patient/p"},
        }
        for number, plan in enumerate(plans)
    )
    (card,) = cards(*applied, careplans=careplans)
    assert card.suggestions is not None
    assert [choice.is_recommended for choice in card.suggestions] == [True, False]
    assert card.selection_behavior == "at-most-one"
    notes = [choice.actions[-1].resource["note"][0]["text"] for choice in card.suggestions]
    assert notes[0].startswith("This plan follows one, 1. It differs from two, 2: C1: 6 months here")
    assert notes[1].startswith("This plan follows two, 2. It differs from one, 1:")
