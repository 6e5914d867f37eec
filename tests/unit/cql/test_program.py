"""Programs and evaluations: information, parameters, provenance, errors, JSON."""

from __future__ import annotations

import gc
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from fhir_cds.cql import (
    Code,
    CodeSystem,
    Concept,
    Interval,
    Long,
    Program,
    Quantity,
    Ratio,
    Retrieve,
    Uncertainty,
    ValueSet,
    to_json,
)
from fhir_cds.cql.runtime.temporal_text import parse_date, parse_datetime, parse_time
from fhir_cds.cql.runtime.typed import Typed
from fhir_cds.errors import ElmError, EvaluationError, InputError

NOW = "2020-06-15T12:00:00.000+00:00"
SYSTEM = "{urn:hl7-org:elm-types:r1}"
CS = "http://example.org/cs"


def test_libraries_are_described(program: Program) -> None:
    """Names, versions, types, contexts, locators, includes, value sets and parameters can be asked for."""
    fhir = program.library("Fhir")
    assert (fhir.name, fhir.version, fhir.includes) == ("Fhir", "1.0.0", ("FHIRHelpers", "Basics"))
    assert fhir.valuesets["Conditions"] == "http://example.org/conditions"
    assert fhir.parameters == {"Orders": "List<FHIR.ServiceRequest>"}
    assert program.library("Basics").parameters["Period"] == "Interval<System.DateTime>"
    age = fhir.defines["Age"]
    assert (age.result_type, age.context, age.access) == ("System.Integer", "Patient", "Public")
    assert age.locator is not None
    assert fhir.defines["By value set"].result_type == "List<FHIR.Condition>"
    assert fhir.defines["Any value"].result_type is not None
    assert fhir.defines["Any value"].result_type.startswith("List<Choice<FHIR.")
    assert (
        program.library("Basics").defines["Two sources"].result_type
        == "List<Tuple{A System.Integer, B System.Integer}>"
    )
    assert fhir.defines["Ages"].context == "Unfiltered"


def test_tags_of_comments(program: Program) -> None:
    """Comment tags right above a define are its tags."""
    defines = program.library("Fhir").defines
    assert defines["Sex"].tags == {"fact": "sex"}
    assert defines["By value set"].tags == {"fact": "problem", "evidence": "true"}
    assert defines["Female"].tags == {}


def test_references(program: Program) -> None:
    """A define's references are the defines it reads, also in other libraries and through functions."""
    defines = program.library("Fhir").defines
    assert defines["Depth"].references == (("Fhir", "Active"), ("Fhir", "Female"))
    assert defines["Other define"].references == (("Basics", "Calls"),)
    assert defines["Sex"].references == (("Fhir", "Patient"),)


def test_references_through_functions(write: Any) -> None:
    """What a function reads counts for the define that calls it, also through further functions."""
    read = {"type": "ExpressionRef", "name": "other"}
    inner = {"type": "FunctionRef", "name": "inner", "operand": []}
    more = [
        {"name": "other", "context": "Patient", "expression": write.literal(1)},
        {"type": "FunctionDef", "name": "outer", "context": "Patient", "operand": [], "expression": inner},
        {"type": "FunctionDef", "name": "inner", "context": "Patient", "operand": [], "expression": read},
    ]
    library = write.library({"type": "FunctionRef", "name": "outer", "operand": []}, more=more)
    assert Program.load([library], {}).define("Hand", "x").references == (("Hand", "other"),)


def test_retrieves(program: Program) -> None:
    """The retrieves of a define are those it reaches, described for prefetch."""
    conditions = Retrieve("Condition", "code", "http://example.org/conditions")
    patient = Retrieve("Patient")
    assert program.retrieves("Fhir", "By value set") == (conditions,)
    assert set(program.retrieves("Fhir", "Depth")) == {conditions, patient}
    assert program.retrieves("Fhir", "By choice") == (
        Retrieve("MedicationRequest", "medication", "http://example.org/drugs"),
    )
    codes = (Code("weight", CS),)
    assert program.retrieves("Fhir", "By code") == (Retrieve("Observation", "code", None, codes),)
    assert program.retrieves("Fhir", "Expression codes") == (Retrieve("Observation", "code", None, None),)
    assert program.retrieves("Basics", "Calls") == ()


def test_unknown_names(program: Program, patient: list[dict[str, Any]]) -> None:
    """Unknown libraries and defines are errors of the caller."""
    evaluation = program.evaluate(patient, NOW)
    for ask in (
        lambda: program.library("Nothing"),
        lambda: program.define("Fhir", "Nothing"),
        lambda: program.retrieves("Nothing", "x"),
        lambda: evaluation.value("Fhir", "Nothing"),
        lambda: evaluation.resources("Fhir", "Nothing"),
    ):
        with pytest.raises(InputError, match="no such"):
            ask()


