"""Timings as dated requests (apply.md TI-02, TI-06, and the shape of case ONC-1)."""

from __future__ import annotations

from collections import Counter
from datetime import date
from typing import Any

from fhir_cds.followup.occurrences import all_requests

from .support import action, activity, by_id, plan, run, when

START = date(2026, 2, 2)


def days(*numbers: int) -> list[dict[str, Any]]:
    return [
        {
            "url": "http://hl7.org/fhir/StructureDefinition/timing-daysOfCycle",
            "extension": [{"url": "day", "valueInteger": number} for number in numbers],
        }
    ]


def drug(name: str) -> dict[str, Any]:
    """A contained definition as the case has it: no url, no kind, a product and a dosage."""
    made = activity(name, productCodeableConcept={"text": name}, dosage=[{"text": "once"}])
    return {key: value for key, value in made.items() if key not in {"url", "kind"}}


def regimen() -> dict[str, Any]:
    """Two drugs on days of a 21-day cycle, six cycles, under nested groups; the length as `duration`."""
    related = [{"targetId": "one", "relationship": "concurrent-with-start"}]
    drugs = [
        action("one", definitionCanonical="#one", extension=days(1, 8)),
        action("two", definitionCanonical="#two", extension=days(1), relatedAction=related),
    ]
    cycle = action(
        "cycle",
        selectionBehavior="all",
        groupingBehavior="sentence-group",
        timingTiming={"repeat": {"count": 6, "duration": 21, "durationUnit": "d"}},
        action=drugs,
    )
    return plan(action("choice", selectionBehavior="exactly-one", action=[cycle]), contained=[drug("one"), drug("two")])


def test_ti_06_days_of_cycles() -> None:
    """TI-06, ONC-1: days 1 and 8, and day 1, of six cycles of 21 days are 12 and 6 doses."""
    applied = run(regimen())
    assert by_id(applied)["two"].values["relatedAction"] == [
        {"actionId": "one", "relationship": "concurrent-with-start"}
    ]
    made, _ = all_requests(applied, START)
    assert Counter(r["medicationCodeableConcept"]["text"] for r in made) == {"one": 12, "two": 6}
    dates = [r["dosageInstruction"][0]["timing"]["event"][0] for r in made]
    assert dates[:4] == ["2026-02-02", "2026-02-02", "2026-02-09", "2026-02-23"]
    assert dates == sorted(dates)
    assert len({r["id"] for r in made}) == 18


def test_ti_02_own_timing_dateless_and_pruned_actions() -> None:
    """TI-02: an action's own Timing, its request's, fixed dates; none for actions without time or that do not apply."""
    weekly = {"repeat": {"count": 2, "frequency": 1, "period": 1, "periodUnit": "wk"}}
    scan = activity()
    timed = activity("timed", timingTiming=weekly)
    applied = run(
        plan(
            action("own", timingTiming=weekly, definitionCanonical=scan["url"]),
            action("request", definitionCanonical=timed["url"]),
            action("fixed", timingDateTime="2026-03-01", definitionCanonical=scan["url"]),
            action("span", timingPeriod={"start": "2026-03-05", "end": "2026-03-09"}, definitionCanonical=scan["url"]),
            action("never", definitionCanonical=scan["url"]),
            action("pruned", when("No"), timingTiming=weekly),
        ),
        scan,
        timed,
    )
    made, _ = all_requests(applied, START)
    days = [r.get("occurrenceDateTime") or r["occurrencePeriod"]["start"] for r in made]
    assert days == ["2026-02-02", "2026-02-02", "2026-02-09", "2026-02-09", "2026-03-01", "2026-03-05"]
    assert made[-1]["occurrencePeriod"] == {"start": "2026-03-05", "end": "2026-03-09"}
    assert not any("occurrenceTiming" in r for r in made)


def test_ti_02_what_has_no_end_needs_one() -> None:
    """TI-02: an endless Timing is an issue that names the action, unless the caller says until when."""
    endless = {"repeat": {"period": 1, "periodUnit": "mo"}}
    scan = activity()
    applied = run(plan(action("a", timingTiming=endless, definitionCanonical=scan["url"])), scan)
    made, (issue,) = all_requests(applied, START)
    assert made == ()
    assert issue["expression"] == ["PlanDefinition.action[0].timing"]
    assert len(all_requests(applied, START, until=date(2026, 7, 2))[0]) == 6


def test_ti_02_tasks_are_restricted_to_their_window() -> None:
    """TI-02: a Task keeps its window as restriction.period."""
    task = activity("task", "Task")
    applied = run(plan(action("a", timingDateTime="2026-03-01", definitionCanonical=task["url"])), task)
    ((made,), _) = all_requests(applied, START)
    assert made["restriction"]["period"] == {"start": "2026-03-01", "end": "2026-03-01"}
