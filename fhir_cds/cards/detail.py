"""The body of a card in GFM: what applies, the schedule, why, what is missing or open, the evidence, what failed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from fhir_cds.cards import markdown, words
from fhir_cds.cards.decisions import Decision, Item
from fhir_cds.cards.facts import Facts, Row
from fhir_cds.cards.visits import OPEN, window
from fhir_cds.reasoning.outcome import Json, Reason, Visit

_VISITS_SHOWN: Final = 8


def detail(decision: Decision, facts: Facts, gaps: Iterable[str], summary: str) -> str:
    """Return the body of the card: the leading guideline, where guidelines differ, then those that joined it."""
    above: set[Row] = set()
    parts = [
        *_part(decision, facts, summary, above),
        (words.DIFFER, _differences(decision)),
        *((markdown.escape(one.title), _sections(_part(one, facts, summary, above))) for one in decision.joined),
        (words.INCOMPLETE, markdown.bullets(markdown.escape(gap) for gap in gaps)),
    ]
    return _sections(parts)


def _part(decision: Decision, facts: Facts, summary: str, above: set[Row]) -> list[tuple[str, str]]:
    """Return the sections of one guideline: what applies, the schedule, why, what is missing, is open, failed.

    A fact stands once on a card: those in `above` are left out, and what is shown here is added to them.
    """
    why = words.WHY_TOO if above else words.WHY
    return [
        (
            "",
            "\n\n".join(_statement(item, item.title if item.title != summary else "") for item in decision.applicable),
        ),
        (words.SCHEDULE, _schedule(decision.visits)),
        (why, _grounds(facts, decision.applicable, above)),
        (words.MISSING, _missing_table(decision.unknown, facts)),
        ("", "\n\n".join(map(_undecided, decision.unknown)) if not decision.applicable else ""),
        (words.MET, _grounds(facts, decision.unknown, above) if not decision.applicable else ""),
        (words.OPEN, markdown.bullets(_line(item) for item in decision.open_questions)),
        (words.BACKGROUND, markdown.bullets(_line(item) for item in decision.background)),
        (words.EVIDENCE, markdown.bullets(_figures((*decision.applicable, *decision.background)))),
        (words.FAILED, markdown.bullets(_failures(decision))),
    ]


def _sections(parts: Iterable[tuple[str, str]]) -> str:
    """Return titled and untitled sections, the empty ones left out."""
    return "\n\n".join(markdown.section(title, body) if title else body for title, body in parts if body)


def _differences(decision: Decision) -> str:
    """Return the points of difference, then each recommendation concerned with its grade.

    What stands on this card in full is named by its title; what stands on another one is given in full.
    """
    if not decision.differences:
        return ""
    own = {id(item) for item in decision.every_item}
    sides = {id(side): side for difference in decision.differences for side in difference.sides}
    lines = [
        f"{markdown.escape(side.evidence.name)}: {_said(side, in_full=key not in own)}" for key, side in sides.items()
    ]
    points = "\n\n".join(markdown.escape(difference.said) for difference in decision.differences)
    return f"{points}\n\n{markdown.bullets(lines)}"


def _said(item: Item, *, in_full: bool) -> str:
    """Return a recommendation, in full or by its title, with grade and vote."""
    vote = item.evidence.vote
    graded = " · ".join([item.evidence.grade(), *([str(vote)] if vote else [])])
    return f"{markdown.escape(item.text if in_full and item.text else item.title)} — {markdown.escape(graded)}"


def _undecided(item: Item) -> str:
    """Return a recommendation that cannot be decided yet, so that its title does not read as if it applied."""
    return _statement(item, words.UNDECIDED.format(text=item.title))


def _statement(item: Item, title: str) -> str:
    """Return a recommendation under a title ("": none): what it says, grade, vote and citation."""
    lines = [f"**{markdown.escape(title)}**"] if title else []
    lines += [markdown.escape(item.text)] if item.text and item.text != item.title else []
    return "\n\n".join([*lines, item.evidence.line])


def _figures(items: Iterable[Item]) -> Iterable[str]:
    """Return the studies behind the recommendations, each once."""
    return dict.fromkeys(markdown.escape(text) for item in items for text in item.evidence.figures)


def _line(item: Item) -> str:
    """Return a recommendation on one line."""
    return f"{markdown.escape(item.text or item.title)} — {item.evidence.line}"


def _grounds(facts: Facts, items: Iterable[Item], above: set[Row]) -> str:
    """Return the facts behind recommendations, each on as few lines as the reader's window allows; "" without any."""
    named: Iterable[Reason] = (reason for item in items for reason in item.action.outcome.facts)
    rows = [row for row in facts.rows(named) if row not in above]
    above.update(rows)
    return markdown.bullets(f"{name} — {' · '.join(dict.fromkeys(filter(None, rest)))}" for name, *rest in rows)


def missing(unknown: Iterable[Item]) -> list[tuple[str, list[str]]]:
    """Return each missing fact with the numbers of the recommendations it would decide, the most useful first."""
    decides: dict[str, list[str]] = {}
    for item in unknown:
        for fact in item.action.outcome.missing:
            decides.setdefault(fact, []).append(item.evidence.number or item.title)
    return sorted(decides.items(), key=lambda pair: (-len(pair[1]), pair[0]))


def _missing_table(unknown: Iterable[Item], facts: Facts) -> str:
    """Return the table of missing facts, "" when nothing is missing."""
    rows = [
        (markdown.escape(facts.text(fact)), markdown.escape(", ".join(numbers))) for fact, numbers in missing(unknown)
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
