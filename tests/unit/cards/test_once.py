"""Each order is offered once a call, on the most pressing card; the other cards say where, and nothing is lost."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_cds.cards.cards import LIMIT, chosen, with_orders
from fhir_cds.cards.choices import Choice, Offer
from fhir_cds.cards.once import share
from fhir_cds.cards.outgoing import Card, OverrideReason
from fhir_cds.cards.projection import Projection
from fhir_cds.reasoning.outcome import Applied, AppliedAction, Outcome, Verdict

from . import card_builders as b

FORM = "https://e.org/Questionnaire/f|1"
PROJECTION = Projection(
    seed="call",
    override_reasons=(OverrideReason.of(system="https://e.org/s", code="c", display="d"),),
    forms=dict.fromkeys(("alpha", "beta", "gamma"), FORM),
    subject="Patient/p",
    now=b.NOW,
)


def order(text: str, **changes: Any) -> dict[str, Any]:
    """Return an order; its id differs wherever it is made."""
    base = {"resourceType": "ServiceRequest", "id": f"{text}-{len(changes)}", "status": "draft", "intent": "proposal"}
    return base | {"code": {"text": text}} | changes


def advice(name: str, *orders: dict[str, Any], urgency: str = "routine", **action: Any) -> Applied:
    """Return a decision with one recommendation that asks for some orders."""
    children = tuple(
        AppliedAction(f"{n}", "PlanDefinition.action[0]", {}, {}, Outcome(Verdict.APPLICABLE), resource=one)
        for n, one in enumerate(orders)
    )
    plan = b.rule(name, priority=urgency, **action)
    return b.group(b.strategy(f"s-{name}"), b.leaf(plan, b.YES, children=children))


def cards(*applied: Applied, **changes: Any) -> tuple[Card, ...]:
    """Return the cards of decisions."""
    projection = replace(PROJECTION, **changes)
    return b.cards_from(chosen(applied, projection), projection)


def offered(card: Card) -> list[list[str]]:
    """Return what each suggestion of a card creates, in words."""
    return [
        [str(action.description).removeprefix("Create ServiceRequest: ") for action in one.actions or ()]
        for one in card.suggestions or ()
    ]


def elsewhere(card: Card) -> list[str]:
    """Return what a card says is offered on another one."""
    assert card.detail is not None
    body = card.detail.partition("**Offered on another card**\n\n")[2]
    return [line.removeprefix("- ") for line in body.split("\n") if line.startswith("- ")]


def test_an_order_is_offered_on_the_first_card_that_asks_for_it() -> None:
    """The later card has no suggestion and no selectionBehavior, but says where, and its advice can be overridden."""
    first, later = cards(advice("1", order("CT")), advice("2", order("CT", priority="routine")))
    assert offered(first) == [["CT"]]
    assert elsewhere(first) == []
    assert (later.suggestions, later.selection_behavior) == (None, None)
    assert elsewhere(later) == ["CT: on the card “Do 1”"]
    assert later.override_reasons == PROJECTION.override_reasons


def test_which_order_stands_elsewhere_is_said_by_its_id() -> None:
    """What is kept of the later card names the order that accepting it would have created; the first one's does not."""
    placed, asked = order("CT"), order("CT", priority="routine")
    found = with_orders(chosen((advice("1", placed), advice("2", asked, order("MRI"))), PROJECTION), PROJECTION)
    assert [orders for _, orders in found] == [(), (f"ServiceRequest/{placed['id']}",)]


def test_what_differs_is_another_order() -> None:
    """Another code, reason or date makes another order; an id or how urgent it is does not."""
    found = cards(
        advice("1", order("CT")), advice("2", order("MR")), advice("3", order("CT", reasonCode=[{"text": "pain"}]))
    )
    assert [offered(card) for card in found] == [[["CT"]], [["MR"]], [["CT"]]]


