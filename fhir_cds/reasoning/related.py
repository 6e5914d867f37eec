"""relatedAction: relations to what is not there are dropped, offsets become dates (apply.md GR-07, TI-04).

Dates go from action to action in topological order, starting from those that have one (a timing, an occurrence of the
request, a start given in the call). `before` counts back from the start, `after` on from the end of the related action.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from msgspec.structs import replace

from fhir_cds.errors import ContentError
from fhir_cds.fhir.dates import date_range
from fhir_cds.reasoning import plans, tree
from fhir_cds.reasoning.kinds import KINDS
from fhir_cds.reasoning.outcome import Applied, AppliedAction, Json
from fhir_cds.reasoning.steps import quantity_step

_FROM_END: Final = frozenset({"before-end", "concurrent-with-end", "after", "after-end"})
_BACK: Final = frozenset({"before-start", "before", "before-end"})
_TOGETHER: Final = frozenset({"concurrent-with-start", "concurrent", "concurrent-with-end"})
_SECONDS: Final[Mapping[str, int]] = {"s": 1, "min": 60, "h": 3600, "second": 1, "minute": 60, "hour": 3600}


@dataclass(frozen=True, slots=True)
class Window:
    """When an action starts and ends, as FHIR dateTime texts (equal for a moment)."""

    start: str
    end: str


def resolve(applied: Applied, starts: Mapping[str, str]) -> Applied:
    """Return `applied` (one plan, not those nested) with its relations cut to what is there and offsets as dates.

    `starts` are dates by action id that the caller knows. What cannot be dated stays symbolic, with an issue where an
    offset was given.
    """
    if not starts and not any(action.values.get("relatedAction") for action in tree.walk(applied.actions)):
        return applied
    present = {action.id for action in tree.applicable(applied.actions)}
    issues: list[Json] = []

    def cut(action: AppliedAction) -> AppliedAction:
        related = action.values.get("relatedAction")
        if not related or action.id not in present:
            return action
        kept = [_r4(item) for item in related if plans.related_id(item) in present]
        if len(kept) < len(related):
            text = "a relation to an action that does not apply was left out"
            path = f"{action.path}.relatedAction"
            issues.append(plans.content_issue("information", "informational", text, applied.plan, path))
        values = {key: value for key, value in action.values.items() if key != "relatedAction"}
        return replace(action, values={**values, "relatedAction": kept} if kept else values)

    actions = tree.rebuild(applied.actions, cut)
    listed = {action.id: action for action in tree.applicable(actions)}
    known = {name: window for name, action in listed.items() if (window := _given(action, starts)) is not None}
    dated = _propagate(listed, known, applied.plan, issues)

    def date(action: AppliedAction) -> AppliedAction:
        window = dated.get(action.id) if action.id in present else None
        if window is None or plans.choice(action.values, "timing"):
            return action
        return _with_timing(action, window)

    return replace(applied, actions=tree.rebuild(actions, date), issues=(*applied.issues, *issues))


def _r4(related: Json) -> Json:
    """Return a relation in R4's form."""
    kept = {key: value for key, value in related.items() if key not in {"actionId", "targetId"}}
    return {"actionId": plans.related_id(related), **kept}


def _given(action: AppliedAction, starts: Mapping[str, str]) -> Window | None:
    if action.id in starts:
        return Window(starts[action.id], starts[action.id])
    occurrence = plans.choice(action.resource or {}, "occurrence")
    for found in (plans.choice(action.values, "timing"), occurrence):
        if found is not None and found[0].endswith("DateTime"):
            return Window(found[1], found[1])
        if found is not None and found[0].endswith("Period") and found[1].get("start"):
            return Window(found[1]["start"], found[1].get("end", found[1]["start"]))
    return None


def _propagate(
    listed: Mapping[str, AppliedAction], known: Mapping[str, Window], plan: Json, issues: list[Json]
) -> dict[str, Window]:
    """Return the windows of all actions that follow from the known ones; adds an issue for each that does not."""
    dated = dict(known)
    open_actions = {
        name: action for name, action in listed.items() if name not in dated and action.values.get("relatedAction")
    }
    while open_actions:
        progress = [name for name, action in open_actions.items() if _date(action, name, dated, plan, issues)]
        for name in progress:
            del open_actions[name]
        if not progress:
            break
    for action in open_actions.values():
        if any(_offset(related) is not None for related in action.values["relatedAction"]):
            text = "the offset stays without a date: no related action has one, or they refer to each other"
            path = f"{action.path}.relatedAction"
            issues.append(plans.content_issue("information", "incomplete", text, plan, path))
    return dated


def _date(action: AppliedAction, name: str, dated: dict[str, Window], plan: Json, issues: list[Json]) -> bool:
    """Date one action from the first related action that has a date; say whether it is settled."""
    for index, related in enumerate(action.values["relatedAction"]):
        anchor = dated.get(str(related.get("actionId")))
        offset = _offset(related)
        relationship = str(related.get("relationship"))
        if anchor is None or (offset is None and relationship not in _TOGETHER):
            continue
        path = f"{action.path}.relatedAction[{index}]"
        try:
            dated[name] = _window(anchor, relationship, offset, path)
        except ContentError as error:
            issues.append(plans.content_issue("warning", "incomplete", error.message, plan, path))
            continue
        return True
    return False


def _offset(related: Json) -> tuple[Json | None, Json | None] | None:
    """Return the least and the greatest offset of a relation, None when it has none."""
    if "offsetDuration" in related:
        return related["offsetDuration"], related["offsetDuration"]
    if "offsetRange" in related:
        return related["offsetRange"].get("low"), related["offsetRange"].get("high")
    return None


def _window(anchor: Window, relationship: str, offset: tuple[Json | None, Json | None] | None, path: str) -> Window:
    if relationship == "concurrent" and offset is None:
        return anchor
    base = anchor.end if relationship in _FROM_END else anchor.start
    low, high = offset or (None, None)
    moments = [_moved(base, amount, relationship in _BACK, path) for amount in (low, high)]
    if relationship in _BACK:
        moments.reverse()
    return Window(*moments)


def _moved(base: str, amount: Json | None, back: bool, path: str) -> str:
    if amount is None:
        return base
    unit = str(amount.get("code") or amount.get("unit"))
    seconds = _SECONDS.get(unit)
    if seconds is not None:
        if "T" not in base:
            raise ContentError("an offset in hours needs a related action with a time of day", where=path)
        delta = timedelta(seconds=seconds * float(amount["value"]))
        moment = datetime.fromisoformat(base)
        return (moment - delta if back else moment + delta).isoformat()
    day, mark, clock = base.partition("T")
    days = date_range(day)
    if days is None or not days.is_exact:
        raise ContentError("the related action has no full date", where=path)
    step = quantity_step(amount, where=path)
    moved = step.before(days.earliest) if back else step.after(days.earliest)
    return f"{moved.isoformat()}{mark}{clock}"


def _with_timing(action: AppliedAction, window: Window) -> AppliedAction:
    suffix, value = timing(window)
    values = {**action.values, f"timing{suffix}": value}
    resource = action.resource
    kind = KINDS.get(str(resource["resourceType"])) if resource else None
    if resource and kind and kind.occurrence and plans.choice(resource, kind.occurrence) is None:
        resource = {**resource, f"{kind.occurrence}{suffix}": value}
    return replace(action, values=values, resource=resource)


def timing(window: Window) -> tuple[str, Any]:
    """Return a window as (`DateTime`, text) when it is a moment, else (`Period`, its bounds)."""
    if window.start == window.end:
        return "DateTime", window.start
    return "Period", {"start": window.start, "end": window.end}
