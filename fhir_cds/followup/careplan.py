"""A schedule as FHIR: a CarePlan whose activities are the dated orders of each visit.

Each order is a request with `occurrencePeriod`, contained in the CarePlan. A completed visit's orders are `completed`,
and the activity names what was found (outcomeReference); all others keep the status of a proposal. Due, overdue,
booked and scheduled, which R4 request statuses do not tell apart, stand in the extension schedule-status (its canonical
is that of the schedule's own extensions) and, for people, in the activity's progress.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from fhir_cds.fhir import ids, reference
from fhir_cds.followup import rule
from fhir_cds.followup.schedule import ANCHOR, Schedule
from fhir_cds.reasoning import assemble, plans
from fhir_cds.reasoning.kinds import KINDS
from fhir_cds.reasoning.outcome import Json, Visit, wanted_now

STATUS: Final = "schedule-status"


def careplan(schedule: Schedule) -> dict[str, Any]:
    """Return the CarePlan of one schedule with the dated orders of all its visits."""
    return with_schedules(_plan(schedule), [schedule])


def proposal(schedule: Schedule) -> dict[str, Any] | None:
    """Return the CarePlan to offer for acceptance, None when no visit lies ahead (the schedule has ended).

    Only the visit that is needed now carries orders: the last one overdue or due, else the next that is not booked.
    Those booked and those after it are planned as dated activities without orders; windows that have passed are left
    out, since nothing can be ordered for the past (an overdue visit's orders are dated from today).
    """
    ahead = [visit for visit in schedule.visits if visit.status in {rule.DUE, rule.BOOKED, rule.SCHEDULED}]
    if not ahead:
        return None
    wanted = wanted_now(schedule.visits) or next((visit for visit in ahead if visit.status == rule.SCHEDULED), None)
    dated = dated_orders(schedule, wanted) if wanted else ()
    orders = [_from_today(schedule, visit, order) for visit, order in dated]
    made = _plan(schedule)
    if orders:
        made = {"resourceType": made.pop("resourceType"), "id": made.pop("id"), "contained": orders, **made}
    activities = [_activity(schedule, wanted, order) for order in orders] if wanted else []
    activities += [_planned(schedule, visit) for visit in ahead if visit is not wanted]
    notes = [{"text": text} for text in said(schedule)]
    return {**made, "activity": activities, "note": notes}


def _plan(schedule: Schedule) -> dict[str, Any]:
    """Return the CarePlan of a schedule without its activities."""
    applied = schedule.applied
    made: dict[str, Any] = {
        "resourceType": "CarePlan",
        "id": ids.stable_uuid("CarePlan", "schedule", plans.canonical(applied.plan), applied.subject, applied.now[:10]),
    }
    made |= assemble.said_of_plan(applied)
    made["subject"] = {"reference": applied.subject}
    if schedule.anchor is not None and schedule.visits:
        last = schedule.visits[-1].latest
        made["period"] = {"start": schedule.anchor.earliest.isoformat(), "end": last.isoformat()}
    made["created"] = applied.now
    return made


def _from_today(schedule: Schedule, visit: Visit, order: dict[str, Any]) -> dict[str, Any]:
    """Return an overdue visit's order dated from today on; any other order as it is."""
    if visit.status != rule.OVERDUE:
        return order
    today = {"start": schedule.applied.now[:10]}
    dated = {key: today if key.endswith("Period") else value for key, value in order.items()}
    if "restriction" in order:
        dated["restriction"] = {**order["restriction"], "period": today}
    return dated


def _planned(schedule: Schedule, visit: Visit) -> dict[str, Any]:
    """Return a later visit as an activity of its own: its window and what it consists of, no order yet."""
    return {
        "progress": [{"time": schedule.applied.now, "text": visit.status}],
        "detail": {
            "kind": "Appointment",
            "status": "scheduled" if visit.status in {rule.DUE, rule.BOOKED} else "not-started",
            "scheduledPeriod": {
                "start": (visit.booked or visit.earliest).isoformat(),
                "end": (visit.booked or visit.latest).isoformat(),
            },
            "description": f"{visit.phase}: {', '.join(visit.activities)}" if visit.activities else visit.phase,
        },
    }


def with_schedules(careplan: Json, schedules: Iterable[Schedule]) -> dict[str, Any]:
    """Return a CarePlan with the dated orders of the schedules added: contained requests, activities, notes."""
    listed = list(schedules)
    pairs = [(order, _activity(one, visit, order)) for one in listed for visit, order in dated_orders(one)]
    return _with_more(careplan, pairs, [text for schedule in listed for text in said(schedule)])


def with_requests(careplan: Json, requests: Iterable[Json]) -> dict[str, Any]:
    """Return a CarePlan with dated requests added: contained, each an activity."""
    return _with_more(careplan, [(item, {"reference": {"reference": f"#{item['id']}"}}) for item in requests], ())


def _with_more(careplan: Json, pairs: Iterable[tuple[Json, Json]], said: Iterable[str]) -> dict[str, Any]:
    """Return a CarePlan with (contained request, its activity) and notes added."""
    contained: list[Any] = list(careplan.get("contained", ()))
    activities: list[Any] = list(careplan.get("activity", ()))
    names = {reference.of(item): f"#{item['id']}" for item in contained}
    for request, activity in pairs:
        contained.append(reference.renamed(request, names))
        activities.append(activity)
    notes = [*careplan.get("note", ()), *({"text": text} for text in said)]
    added = {"contained": contained, "activity": activities, "note": notes}
    kept = {key: value for key, value in careplan.items() if key not in added}
    made = {**kept, **{key: value for key, value in added.items() if value}}
    head = ("resourceType", "id", "language", "contained")
    return {key: made[key] for key in (*(k for k in head if k in made), *(k for k in made if k not in head))}


def dated_orders(schedule: Schedule, wanted: Visit | None = None) -> Iterator[tuple[Visit, dict[str, Any]]]:
    """Yield (visit, request dated to its window) for every order of every visit, or of the one, in order of time."""
    for visit, orders in zip(schedule.visits, schedule.orders, strict=True):
        if wanted is not None and visit is not wanted:
            continue
        for number, order in enumerate(orders):
            yield visit, _order(schedule, visit, order, number)


def said(schedule: Schedule) -> Iterator[str]:
    """Yield what the dates rest on, in words: source, day counted from, horizon, tolerance, imprecise dates."""
    if schedule.anchor is None:
        return
    anchor = schedule.anchor.earliest.isoformat()
    if not schedule.anchor.is_exact:
        anchor = f"{anchor} to {schedule.anchor.latest.isoformat()}"
    yield f"{schedule.source}: counted from {anchor}, planned {length(schedule.horizon)} ahead"
    if schedule.tolerance:
        yield f"{schedule.source}: a visit of one date is due from {length(schedule.tolerance)} before to as long after"
    yield from (f"{schedule.source}: {note}" for note in schedule.notes)


def length(step: Any) -> str:
    """Return a length of time in words (`1 month`, `14 days`)."""
    parts = [(step.months, "month"), (step.days, "day")]
    return " ".join(f"{count} {word}{'s' if count != 1 else ''}" for count, word in parts if count) or "0 days"


def _order(schedule: Schedule, visit: Visit, order: Json, number: int) -> dict[str, Any]:
    kind = KINDS[order["resourceType"]]
    base = kind.occurrence
    made = {key: value for key, value in order.items() if base is None or not key.startswith(base)}
    made["id"] = ids.stable_uuid(
        plans.canonical(schedule.applied.plan),
        schedule.applied.subject,
        visit.phase,
        str(visit.number),
        str(number),
        visit.earliest.isoformat(),
    )
    status = {"url": _status_url(schedule), "valueCode": visit.status}
    made["extension"] = [*order.get("extension", ()), status]
    if visit.status == rule.COMPLETED:
        made["status"] = rule.COMPLETED
    window = {"start": visit.earliest.isoformat(), "end": visit.latest.isoformat()}
    if base is not None:
        made[f"{base}Period"] = window
    elif order["resourceType"] == "Task":
        made["restriction"] = {**order.get("restriction", {}), "period": window}
    return made


def _activity(schedule: Schedule, visit: Visit, order: Json) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if visit.status == rule.COMPLETED and visit.resources:
        made["outcomeReference"] = [{"reference": name} for name in visit.resources]
    made["progress"] = [{"time": schedule.applied.now, "text": visit.status}]
    made["reference"] = {"reference": f"#{order['id']}"}
    return made


def _status_url(schedule: Schedule) -> str:
    found: Mapping[str, Any] = plans.extension(schedule.action.values, ANCHOR) or {}
    return str(found.get("url", "")).removesuffix(ANCHOR) + STATUS


def with_entries(result: Json, schedules: Iterable[Schedule]) -> dict[str, Any]:
    """Return a Bundle (`$r5.apply`) with the dated CarePlan of each schedule, and its orders, as further entries."""
    entries = [entry for schedule in schedules for entry in bundle(schedule)["entry"]]
    return {**result, "entry": [*result.get("entry", ()), *entries]}


def with_request_entries(result: Json, requests: Iterable[Json]) -> dict[str, Any]:
    """Return a Bundle (`$r5.apply`) with dated requests as further entries."""
    entries = [{"fullUrl": f"urn:uuid:{item['id']}", "resource": item} for item in requests]
    return {**result, "entry": [*result.get("entry", ()), *entries]}


def bundle(schedule: Schedule) -> dict[str, Any]:
    """Return the CarePlan and its orders as a collection Bundle, referring to each other by `Type/id`."""
    plan = careplan(schedule)
    orders = plan.pop("contained", [])
    names = {f"#{order['id']}": reference.of(order) for order in orders}
    return {
        "resourceType": "Bundle",
        "id": ids.stable_uuid("Bundle", plan["id"]),
        "type": "collection",
        "entry": [
            {"fullUrl": f"urn:uuid:{resource['id']}", "resource": reference.renamed(resource, names)}
            for resource in (plan, *orders)
        ],
    }
