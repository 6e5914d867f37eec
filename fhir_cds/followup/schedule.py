"""The follow-up of a patient: the schedules that applied plans carry, as dated visits with their status as of now.

How a plan carries a schedule stands in docs/adr/0013: a recommendation's action with the extensions schedule-anchor,
schedule-performed, schedule-booked, schedule-end and schedule-tolerance, and one child action per phase whose Timing
gives the interval. The rule that dates it is `rule`; schedules of several sources stand side by side and are never
merged.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from fhir_cds.errors import ContentError, EvaluationError
from fhir_cds.fhir.dates import DateRange
from fhir_cds.followup import phases, reconcile, rule
from fhir_cds.followup.rule import Event, Slot
from fhir_cds.reasoning import plans, tree
from fhir_cds.reasoning.apply import NO_CONTEXT, Record, apply_in, begin
from fhir_cds.reasoning.engine import Engine
from fhir_cds.reasoning.expressions import Define
from fhir_cds.reasoning.outcome import Applied, AppliedAction, Json, Verdict, Visit
from fhir_cds.reasoning.session import Context, Session
from fhir_cds.reasoning.steps import NO_TIME, Step

ANCHOR: Final = "schedule-anchor"
PERFORMED: Final = "schedule-performed"
BOOKED: Final = "schedule-booked"
END: Final = "schedule-end"
HORIZON: Final = Step(months=120)
"""How far an open phase is planned ahead of the anchor, unless the caller says otherwise."""


class Schedule(Struct, frozen=True):
    """One source's schedule for one patient.

    `orders` are, for each visit, the requests of its phase (undated, as `$apply` made them); `notes` say what the dates
    rest on where that is not exact; `issues` why there are no visits; `missing` the facts whose absence keeps the
    schedule from being made.
    """

    applied: Applied
    action: AppliedAction
    source: str
    anchor: DateRange | None = None
    tolerance: Step = NO_TIME
    horizon: Step = HORIZON
    visits: tuple[Visit, ...] = ()
    orders: tuple[tuple[Json, ...], ...] = ()
    events: tuple[Event, ...] = ()
    notes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    issues: tuple[Json, ...] = ()


def schedule(
    engine: Engine, record: Record, now: str, context: Context = NO_CONTEXT, horizon: Step = HORIZON
) -> list[dict[str, Any]]:
    """Return the visits of all schedules that apply to the patient, as of `now`, source by source in order of time.

    Each is `{"number", "phase", "earliest", "latest", "status": "completed"|"due"|"overdue"|"booked"|"scheduled",
    "activities": [title], "source"}`, dates as ISO days; a booked visit also has the day, `booked`, and one whose dates
    rest on an imprecise date a `note`.
    """
    return [item for found in schedules(engine, record, now, context, horizon) for item in items(found)]


def schedules(
    engine: Engine, record: Record, now: str, context: Context = NO_CONTEXT, horizon: Step = HORIZON
) -> tuple[Schedule, ...]:
    """Return the schedule of every recommendation that has one and applies, or cannot be decided."""
    session = begin(engine, record, now, context)
    return tuple(
        found
        for recommendation in engine.recommendations
        if _has_schedule(recommendation.plan)
        for found in schedules_in(session, apply_in(session, recommendation.plan), horizon)
    )


def schedules_in(session: Session, applied: Applied, horizon: Step = HORIZON) -> tuple[Schedule, ...]:
    """Return the schedules of an applied plan and those nested in it, in document order."""
    return tuple(
        _schedule(session, level, action, horizon)
        for level in tree.plans_in(applied, session.engine.where(ANCHOR))
        for action in tree.walk(level.actions)
        if plans.extension(action.values, ANCHOR) is not None
        and action.outcome.verdict in {Verdict.APPLICABLE, Verdict.UNKNOWN}
    )


def with_visits(session: Session, applied: Applied, horizon: Step = HORIZON) -> Applied:
    """Return an applied plan in which each plan that carries a schedule has its visits."""

    def add(level: Applied) -> Applied:
        own = [
            _schedule(session, level, action, horizon)
            for action in tree.applicable(level.actions)
            if plans.extension(action.values, ANCHOR) is not None
        ]
        visits = tuple(visit for found in own for visit in found.visits)
        faults = tuple(issue for found in own for issue in found.issues)
        return replace(level, visits=visits, issues=(*level.issues, *faults)) if own else level

    return tree.map_plans(applied, add, session.engine.where(ANCHOR))


def items(found: Schedule) -> list[dict[str, Any]]:
    """Return the visits of a schedule in the form of `schedule`."""
    return [
        {
            "number": visit.number,
            "phase": visit.phase,
            "earliest": visit.earliest.isoformat(),
            "latest": visit.latest.isoformat(),
            "status": visit.status,
            "activities": list(visit.activities),
            "source": visit.source,
            **({"booked": visit.booked.isoformat()} if visit.booked else {}),
            **({"note": "; ".join(found.notes)} if found.notes else {}),
        }
        for visit in found.visits
    ]


def _has_schedule(plan: Json) -> bool:
    return any(plans.extension(action, ANCHOR) is not None for _, action in plans.walk(plan))


def _schedule(session: Session, applied: Applied, action: AppliedAction, horizon: Step) -> Schedule:
    key = (ANCHOR, plans.canonical(applied.plan), action.path, horizon)
    if key not in session.memo:
        session.memo[key] = _made(session, applied, action, horizon)
    found: Schedule = session.memo[key]
    return found


def _made(session: Session, applied: Applied, action: AppliedAction, horizon: Step) -> Schedule:
    source = _source(applied.plan)
    empty = Schedule(applied, action, source, horizon=horizon, missing=action.outcome.missing)
    if action.outcome.verdict is not Verdict.APPLICABLE:
        return empty
    try:
        return _dated(session, empty)
    except (ContentError, EvaluationError) as error:
        issue = plans.content_issue("error", error.code, str(error), applied.plan, action.path)
        return replace(empty, issues=(issue,))
    except OverflowError:  # 9999-12-31 stands for an unknown day in some records
        text = (
            "no visit can be dated: the day to count from, or that of evaluation, is at an end of the years 1 to 9999"
        )
        issue = plans.content_issue("error", "processing", text, applied.plan, action.path)
        return replace(empty, issues=(issue,))


def _dated(session: Session, empty: Schedule) -> Schedule:
    """Return the schedule with its visits; raises ContentError or EvaluationError."""
    plan, action = empty.applied.plan, empty.action
    meaning, value = _value(session, plan, action, ANCHOR)
    anchor = reconcile.range_of(value)
    if anchor is None:
        node = session.engine.graph.get(meaning) if isinstance(meaning, Define) else None
        missing = session.explainer.missing(node) if node is not None else ()
        text = f"there is no date to count from; missing facts: {', '.join(missing) or 'not named'}"
        issue = plans.content_issue("warning", "incomplete", text, plan, action.path)
        return replace(empty, missing=missing, issues=(issue,))
    listed, orders = phases.phases(action)
    tolerance = phases.tolerance(action, listed)
    done_by, done = _value(session, plan, action, PERFORMED)
    _, ended = _value(session, plan, action, END)
    end = reconcile.range_of(ended)
    events = reconcile.events(session, done_by, done)
    booked = reconcile.events(session, *_value(session, plan, action, BOOKED))
    today = date.fromisoformat(session.today)
    slots = rule.visits(
        listed,
        anchor,
        events,
        today,
        booked=booked,
        tolerance=tolerance,
        end=end.earliest if end else None,
        horizon=empty.horizon,
    )
    return replace(
        empty,
        anchor=anchor,
        tolerance=tolerance,
        visits=tuple(_visit(slot, empty.source, events, slots) for slot in slots),
        orders=tuple(orders[listed.index(slot.phase)] for slot in slots),
        events=events,
        notes=tuple(_notes(anchor, slots)),
    )


def _value(session: Session, plan: Json, action: AppliedAction, name: str) -> tuple[object, Any]:
    """Return what a schedule extension names, and its value; (None, None) when there is no such extension."""
    expression = plans.extension_value(action.values, name)
    if expression is None:
        return None, None
    meaning = session.meaning(expression, plan)
    value = session.value(meaning, plan, lambda: session.scope(plan))
    if not isinstance(meaning, Define) and name not in {PERFORMED, BOOKED}:
        value = value[0] if value else None
    return meaning, value


def _visit(slot: Slot, source: str, events: Sequence[Event], slots: Sequence[Slot]) -> Visit:
    following = next((other.earliest for other in slots if other.number == slot.number + 1), None)
    return Visit(
        number=slot.number,
        phase=slot.phase.label,
        earliest=slot.earliest,
        latest=slot.latest,
        status=slot.status,
        activities=slot.phase.activities,
        source=source,
        done=slot.done,
        booked=slot.event.days.earliest if slot.status == rule.BOOKED and slot.event else None,
        resources=reconcile.resources_of(slot, following, events),
    )


def _notes(anchor: DateRange, slots: Sequence[Slot]) -> Iterable[str]:
    if not anchor.is_exact:
        days = f"{anchor.earliest.isoformat()} to {anchor.latest.isoformat()}"
        yield f"the date counted from is known in part only ({days}): windows cover every day it can mean"
    for slot in slots:
        if slot.event is not None and not slot.event.days.is_exact and slot.done is not None:
            yield f"what completed visit {slot.number} is dated in part only, {slot.done.isoformat()} is counted from"


def _source(plan: Json) -> str:
    found = plans.recommendation_id(plan)
    return ":".join(found) if found else str(plan.get("id"))
