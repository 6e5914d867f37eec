"""FHIRPath in plans and the data that actions name (apply.md CO-05, IN-14, DV-06, IO-01, IO-02)."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_cds.knowledge.load import Knowledge
from fhir_cds.knowledge.registry import Registry
from fhir_cds.reasoning.apply import apply_plan
from fhir_cds.reasoning.engine import Engine
from fhir_cds.reasoning.session import Context

from .support import BASE, NOW, FakeRecord, action, activity, by_id, plan, run, verdicts, when

SCAN = f"{BASE}/ActivityDefinition/scan"
RECORD = FakeRecord(
    resources=(
        {"resourceType": "Patient", "id": "p", "gender": "female", "birthDate": "1960-05-31"},
        {"resourceType": "Encounter", "id": "e", "status": "in-progress"},
        {"resourceType": "Condition", "id": "c1", "code": {"coding": [{"system": "http://s", "code": "1"}]}},
        {"resourceType": "Condition", "id": "c2", "code": {"coding": [{"system": "http://s", "code": "2"}]}},
    )
)
ONES = {
    "resourceType": "ValueSet",
    "id": "ones",
    "url": f"{BASE}/ValueSet/ones",
    "compose": {"include": [{"system": "http://s", "concept": [{"code": "1"}]}]},
}


def path(text: str) -> dict[str, Any]:
    return when(text, "text/fhirpath")


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("%subject.gender = 'female'", "applicable"),
        ("%patient.gender = 'male'", "not-applicable"),
        ("%subject.deceased", "unknown"),
        ("title = 'T' and %context.title = 'T'", "applicable"),
        ("%encounter.status = 'in-progress'", "applicable"),
        ("%practitioner.id = 'd'", "applicable"),
        ("%setting = 'home'", "applicable"),
        ("today() = @2026-01-31", "applicable"),
        ("%subject.gender", "failed"),
        ("%subject.(", "failed"),
        ("%nobody.exists()", "failed"),
        ("%organization.exists()", "not-applicable"),
        ("%organization.active", "unknown"),
    ],
)
def test_co_05_fhirpath_conditions(text: str, verdict: str) -> None:
    """CO-05, IN-14, IN-06: root is the plan, %subject … are resources, parameters are variables; empty is unknown."""
    context = Context(encounter="Encounter/e", practitioner="Practitioner/d", variables={"setting": "home"})
    applied = run(plan(action("a", path(text)), title="T", library=[]), record=RECORD, context=context)
    assert verdicts(applied) == {"a": verdict}


def test_co_05_variables_of_the_plan() -> None:
    """CO-05: `variable` extensions are evaluated in order and visible to conditions."""
    extension = [
        {
            "url": "http://hl7.org/fhir/StructureDefinition/variable",
            "valueExpression": {"name": name, "language": "text/fhirpath", "expression": text},
        }
        for name, text in (("sex", "%subject.gender"), ("isWoman", "%sex = 'female'"))
    ]
    applied = run(plan(action("a", path("%isWoman")), extension=extension), record=RECORD)
    assert verdicts(applied) == {"a": "applicable"}


def test_io_01_inputs_are_variables() -> None:
    """IO-01, CO-05: an input with an id is a variable holding the record's matching resources."""
    wanted = [
        {
            "id": "found",
            "type": "Condition",
            "codeFilter": [{"path": "code", "valueSet": ONES["url"]}],
        }
    ]
    applied = run(plan(action("a", path("%found.id = 'c1'"), input=wanted), library=[]), ONES, record=RECORD)
    assert verdicts(applied) == {"a": "applicable"}


def test_io_02_outputs_are_supporting_information() -> None:
    """IO-02: the data that an output describes is attached to the request."""
    output = [{"type": "Condition", "codeFilter": [{"path": "code", "code": [{"system": "http://s", "code": "2"}]}]}]
    applied = run(plan(action("a", definitionCanonical=SCAN, output=output)), activity(), record=RECORD)
    assert by_id(applied)["a"].resource["supportingInfo"] == [{"reference": "Condition/c2"}]


def test_io_a_filter_that_cannot_be_answered() -> None:
    """IO-02, ER-04: such a requirement is an issue at its place, and attaches nothing."""
    output = [{"type": "Condition", "codeFilter": [{"path": "code", "valueSet": f"{BASE}/ValueSet/none"}]}]
    applied = run(plan(action("a", definitionCanonical=SCAN, output=output)), activity(), record=RECORD)
    assert "supportingInfo" not in by_id(applied)["a"].resource
    assert applied.issues[0]["expression"] == ["PlanDefinition.action[0].output[0]"]


def test_dv_06_action_and_context_in_expressions() -> None:
    """DV-06: %action is the action as produced so far, %context the definition, beside the call's parameters."""
    values = [
        {"path": "%action.description", "expression": {"language": "text/fhirpath", "expression": text}}
        for text in ("%action.title & '!'", "%action.description & ' ' & %context.title & ' ' & %subject.gender")
    ]
    applied = run(plan(action("a", dynamicValue=values), title="T"), record=RECORD)
    assert applied.issues == ()
    assert by_id(applied)["a"].values["description"] == "A! T female"


def test_content_without_cql() -> None:
    """CO-05: plans with FHIRPath need no library and no logic at all."""
    subject = plan(action("a", path("%subject.gender = 'female'")), library=[])
    registry = Registry.of([("plan.json", subject)])
    made = Engine.load(Knowledge(registry, {}, ()))
    assert verdicts(apply_plan(made, "plan", RECORD, NOW)) == {"a": "applicable"}


def test_co_05_a_variable_that_fails_is_not_empty() -> None:
    """CO-05: an input or variable that cannot be had fails the conditions that need it; it is never taken for empty."""
    wanted = [{"id": "lost", "type": "Condition", "codeFilter": [{"path": "code", "valueSet": f"{BASE}/ValueSet/no"}]}]
    extension = [
        {
            "url": "http://hl7.org/fhir/StructureDefinition/variable",
            "valueExpression": {"name": "bad", "language": "text/fhirpath", "expression": "{{context.x}}"},
        }
    ]
    applied = run(
        plan(
            action("needs", path("%lost.exists()"), input=wanted),
            action("uses", path("%bad.exists()")),
            action("neither", path("true")),
            extension=extension,
        ),
        record=RECORD,
    )
    assert verdicts(applied) == {"needs": "failed", "uses": "failed", "neither": "applicable"}
