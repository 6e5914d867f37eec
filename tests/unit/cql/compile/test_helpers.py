"""FHIRHelpers: the built-in functions and the compiled ELM of the library give the same answers."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fhir_cds.cql import Interval, Program, Quantity, to_json
from fhir_cds.errors import ElmError, EvaluationError

NOW = "2020-06-15T12:00:00.000+00:00"
ROOT = Path(__file__).resolve().parents[4]
UCUM = "http://unitsofmeasure.org"
FHIR = "{http://hl7.org/fhir}"


@pytest.fixture(scope="module")
def helpers() -> dict[str, Any]:
    """Return the ELM of FHIRHelpers that the content ships."""
    text = (ROOT / "plandefinitions/cql/elm/FHIRHelpers.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text, parse_float=Decimal)
    return loaded


def test_fixture_libraries_agree(
    program: Program, patient: list[dict[str, Any]], helpers: dict[str, Any], fixture_document: Any
) -> None:
    """Every define of the FHIR fixture has the same value both ways."""
    valuesets = {
        f"http://example.org/{name}": [("http://example.org/cs", code) for code in codes]
        for name, codes in {"vs": ["a", "c"], "conditions": ["lab", "x", "problem"], "drugs": ["drug"]}.items()
    }
    documents = [fixture_document("Basics"), fixture_document("Fhir"), helpers]
    compiled = Program.load(documents, valuesets, intrinsic_helpers=False)
    one, other = program.evaluate(patient, NOW), compiled.evaluate(patient, NOW)
    for define in program.library("Fhir").defines:
        assert to_json(one.value("Fhir", define)) == to_json(other.value("Fhir", define)), define


def _call(write: Any, name: str, kind: str) -> Any:
    """Return a library that calls a FHIRHelpers function on the one parameter `In`."""
    specifier = {"type": "NamedTypeSpecifier", "name": FHIR + kind}
    call = write.node("FunctionRef", name=name, libraryName="FHIRHelpers", signature=[specifier])
    call["operand"] = [{"type": "ParameterRef", "name": "In", "resultTypeName": FHIR + kind}]
    return write.library(
        call,
        includes=[{"localIdentifier": "FHIRHelpers", "path": "FHIRHelpers", "version": "4.0.1"}],
        parameters=[{"name": "In", "parameterTypeSpecifier": specifier}],
    )


CASES: list[tuple[str, str, Any]] = [
    ("ToQuantity", "Quantity", {"value": 5, "code": "mg", "system": UCUM}),
    ("ToQuantity", "Quantity", {"value": 5, "unit": "mg"}),
    ("ToQuantity", "Quantity", {"value": 5}),
    ("ToQuantity", "Quantity", {"unit": "mg"}),
    ("ToQuantity", "Quantity", {"value": 5, "code": "a", "system": UCUM}),
    ("ToQuantity", "Quantity", {"value": 5, "comparator": "<", "code": "mg", "system": UCUM}),
    ("ToQuantity", "Quantity", {"value": 5, "code": "1", "system": "http://example.org/units"}),
    ("ToInterval", "Quantity", {"value": 5, "comparator": "<", "unit": "mg"}),
    ("ToInterval", "Quantity", {"value": 5, "comparator": "<=", "unit": "mg"}),
    ("ToInterval", "Quantity", {"value": 5, "comparator": ">", "unit": "mg"}),
    ("ToInterval", "Quantity", {"value": 5, "comparator": ">=", "unit": "mg"}),
    ("ToInterval", "Quantity", {"value": 5, "unit": "mg"}),
    ("ToInterval", "Period", {"start": "2020-01-01", "end": "2020-02"}),
    ("ToInterval", "Period", {"start": "2020-01-01"}),
    ("ToInterval", "Period", {"end": "2020-02-01T10:00:00+01:00"}),
    ("ToInterval", "Period", {"start": "2021", "end": "2020"}),
    ("ToInterval", "Range", {"low": {"value": 1, "unit": "mg"}, "high": {"value": 2, "unit": "mg"}}),
    ("ToInterval", "Range", {"low": {"value": 1, "unit": "mg"}}),
    ("ToInterval", "Range", {"high": {"value": 1, "unit": "mg"}}),
    ("ToInterval", "Range", {}),
    ("ToRatio", "Ratio", {"numerator": {"value": 1}, "denominator": {"value": 128}}),
    ("ToCode", "Coding", {"system": "s", "code": "c", "version": "1", "display": "d"}),
    ("ToConcept", "CodeableConcept", {"coding": [{"code": "c"}, {"system": "s", "code": "d"}], "text": "t"}),
    ("ToConcept", "CodeableConcept", {"text": "only text"}),
    ("ToDecimal", "decimal", 5),
    ("ToDecimal", "decimal", Decimal("5.50")),
    ("ToInteger", "integer", 5),
    ("ToBoolean", "boolean", True),
    ("ToString", "string", "text"),
    ("ToString", "ObservationStatus", "final"),
    ("ToDate", "date", "2020-02"),
    ("ToDateTime", "dateTime", "2020-02-03"),
    ("ToDateTime", "instant", "2020-02-03T10:00:00.5Z"),
    ("ToTime", "time", "10:30:00"),
]


def _outcome(program: Program, value: Any, define: str = "x", parameter: str = "In") -> Any:
    try:
        return program.evaluate([], NOW, {parameter: value}).value("Hand", define)
    except EvaluationError:
        return EvaluationError


@pytest.fixture(scope="module")
def both(helpers: dict[str, Any], write: Any) -> tuple[Program, Program]:
    """Return one library with a define per conversion, with the built-in functions and with the ELM."""
    defines: list[Any] = []
    parameters: list[Any] = []
    for name, kind in sorted({(name, kind) for name, kind, _ in CASES}):
        single = _call(write, name, kind)["library"]
        expression = single["statements"]["def"][0]["expression"]
        expression["operand"][0]["name"] = parameter = f"{name} {kind}"
        defines.append({"name": parameter, "context": "Patient", "expression": expression})
        parameters.append({**single["parameters"]["def"][0], "name": parameter})
    includes = [{"localIdentifier": "FHIRHelpers", "path": "FHIRHelpers", "version": "4.0.1"}]
    library = write.library(write.literal(1), includes=includes, parameters=parameters, more=defines)
    return Program.load([library], {}), Program.load([library, helpers], {}, intrinsic_helpers=False)


@pytest.mark.parametrize(("name", "kind", "value"), CASES)
def test_functions_agree(both: tuple[Program, Program], name: str, kind: str, value: Any) -> None:
    """Each conversion gives the same value, or fails, both ways; null stays null."""
    define = f"{name} {kind}"
    assert _outcome(both[0], value, define, define) == _outcome(both[1], value, define, define)
    assert _outcome(both[0], None, define, define) is None
    assert _outcome(both[1], None, define, define) is None


def test_values_of_conversions(write: Any) -> None:
    """The conversions give what FHIR and CQL say, not only what the other way gives."""
    load = Program.load
    assert _outcome(load([_call(write, "ToQuantity", "Quantity")], {}), CASES[4][2]) == Quantity(Decimal(5), "year")
    assert _outcome(load([_call(write, "ToQuantity", "Quantity")], {}), CASES[5][2]) is EvaluationError
    open_start = _outcome(load([_call(write, "ToInterval", "Period")], {}), {"end": "2020-02-01"})
    assert (open_start.low, open_start.low_closed, open_start.high_closed) == (None, False, True)
    less = _outcome(load([_call(write, "ToInterval", "Quantity")], {}), CASES[7][2])
    assert less == Interval(None, Quantity(Decimal(5), "mg"), True, False, "Quantity")
    assert (
        _outcome(load([_call(write, "ToInterval", "Period")], {}), {"start": "2021", "end": "2020"}) is EvaluationError
    )


def test_unknown_helper_is_refused(write: Any) -> None:
    """A FHIRHelpers function that does not exist, or of a type it does not take, fails at load."""
    with pytest.raises(ElmError, match="FHIRHelpers"):
        Program.load([_call(write, "ToNothing", "Quantity")], {})
    with pytest.raises(ElmError, match="no overload"):
        Program.load([_call(write, "ToConcept", "Quantity")], {})


def test_elm_without_result_types_is_refused_with_what_to_do(write: Any) -> None:
    """A helper's operand of unknown type is an error at load that says how to translate."""
    first = {"type": "Indexer", "operand": [{"type": "Null"}, write.literal(0)]}
    call = {"type": "FunctionRef", "name": "ToString", "libraryName": "FHIRHelpers", "operand": [first]}
    includes = [{"localIdentifier": "FHIRHelpers", "path": "FHIRHelpers", "version": "4.0.1"}]
    with pytest.raises(ElmError, match="translate with EnableResultTypes"):
        Program.load([write.library(call, includes=includes)], {})
