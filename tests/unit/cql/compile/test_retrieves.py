"""Retrieves in forms that the translator seldom emits, and terminology known only at evaluation."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_cds.cql import Code, Program
from fhir_cds.cql.index import Retrieve
from fhir_cds.errors import ElmError, EvaluationError

from .elm_builders import CS, FHIR, NOW, SYSTEM, named


def retrieve(kind: str, **fields: Any) -> dict[str, Any]:
    """Return a retrieve with its result type."""
    result = {"type": "ListTypeSpecifier", "elementType": named(FHIR + kind)}
    return {"type": "Retrieve", "dataType": FHIR + kind, "resultTypeSpecifier": result, **fields}


def ids(resources: Any) -> list[str]:
    """Return the ids of resources."""
    return [resource["id"] for resource in resources]


def test_retrieve_of_everything(write: Any, patient: list[dict[str, Any]]) -> None:
    """Resource and DomainResource stand for all resources."""
    assert len(write.value(retrieve("Resource"), patient)) == len(patient)
    assert len(write.value(retrieve("DomainResource"), patient)) == len(patient)


def _period(write: Any, low: int, high: int) -> dict[str, Any]:
    def day(year: int) -> dict[str, Any]:
        return {"type": "DateTime", "year": write.literal(year), "month": write.literal(1), "day": write.literal(1)}

    return {"type": "Interval", "low": day(low), "high": day(high)}


def test_retrieve_by_date(write: Any, patient: list[dict[str, Any]]) -> None:
    """A date range filters by dates, periods and choices; null gives nothing."""
    found = write.value(retrieve("Encounter", dateProperty="period", dateRange=_period(write, 2020, 2021)), patient)
    assert ids(found) == ["e1"]
    node = retrieve("Observation", dateFilter=[{"property": "effective", "value": _period(write, 2020, 2021)}])
    assert ids(write.value(node, patient)) == ["w1", "w2"]
    node = retrieve("Observation", dateProperty="effective", dateRange={"type": "Null"})
    assert write.value(node, patient) == []
    program = Program.load([write.library(node)], {})
    assert program.retrieves("Hand", "x") == (Retrieve("Observation", date_path="effective"),)
    with pytest.raises(ElmError, match="date property"):
        write.value(retrieve("Observation", dateRange=_period(write, 2020, 2021)))
    with pytest.raises(ElmError, match="has no element 'when'"):
        write.value(retrieve("Observation", dateProperty="when", dateRange=_period(write, 2020, 2021)))


def _codes(write: Any, *codes: str) -> dict[str, Any]:
    systems = [{"name": "CS", "id": CS}]
    items = [{"type": "Code", "code": code, "system": {"name": "CS"}} for code in codes]
    return {"node": {"type": "List", "element": items}, "sections": {"codeSystems": systems}}


def test_retrieve_with_code_filters(write: Any, patient: list[dict[str, Any]]) -> None:
    """Several code filters must all hold."""
    one, two = _codes(write, "x"), _codes(write, "problem")
    filters = [{"property": "code", "value": one["node"]}, {"property": "category", "value": two["node"]}]
    node = retrieve("Condition", codeFilter=filters)
    assert ids(write.value(node, patient, **one["sections"])) == ["c1"]


def test_retrieve_by_codes_of_evaluation(write: Any, patient: list[dict[str, Any]]) -> None:
    """Codes from a parameter: a code, a concept, a list, a text, a value set, null."""
    program = Program.load([_by_parameter(write)], {"http://example.org/vs": [(CS, "weight")]})
    from fhir_cds.cql import Concept, ValueSet

    weight = Code("weight", CS)
    for given, expected in (
        (weight, ["w1", "w2"]),
        (Concept((weight, Code("panel", CS))), ["w1", "w2", "r"]),
        ([weight, None], ["w1", "w2"]),
        (ValueSet("http://example.org/vs"), ["w1", "w2"]),
        ("weight", []),
        (None, []),
    ):
        assert ids(program.evaluate(patient, NOW, {"p": given}).value("Hand", "x")) == expected
    with pytest.raises(EvaluationError, match="not among those given"):
        program.evaluate(patient, NOW, {"p": ValueSet("http://example.org/other")}).value("Hand", "x")


def _by_parameter(write: Any) -> Any:
    parameters = [{"name": "p", "parameterTypeSpecifier": named(SYSTEM + "Any")}]
    node = retrieve("Observation", codeProperty="code", codes={"type": "ParameterRef", "name": "p"})
    return write.library(node, parameters=parameters)


@pytest.mark.parametrize(
    ("kind", "path", "code", "expected"),
    [
        ("Encounter", "class", "x", ["e1"]),
        ("Observation", "component.code", "lab", ["r"]),
        ("MedicationRequest", "medication", "drug", ["m1"]),
        ("Patient", "gender", "female", ["p"]),
        ("Observation", "value", "weight", []),
    ],
)
def test_code_paths(write: Any, patient: Any, *, kind: str, path: str, code: str, expected: list[str]) -> None:
    """Codings are found in concepts, lists, choices, nested elements and plain codes."""
    codes = _codes(write, code)
    node = retrieve(kind, codeProperty=path, codes=codes["node"])
    assert ids(write.value(node, patient, **codes["sections"])) == expected


def test_value_sets_of_evaluation(write: Any) -> None:
    """A value set that a parameter names is looked up among those the program has."""
    from fhir_cds.cql import ValueSet

    parameters = [{"name": "p", "parameterTypeSpecifier": named(SYSTEM + "ValueSet")}]
    p = {"type": "ParameterRef", "name": "p"}
    a = {"type": "Code", "code": "a", "system": {"name": "CS"}}
    sections = {"parameters": parameters, "codeSystems": [{"name": "CS", "id": CS}]}
    nodes = {
        "in": {"type": "InValueSet", "code": a, "valuesetExpression": p},
        "any": {"type": "AnyInValueSet", "codes": {"type": "List", "element": [a]}, "valuesetExpression": p},
        "expand": {"type": "ExpandValueSet", "operand": p},
    }
    for name, expected in {"in": True, "any": True, "expand": [Code("a", CS)]}.items():
        program = Program.load([write.library(nodes[name], **sections)], {"v": [(CS, "a")]})
        assert program.evaluate([], NOW, {"p": ValueSet("v")}).value("Hand", "x") == expected
        assert program.evaluate([], NOW, {"p": None}).value("Hand", "x") is None
        with pytest.raises(EvaluationError, match="not among those given"):
            program.evaluate([], NOW, {"p": ValueSet("w")}).value("Hand", "x")


def test_code_systems(write: Any) -> None:
    """Membership in a code system by what a code says, also of a system that a parameter names."""
    from fhir_cds.cql import CodeSystem

    sections = {"codeSystems": [{"name": "CS", "id": CS}]}
    a = {"type": "Code", "code": "a", "system": {"name": "CS"}}
    node = {"type": "AnyInCodeSystem", "codes": {"type": "List", "element": [a]}, "codesystem": {"name": "CS"}}
    assert write.value(node, **sections) is True
    parameters = [{"name": "p", "parameterTypeSpecifier": named(SYSTEM + "CodeSystem")}]
    node = {"type": "InCodeSystem", "code": a, "codesystemExpression": {"type": "ParameterRef", "name": "p"}}
    program = Program.load([write.library(node, parameters=parameters, **sections)], {})
    assert program.evaluate([], NOW, {"p": CodeSystem(CS)}).value("Hand", "x") is True
    assert program.evaluate([], NOW, {"p": CodeSystem("other")}).value("Hand", "x") is False
    assert program.evaluate([], NOW).value("Hand", "x") is None


def test_value_set_as_a_list_of_codes(write: Any) -> None:
    """An older translator's value set reference, typed as a list, is its codes."""
    kind = {"type": "ListTypeSpecifier", "elementType": named(SYSTEM + "Code")}
    node = {"type": "ValueSetRef", "name": "V", "resultTypeSpecifier": kind}
    sections = {"valueSets": [{"name": "V", "id": "http://example.org/vs"}]}
    assert write.value(node, **sections) == [Code("a", CS), Code("c", CS)]
    assert write.value({"type": "ExpandValueSet", "operand": node}, **sections) == [Code("a", CS), Code("c", CS)]