def test_the_most_urgent_card_offers_it() -> None:
    """An order stands where it is most urgent, also when a card before it asks for it with less urgency."""
    failing = b.group(b.strategy("f"), b.leaf(b.rule("0", strength="A"), b.FAILED))
    asking = advice("1", order("CT", priority="routine"))
    both = b.group(failing.plan, *(action.nested for one in (failing, asking) for action in one.actions[0].children))
    first, later = cards(both, advice("2", order("CT", priority="urgent"), urgency="urgent", strength="C"))
    assert first.summary == "Do 1"
    assert (offered(first), offered(later)) == ([], [["CT"]])
    assert elsewhere(first) == ["CT: on the card “Do 2”"]


def test_of_several_orders_the_new_ones_stay() -> None:
    """What is offered already is left out of a suggestion that has anything new; its label says what it still holds."""
    _, later = cards(advice("1", order("CT")), advice("2", order("CT", priority="routine"), order("MR")))
    assert offered(later) == [["MR"]]
    assert [one.label for one in later.suggestions or ()] == ["MR"]
    assert later.selection_behavior == "any"
    assert elsewhere(later) == ["CT: on the card “Do 1”"]


def test_what_is_referred_to_stays() -> None:
    """An order that another one of the same suggestion refers to is not left out, nor what that one refers to."""
    chain = (
        order("CT"),
        order("MR", basedOn=[{"reference": "ServiceRequest/CT-0"}]),
        order("Biopsy", replaces=[{"reference": "ServiceRequest/MR-1"}]),
    )
    first, later = cards(advice("1", order("CT"), chain[1]), advice("2", *chain))
    assert offered(first) == [["CT", "MR"]]
    assert offered(later) == [["CT", "MR", "Biopsy"]]
    assert elsewhere(later) == ["CT: on the card “Do 1”", "MR: on the card “Do 1”"]


def test_a_unit_stays_whole() -> None:
    """Of orders that are all or none nothing is left out, and nobody has to take them to get one of them."""
    unit = advice("1", order("CT"), order("MR"), selectionBehavior="all-or-none")
    first, later = cards(unit, advice("2", order("MR")))
    assert (offered(first), offered(later)) == ([["CT", "MR"]], [["MR"]])
    assert elsewhere(first) == ["MR: on the card “Do 2”"]
    again = advice("3", order("CT"), order("MR"), selectionBehavior="all-or-none")
    assert [offered(card) for card in cards(unit, again)] == [[["CT", "MR"]], []]


@pytest.mark.parametrize("trial", [False, True])
def test_an_alternative_gives_way_to_an_order_for_itself(*, trial: bool) -> None:
    """What another card asks for outright is offered there, so that it can be had whatever is chosen here."""
    either = advice("1", order("CT"), order("MR"), selectionBehavior="exactly-one")
    first, later = cards(either, advice("2", order("CT")), trial=trial)
    assert (offered(first), offered(later)) == ([["MR"]], [["CT"]])
    assert elsewhere(first) == ["CT: on the card “Do 2”"]
    assert first.suggestions is not None
    assert first.suggestions[0].action_selection_behavior is None


def test_alternatives_of_two_cards_both_stay() -> None:
    """Where an order is an alternative only, it stays among the others of each card, and the later card says so."""
    one, two = (
        advice(n, order("CT"), order(t), selectionBehavior="exactly-one") for n, t in (("1", "MR"), ("2", "US"))
    )
    first, later = cards(one, two)
    assert (offered(first), offered(later)) == ([["CT"], ["MR"]], [["CT"], ["US"]])
    assert elsewhere(later) == ["CT: on the card “Do 1”"]


def test_a_unit_does_not_give_way_to_alternatives() -> None:
    """Orders that are all or none stay where they are alternatives of each other on the card before."""
    either = advice("1", order("CT"), order("MR"), selectionBehavior="exactly-one")
    unit = advice("2", order("CT"), order("MR"), selectionBehavior="all-or-none")
    assert [offered(card) for card in cards(either, unit, trial=True)] == [[["CT", "MR"]], [["CT", "MR"]]]


