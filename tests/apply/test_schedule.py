"""Follow-up schedules that plans carry (apply.md TI-03, TI-05, TI-07; docs/adr/0010 and 0013)."""

from __future__ import annotations

from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.careplan import CarePlan

from fhir_cds.fhir import codec
from fhir_cds.followup import careplan, ics, text
from fhir_cds.followup.schedule import Schedule, schedule, schedules, with_visits
from fhir_cds.reasoning import r5
from fhir_cds.reasoning.apply import apply_in, begin
from fhir_cds.reasoning.steps import Step

from .support import BASE, NOW, Define, FakeRecord, action, activity, engine, plan, when

EXT = f"{BASE}/StructureDefinition"
RULE = {"coding": [{"code": "eca-rule"}]}


def expression(define: str) -> dict[str, Any]:
    return {"language": "text/cql-identifier", "expression": define}


def phase(key: str, low: int, high: int | None, period: int, longest: int | None = None, **more: Any) -> dict[str, Any]:
    bounds = {"low": {"value": low, "code": "mo"}, **({"high": {"value": high, "code": "mo"}} if high else {})}
    repeat = {"boundsRange": bounds, "period": period, "periodUnit": "mo"}
    if longest:
        repeat["periodMax"] = longest
    orders = [
        action(f"{key}-exam", title="Examination", definitionCanonical=f"{BASE}/ActivityDefinition/exam"),
        action(f"{key}-scan", title="Scan", definitionCanonical=f"{BASE}/ActivityDefinition/scan"),
    ]
    return action(key, title=f"phase {key}", timingTiming={"repeat": repeat}, **{"action": orders, **more})


PHASES = [phase("one", 0, 24, 3, 4), phase("two", 24, 60, 6), phase("three", 60, None, 12)]


def follow_up(
    *phases: dict[str, Any], tolerance: dict[str, Any] | None = None, condition: str = "Yes"
) -> dict[str, Any]:
    extension: list[dict[str, Any]] = [
        {"url": f"{EXT}/schedule-anchor", "valueExpression": expression("Anchor")},
        {"url": f"{EXT}/schedule-performed", "valueExpression": expression("Performed")},
        {"url": f"{EXT}/schedule-end", "valueExpression": expression("End")},
    ]
    if tolerance:
        extension.append({"url": f"{EXT}/schedule-tolerance", "valueDuration": tolerance})
    return plan(
        action("follow-up", when(condition), extension=extension, action=list(phases or PHASES)),
        key="follow",
        title="Follow-up",
        type=RULE,
        identifier=[{"system": f"{BASE}/recommendation", "value": "src:13.1"}],
    )


def made(
    anchor: Any = "2024-01-15", performed: Any = (), end: Any = None, resources: tuple[Any, ...] = (), **more: Any
) -> Any:
    names = tuple(f"{r['resourceType']}/{r['id']}" for r in resources)
    defines = {
        "Anchor": Define(anchor, ("Date of resection",), type="Date"),
        "Date of resection": Define(anchor, (), "metastasectomy", type="Date"),
        "Performed": Define(list(performed), resources=names, type="List"),
        "End": Define(end, type="Date"),
    }
    exam = activity("exam", code={"text": "Physical examination"})
    scan = activity("scan", code={"text": "CT of chest and abdomen"}, intent="plan")
    subject = more.pop("plan", None) or follow_up(**more)
    record = FakeRecord(resources=(*FakeRecord().resources, *resources))
    return engine(subject, exam, scan, defines=defines), record


def only(built: Any, now: str = NOW, **more: Any) -> Schedule:
    (found,) = schedules(*built, now, **more)
    return found


CT = {"resourceType": "ImagingStudy", "id": "ct", "started": "2024-05-02T10:00:00Z"}
VISIT = {"resourceType": "Encounter", "id": "v", "period": {"start": "2024-05-10"}}


def test_ti_05_the_form_of_the_schedule() -> None:
    """TI-05: one item per visit, in the form that scripts rely on."""
    items = schedule(*made(), NOW)
    assert items[0] == {
        "number": 1,
        "phase": "phase one",
        "earliest": "2024-04-15",
        "latest": "2024-05-15",
        "status": "overdue",
        "activities": ["Examination", "Scan"],
        "source": "src:13.1",
    }
    assert [(item["earliest"], item["status"]) for item in items[6:9]] == [
        ("2025-10-15", "overdue"),
        ("2026-01-15", "due"),
        ("2026-07-15", "scheduled"),
    ]
    assert all(list(item) == list(items[0]) for item in items)


