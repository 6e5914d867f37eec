"""Cards from applied plans: few, ordered, each valid by construction.

One card per decision with the recommendations that bear on it; at most `LIMIT`, what is beyond shares the last one.
Unknown answers say what is missing and what is met so far, failed ones say so: neither ever becomes silence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from fhir_cds.cards import markdown, suggestions, words
from fhir_cds.cards.decisions import Decision, Item, decisions
from fhir_cds.cards.facts import Facts
from fhir_cds.cards.messages import SUMMARY_LIMIT, Card, Coding, Link, OverrideReason, Source, Suggestion
from fhir_cds.fhir import ids
from fhir_cds.reasoning.outcome import Applied, Json, Reason, Verdict, Visit

LIMIT: Final = 7
_VISIT_ORDER: Final = ("overdue", "due", "booked", "scheduled")
_VISITS_SHOWN: Final = 8


@dataclass(frozen=True, slots=True)
class Projection:
    """What the cards need besides the applied plans.

    `seed` makes the uuids unique to a call (its hookInstance); `gaps` are names of data that could not be read;
    `careplans` are the dated plans (with contained orders) of the schedules; `left_out` are urls of plans without card.
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


def cards_from(applied: Sequence[Applied], projection: Projection) -> tuple[Card, ...]:
    """Return the cards of the plans applied to one patient; none when nothing applies and nothing is in question."""
    found = _chosen(applied, projection)
    head, rest = (found, []) if len(found) <= LIMIT else (found[: LIMIT - 1], found[LIMIT - 1 :])
    cards = [_card(decision, projection) for decision in head]
    return (*cards, _rest(rest, projection)) if rest else tuple(cards)


def _chosen(applied: Sequence[Applied], projection: Projection) -> list[Decision]:
    """Return the decisions that get a card in this call, the most pressing first."""
    return [
        decision
        for decision in decisions(applied)
        if decision.plan.get("url") not in projection.left_out
        and (not projection.about or decision.failed or decision.failures or decision.resources & projection.about)
    ]


def _card(decision: Decision, projection: Projection) -> Card:
    """Return the card of one decision."""
    choices = _suggestions(decision, projection)
    behaviour = str(next((a.get("selectionBehavior") for a in decision.plan.get("action", ())), None) or "any")
    link = _app_link(decision, projection)
    return Card(
        uuid=_uuid(decision, projection),
        summary=markdown.fit(_summary(decision), SUMMARY_LIMIT),
        detail=_detail(decision, projection),
        indicator=decision.indicator,
        source=_source(decision),
        suggestions=tuple(choices) or None,
        selection_behavior=suggestions.SELECTION.get(behaviour, "any") if choices else None,
        override_reasons=projection.override_reasons or None if decision.applicable else None,
        links=(*_links(decision), *((link,) if link else ())) or None,
    )


def _rest(found: Sequence[Decision], projection: Projection) -> Card:
    """Return the one card that holds what is beyond the limit, so that nothing is lost."""
    first = found[0]
    return Card(
        uuid=ids.stable_uuid("card", projection.seed, *(_key(decision) for decision in found)),
        summary=markdown.fit(words.MORE_SUMMARY.format(count=len(found)), SUMMARY_LIMIT),
        detail="\n\n".join(
            markdown.section(markdown.escape(_summary(decision)), _detail(decision, projection)) for decision in found
        ),
        indicator=first.indicator,
        source=_source(first),
    )


def _summary(decision: Decision) -> str:
    """Return what the card says in one sentence."""
    if decision.applicable:
        visit = _next_visit(decision.visits)
        if visit is not None:
            return words.DUE_SUMMARY.format(
                subject=decision.title,
                status=words.VISIT_STATUS[visit.status],
                earliest=visit.earliest,
                latest=visit.latest,
            )
        text = decision.applicable[0].title
        more = len(decision.applicable) - 1
        return words.OTHERS.format(text=text, count=more) if more else text
    if decision.failed or decision.failures:
        return words.FAILED_SUMMARY.format(subject=decision.title)
    if decision.unknown:
        count = len(_missing(decision))
        template = words.MISSING_SUMMARY if count else words.UNDECIDED_SUMMARY
        return template.format(subject=decision.title, count=count)
    return words.OPEN_SUMMARY.format(subject=decision.title)


