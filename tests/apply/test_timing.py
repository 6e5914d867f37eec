"""Timing of actions, and dates from the relations between them (apply.md TI-01, TI-04)."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_cds.reasoning import assemble
from fhir_cds.reasoning.session import Context

from .support import SCAN, action, activity, by_id, group_of, plan, run


def months(value: int) -> dict[str, Any]:
    return {"value": value, "unit": "mo", "system": "http://unitsofmeasure.org", "code": "mo"}


def test_ti_04_offsets_become_dates_in_topological_order() -> None:
    """TI-04: dates go from action to action, whatever their order; ranges become periods; requests get them too."""
    applied = run(
        plan(
            action(
                "c",
                relatedAction=[
                    {"actionId": "b", "relationship": "before-start", "offsetDuration": {"value": 7, "code": "d"}}
                ],
            ),
            action("b", relatedAction=[{"actionId": "a", "relationship": "after-end", "offsetDuration": months(1)}]),
            action("a", timingPeriod={"start": "2026-01-10", "end": "2026-01-31"}),
            action(
                "d",
                definitionCanonical=SCAN,
                relatedAction=[
                    {
                        "actionId": "a",
                        "relationship": "after-start",
                        "offsetRange": {"low": months(1), "high": months(2)},
                    }
                ],
            ),
            action("e", relatedAction=[{"actionId": "a", "relationship": "concurrent"}]),
        ),
        activity(),
    )
    made = by_id(applied)
    assert made["b"].values["timingDateTime"] == "2026-02-28"
    assert made["c"].values["timingDateTime"] == "2026-02-21"
    period = {"start": "2026-02-10", "end": "2026-03-10"}
    assert made["d"].values["timingPeriod"] == made["d"].resource["occurrencePeriod"] == period
    assert made["e"].values["timingPeriod"] == {"start": "2026-01-10", "end": "2026-01-31"}


def test_ti_04_hours_and_given_starts() -> None:
    """TI-04: hours count from a time of day; the caller may say when an action starts."""
    related = [{"actionId": "op", "relationship": "before-start", "offsetDuration": {"value": 1, "code": "h"}}]
    applied = run(
        plan(action("op"), action("antibiotic", relatedAction=related)),
        context=Context(starts={"op": "2026-02-01T08:00:00+01:00"}),
    )
    assert by_id(applied)["antibiotic"].values["timingDateTime"] == "2026-02-01T07:00:00+01:00"


def test_ti_04_what_has_no_date_stays_symbolic() -> None:
    """TI-04: no date to count from, or a ring of relations: the offset stays, with an issue."""
    ring = [
        action(one, relatedAction=[{"actionId": other, "relationship": "after", "offsetDuration": months(1)}])
        for one, other in (("a", "b"), ("b", "a"))
    ]
    applied = run(plan(*ring))
    assert [i["expression"] for i in applied.issues] == [
        ["PlanDefinition.action[0].relatedAction"],
        ["PlanDefinition.action[1].relatedAction"],
    ]
    assert all("timingDateTime" not in found.values for found in by_id(applied).values())
    assert by_id(applied)["a"].values["relatedAction"][0]["offsetDuration"] == months(1)


@pytest.mark.parametrize(
    "timing",
    [
        {"timingDateTime": "2026-02-01"},
        {"timingAge": {"value": 65, "code": "a"}},
        {"timingPeriod": {"start": "2026-02-01"}},
        {"timingDuration": {"value": 1, "code": "mo"}},
        {"timingRange": {"low": {"value": 1}}},
        {"timingTiming": {"repeat": {"count": 2}}},
    ],
)
def test_ti_01_timing_is_copied(timing: dict[str, Any]) -> None:
    """TI-01: every type of action.timing[x] reaches the produced action."""
    (made,) = group_of(assemble.careplan(run(plan(action("a", **timing)))))["action"]
    assert timing.items() <= made.items()