def test_ti_03_anchor_is_never_today() -> None:
    """TI-03: without a date to count from there are no visits, and the missing fact is named."""
    built = made(anchor=None)
    assert schedule(*built, NOW) == []
    found = only(built)
    assert found.missing == ("metastasectomy",)
    assert "no date to count from" in found.issues[0]["diagnostics"]
    assert "metastasectomy" in text.text([found])


def test_ti_07_what_was_done_is_marked_and_named() -> None:
    """TI-07: examinations in the record complete a visit, which names them, and re-anchor the next."""
    found = only(made(performed=["2024-05-02", "2024-05-10"], resources=(CT, VISIT)))
    first, second = found.visits[:2]
    assert (first.status, first.done.isoformat(), first.resources) == (
        "completed",
        "2024-05-02",
        ("Encounter/v", "ImagingStudy/ct"),
    )
    assert (second.earliest.isoformat(), second.latest.isoformat()) == ("2024-08-02", "2024-09-02")


def test_ti_07_resources_as_events() -> None:
    """TI-07: schedule-performed may give resources; their own dates count."""
    found = only(made(performed=[CT], resources=(CT,)))
    assert (found.visits[0].done.isoformat(), found.visits[0].resources) == ("2024-05-02", ("ImagingStudy/ct",))


def test_ti_05_imprecise_anchor_is_said() -> None:
    """TI-05: a month as anchor gives ranges, and every item says so."""
    items = schedule(*made(anchor="2024-03"), NOW)
    assert (items[0]["earliest"], items[0]["latest"]) == ("2024-06-01", "2024-07-31")
    assert "known in part only (2024-03-01 to 2024-03-31)" in items[0]["note"]


def test_ti_05_tolerance_is_stated() -> None:
    """TI-05: the stated tolerance changes statuses of one-date visits, not their dates, and stands in the text."""
    built = made(plan=follow_up(tolerance={"value": 1, "code": "mo"}))
    found = only(built, "2026-08-10")
    visit = next(v for v in found.visits if v.earliest.isoformat() == "2026-07-15")
    assert (visit.status, visit.latest.isoformat()) == ("due", "2026-07-15")
    assert "1 month before" in text.text([found])


def test_ti_05_end_of_surveillance() -> None:
    """TI-05: after its end nothing more is due."""
    assert {v.status for v in only(made(end="2025-01-01")).visits} == {"overdue"}


def test_ti_05_horizon_is_a_parameter_and_said() -> None:
    """TI-05: the open phase is planned up to the horizon that the caller sets."""
    found = only(made(), horizon=Step(months=84))
    assert found.visits[-1].earliest.isoformat() == "2031-01-15"
    assert "planned 84 months ahead" in text.text([found])


def test_a_plan_that_does_not_apply_has_no_schedule() -> None:
    """No schedule without its recommendation; an unknown one is shown with what is missing."""
    assert schedules(*made(plan=follow_up(condition="No")), NOW) == ()
    assert only(made(plan=follow_up(condition="Null"))).visits == ()


@pytest.mark.parametrize(
    ("phases", "says"),
    [
        ([phase("a", 0, 24, 0)], "must be positive"),
        ([phase("a", 0, 24, 4, 3)], "must be positive"),
        ([phase("a", 0, 24, 3), phase("b", 12, 36, 6)], "overlap"),
        ([action("a", title="no timing")], "no phase"),
    ],
)
def test_er_04_faults_of_a_schedule(phases: list[dict[str, Any]], says: str) -> None:
    """ER-04: a schedule that cannot be read is an issue naming plan and action, not an empty list without a word."""
    found = only(made(plan=follow_up(*phases)))
    assert found.visits == ()
    assert says in found.issues[0]["diagnostics"]
    assert found.issues[0]["expression"] == ["PlanDefinition.action[0]"]


