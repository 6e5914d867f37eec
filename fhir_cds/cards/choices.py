"""What a card could offer for acceptance: care plans of the schedules, orders of the recommendations, else questions.

A choice becomes a suggestion once it is known which of its orders another card of the call offers (`once`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from fhir_cds.cards import asking, detail, words
from fhir_cds.cards.authored import SELECTION, Recommendation, SelectionBehavior
from fhir_cds.cards.decisions import Decision, Difference, Item
from fhir_cds.cards.facts import coded_text
from fhir_cds.cards.projection import Projection
from fhir_cds.reasoning.outcome import APPLICABLE, AppliedAction, Json

_UNIT: Final = "all-or-none"
_JOINED: Final = frozenset({"all", _UNIT})


class Choice(Struct, frozen=True):
    """What can be accepted as one.

    `created` are the resources; they give the label where `label` is None, `title` where they have no text. `notes` are
    added to what is created. `selection` (3.0 ballot) makes the resources alternatives. An `alternative` is one of
    several of which at most one can be accepted; of a `unit` nothing can be left out.
    """

    seed: str
    title: str
    created: tuple[Json, ...]
    label: str | None = None
    notes: tuple[Json, ...] = ()
    recommended: bool | None = None
    selection: SelectionBehavior | None = None
    alternative: bool = False
    unit: bool = False

    def named(self, created: Sequence[Json]) -> str:
        """Return what some of the resources are, in words."""
        return self.label or "; ".join(dict.fromkeys(filter(None, map(coded_text, created)))) or self.title


class _Order(NamedTuple):
    """A request, and whether its plan has chosen it beforehand."""

    resource: Json
    prechecked: bool


class Offer(Struct, frozen=True):
    """What one card could offer, and how many of it may be accepted."""

    choices: tuple[Choice, ...]
    selection: SelectionBehavior


def offer(decisions: Sequence[Decision], projection: Projection) -> Offer:
    """Return what the card of some decisions could offer; where a decision has nothing, to ask for what it lacks.

    Where one of the decisions has alternatives, at most one choice of the card may be accepted.
    """
    found: list[Choice] = []
    unanswered: list[Decision] = []
    exclusive = False
    for decision in decisions:
        own = list(_of(decision, projection))
        exclusive = exclusive or (len(own) > 1 and _selection(decision, projection) == "at-most-one")
        found += own
        if decision.unknown and not own:
            unanswered.append(decision)
    if unanswered:
        found += _asks(unanswered, projection)
    if exclusive:
        found = [replace(choice, alternative=True) for choice in found]
    return Offer(tuple(found), "at-most-one" if exclusive else "any")


def _of(decision: Decision, projection: Projection) -> Iterator[Choice]:
    """Yield the care plans of a decision's schedules, and the orders of its other recommendations.

    Where several guidelines date the follow-up, the leading one's care plan is the recommended one.
    """
    covered: set[str] = set()
    for part in decision.parts:
        seed = f"{projection.seed}|{part.strategy.key}"
        for plan in projection.careplans:
            followed = _instantiated(plan)
            owners = [item.said for item in part.applicable if item.said.url in followed]
            if owners:
                yield Choice(
                    seed,
                    owners[0].title,
                    (plan,),
                    label=words.ACCEPT_SCHEDULE.format(text=owners[0].title),
                    notes=tuple(_notes(owners[0], decision.differences)),
                    recommended=not covered,
                )
                covered |= {str(said.url) for said in owners}
        for item in part.applicable:
            orders = tuple(_ordered(item.action)) if item.said.url not in covered else ()
            if orders:
                yield from _orders(item, orders, seed, trial=projection.trial)


def _asks(decisions: Sequence[Decision], projection: Projection) -> Iterator[Choice]:
    """Yield the tasks to answer what some decisions lack, one for each questionnaire."""
    unknown = [item for decision in decisions for item in decision.unknown]
    missing = [fact for fact, _ in detail.missing(unknown, projection.facts)]
    seed = f"{projection.seed}|{decisions[0].strategy.key}"
    for count, task in asking.tasks(missing, projection.forms, projection.facts, projection.subject, projection.now):
        label = words.ASK.format(count=count)
        yield Choice(seed, label, (task,), label=label)


def _selection(decision: Decision, projection: Projection) -> SelectionBehavior:
    """Return how many choices may be accepted: one where several guidelines date the same follow-up."""
    owned = {item.said.url for item in decision.applicable}
    dated = [plan for plan in projection.careplans if owned & _instantiated(plan)]
    return "at-most-one" if len(dated) > 1 else decision.strategy.selection


def _instantiated(careplan: Json) -> set[str]:
    """Return the urls of the definitions that a care plan follows."""
    return {str(url).partition("|")[0] for url in careplan.get("instantiatesCanonical", ())}


def _notes(owner: Recommendation, differences: Sequence[Difference]) -> Iterator[Json]:
    """Yield a note of which recommendation a care plan follows, and why, for each point where another one differs."""
    for difference in differences:
        others = [side.said.evidence.name for side in difference.sides if side.said.plan is not owner.plan]
        if len(others) < len(difference.sides):
            text = words.FOLLOWS.format(own=owner.evidence.name, others="; ".join(others), text=difference.said)
            yield {"text": text}


def _orders(item: Item, orders: Sequence[_Order], seed: str, *, trial: bool) -> Iterator[Choice]:
    """Yield the orders of a recommendation: one choice, or one for each where they are alternatives.

    For a client of the 3.0 ballot alternatives are one choice, with how many of them may be taken. What the plan has
    chosen beforehand (precheckBehavior, GR-05) is the recommended one; of several orders in one choice all must be.
    """
    title = item.said.title
    created = tuple(order.resource for order in orders)
    recommended = all(order.prechecked for order in orders) or None
    behaviour = str(item.action.values.get("selectionBehavior", "all"))
    selection = None if behaviour in _JOINED else SELECTION.get(behaviour)
    if selection is None:
        yield Choice(seed, title, created, recommended=recommended, unit=behaviour == _UNIT and len(created) > 1)
        return
    exclusive = selection == "at-most-one" and len(created) > 1
    if trial and len(created) > 1:
        yield Choice(seed, title, created, recommended=recommended, selection=selection, alternative=exclusive)
        return
    for number, (resource, prechecked) in enumerate(orders, start=1):
        another = exclusive and any(order.prechecked for order in orders[: number - 1])
        recommended = (prechecked and not another) or None
        yield Choice(f"{seed}|{number}", title, (resource,), recommended=recommended, alternative=exclusive)


def _ordered(action: AppliedAction, above: bool = False) -> Iterator[_Order]:
    """Yield the requests realised by an action and the applicable ones below it; `above`: its group is prechecked."""
    stated = action.values.get("precheckBehavior")
    prechecked = stated == "yes" or (above and stated is None)
    if action.resource is not None:
        yield _Order(action.resource, prechecked)
    for child in action.children:
        if child.outcome.verdict is APPLICABLE:
            yield from _ordered(child, prechecked)
