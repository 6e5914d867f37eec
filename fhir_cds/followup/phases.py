"""The phases of a schedule, read from the child actions of a recommendation's action (docs/adr/0013)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from itertools import pairwise
from typing import Final

from fhir_cds.errors import ContentError
from fhir_cds.followup.rule import Phase
from fhir_cds.reasoning import plans, tree
from fhir_cds.reasoning.outcome import AppliedAction, Json, Verdict
from fhir_cds.reasoning.steps import NO_TIME, Step, quantity_step, step

TOLERANCE: Final = "schedule-tolerance"
_EPOCH: Final = date(2001, 1, 1)  # any first of January of a common year: phases are compared, not dated


def phases(action: AppliedAction) -> tuple[tuple[Phase, ...], tuple[tuple[Json, ...], ...]]:
    """Return the phases of a schedule in order of time, with the requests of each."""
    found = [
        (_phase(child), tuple(_orders(child)))
        for child in action.children
        if child.outcome.verdict is Verdict.APPLICABLE and "timingTiming" in child.values
    ]
    if not found:
        raise ContentError("the schedule has no phase: a child action with a timingTiming", where=action.path)
    found.sort(key=lambda pair: pair[0].start.after(_EPOCH))
    for (one, _), (two, _) in pairwise(found):
        if one.end is None or one.end.after(_EPOCH) > two.start.after(_EPOCH):
            raise ContentError(f'the phases "{one.label}" and "{two.label}" overlap', where=action.path)
    return tuple(phase for phase, _ in found), tuple(orders for _, orders in found)


def _phase(child: AppliedAction) -> Phase:
    where = f"{child.path}.timingTiming"
    repeat = child.values["timingTiming"].get("repeat", {})
    bounds = repeat.get("boundsRange", {})
    start = quantity_step(bounds["low"], where=where) if "low" in bounds else NO_TIME
    end = quantity_step(bounds["high"], where=where) if "high" in bounds else None
    unit = repeat.get("periodUnit")
    shorter = step(repeat.get("period"), unit, where=where)
    longer = step(repeat["periodMax"], unit, where=where) if "periodMax" in repeat else shorter
    if shorter.after(_EPOCH) <= _EPOCH or longer.after(_EPOCH) < shorter.after(_EPOCH):
        raise ContentError("the interval must be positive, and its maximum not below it", where=where)
    activities = tuple(_title(item) for item in _leaves(child) if _title(item))
    return Phase(_label(child, repeat, bounds), start, end, shorter, longer, activities)


def _label(child: AppliedAction, repeat: Json, bounds: Json) -> str:
    """Return the phase's title, else its numbers (`3-4 mo, 0-24 mo`)."""
    title = child.values.get("title") or child.values.get("textEquivalent")
    if title:
        return str(title)
    unit = repeat.get("periodUnit")
    interval = "-".join(str(repeat[name]) for name in ("period", "periodMax") if name in repeat)
    limits = "-".join(str(bounds.get(name, {}).get("value", "")) for name in ("low", "high"))
    return f"{interval} {unit}, {limits} {unit}"


def _leaves(child: AppliedAction) -> Iterable[AppliedAction]:
    """Return the actions that are the orders of each visit: the phase's own definition, and its applicable children."""
    below = [item for item in tree.applicable(child.children) if not item.children]
    return [child, *below] if child.resource is not None else below


def _orders(child: AppliedAction) -> Iterable[Json]:
    return (item.resource for item in _leaves(child) if item.resource is not None)


def _title(action: AppliedAction) -> str:
    resource = action.resource or {}
    code = resource.get("code", {})
    words = action.values.get("title") or action.values.get("description") or code.get("text")
    return str(words or next((coding["display"] for coding in code.get("coding", ()) if "display" in coding), ""))


def tolerance(action: AppliedAction, listed: Sequence[Phase]) -> Step:
    """Return by how much a visit of one date may be early or late, none when the plan does not say.

    Raises ContentError when two visits could then be due at once.
    """
    value = plans.extension_value(action.values, TOLERANCE)
    if value is None:
        return NO_TIME
    slack = quantity_step(value, where=f"{action.path}.extension({TOLERANCE})")
    shortest = min((phase.shorter.after(_EPOCH) for phase in listed if not phase.width), default=None)
    if shortest is not None and slack.after(slack.after(_EPOCH)) >= shortest:
        raise ContentError("the tolerance must be less than half of every interval that it widens", where=action.path)
    return slack
