"""Cards from applied plans: few, ordered, each valid by construction.

One card per decision with the recommendations that bear on it; at most `LIMIT`, what is beyond shares the last one.
Unknown answers say what is missing and what is met so far, failed ones say so: neither ever becomes silence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from fhir_cds.cards import asking, detail, markdown, meeting, suggestions, words
from fhir_cds.cards.decisions import Decision, Difference, Item, decisions
from fhir_cds.cards.evidence import Evidence
from fhir_cds.cards.facts import Facts, coded_text
from fhir_cds.cards.messages import SUMMARY_LIMIT, Card, Coding, Link, OverrideReason, Source, Suggestion
from fhir_cds.cards.visits import pressing, window
from fhir_cds.fhir import ids
from fhir_cds.reasoning.outcome import Applied, Json, Verdict

LIMIT: Final = 6
"""The most cards of one call: with the card of the follow-up service, called beside it, a patient gets seven."""


@dataclass(frozen=True, slots=True)
class Projection:
    """What the cards need besides the applied plans.

    `seed` makes the uuids unique to a call (its hookInstance); `gaps` are names of data that could not be read;
    `careplans` are the dated plans (with contained orders) of the schedules; `left_out` are urls of plans without card.
    `authored` is what is known of the content's recommendations (`evidence.authored`), `forms` the canonicals of the
    questionnaires that ask for facts, by fact; `subject` and `now` are whom and when the call is about.
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
    authored: Mapping[int, Evidence] = field(default_factory=dict)
    forms: Mapping[str, str] = field(default_factory=dict)
    subject: str = ""
    now: str = ""
    trial: bool = False


def cards_from(chosen: Sequence[Decision], projection: Projection) -> tuple[Card, ...]:
    """Return the cards of the decisions that are chosen for a call (see `chosen`)."""
    head, rest = _split(chosen)
    cards = [_card(decision, projection) for decision in head]
    return (*cards, _rest(rest, projection)) if rest else tuple(cards)


def _split(found: Sequence[Decision]) -> tuple[Sequence[Decision], Sequence[Decision]]:
    """Return the decisions with a card of their own, and those that share the last one."""
    return (found, ()) if len(found) <= LIMIT else (found[: LIMIT - 1], found[LIMIT - 1 :])