def one_of(name: str, *orders: dict[str, Any]) -> Applied:
    """Return a decision of which at most one choice may be accepted, with a recommendation for each order."""
    plan = b.strategy(name)
    plan["action"][0]["selectionBehavior"] = "at-most-one"
    return b.group(plan, *(b.leaf(b.rule(f"{name}{n}"), b.YES, resource=one) for n, one in enumerate(orders)))


def test_choices_that_exclude_each_other() -> None:
    """What can be had for itself on a later card leaves the choice of this one; twice on one card it stands once."""
    first, later = cards(
        one_of("a", order("CT"), order("MR"), order("MR", priority="routine")), advice("1", order("CT"))
    )
    assert (offered(first), offered(later)) == ([["MR"]], [["CT"]])
    assert first.selection_behavior == "at-most-one"
    first, later = cards(one_of("a", order("CT")), advice("1", order("CT")))
    assert (offered(first), offered(later)) == ([["CT"]], [])
    assert first.selection_behavior == "any"


def careplan(plan: dict[str, Any]) -> dict[str, Any]:
    """Return a care plan that follows a recommendation, with an order in it."""
    return {
        "resourceType": "CarePlan",
        "id": f"cp-{plan['id']}",
        "status": "draft",
        "intent": "proposal",
        "title": "Visits",
        "instantiatesCanonical": [f"{plan['url']}|1"],
        "subject": {"reference": "Patient/p"},
        "contained": [order("CT")],
        "activity": [{"reference": {"reference": "#CT-0"}}],
    }


def test_a_care_plan_is_one_thing() -> None:
    """A care plan that two decisions follow is offered once, with its orders; an undated order is none of them."""
    plan = b.rule("1")
    twice = [b.group(b.strategy(name), b.leaf(plan, b.YES)) for name in "ab"]
    made = cards(*twice, advice("2", order("CT")), careplans=(careplan(plan),))
    assert [[len(one) for one in offered(card)] for card in made] == [[2], [], [1]]
    assert elsewhere(made[1]) == ["Do 1: create the care plan with its orders: on the card “Do 1”"]


def further(*last: Applied, **changes: Any) -> tuple[Card, ...]:
    """Return the first card, which asks for a CT, and the one of further topics."""
    before = [advice(f"p{n}", *([] if n else [order("CT")]), urgency="urgent") for n in range(LIMIT - 1)]
    made = cards(*before, *last, **changes)
    return made[0], made[-1]


def test_the_card_of_further_topics() -> None:
    """It offers what no other card does, each order once, and says once at its end what is offered elsewhere."""
    first, last = further(advice("1", order("CT")), advice("2", order("CT"), order("MR")), advice("3", order("MR")))
    assert (offered(first), offered(last)) == ([["CT"]], [["MR"]])
    assert last.detail is not None
    assert last.detail.endswith("**Offered on another card**\n\n- CT: on the card “Do p0”")
    assert last.override_reasons == PROJECTION.override_reasons


def test_only_one_of_two_follow_ups_on_the_card_of_further_topics() -> None:
    """Where one of its topics has alternatives, at most one suggestion can be accepted, and one is recommended."""
    plans = [b.rule(n) for n in ("1", "2", "3")]
    two = b.group(b.strategy("a"), *(b.leaf(plan, b.YES) for plan in plans[:2]))
    other = b.group(b.strategy("b"), b.leaf(plans[2], b.YES))
    _, last = further(two, other, careplans=tuple(map(careplan, plans)))
    assert last.selection_behavior == "at-most-one"
    assert [one.is_recommended for one in last.suggestions or ()] == [True, False, False]


def unknown(name: str, *missing: str) -> Applied:
    """Return a decision that cannot be made for want of facts."""
    return b.group(b.strategy(f"u-{name}"), b.leaf(b.rule(name), b.unknown(*missing)))


