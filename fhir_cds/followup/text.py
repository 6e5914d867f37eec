"""A schedule as text for a terminal or a letter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from fhir_cds.followup import careplan
from fhir_cds.followup.schedule import Schedule
from fhir_cds.reasoning.outcome import Visit

_WIDTH: Final = 10  # of the longest status


def text(schedules: Iterable[Schedule]) -> str:
    """Return the schedules as text: a heading per source, a line per visit, then what the dates rest on."""
    return "\n\n".join("\n".join(_lines(schedule)) for schedule in schedules) + "\n"


def _lines(schedule: Schedule) -> Iterator[str]:
    plan = schedule.applied.plan
    yield f"{plan.get('title') or plan.get('id')} [{schedule.source}]"
    phase = None
    for visit in schedule.visits:
        if visit.phase != phase:
            phase = visit.phase
            yield f"  {phase}"
            if visit.activities:
                yield f"    each visit: {', '.join(visit.activities)}"
        yield f"    {visit.number:>3}. {visit.status:<{_WIDTH}} {_window(visit)}{_done(visit)}"
    if schedule.missing:
        yield f"  cannot be dated; missing facts: {', '.join(schedule.missing)}"
    yield from (f"  {issue['diagnostics']}" for issue in schedule.issues)
    yield from (f"  {note}" for note in careplan.said(schedule))


def _window(visit: Visit) -> str:
    if visit.earliest == visit.latest:
        return visit.earliest.isoformat()
    return f"{visit.earliest.isoformat()} to {visit.latest.isoformat()}"


def _done(visit: Visit) -> str:
    sources = f" ({', '.join(visit.resources)})" if visit.resources else ""
    if visit.booked is not None:
        return f"  on {visit.booked.isoformat()}{sources}"
    if visit.done is None:
        return ""
    return f"  done {visit.done.isoformat()}{sources}"