def chosen(applied: Sequence[Applied], projection: Projection) -> tuple[Decision, ...]:
    """Return the decisions that get a card, the most pressing first; none when nothing applies or is in question."""
    found = meeting.join(
        one for one in decisions(applied, projection.authored) if one.plan.get("url") not in projection.left_out
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
    link = _app_link(decision, projection)
    return Card(
        uuid=_uuid(decision, projection),
        summary=markdown.fit(_summary(decision), SUMMARY_LIMIT),
        detail=_body(decision, projection),
        indicator=decision.indicator,
        source=_source(decision),
        suggestions=tuple(choices) or None,
        selection_behavior=_selection(decision, projection) if choices else None,
        override_reasons=projection.override_reasons or None if _applicable(decision) else None,
        links=(*_links(decision), *((link,) if link else ())) or None,
    )


def _rest(found: Sequence[Decision], projection: Projection) -> Card:
    """Return the one card that holds what is beyond the limit, so that nothing is lost."""
    first = found[0]
    choices = suggestions.each_once(choice for decision in found for choice in _suggestions(decision, projection))
    return Card(
        uuid=_rest_uuid(found, projection),
        summary=markdown.fit(words.MORE_SUMMARY.format(count=len(found)), SUMMARY_LIMIT),
        detail="\n\n".join(
            markdown.section(markdown.escape(_summary(decision)), _body(decision, projection)) for decision in found
        ),
        indicator=first.indicator,
        source=_source(first),
        suggestions=tuple(choices) or None,
        selection_behavior="any" if choices else None,
        override_reasons=projection.override_reasons or None if choices else None,
    )


def _rest_uuid(found: Sequence[Decision], projection: Projection) -> str:
    """Return the uuid of the card that several decisions share."""
    return ids.stable_uuid("card", projection.seed, *(_key(decision) for decision in found))


def _body(decision: Decision, projection: Projection) -> str:
    """Return the body of a decision's card."""
    return detail.detail(decision, projection.facts, projection.gaps, _summary(decision))


def _summary(decision: Decision) -> str:
    """Return what the card says in one sentence."""
    applicable = _applicable(decision)
    if applicable:
        due = pressing((part, visit) for part in decision.parts if part.applicable for visit in part.visits)
        if due is not None:
            part, visit = due
            return words.DUE_SUMMARY.format(
                subject=part.title,
                status=words.VISIT_STATUS[visit.status],
                window=window(visit),
            )
        text = applicable[0].title
        more = len(applicable) - 1
        return words.OTHERS.format(text=text, count=more) if more else text
    if decision.broken:
        return words.FAILED_SUMMARY.format(subject=decision.title)
    unknown = [item for part in decision.parts for item in part.unknown]
    if unknown:
        count = len(detail.missing(unknown))
        template = words.MISSING_SUMMARY if count else words.UNDECIDED_SUMMARY
        return template.format(subject=decision.title, count=count)
    return words.OPEN_SUMMARY.format(subject=decision.title)


def _applicable(decision: Decision) -> list[Item]:
    """Return what applies in a decision and in those that joined it, the leading guideline's first."""
    return [item for part in decision.parts for item in part.applicable]


def _suggestions(decision: Decision, projection: Projection) -> list[Suggestion]:
    """Return what can be accepted: the care plans of the schedules, and the orders of the other recommendations.

    Where several guidelines date the follow-up, the leading one's care plan is the recommended one.
    """
    chosen: list[Suggestion] = []
    covered: set[str] = set()
    for part in decision.parts:
        seed = f"{projection.seed}|{_key(part)}"
        for plan in projection.careplans:
            owners = [item for item in part.applicable if item.plan.get("url") in _instantiated(plan)]
            if owners:
                label = words.ACCEPT_SCHEDULE.format(text=owners[0].title)
                noted = _noted(plan, owners[0], decision.differences)
                chosen.append(suggestions.suggestion(seed, label, [noted], recommended=not covered))
                covered |= {str(item.plan["url"]) for item in owners}
        for item in part.applicable:
            created = list(suggestions.resources(item.action)) if item.plan.get("url") not in covered else []
            if created:
                chosen += _orders(item, created, seed, trial=projection.trial)
    return suggestions.each_once(chosen) or _asks(decision, projection)


def _asks(decision: Decision, projection: Projection) -> list[Suggestion]:
    """Return the tasks to answer what is missing, where there is nothing else to accept."""
    missing = [fact for fact, _ in detail.missing(item for part in decision.parts for item in part.unknown)]
    seed = f"{projection.seed}|{_key(decision)}"
    made = asking.tasks(missing, projection.forms, projection.facts, projection.subject, projection.now)
    return [suggestions.suggestion(seed, words.ASK.format(count=len(missing)), [task]) for task in made]


def _selection(decision: Decision, projection: Projection) -> suggestions.SelectionBehavior:
    """Return how many suggestions may be accepted: one where several guidelines date the same follow-up."""
    owned = {item.plan.get("url") for item in _applicable(decision)}
    dated = [plan for plan in projection.careplans if owned & _instantiated(plan)]
    if len(dated) > 1:
        return "at-most-one"
    behaviour = next((action.get("selectionBehavior") for action in decision.plan.get("action", ())), None)
    return suggestions.SELECTION.get(str(behaviour), "any")


def _instantiated(careplan: Json) -> set[str]:
    """Return the urls of the definitions that a care plan follows."""
    return {str(url).partition("|")[0] for url in careplan.get("instantiatesCanonical", ())}


def _noted(careplan: Json, owner: Item, differences: Sequence[Difference]) -> Json:
    """Return the care plan with a note of which recommendation it follows where another one differs, and why."""
    notes = []
    for difference in differences:
        others = [side.evidence.name for side in difference.sides if side.plan is not owner.plan]
        if len(others) < len(difference.sides):
            text = words.FOLLOWS.format(own=owner.evidence.name, others="; ".join(others), text=difference.said)
            notes.append({"text": text})
    return {**careplan, "note": [*careplan.get("note", ()), *notes]} if notes else careplan


def _orders(item: Item, created: Sequence[Json], seed: str, *, trial: bool = False) -> list[Suggestion]:
    """Return the orders of a recommendation: one suggestion, or one for each where they are alternatives.

    A client of the 3.0 ballot gets alternatives as the actions of one suggestion, with how many of them may be chosen.
    """
    behaviour = str(item.action.values.get("selectionBehavior", "all"))
    selection = None if behaviour in suggestions.JOINED else suggestions.SELECTION.get(behaviour)
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
    return "; ".join(dict.fromkeys(filter(None, map(coded_text, created)))) or item.title


def _links(decision: Decision) -> list[Link]:
    """Return the publications behind the recommendations, each once."""
    shown = [item for part in decision.parts for item in (*part.applicable, *part.unknown, *part.open_questions)]
    found = {citation.url: citation.text for item in shown for citation in item.evidence.citations if citation.url}
    return [Link(label=text, url=url, type="absolute") for url, text in found.items()]


def _app_link(decision: Decision, projection: Projection) -> Link | None:
    """Return the SMART link to the decision's details when an app is configured; its context is an opaque id."""
    if projection.app_url is None:
        return None
    return Link(label=words.APP_LINK, url=projection.app_url, type="smart", app_context=_uuid(decision, projection))


def _source(decision: Decision) -> Source:
    """Return the guideline the card speaks for, with its topic."""
    plan = decision.plan
    shown = (
        item
        for part in decision.parts
        for item in (*part.applicable, *part.unknown, *part.failed, *part.open_questions)
    )
    citations = [citation for item in shown for citation in item.evidence.citations]
    url = next((citation.url for citation in citations if citation.url), None)
    label = next((citation.text for citation in citations), None) or plan.get("publisher") or decision.title
    return Source(label=str(label), url=url, topic=_topic(plan, decision.title))


def _topic(plan: Json, title: str) -> Coding:
    """Return the plan's first topic, else the plan itself as a code."""
    for concept in plan.get("topic", ()):
        for coding in concept.get("coding", ()):
            if coding.get("system") and coding.get("code"):
                return Coding(system=coding["system"], code=coding["code"], display=coding.get("display") or title)
    system, _, code = str(plan.get("url", "")).rpartition("/")
    return Coding(system=system or "urn:ietf:rfc:3986", code=str(plan.get("id") or code), display=title)


def _key(decision: Decision) -> str:
    """Return what identifies a decision: its plan's canonical."""
    return f"{decision.plan.get('url', decision.plan.get('id'))}|{decision.plan.get('version', '')}"


def _uuid(decision: Decision, projection: Projection) -> str:
    """Return the uuid of a decision's card in this call."""
    return ids.stable_uuid("card", projection.seed, _key(decision))


def recommendations_of(chosen: Sequence[Decision], projection: Projection) -> dict[str, tuple[str, ...]]:
    """Return, by card uuid, the recommendations (`source:number`) that apply in it: what feedback is counted by."""
    head, rest = _split(chosen)
    found = {_uuid(decision, projection): _numbers(decision) for decision in head}
    if rest:
        found[_rest_uuid(rest, projection)] = tuple(number for decision in rest for number in _numbers(decision))
    return found


def _numbers(decision: Decision) -> tuple[str, ...]:
    """Return the recommendations that apply in a decision, as `source:number`."""
    items = (item for item in decision.every_item if item.verdict is Verdict.APPLICABLE)
    return tuple(f"{item.evidence.source}:{item.evidence.number}" for item in items if item.evidence.number)