def _detail(decision: Decision, projection: Projection) -> str:
    """Return the body of the card: what applies, the schedule, why, what is missing, what is open, what failed."""
    facts = projection.facts
    why = _table_of(facts, (reason for item in decision.applicable for reason in item.action.outcome.because))
    met = _table_of(facts, (reason for item in decision.unknown for reason in item.action.outcome.because))
    parts = (
        ("", "\n\n".join(_statement(item) for item in decision.applicable)),
        (words.SCHEDULE, _schedule(decision.visits)),
        (words.WHY, why),
        (words.MISSING, _missing_table(decision, facts)),
        ("", "\n\n".join(_statement(item) for item in decision.unknown) if not decision.applicable else ""),
        (words.MET, met if not decision.applicable else ""),
        (words.OPEN, markdown.bullets(_line(item) for item in decision.open_questions)),
        (words.BACKGROUND, markdown.bullets(_line(item) for item in decision.background)),
        (words.FAILED, markdown.bullets(_failures(decision))),
        (words.INCOMPLETE, markdown.bullets(markdown.escape(gap) for gap in projection.gaps)),
    )
    return "\n\n".join(markdown.section(title, body) if title else body for title, body in parts if body)


def _statement(item: Item) -> str:
    """Return a recommendation: title, what it says, grade, vote and citation."""
    lines = [f"**{markdown.escape(item.title)}**"]
    lines += [markdown.escape(item.text)] if item.text and item.text != item.title else []
    return "\n\n".join([*lines, item.evidence.line()])


def _line(item: Item) -> str:
    """Return a recommendation on one line."""
    return f"{markdown.escape(item.text or item.title)} — {item.evidence.line()}"


def _table_of(facts: Facts, reasons: Iterable[Reason]) -> str:
    """Return the table of facts, "" when there are none."""
    named = [reason for reason in reasons if reason.fact is not None]
    rows = list(facts.rows(named))
    return markdown.table((words.FACT, words.VALUE, words.DATE, words.RECORD), rows) if rows else ""


def _missing(decision: Decision) -> list[tuple[str, list[str]]]:
    """Return each missing fact with the numbers of the recommendations it would decide, the most useful first."""
    counts: Counter[str] = Counter()
    decides: dict[str, list[str]] = {}
    for item in decision.unknown:
        for fact in item.action.outcome.missing:
            counts[fact] += 1
            decides.setdefault(fact, []).append(item.evidence.number or item.title)
    return sorted(decides.items(), key=lambda pair: (-counts[pair[0]], pair[0]))


def _missing_table(decision: Decision, facts: Facts) -> str:
    """Return the table of missing facts, "" when nothing is missing."""
    rows = [
        (markdown.escape(facts.text(fact)), markdown.escape(", ".join(numbers))) for fact, numbers in _missing(decision)
    ]
    return markdown.table((words.FACT, words.DECIDES), rows) if rows else ""


def _failures(decision: Decision) -> list[str]:
    """Return one line per failure: which recommendation, and what the issue says (it names places, not values)."""
    issues = [
        f"{markdown.escape(item.title)}: {markdown.escape(_issue(issue))}"
        for item in decision.failed
        for issue in (item.action.outcome.issues or ({"code": "processing"},))
    ]
    return list(dict.fromkeys([*issues, *(markdown.escape(_issue(issue)) for issue in decision.failures)]))


def _issue(issue: Json) -> str:
    """Return the text of an OperationOutcome issue."""
    details = issue.get("details", {})
    return str(issue.get("diagnostics") or details.get("text") or issue.get("code"))


