"""The body of a card in GFM: what applies, the schedule, why, what is missing or open, the evidence, what failed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from fhir_cds.cards import markdown, words
from fhir_cds.cards.decisions import Decision, Item, Part
from fhir_cds.cards.facts import Facts
from fhir_cds.cards.visits import OPEN, window
from fhir_cds.reasoning.outcome import Json, Visit

_VISITS_SHOWN: Final = 8


def detail(decision: Decision, facts: Facts, summary: str, above: set[str]) -> str:
    """Return what a card says of a decision: the leading guideline, where guidelines differ, then those that joined it.

    `summary` is what is said already. A fact stands once on a card: those in `above` are left out, and what is shown
    here is added to them.
    """
    lead, *joined = decision.parts
    sections = _part(lead, facts, summary, above)
    if decision.differences:
        sections.append(markdown.section(words.DIFFER, _differences(decision)))
    for part in joined:
        said = _part(part, facts, summary, above)
        if said:
            sections.append(markdown.section(part.strategy.heading, "\n\n".join(said)))
    return "\n\n".join(sections)


def closing(elsewhere: Collection[str], gaps: Sequence[str]) -> list[str]:
    """Return the last sections of a card: orders that another card offers (lines), and data that could not be read."""
    sections: list[str] = []
    _listed(sections, words.ELSEWHERE, elsewhere)
    _listed(sections, words.INCOMPLETE, [markdown.escape(gap) for gap in gaps])
    return sections


def _part(part: Part, facts: Facts, summary: str, above: set[str]) -> list[str]:
    """Return the sections of one guideline: what applies, the schedule, why, what is missing, is open, failed."""
    applicable, unknown = part.applicable, part.unknown
    sections = [
        item.said.statement if item.said.title == summary else f"{item.said.heading}\n\n{item.said.statement}"
        for item in applicable
    ]
    if part.visits:
        sections.append(markdown.section(words.SCHEDULE, _schedule(part.visits)))
    _grounds(sections, (words.WHY, words.WHY_TOO), facts.lines([item.outcome.facts for item in applicable]), above)
    if unknown:
        rows = _missing_rows(unknown, facts)
        if rows:
            table = markdown.table((words.FACT, words.DECIDES), rows)
            sections.append(markdown.section(words.MISSING, table))
        if not applicable:
            sections += [f"{item.said.undecided}\n\n{item.said.statement}" for item in unknown]
            _grounds(sections, (words.MET, words.MET_TOO), facts.lines([item.outcome.facts for item in unknown]), above)
    if part.open_questions:
        _listed(sections, words.OPEN, [item.said.line for item in part.open_questions])
    if part.background:
        _listed(sections, words.BACKGROUND, [item.said.line for item in part.background])
    figures = [text for item in (*applicable, *part.background) for text in item.said.figures]
    _listed(sections, words.EVIDENCE, dict.fromkeys(figures))
    if part.failed or part.failures:
        _listed(sections, words.FAILED, _failures(part))
    return sections


def _listed(sections: list[str], title: str, items: Collection[str]) -> None:
    """Add a section with a list, none where there is nothing to list."""
    if items:
        sections.append(markdown.section(title, markdown.bullets(items)))


def _differences(decision: Decision) -> str:
    """Return the points of difference, then each recommendation concerned with its grade.

    What stands on this card in full is named by its title; what stands on another one is given in full.
    """
    own = {id(item) for part in decision.parts for item in part.items}
    sides = {id(side): side.said for difference in decision.differences for side in difference.sides}
    lines = [
        f"{markdown.escape(said.evidence.name)}: {said.by_title if key in own else said.in_full}"
        for key, said in sides.items()
    ]
    points = "\n\n".join(markdown.escape(difference.said) for difference in decision.differences)
    return f"{points}\n\n{markdown.bullets(lines)}"


def _grounds(sections: list[str], titles: tuple[str, str], lines: Sequence[str], above: set[str]) -> None:
    """Add the facts behind recommendations that do not stand above; where some or all of them do, that is said."""
    fresh = [line for line in lines if line not in above] if above else lines
    above.update(fresh)
    title, besides = titles
    if fresh:
        _listed(sections, title if len(fresh) == len(lines) else besides, fresh)
    elif lines:
        sections.append(markdown.section(title, words.ABOVE))


def missing(unknown: Iterable[Item], facts: Facts) -> list[tuple[str, list[str]]]:
    """Return each missing fact with the numbers of the recommendations it would decide, each once.

    The most useful stands first, of those that decide as much the one that the content's questionnaire asks first.
    """
    decides: dict[str, dict[str, None]] = {}
    for item in unknown:
        for fact in item.outcome.missing:
            decides.setdefault(fact, {})[item.said.evidence.number or item.said.title] = None
    listed = [(fact, list(numbers)) for fact, numbers in decides.items()]
    return sorted(listed, key=lambda pair: (-len(pair[1]), facts.place(pair[0]), pair[0]))


def _missing_rows(unknown: Iterable[Item], facts: Facts) -> list[tuple[str, str]]:
    """Return the rows of the table of missing facts."""
    return [
        (markdown.escape(facts.text(fact)), markdown.escape(", ".join(numbers)))
        for fact, numbers in missing(unknown, facts)
    ]


def _failures(part: Part) -> Collection[str]:
    """Return one line per failure: which recommendation, and what the issue says (it names places, not values)."""
    issues = [
        f"{markdown.escape(item.said.title)}: {markdown.escape(_issue(issue))}"
        for item in part.failed
        for issue in (item.outcome.issues or ({"code": "processing"},))
    ]
    return dict.fromkeys([*issues, *(markdown.escape(_issue(issue)) for issue in part.failures)])


def _issue(issue: Json) -> str:
    """Return the text of an OperationOutcome issue."""
    details = issue.get("details", {})
    return str(issue.get("diagnostics") or details.get("text") or issue.get("code"))


def _schedule(visits: Sequence[Visit]) -> str:
    """Return the table of the last visits done and the next ones, and under it what shows that they were done."""
    done = [visit for visit in visits if visit.status not in OPEN]
    ahead = [visit for visit in visits if visit.status in OPEN]
    shown = (*done[-2:], *ahead[:_VISITS_SHOWN])
    rows = [
        (
            str(visit.number),
            markdown.unbroken(window(visit)),
            markdown.escape(words.VISIT_STATUS.get(visit.status, visit.status)),
            markdown.escape(visit.phase),
        )
        for visit in shown
    ]
    records = [
        words.VISIT_RECORDS.format(number=visit.number, records=", ".join(map(markdown.code, visit.resources)))
        for visit in shown
        if visit.resources
    ]
    table = markdown.table((words.VISIT, words.WINDOW, words.STATUS, words.PHASE), rows) if rows else ""
    return "\n\n".join(filter(None, (table, markdown.bullets(records))))
