"""Cards from applied plans: few, ordered, each valid by construction.

One card per decision with the recommendations that bear on it; at most `LIMIT`, what is beyond shares the last one.
Unknown answers say what is missing and what is met so far, failed ones say so: neither ever becomes silence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from fhir_cds.cards import asking, detail, markdown, meeting, suggestions, words
from fhir_cds.cards.authored import SELECTION, Authored, Recommendation, SelectionBehavior
from fhir_cds.cards.decisions import Decision, Difference, Item, parts
from fhir_cds.cards.facts import Facts, coded_text
from fhir_cds.cards.outgoing import SUMMARY_LIMIT, Card, Link, OverrideReason, Source, Suggestion
from fhir_cds.cards.visits import pressing, window
from fhir_cds.fhir import ids
from fhir_cds.reasoning.outcome import Applied, Json

LIMIT: Final = 6
"""The most cards of one call: with the card of the follow-up service, called beside it, a patient gets seven."""


@dataclass(frozen=True, slots=True)
class Projection:
    """What the cards need besides the applied plans.

    `seed` makes the uuids unique to a call (its hookInstance); `gaps` are names of data that could not be read;
    `careplans` are the dated plans (with contained orders) of the schedules; `left_out` are urls of plans without card.
    `authored` is what is known of the content, `forms` the canonicals of the questionnaires that ask for facts, by
    fact; `subject` and `now` are whom and when the call is about.
    `trial`: the client knows the trial-use members of the 3.0 ballot (`actionSelectionBehavior`).
    Where `about` names resources (`Type/id`), only decisions that rest on one of them, or that failed, get a card.
    """

    facts: Facts = field(default_factory=Facts)
    seed: str = ""
    gaps: tuple[str, ...] = ()
    override_reasons: tuple[OverrideReason, ...] = ()
    careplans: tuple[Json, ...] = ()
    left_out: frozenset[str] = frozenset()
    about: frozenset[str] = frozenset()
    app_url: str | None = None
    authored: Authored = field(default_factory=Authored)
    forms: Mapping[str, str] = field(default_factory=dict)
    subject: str = ""
    now: str = ""
    trial: bool = False


def cards_from(chosen: Sequence[Decision], projection: Projection) -> tuple[Card, ...]:
    """Return the cards of the decisions that are chosen for a call (see `chosen`)."""
    head, rest = _split(chosen)
    cards = [_card(decision, projection) for decision in head]
    if rest:
        cards.append(_rest(rest, projection))
    return tuple(cards)


def _split(found: Sequence[Decision]) -> tuple[Sequence[Decision], Sequence[Decision]]:
    """Return the decisions with a card of their own, and those that share the last one."""
    return (found, ()) if len(found) <= LIMIT else (found[: LIMIT - 1], found[LIMIT - 1 :])


def chosen(applied: Sequence[Applied], projection: Projection) -> tuple[Decision, ...]:
    """Return the decisions that get a card, the most pressing first; none when nothing applies or is in question."""
    found = meeting.join(
        part for part in parts(applied, projection.authored) if part.strategy.url not in projection.left_out
    )
    concerned = (
        decision
        for decision in meeting.shown(found)
        if not projection.about or decision.broken or decision.resources & projection.about
    )
    return meeting.with_differences(tuple(concerned))


def _card(decision: Decision, projection: Projection) -> Card:
    """Return the card of one decision."""
    choices = _suggestions(decision, projection)
    summary = _summary(decision)
    uuid = ids.stable_uuid("card", projection.seed, decision.strategy.key)
    return Card.of(
        uuid=uuid,
        summary=markdown.fit(summary, SUMMARY_LIMIT),
        detail=detail.detail(decision, projection.facts, projection.gaps, summary),
        indicator=decision.indicator,
        source=_source(decision),
        suggestions=tuple(choices) or None,
        selectionBehavior=_selection(decision, projection) if choices else None,
        overrideReasons=projection.override_reasons or None if decision.applicable else None,
        links=_links((decision,), projection, uuid) or None,
    )


def _rest(found: Sequence[Decision], projection: Projection) -> Card:
    """Return the one card that holds what is beyond the limit, so that nothing is lost."""
    first = found[0]
    choices = suggestions.each_once(choice for decision in found for choice in _suggestions(decision, projection))
    uuid = ids.stable_uuid("card", projection.seed, *(decision.strategy.key for decision in found))
    return Card.of(
        uuid=uuid,
        summary=markdown.fit(words.MORE_SUMMARY.format(count=len(found)), SUMMARY_LIMIT),
        detail="\n\n".join(_titled(decision, projection) for decision in found),
        indicator=first.indicator,
        source=_source(first),
        suggestions=tuple(choices) or None,
        selectionBehavior="any" if choices else None,
        overrideReasons=projection.override_reasons or None if any(one.applicable for one in found) else None,
        links=_links(found, projection, uuid) or None,
    )


def _titled(decision: Decision, projection: Projection) -> str:
    """Return a decision's body under its summary, for the card that several share."""
    summary = _summary(decision)
    body = detail.detail(decision, projection.facts, projection.gaps, summary)
    return markdown.section(markdown.escape(summary), body)