def asked(card: Card) -> list[tuple[str, str]]:
    """Return label and text of each task of a card."""
    return [
        (one.label, str(action.resource["description"]))
        for one in card.suggestions or ()
        for action in one.actions or ()
        if action.resource is not None and action.resource["resourceType"] == "Task"
    ]


def test_missing_facts_are_asked_for_once() -> None:
    """A card that lacks the same facts as one before it says that they are asked for there; others are asked for."""
    first, same, more = cards(unknown("1", "alpha"), unknown("2", "alpha"), unknown("3", "alpha", "beta"))
    assert asked(first) == [("Ask for the missing facts (1)", "To fill in: alpha")]
    assert asked(same) == []
    assert elsewhere(same) == [f"Ask for the missing facts (1): on the card “{first.summary}”"]
    assert asked(more) == [("Ask for the missing facts (2)", "To fill in: alpha; beta")]


def test_who_has_something_to_accept_is_not_asked() -> None:
    """Where an order can be accepted, here or on another card, no task for missing facts stands beside it."""
    both = b.group(
        advice("2").plan,
        *(one.actions[0].children[0].nested for one in (advice("2", order("CT")), unknown("3", "beta"))),
    )
    for made in (cards(both), cards(advice("1", order("CT")), both)):
        assert asked(made[-1]) == []
        assert "| beta | 3 |" in (made[-1].detail or "")


def test_further_topics_ask_in_one_task() -> None:
    """What several further topics lack is asked for together, and in several forms where no form has it all."""
    last = further(unknown("1", "alpha"), unknown("2", "gamma", "alpha"), advice("3", order("MR")))[1]
    assert asked(last) == [("Ask for the missing facts (2)", "To fill in: alpha; gamma")]
    assert len(last.suggestions or ()) == 2
    forms = {**PROJECTION.forms, "gamma": "https://e.org/Questionnaire/g|1"}
    apart = further(unknown("1", "alpha"), unknown("2", "gamma", "alpha"), forms=forms)[1]
    assert asked(apart) == [
        ("Ask for the missing facts (1)", "To fill in: alpha"),
        ("Ask for the missing facts (1)", "To fill in: gamma"),
    ]


ORDERS = st.lists(st.sampled_from("ABCD"), min_size=1, max_size=3, unique=True)
CHOICES = st.lists(st.tuples(ORDERS, st.booleans(), st.booleans(), st.sampled_from(("routine", "urgent"))), max_size=3)


@given(st.lists(CHOICES, max_size=4))
def test_nothing_is_lost_and_nothing_for_itself_is_twice(listed: list[list[Any]]) -> None:
    """Whatever cards could offer: each order stays to be had, for itself where it could be, and then only once."""
    offers = [
        Offer(tuple(_choice(f"{n}-{m}", *each) for m, each in enumerate(card)), "any") for n, card in enumerate(listed)
    ]
    shares = share(offers)
    before = [choice for offer in offers for choice in offer.choices]
    after = [choice for one in shares for choice in one.choices]
    assert _texts(before) == _texts(after)
    free = [choice for choice in after if not choice.alternative and not choice.unit]
    assert _texts(free) == _texts([choice for choice in before if not choice.alternative and not choice.unit])
    texts = [one["code"]["text"] for choice in free for one in choice.created]
    assert len(texts) == len(set(texts))
    for number, (offer, one) in enumerate(zip(offers, shares, strict=True)):
        told = {text for text, card in one.elsewhere if card != number}
        assert _texts(offer.choices) - _texts(one.choices) <= told


def _choice(name: str, texts: Sequence[str], alternative: bool, unit: bool, priority: str) -> Choice:
    """Return a choice of some orders."""
    created = tuple(order(text, priority=priority, id=f"{name}-{text}") for text in texts)
    return Choice(name, "title", created, alternative=alternative, unit=unit)


def _texts(choices: Sequence[Choice]) -> set[str]:
    return {one["code"]["text"] for choice in choices for one in choice.created}
