"""The CarePlan offered for acceptance orders what is needed now, and nothing for the past."""

from __future__ import annotations

from datetime import date
from typing import Any

from msgspec.structs import replace

from fhir_cds.fhir.dates import DateRange
from fhir_cds.followup.careplan import careplan, proposal
from fhir_cds.followup.schedule import Schedule
from fhir_cds.reasoning.outcome import Applied, AppliedAction, Outcome, Verdict, Visit

ORDER = {"resourceType": "ServiceRequest", "status": "draft", "intent": "proposal", "code": {"text": "CT"}}
ACTION = AppliedAction("a", "PlanDefinition.action[0]", {}, {}, Outcome(Verdict.APPLICABLE))
PLAN = {"resourceType": "PlanDefinition", "url": "http://example.org/PlanDefinition/p", "title": "Plan"}
APPLIED = Applied(PLAN, "Patient/p", "2026-01-31T00:00:00+00:00", (ACTION,))


def schedule(*statuses: str) -> Schedule:
    """Return a schedule with a visit a month of 2026, in the statuses given, one order each."""
    visits = tuple(
        Visit(number, "monthly", date(2026, number, 1), date(2026, number, 20), status, ("CT",), "source")
        for number, status in enumerate(statuses, start=1)
    )
    anchor = DateRange(date(2025, 12, 1), date(2025, 12, 1))
    return Schedule(APPLIED, ACTION, "source", anchor=anchor, visits=visits, orders=((ORDER,),) * len(visits))


def periods(plan: dict[str, Any]) -> list[dict[str, str]]:
    """Return when the contained orders are to be done."""
    return [order["occurrencePeriod"] for order in plan.get("contained", ())]


def test_the_whole_plan_has_every_visit() -> None:
    """`$apply` gives the orders of all visits."""
    assert len(periods(careplan(schedule("completed", "overdue", "scheduled")))) == 3


def test_only_the_visit_needed_now_is_ordered() -> None:
    """An overdue visit is ordered from today on; earlier ones are left out, later ones planned without orders."""
    made = proposal(schedule("overdue", "overdue", "scheduled", "scheduled"))
    assert made is not None
    assert periods(made) == [{"start": "2026-01-31"}]
    planned = [item["detail"]["scheduledPeriod"]["start"] for item in made["activity"] if "detail" in item]
    assert planned == ["2026-03-01", "2026-04-01"]


def test_the_next_visit_is_ordered_in_its_window() -> None:
    """With nothing due, the next visit keeps its own window."""
    made = proposal(schedule("completed", "scheduled", "scheduled"))
    assert made is not None
    assert periods(made) == [{"start": "2026-02-01", "end": "2026-02-20"}]


def test_an_ended_schedule_offers_nothing() -> None:
    """Where no visit lies ahead there is nothing to accept."""
    assert proposal(schedule("completed", "overdue")) is None
    assert proposal(replace(schedule(), orders=())) is None


def test_a_booked_visit_is_planned_and_not_ordered() -> None:
    """Orders go to the next visit that is not booked; a missed one before the booked one needs none."""
    found = schedule("overdue", "booked", "scheduled")
    visits = [replace(v, booked=date(2026, 2, 7)) if v.status == "booked" else v for v in found.visits]
    made = proposal(replace(found, visits=tuple(visits)))
    assert made is not None
    assert periods(made) == [{"start": "2026-03-01", "end": "2026-03-20"}]
    (planned,) = [item["detail"] for item in made["activity"] if "detail" in item]
    assert (planned["status"], planned["scheduledPeriod"]) == (
        "scheduled",
        {"start": "2026-02-07", "end": "2026-02-07"},
    )
    assert periods(proposal(schedule("booked")) or {"contained": [ORDER]}) == []