def _summary(decision: Decision) -> str:
    """Return what the card says in one sentence."""
    applicable = decision.applicable
    if applicable:
        due = pressing((part, visit) for part in decision.parts if part.applicable for visit in part.visits)
        if due is not None:
            part, visit = due
            return words.DUE_SUMMARY.format(
                subject=part.strategy.title,
                status=words.VISIT_STATUS[visit.status],
                window=window(visit),
            )
        text = applicable[0].said.title
        more = len(applicable) - 1
        return words.OTHERS.format(text=text, count=more) if more else text
    title = decision.strategy.title
    if decision.broken:
        return words.FAILED_SUMMARY.format(subject=title)
    if decision.unknown:
        count = len(detail.missing(decision.unknown))
        template = words.MISSING_SUMMARY if count else words.UNDECIDED_SUMMARY
        return template.format(subject=title, count=count)
    return words.OPEN_SUMMARY.format(subject=title)


def _suggestions(decision: Decision, projection: Projection) -> list[Suggestion]:
    """Return what can be accepted: the care plans of the schedules, and the orders of the other recommendations.

    Where several guidelines date the follow-up, the leading one's care plan is the recommended one.
    """
    chosen: list[Suggestion] = []
    covered: set[str] = set()
    for part in decision.parts:
        seed = f"{projection.seed}|{part.strategy.key}"
        for plan in projection.careplans:
            followed = _instantiated(plan)
            owners = [item.said for item in part.applicable if item.said.url in followed]
            if owners:
                label = words.ACCEPT_SCHEDULE.format(text=owners[0].title)
                noted = _noted(plan, owners[0], decision.differences)
                chosen.append(suggestions.suggestion(seed, label, [noted], recommended=not covered))
                covered |= {str(said.url) for said in owners}
        for item in part.applicable:
            created = list(suggestions.resources(item.action)) if item.said.url not in covered else []
            if created:
                chosen += _orders(item, created, seed, trial=projection.trial)
    return suggestions.each_once(chosen) or _asks(decision, projection)


def _asks(decision: Decision, projection: Projection) -> list[Suggestion]:
    """Return the tasks to answer what is missing, where there is nothing else to accept."""
    if not decision.unknown:
        return []
    missing = [fact for fact, _ in detail.missing(decision.unknown)]
    seed = f"{projection.seed}|{decision.strategy.key}"
    made = asking.tasks(missing, projection.forms, projection.facts, projection.subject, projection.now)
    return [suggestions.suggestion(seed, words.ASK.format(count=len(missing)), [task]) for task in made]


def _selection(decision: Decision, projection: Projection) -> SelectionBehavior:
    """Return how many suggestions may be accepted: one where several guidelines date the same follow-up."""
    owned = {item.said.url for item in decision.applicable}
    dated = [plan for plan in projection.careplans if owned & _instantiated(plan)]
    return "at-most-one" if len(dated) > 1 else decision.strategy.selection