def test_tolerance_may_not_reach_the_next_visit() -> None:
    """Two visits are never due at once because of the tolerance."""
    found = only(made(plan=follow_up(tolerance={"value": 3, "code": "mo"})))
    assert "less than half" in found.issues[0]["diagnostics"]


def test_visits_reach_the_applied_plan() -> None:
    """Cards find the visits on the plan that carries the schedule, nested or not."""
    built, record = made()
    outer = plan(action("in", definitionCanonical=f"{BASE}/PlanDefinition/follow"), key="outer")
    session = begin(built, record, NOW)
    applied = with_visits(session, apply_in(session, outer))
    assert applied.visits == ()
    assert len(applied.actions[0].nested.visits) == 19


def test_ti_02_careplan_with_dated_orders() -> None:
    """TI-02: one request per order and visit, dated to its window; valid R4; every reference resolves."""
    found = only(made(performed=["2024-05-02"], resources=(CT,)))
    result = careplan.careplan(found)
    CarePlan.model_validate_json(codec.encode(result))
    assert (result["status"], result["intent"]) == ("draft", "proposal")
    assert len(result["contained"]) == len(result["activity"]) == 2 * len(found.visits)
    assert {f"#{r['id']}" for r in result["contained"]} == {a["reference"]["reference"] for a in result["activity"]}
    first = result["contained"][0]
    assert (first["status"], first["occurrencePeriod"]) == ("completed", {"start": "2024-04-15", "end": "2024-05-15"})
    assert first["extension"][-1] == {"url": f"{EXT}/schedule-status", "valueCode": "completed"}
    assert result["activity"][0]["outcomeReference"] == [{"reference": "ImagingStudy/ct"}]
    assert result["contained"][2]["status"] == "draft"
    assert result["activity"][2]["progress"][0]["text"] == "overdue"
    assert result["contained"][1]["intent"] == "plan"
    Bundle.model_validate_json(codec.encode(careplan.bundle(found)))


def test_ti_02_r5_result_with_dated_orders() -> None:
    """TI-02: the Bundle of `$r5.apply` takes the dated CarePlan and its orders as further entries."""
    found = only(made())
    result = careplan.with_entries(r5.bundle(found.applied), [found])
    Bundle.model_validate_json(codec.encode(result))
    kinds = [entry["resource"]["resourceType"] for entry in result["entry"]]
    assert kinds[0] == "RequestGroup"
    assert kinds.count("CarePlan") == 1
    assert kinds.count("ServiceRequest") == 6 + 2 * len(found.visits)


def test_same_input_same_bytes() -> None:
    """Invariant 6: ids and all follow from the input."""
    one, two = (careplan.careplan(only(made(performed=["2024-05-02"]))) for _ in range(2))
    assert codec.encode(one) == codec.encode(two)
    assert len({r["id"] for r in one["contained"]}) == len(one["contained"])


def test_calendar_is_rfc_5545() -> None:
    """CRLF, lines of at most 75 octets, one all-day event per open visit, text escaped, no patient in it."""
    written = ics.calendar([only(made(performed=["2024-05-02"]))])
    assert written.endswith("END:VCALENDAR\r\n")
    lines = written.split("\r\n")
    assert all(len(line.encode()) <= 75 for line in lines)
    unfolded = written.replace("\r\n ", "")
    assert unfolded.count("BEGIN:VEVENT") == unfolded.count("UID:") == 17
    assert "DTSTART;VALUE=DATE:20240802\r\nDTEND;VALUE=DATE:20240903\r\n" in unfolded
    assert "Patient/p" not in unfolded
    assert ics.escape("a;b,c\\d\ne") == "a\\;b\\,c\\\\d\\ne"
    assert list(ics.fold("ä" * 40)) == ["ä" * 37, " " + "ä" * 3]


def test_text_of_a_schedule() -> None:
    """A person can read it: phases, windows, what was done by what, and what the dates rest on."""
    shown = text.text([only(made(performed=["2024-05-02"], resources=(CT,)))])
    assert "Follow-up [src:13.1]" in shown
    assert "each visit: Examination, Scan" in shown
    assert "1. completed  2024-04-15 to 2024-05-15  done 2024-05-02 (ImagingStudy/ct)" in shown
    assert "counted from 2024-01-15, planned 120 months ahead" in shown