def test_provenance(program: Program, patient: list[dict[str, Any]]) -> None:
    """Resources come from the value, else from the nearest defines it reads."""
    evaluation = program.evaluate(patient, NOW)
    assert evaluation.resources("Fhir", "Active") == ("Condition/c1",)
    assert evaluation.resources("Fhir", "Depth") == ("Condition/c1", "Patient/p")
    assert evaluation.resources("Fhir", "Female") == ("Patient/p",)
    assert evaluation.resources("Basics", "Calls") == ()
    assert evaluation.resources("Basics", "Uses failing") == ()


def test_provenance_in_structures() -> None:
    """Resources inside tuples, lists and typed values are found, each once."""
    from fhir_cds.cql.explain import resources_in

    one, two = {"resourceType": "Condition", "id": "1"}, {"resourceType": "Condition", "id": "2"}
    assert resources_in([{"a": one, "b": [two, one]}, Typed("FHIR.Condition", two)]) == ("Condition/1", "Condition/2")


def test_values_are_lazy_and_kept(program: Program, patient: list[dict[str, Any]]) -> None:
    """A define is evaluated when asked for, and once."""
    evaluation = program.evaluate(patient, NOW)
    assert not evaluation.known("Fhir", "Active")
    first = evaluation.value("Fhir", "Active")
    assert evaluation.known("Fhir", "Active")
    assert evaluation.value("Fhir", "Active") is first


def test_messages_are_kept(program: Program) -> None:
    """A warning of the library is recorded, an error ends the define."""
    evaluation = program.evaluate([], NOW)
    assert evaluation.value("Basics", "Message") == 5
    assert [(m.severity, m.code, m.text) for m in evaluation.messages] == [("Warning", "code", "said")]
    with pytest.raises(EvaluationError, match="stopped with an error message: code") as caught:
        evaluation.value("Basics", "Message error")
    assert "said" not in str(caught.value)


def test_error_names_the_innermost_place(program: Program) -> None:
    """The failing line is named, not the define that was asked for."""
    with pytest.raises(EvaluationError) as caught:
        program.evaluate([], NOW).value("Basics", "Uses failing")
    assert (caught.value.library, caught.value.define) == ("Basics", "Fails")
    assert caught.value.locator is not None
    with pytest.raises(EvaluationError, match="cannot be cast"):
        program.evaluate([], NOW).value("Basics", "Cast fails")


def test_error_holds_no_patient_data(program: Program, patient: list[dict[str, Any]]) -> None:
    """A value of odd form fails with its type, not its text."""
    patient[4]["valueQuantity"] = {"value": "secret"}
    with pytest.raises(EvaluationError) as caught:
        program.evaluate(patient, NOW).value("Fhir", "Heavy")
    assert "secret" not in str(caught.value)
    patient[1]["clinicalStatus"] = "secret"
    with pytest.raises(EvaluationError, match="unexpected form") as caught:
        program.evaluate(patient, NOW).value("Fhir", "Active")
    assert "secret" not in str(caught.value)


def test_parameters(program: Program) -> None:
    """Parameters are given by name or by library and name, as CQL values or as plain ones."""
    plain = {"low": "2020-01-01", "high": "2020-12-31T23:59:59.999Z", "highClosed": False}
    evaluation = program.evaluate([], NOW, {"Three": 1, ("Basics", "Given"): 7, "Period": plain})
    assert evaluation.value("Basics", "Case short") == "a"
    assert evaluation.value("Basics", "Given or 1") == 7
    assert to_json(evaluation.value("Basics", "Period start")) == "2020-01-01"
    period = {"start": "2022-01-01", "end": "2022-12-31"}  # as a FHIR Period of a Parameters resource
    assert to_json(program.evaluate([], NOW, {"Period": period}).value("Basics", "Period start")) == "2022-01-01"
    given = Interval(parse_datetime("2021", 0), None, True, True, "DateTime")
    assert str(program.evaluate([], NOW, {"Period": given}).value("Basics", "Period start")) == "2021"


@pytest.mark.parametrize(
    "parameters", [{"Nothing": 1}, {("Fhir", "Three"): 1}, {"Period": "2020"}, {"Period": {"low": "xx"}}, {"Orders": 5}]
)
def test_bad_parameters(program: Program, parameters: Any) -> None:
    """An unknown parameter and a value of another type are errors of the caller."""
    with pytest.raises(InputError):
        program.evaluate([], NOW, parameters)


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        ("Date", "2020-02", "2020-02"),
        ("Date", date(2020, 2, 3), "2020-02-03"),
        ("DateTime", datetime(2020, 2, 3, 4, 5, tzinfo=UTC), "2020-02-03T04:05:00+00:00"),
        ("Time", "10:30", "10:30"),
        ("Decimal", 3, Decimal(3)),
        ("Decimal", 2.5, Decimal("2.5")),
        ("Long", 3, 3),
        ("Quantity", {"value": 3, "unit": "mg"}, {"value": Decimal(3), "unit": "mg"}),
        ("String", "text", "text"),
        ("Boolean", None, None),
    ],
)
def test_parameter_types(write: Any, kind: str, given: Any, expected: Any) -> None:
    """Plain values become CQL values of the parameter's declared type."""
    specifier = {"type": "NamedTypeSpecifier", "name": SYSTEM + kind}
    library = write.library(
        {"type": "ParameterRef", "name": "p"}, parameters=[{"name": "p", "parameterTypeSpecifier": specifier}]
    )
    program = Program.load([library], {})
    assert to_json(program.evaluate([], NOW, {"p": given}).value("Hand", "x")) == expected
    if kind == "Date":
        with pytest.raises(InputError, match=r"must be of type System.Date"):
            program.evaluate([], NOW, {"p": "not a date"})