def _instantiated(careplan: Json) -> set[str]:
    """Return the urls of the definitions that a care plan follows."""
    return {str(url).partition("|")[0] for url in careplan.get("instantiatesCanonical", ())}


def _noted(careplan: Json, owner: Recommendation, differences: Sequence[Difference]) -> Json:
    """Return the care plan with a note of which recommendation it follows where another one differs, and why."""
    notes = []
    for difference in differences:
        others = [side.said.evidence.name for side in difference.sides if side.said.plan is not owner.plan]
        if len(others) < len(difference.sides):
            text = words.FOLLOWS.format(own=owner.evidence.name, others="; ".join(others), text=difference.said)
            notes.append({"text": text})
    return {**careplan, "note": [*careplan.get("note", ()), *notes]} if notes else careplan


def _orders(item: Item, created: Sequence[Json], seed: str, *, trial: bool = False) -> list[Suggestion]:
    """Return the orders of a recommendation: one suggestion, or one for each where they are alternatives.

    A client of the 3.0 ballot gets alternatives as the actions of one suggestion, with how many of them may be chosen.
    """
    behaviour = str(item.action.values.get("selectionBehavior", "all"))
    selection = None if behaviour in suggestions.JOINED else SELECTION.get(behaviour)
    if selection is not None and trial and len(created) > 1:
        return [suggestions.suggestion(seed, _ordered(created, item), created, selection=selection)]
    if selection is not None:
        return [
            suggestions.suggestion(f"{seed}|{number}", _ordered([resource], item), [resource])
            for number, resource in enumerate(created, start=1)
        ]
    return [suggestions.suggestion(seed, _ordered(created, item), created)]


def _ordered(created: Sequence[Json], item: Item) -> str:
    """Return what is ordered, for a suggestion's label; the recommendation's title where the orders have no text."""
    return "; ".join(dict.fromkeys(filter(None, map(coded_text, created)))) or item.said.title


def _links(decisions: Sequence[Decision], projection: Projection, uuid: str) -> tuple[Link, ...]:
    """Return the publications behind the recommendations, each once, then the link to the SMART app where there is one.

    The app's context is the card's uuid, an opaque id.
    """
    found: dict[str, Link] = {}
    for part in (part for decision in decisions for part in decision.parts):
        for item in (*part.applicable, *part.unknown, *part.open_questions):
            for link in item.said.links:
                found[link.url] = link
    if projection.app_url is None:
        return tuple(found.values())
    return (*found.values(), Link.of(label=words.APP_LINK, url=projection.app_url, type="smart", appContext=uuid))


def _source(decision: Decision) -> Source:
    """Return the guideline the card speaks for, with its topic."""
    strategy = decision.strategy
    cited: str | None = None
    address: str | None = None
    for part in decision.parts:
        for item in (*part.applicable, *part.unknown, *part.failed, *part.open_questions):
            cited = cited or item.said.cited
            address = address or item.said.address
    return Source.of(label=cited or strategy.publisher or strategy.title, url=address, topic=strategy.topic)


def recommendations_of(cards: Sequence[Card], chosen: Sequence[Decision]) -> dict[str, tuple[str, ...]]:
    """Return, by card uuid, the recommendations (`source:number`) that apply in it: what feedback is counted by.

    `cards` are those of the decisions that were chosen (`cards_from`).
    """
    head, rest = _split(chosen)
    groups = [*((decision,) for decision in head), *([tuple(rest)] if rest else ())]
    return {card.uuid: _numbers(group) for card, group in zip(cards, groups, strict=True)}


def _numbers(found: Iterable[Decision]) -> tuple[str, ...]:
    """Return the recommendations that apply in some decisions, as `source:number`."""
    items = (item for decision in found for part in decision.parts for item in part.items)
    return tuple(item.said.id for item in items if item.applies and item.said.evidence.number)