def _next_visit(visits: Sequence[Visit]) -> Visit | None:
    """Return the visit to talk about: overdue, else due, else the next one."""
    open_visits = [visit for visit in visits if visit.status in _VISIT_ORDER]
    return min(open_visits, key=lambda v: (_VISIT_ORDER.index(v.status), v.earliest), default=None)


def _schedule(visits: Sequence[Visit]) -> str:
    """Return the table of the last visits done and the next ones."""
    done = [visit for visit in visits if visit.status not in _VISIT_ORDER]
    ahead = [visit for visit in visits if visit.status in _VISIT_ORDER]
    shown = (*done[-2:], *ahead[:_VISITS_SHOWN])
    rows = [
        (
            str(visit.number),
            markdown.escape(visit.phase),
            words.RANGE.format(visit.earliest, visit.latest),
            markdown.escape(words.VISIT_STATUS.get(visit.status, visit.status)),
            ", ".join(markdown.code(ref) for ref in visit.resources),
        )
        for visit in shown
    ]
    head = (words.VISIT, words.PHASE, words.WINDOW, words.STATUS, words.RECORD)
    return markdown.table(head, rows) if rows else ""


def _suggestions(decision: Decision, projection: Projection) -> list[Suggestion]:
    """Return what can be accepted: the care plan of a schedule, else the orders of each recommendation."""
    seed = f"{projection.seed}|{_key(decision)}"
    chosen: list[Suggestion] = []
    covered: set[str] = set()
    for plan in projection.careplans:
        urls = {str(url).partition("|")[0] for url in plan.get("instantiatesCanonical", ())}
        owners = [item for item in decision.applicable if item.plan.get("url") in urls]
        if owners:
            covered |= {str(item.plan["url"]) for item in owners}
            label = words.ACCEPT_SCHEDULE.format(text=owners[0].title)
            chosen.append(suggestions.suggestion(seed, label, [plan], recommended=True))
    for item in decision.applicable:
        created = list(suggestions.resources(item.action)) if item.plan.get("url") not in covered else []
        if created:
            chosen += _orders(item, created, seed)
    return chosen


def _orders(item: Item, created: Sequence[Json], seed: str) -> list[Suggestion]:
    """Return the orders of a recommendation: one suggestion, or one for each where only one may be chosen."""
    behaviour = item.action.values.get("selectionBehavior", "all")
    if suggestions.SELECTION.get(str(behaviour)) == "at-most-one" or behaviour in {"any", "one-or-more"}:
        return [
            suggestions.suggestion(seed, f"{item.title}: {words.ORDERS} {number}", [resource])
            for number, resource in enumerate(created, start=1)
        ]
    return [suggestions.suggestion(seed, item.title, created)]


def _links(decision: Decision) -> list[Link]:
    """Return the publications behind the recommendations, each once."""
    shown = (*decision.applicable, *decision.unknown, *decision.open_questions)
    found = {
        citation.url: Link(label=citation.text, url=citation.url, type="absolute")
        for item in shown
        for citation in item.evidence.citations
        if citation.url
    }
    return list(found.values())


def _app_link(decision: Decision, projection: Projection) -> Link | None:
    """Return the SMART link to the decision's details when an app is configured; its context is an opaque id."""
    if projection.app_url is None:
        return None
    return Link(label=words.APP_LINK, url=projection.app_url, type="smart", app_context=_uuid(decision, projection))


def _source(decision: Decision) -> Source:
    """Return the guideline the card speaks for, with its topic."""
    plan = decision.plan
    shown = [*decision.applicable, *decision.unknown, *decision.failed, *decision.open_questions]
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


def recommendations_of(applied: Sequence[Applied], projection: Projection) -> dict[str, tuple[str, ...]]:
    """Return, by card uuid, the recommendations (`source:number`) that apply in it: what feedback is counted by."""
    found = {}
    for decision in _chosen(applied, projection):
        items = (item for item in decision.items if item.verdict is Verdict.APPLICABLE)
        found[_uuid(decision, projection)] = tuple(
            f"{item.evidence.source}:{item.evidence.number}" for item in items if item.evidence.number
        )
    return found