def test_a_misshapen_resource_is_named(program: Program) -> None:
    """A code element that is no list of codings is an error of the caller: it names the type, not the values."""
    good = {"resourceType": "Patient", "id": "p"}
    bad = {"resourceType": "Observation", "id": "o", "code": {"coding": ["secret"]}, "category": {"coding": []}}
    with pytest.raises(InputError, match=r"resources\[1\] \(Observation\)") as caught:
        program.evaluate([good, bad], NOW)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("now", ["", "tomorrow", "2020", "2020-01-01T10"])
def test_bad_time(program: Program, now: str) -> None:
    """The evaluation time must be a day or a moment."""
    with pytest.raises(InputError, match="evaluation time"):
        program.evaluate([], now)


def test_time_forms(write: Any) -> None:
    """A day is its midnight in UTC; an offset is the evaluation's."""
    program = Program.load([write.library({"type": "Now"})], {})
    assert str(program.evaluate([], "2020-01-01").value("Hand", "x")) == "2020-01-01T00:00:00.000+00:00"
    assert str(program.evaluate([], "2020-01-01T10:00:00+02:00").value("Hand", "x")) == "2020-01-01T10:00:00.000+02:00"
    moment = parse_datetime("2020-01-01T10:00:00.123-05:00", 0)
    assert moment is not None
    assert program.evaluate([], moment).value("Hand", "x") == moment


def test_bad_resources(program: Program) -> None:
    """What is no FHIR resource is an error of the caller that names its place."""
    for odd in ({"id": "1"}, "text", {"resourceType": 5}):
        with pytest.raises(InputError) as caught:
            program.evaluate([{"resourceType": "Patient"}, odd], NOW)  # type: ignore[list-item]  # what is tested
        assert caught.value.where == "resources[1]"
    for odd in ({"code": "text"}, {"code": {"coding": 5}}, {"code": {"coding": [5]}}):
        with pytest.raises(InputError, match="form of FHIR JSON"):
            program.evaluate([{"resourceType": "Observation", **odd}], NOW)


def test_unknown_resource_types_are_passed_over(program: Program, patient: list[dict[str, Any]]) -> None:
    """Resources that no library asks for do no harm."""
    evaluation = program.evaluate([*patient, {"resourceType": "Basic", "id": "b"}], NOW)
    assert evaluation.value("Fhir", "How many") == 3


def test_json_of_every_value() -> None:
    """Each CQL value has a JSON form."""
    quantity = Quantity(Decimal("1.50"), "mg")
    code = Code("c", "s", None, "C")
    values = {
        "decimal": (Decimal("1.50"), Decimal("1.50")),
        "long": (Long(5), 5),
        "date": (parse_date("2020-02"), "2020-02"),
        "time": (parse_time("10:00"), "10:00"),
        "quantity": (quantity, {"value": Decimal("1.50"), "unit": "mg"}),
        "ratio": (
            Ratio(quantity, quantity),
            {
                "numerator": {"value": Decimal("1.50"), "unit": "mg"},
                "denominator": {"value": Decimal("1.50"), "unit": "mg"},
            },
        ),
        "interval": (Interval(1, None, True, False), {"low": 1, "high": None, "lowClosed": True, "highClosed": False}),
        "uncertainty": (Uncertainty(1, 2), {"low": 1, "high": 2, "lowClosed": True, "highClosed": True}),
        "code": (code, {"system": "s", "code": "c", "display": "C"}),
        "concept": (Concept((code,), "t"), {"codes": [{"system": "s", "code": "c", "display": "C"}], "display": "t"}),
        "concept without text": (Concept(()), {"codes": []}),
        "valueset": (ValueSet("v"), {"id": "v"}),
        "codesystem": (CodeSystem("s"), {"id": "s"}),
        "tuple": ({"a": [parse_date("2020")]}, {"a": ["2020"]}),
        "resource": ({"resourceType": "Patient", "id": "p", "name": []}, {"reference": "Patient/p"}),
        "typed": (Typed("FHIR.dateTime", "2020"), "2020"),
        "null": (None, None),
    }
    assert {name: to_json(value) for name, (value, _) in values.items()} == {n: json for n, (_, json) in values.items()}


@pytest.mark.parametrize("running", [True, False])
def test_loading_leaves_the_collector_as_it_was(write: Any, running: bool) -> None:
    """The garbage collector is as before, also after a library that is refused."""
    before = gc.isenabled()
    try:
        (gc.enable if running else gc.disable)()
        Program.load([write.library({"type": "Now"})], {})
        assert gc.isenabled() is running
        with pytest.raises(ElmError):
            Program.load([write.library({"type": "Nothing"})], {})
        assert gc.isenabled() is running
    finally:
        (gc.enable if before else gc.disable)()
