"""Cards that clinicians can stand: what comes first, how much a summary says, how much is recommended."""

from typing import Any

import pytest

from fhir_cds.cards.cards import chosen
from fhir_cds.cards.facts import Facts
from fhir_cds.cards.outgoing import SUMMARY_LIMIT, Card
from fhir_cds.cards.projection import Projection
from fhir_cds.reasoning.outcome import Applied

from . import card_builders as b


def cards(*applied: Applied, **options: Any) -> tuple[Card, ...]:
    """Return the cards of plans."""
    projection = Projection(Facts(), seed="call-1", **options)
    return b.cards_from(chosen(applied, projection), projection)


def test_what_is_urgent_comes_before_what_is_sure() -> None:
    """A warning comes first, though it is only that something failed; then what applies, then what is open."""
    made = cards(
        b.group(b.strategy("unknown"), b.leaf(b.rule("1"), b.unknown("zeta"))),
        b.group(b.strategy("strong"), b.leaf(b.rule("2", strength="A"), b.YES)),
        b.group(b.strategy("broken"), b.leaf(b.rule("3"), b.FAILED)),
        b.group(b.strategy("urgent"), b.leaf(b.rule("4", priority="stat"), b.YES)),
    )
    assert [card.indicator for card in made] == ["critical", "warning", "info", "info"]
    assert [card.source.topic.code for card in made if card.source.topic] == ["urgent", "broken", "strong", "unknown"]


@pytest.mark.parametrize("title", ["word " * 80, "x" * 500, "e\u0301" * 200, "\U0001f469\u200d\U0001f52c" * 100])
@pytest.mark.parametrize("priority", ["routine", "urgent"])
def test_c3_a_long_title_is_cut_in_the_summary(title: str, priority: str) -> None:
    """However long a title is, the summary has fewer than 140 characters, alone and with others behind it."""
    for others in ((), (b.leaf(b.rule("2"), b.YES),)):
        (card,) = cards(b.group(b.strategy(), b.leaf(b.rule("1", priority=priority, title=title), b.YES), *others))
        assert 0 < len(card.summary) <= SUMMARY_LIMIT
        assert card.summary.endswith("…")


@pytest.mark.parametrize("behaviour", ["at-most-one", "any"])
def test_c10_one_care_plan_is_recommended(behaviour: str) -> None:
    """Where two care plans can be accepted the leading guideline's is recommended, and no other."""
    rules = [b.rule("1"), b.rule("2")]
    plans = tuple(
        {"resourceType": "CarePlan", "id": rule["id"], "instantiatesCanonical": [rule["url"]]} for rule in rules
    )
    strategy = b.strategy()
    strategy["action"][0]["selectionBehavior"] = behaviour
    (card,) = cards(b.group(strategy, *(b.leaf(rule, b.YES) for rule in rules)), careplans=plans)
    assert card.suggestions is not None
    assert [one.is_recommended for one in card.suggestions] == [True, False]


def test_c10_one_is_recommended_where_decisions_share_a_card() -> None:
    """Decisions that share the last card recommend a care plan each: where only one may be accepted, the first is."""
    rules = [b.rule(str(number)) for number in range(9)]
    plans = tuple(
        {"resourceType": "CarePlan", "id": rule["id"], "instantiatesCanonical": [rule["url"]]} for rule in rules[6:]
    )
    two = b.strategy("two")
    two["action"][0]["selectionBehavior"] = "at-most-one"
    *_, last = cards(
        *(b.group(b.strategy(f"s{number}"), b.leaf(rules[number], b.YES)) for number in range(6)),
        b.group(two, b.leaf(rules[6], b.YES), b.leaf(rules[7], b.YES)),
        b.group(b.strategy("zero"), b.leaf(rules[8], b.YES)),
        careplans=plans,
    )
    assert last.suggestions is not None
    assert last.selection_behavior == "at-most-one"
    assert [one.is_recommended for one in last.suggestions] == [True, False, False]
