"""The Timings of an applied plan as dated requests (apply.md TI-02, TI-06): doses of cycles, sessions, checks.

Everything is counted from a start that the caller names, never from today (TI-03). An action without a Timing of its
own takes that of the nearest action above it, so that days of a cycle (extension timing-daysOfCycle) meet their cycle.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

from fhir_cds.errors import ContentError
from fhir_cds.fhir import ids, timing
from fhir_cds.fhir.dates import date_range
from fhir_cds.fhir.timing import Occurrence
from fhir_cds.reasoning import plans, tree
from fhir_cds.reasoning.kinds import KINDS
from fhir_cds.reasoning.outcome import Applied, AppliedAction, Json, Verdict


@dataclass(frozen=True, slots=True)
class Occasion:
    """One time at which an action of a plan is to be done."""

    action: AppliedAction
    occurrence: Occurrence


def all_requests(
    applied: Applied, start: date, until: date | None = None
) -> tuple[tuple[dict[str, Any], ...], tuple[Json, ...]]:
    """Return (dated requests of a plan and those nested in it, issues): what cannot be dated leaves the rest alone.

    Requests come by day, in the plan's order within a day. `until` ends what has no end of its own; an endless Timing
    without it, or a day outside its cycle, is an issue that names the action. Actions without any time are left out.
    """
    made: list[dict[str, Any]] = []
    found: list[Json] = []
    for plan in tree.plans_in(applied):
        listed: list[Occasion] = []
        for leaf in _leaves(plan.actions, None):
            try:
                listed += _occasions(leaf, start, until)
            except ContentError as error:
                place = f"{leaf.action.path}.timing"
                found.append(plans.content_issue("warning", "incomplete", error.message, plan.plan, place))
        made += _requests(plan, sorted(listed, key=_day))
    return tuple(made), tuple(found)


def _day(occasion: Occasion) -> tuple[date, date]:
    return occasion.occurrence.earliest, occasion.occurrence.latest


def _requests(applied: Applied, listed: Iterable[Occasion]) -> tuple[dict[str, Any], ...]:
    return tuple(
        dated(applied, item.action.resource, item.occurrence, item.action.id)
        for item in listed
        if item.action.resource is not None
    )


def dated(applied: Applied, request: Json, occurrence: Occurrence, action_id: str) -> dict[str, Any]:
    """Return a copy of a request for one occurrence: its date, and an id of its own."""
    kind = KINDS[request["resourceType"]]
    base = kind.occurrence
    made = {key: value for key, value in request.items() if base is None or not key.startswith(base)}
    parts = (plans.canonical(applied.plan), applied.subject, action_id, str(occurrence.number))
    day = occurrence.earliest.isoformat()
    made["id"] = ids.stable_uuid(*parts, day)
    period = {"start": day, "end": occurrence.latest.isoformat()}
    if base is not None and occurrence.earliest == occurrence.latest:
        made[f"{base}DateTime"] = day
    elif base is not None:
        made[f"{base}Period"] = period
    elif request["resourceType"] == "MedicationRequest":
        made["dosageInstruction"] = [
            {**dosage, "timing": _once(dosage.get("timing", {}), day)}
            for dosage in request.get("dosageInstruction", ({},))
        ]
    elif request["resourceType"] == "Task":
        made["restriction"] = {**request.get("restriction", {}), "period": period}
    return made


def _once(rule: Json, day: str) -> dict[str, Any]:
    """Return the timing of one dose: its day, and how long it takes, without the rule of repetition."""
    length = {key: value for key, value in rule.get("repeat", {}).items() if key.startswith("duration")}
    return {"event": [day], **({"repeat": length} if length else {})}


@dataclass(frozen=True, slots=True)
class _Leaf:
    """An applicable action without sub-actions, with the Timing of the nearest action above it."""

    action: AppliedAction
    inherited: Json | None


def _leaves(actions: Iterable[AppliedAction], inherited: Json | None) -> Iterator[_Leaf]:
    for action in actions:
        if action.outcome.verdict is not Verdict.APPLICABLE:
            continue
        if action.children:
            yield from _leaves(action.children, action.values.get("timingTiming") or inherited)
        else:
            yield _Leaf(action, inherited)


def _occasions(leaf: _Leaf, start: date, until: date | None) -> list[Occasion]:
    own = leaf.action.values.get("timingTiming")
    found = _occurrences(leaf.action, own, leaf.inherited, start, until)
    return [Occasion(leaf.action, occurrence) for occurrence in found]


def _occurrences(
    action: AppliedAction, own: Json | None, inherited: Json | None, start: date, until: date | None
) -> tuple[Occurrence, ...]:
    where = f"{action.path}.timing"
    days = timing.days_of_cycle([*action.values.get("extension", ()), *(own or {}).get("extension", ())])
    cycle = own if own is not None and "repeat" in own else inherited
    if days and cycle is not None:
        return timing.cycle_occurrences(cycle, days, start, until=until, where=where)
    rule = own or (action.resource or {}).get("occurrenceTiming") or inherited
    fixed = plans.choice(action.values, "timing") or plans.choice(action.resource or {}, "occurrence")
    if own is None and fixed is not None and fixed[0].endswith(("DateTime", "Period")):
        return _fixed(fixed[1])
    return timing.occurrences(rule, start, until=until, where=where) if rule is not None else ()


def _fixed(value: Any) -> tuple[Occurrence, ...]:
    """Return the one occurrence of a dateTime or a Period; none when it has no date."""
    first, last = (value.get("start"), value.get("end")) if isinstance(value, dict) else (value, value)
    begins, ends = date_range(first), date_range(last or first)
    return (Occurrence(1, begins.earliest, ends.latest),) if begins and ends else ()
