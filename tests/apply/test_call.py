"""What the call gives: plans, time, parameters, and what is refused (apply.md IN, ER-03, DV-06)."""

from __future__ import annotations

import pytest

from fhir_cds.errors import InputError, NotFoundError
from fhir_cds.reasoning.apply import apply_in, apply_plan, begin, instant
from fhir_cds.reasoning.session import Context

from .support import (
    BASE,
    NOW,
    SCAN,
    Define,
    FakeRecord,
    action,
    activity,
    by_id,
    engine,
    library,
    plan,
    run,
    verdicts,
    when,
)


def test_er_03_refusals() -> None:
    """ER-03, IN-02, IN-04: unknown plan, wrong resource, wrong subject and a bad `now` are refused."""
    made = engine(plan(action("a")))
    with pytest.raises(NotFoundError, match="PlanDefinition none"):
        apply_plan(made, "none", FakeRecord(), NOW)
    with pytest.raises(InputError, match="a PlanDefinition is expected"):
        apply_plan(made, library(), FakeRecord(), NOW)
    about = plan(action("a"), subjectCodeableConcept={"coding": [{"code": "Practitioner"}]})
    with pytest.raises(InputError, match="about a Practitioner"):
        apply_plan(made, about, FakeRecord(), NOW)
    for bad in ("yesterday", "2026-01-31T10:00", ""):
        with pytest.raises(InputError, match="now"):
            apply_plan(made, "plan", FakeRecord(), bad)


def test_in_01_plans_by_id_canonical_and_inline() -> None:
    """IN-01: by id, by url, by url|version and as the resource itself."""
    subject = plan(action("a"))
    made = engine(subject)
    for name in ("plan", subject["url"], f"{subject['url']}|1", subject):
        assert apply_plan(made, name, FakeRecord(), NOW).plan == subject


def test_in_12_now_is_an_argument() -> None:
    """IN-12: the evaluation date is given; a day is its first moment in UTC."""
    assert instant("2026-01-31") == "2026-01-31T00:00:00+00:00"
    assert instant("2026-01-31T10:00:00Z") == "2026-01-31T10:00:00+00:00"
    resource = by_id(run(plan(action("a", definitionCanonical=SCAN)), activity()))["a"].resource
    assert resource["authoredOn"] == NOW


def test_in_07_parameters_reach_the_logic_by_name() -> None:
    """IN-07: declared CQL parameters are bound, others are left out."""
    applied = run(
        plan(action("a", when("Given"))),
        defines={"Given": Define(lambda evaluation: evaluation.parameters == {"Cut": 5})},
        context=Context(parameters={"Cut": 5, "Other": 1}),
        parameters=("Cut",),
    )
    assert verdicts(applied) == {"a": "applicable"}


def test_dv_06_the_call_in_cql() -> None:
    """DV-06, IN-14: what the call gives reaches CQL parameters named %name; what it does not give is left null."""
    seen = ("%subject", "%encounter", "%practitioner")
    applied = run(
        plan(action("a", when("Seen"))),
        defines={
            "Seen": Define(
                lambda evaluation: (
                    evaluation.parameters["%subject"]["birthDate"] == "1960-05-31"
                    and evaluation.parameters["%encounter"] == {"resourceType": "Encounter", "id": "e"}
                    and "%practitioner" not in evaluation.parameters
                )
            )
        },
        context=Context(encounter="Encounter/e"),
        parameters=seen,
    )
    assert verdicts(applied) == {"a": "applicable"}


def test_several_plans_share_one_evaluation() -> None:
    """One call, one evaluation: a define is computed at most once for all plans."""
    made = engine(plan(action("a", when("Yes"))), plan(action("b", when("No")), key="other"))
    session = begin(made, FakeRecord(), NOW)
    found = [apply_in(session, name) for name in ("plan", "other")]
    assert [verdicts(one) for one in found] == [{"a": "applicable"}, {"b": "not-applicable"}]
    assert made.program.counted == 1


def test_plans_that_the_caller_leaves_out_are_not_applied() -> None:
    """A plan left out is not looked at, and that is no fault; without that it is applied."""
    outer = plan(action("x", definitionCanonical=f"{BASE}/PlanDefinition/b"), key="a")
    inner = plan(action("y"), key="b")
    without = run(outer, inner, context=Context(left_out=frozenset({f"{BASE}/PlanDefinition/b"})))
    assert by_id(without)["x"].nested is None
    assert without.issues == ()
    assert by_id(run(outer, inner))["x"].nested is not None


def test_a_fault_leaves_no_plan_open() -> None:
    """A session can be used on after a fault in one plan: another plan may name it, and has issues of its own."""

    def fault(_: object) -> bool:
        raise ZeroDivisionError

    inner = plan(action("a", when("Fault")), key="inner")
    made = engine(inner, defines={"Fault": Define(fault)})
    session = begin(made, FakeRecord(), NOW)
    issues = session.issues
    with pytest.raises(ZeroDivisionError):
        apply_in(session, inner)
    assert session.open_plans == []
    assert session.issues is issues
