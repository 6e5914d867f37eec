"""Answers of the fixture libraries, define by define; the expected values follow the CQL specification by hand."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from fhir_cds.cql import Program, to_json

NOW = "2020-06-15T12:00:00.000+00:00"


def ref(*references: str) -> list[dict[str, str]]:
    """Return resources as `to_json` gives them."""
    return [{"reference": reference} for reference in references]


def quantity(value: str, unit: str) -> dict[str, Any]:
    """Return a quantity as `to_json` gives it."""
    return {"value": Decimal(value), "unit": unit}


ANSWERS: dict[tuple[str, str], Any] = {
    ("Basics", "And"): [None, False, None, False, True, False],
    ("Basics", "Or"): [True, None, True, None, False, True],
    ("Basics", "Xor"): [None, True, False, None],
    ("Basics", "Implies"): [None, True, True, None, False],
    ("Basics", "Not"): [False, None, True],
    ("Basics", "Is true"): [False, True, False, True, True],
    ("Basics", "Where takes true only"): [2],
    ("Basics", "Where and"): [2],
    ("Basics", "Where or"): [1, 3],
    ("Basics", "Where not"): [2],
    ("Basics", "Where is true"): [1],
    ("Basics", "Lazy and"): False,
    ("Basics", "Lazy or"): True,
    ("Basics", "Lazy if"): "yes",
    ("Basics", "Lazy coalesce"): 7,
    ("Basics", "Coalesce list"): 5,
    ("Basics", "If null"): 2,
    ("Basics", "Case short"): "c",
    ("Basics", "Case long"): "e",
    ("Basics", "Case comparand"): "c",
    ("Basics", "Case comparand none"): "z",
    ("Basics", "Case comparand null"): "z",
    ("Basics", "Text equal"): [True, False, None, True, None],
    ("Basics", "Text in"): [True, False, False],
    ("Basics", "Where text"): ["a"],
    ("Basics", "Where text not"): ["b"],
    ("Basics", "Where text in"): ["b"],
    ("Basics", "Compare integers"): [False, True, None],
    ("Basics", "Compare uncertain"): True,
    ("Basics", "Distinct by default"): [1, 2],
    ("Basics", "Return all"): [1, 1, 2],
    ("Basics", "Let"): [21, 31],
    ("Basics", "Two sources"): [{"A": 1, "B": 4}, {"A": 2, "B": 3}],
    ("Basics", "Two sources return"): [11, 21, 12, 22],
    ("Basics", "With"): [2, 3],
    ("Basics", "Without"): [1],
    ("Basics", "With null"): [],
    ("Basics", "Null source"): None,
    ("Basics", "One"): 6,
    ("Basics", "One filtered"): None,
    ("Basics", "One null"): None,
    ("Basics", "Sort desc"): [3, 2, 1],
    ("Basics", "Sort asc with null"): [None, 1, 3],
    ("Basics", "Sort two columns"): [{"a": 1, "b": 1}, {"a": 1, "b": 2}, {"a": 0, "b": 5}],
    ("Basics", "Sort expression"): [{"a": 3}, {"a": 2}, {"a": 1}],
    ("Basics", "Sort dates"): ["2019", "2020-01-01", "2020-02-01"],
    ("Basics", "Sort mixed quantities"): [quantity("3", "kg"), quantity("2", "g"), quantity("1", "mg")],
    ("Basics", "Aggregate"): 16,
    ("Basics", "Aggregate all"): 12,
    ("Basics", "Aggregate distinct"): 6,
    ("Basics", "Aggregate two sources"): 21,
    ("Basics", "Nested"): [0, 1, 2],
    ("Basics", "Exists"): [True, True, False, False, False],
    ("Basics", "Tuple element"): "x",
    ("Basics", "Interval bounds"): [1, 5],
    ("Basics", "Interval closed"): [True, False],
    ("Basics", "Quantity value"): Decimal(5),
    ("Basics", "Quantity unit"): "mg",
    ("Basics", "Ratio"): {"numerator": quantity("1", "1"), "denominator": quantity("128", "1")},
    ("Basics", "Concept codes"): {"codes": [{"system": "http://example.org/cs", "code": "a"}]},
    ("Basics", "Code ref"): {"system": "http://example.org/cs", "code": "a", "display": "A"},
    ("Basics", "Concept ref"): [{"system": "http://example.org/cs", "code": "a", "display": "A"}],
    ("Basics", "Code in"): [True, False, False],
    ("Basics", "Concept in"): True,
    ("Basics", "Text in value set"): [True, False],
    ("Basics", "Any in"): [True, False],
    ("Basics", "Expanded"): [
        {"system": "http://example.org/cs", "code": "a"},
        {"system": "http://example.org/cs", "code": "c"},
    ],
    ("Basics", "In code system"): True,
    ("Basics", "Code system element"): "http://example.org/cs",
    ("Basics", "System instance"): quantity("3.5", "mg"),
    ("Basics", "Code instance"): "http://example.org/cs",
    ("Basics", "Convert"): 5,
    ("Basics", "Convert bad"): None,
    ("Basics", "Can convert"): [True, True, False],
    ("Basics", "As choice"): None,
    ("Basics", "As choice text"): "text",
    ("Basics", "Is choice"): [True, False],
    ("Basics", "Indexer"): [2, None],
    ("Basics", "Skip and take"): [[2, 3], [1, 2], [2, 3]],
    ("Basics", "Union of three"): [1, 2, 3],
    ("Basics", "Flatten"): [1, 2, 3],
    ("Basics", "Message"): 5,
    ("Basics", "Minimum"): -2147483648,
    ("Basics", "Longs"): 5,
    ("Basics", "Least integer"): -2147483648,
    ("Basics", "Length of null list"): 0,
    ("Basics", "Length of null text"): None,
    ("Basics", "Period start"): None,
    ("Basics", "Given or 1"): 1,
    ("Basics", "Calls"): 42,
    ("Basics", "Overloads"): ["integer", "text", "list"],
    ("Basics", "Fluent"): 6,
    ("Fhir", "Patient"): {"reference": "Patient/p"},
    ("Fhir", "Sex"): "female",
    ("Fhir", "Female"): True,
    ("Fhir", "Born"): "1970-06-16",
    ("Fhir", "Born year later"): "1971-06-16",
    ("Fhir", "Age"): 49,
    ("Fhir", "Age on"): 49,
    ("Fhir", "Given names"): ["A", "B", "C"],
    ("Fhir", "First family"): "Official",
    ("Fhir", "Official"): "Official",
    ("Fhir", "Birth extension"): [{"url": "http://example.org/time", "valueTime": "10:00"}],
    ("Fhir", "Deceased"): False,
    ("Fhir", "Extension value"): "text",
    ("Fhir", "By value set"): ref("Condition/c1", "Condition/c2"),
    ("Fhir", "By category"): ref("Condition/c1"),
    ("Fhir", "By code"): ref("Observation/w1", "Observation/w2"),
    ("Fhir", "By concept"): ref("Observation/w1", "Observation/w2"),
    ("Fhir", "By choice"): ref("MedicationRequest/m1"),
    ("Fhir", "By plain code"): ref("Encounter/e1"),
    ("Fhir", "All"): ref("Observation/w1", "Observation/w2", "Observation/r", "Observation/t"),
    ("Fhir", "Expression codes"): ref("Observation/w1", "Observation/w2"),
    ("Fhir", "Active"): ref("Condition/c1"),
    ("Fhir", "Equivalent concept"): ref("Condition/c1", "Condition/c2"),
    ("Fhir", "Code in value set"): ref("Condition/c1", "Condition/c2"),
    ("Fhir", "Heavy"): ref("Observation/w2"),
    ("Fhir", "Heavy implicit"): ref("Observation/w2"),
    ("Fhir", "Any value"): [
        {"value": 79, "system": "http://unitsofmeasure.org", "code": "kg", "unit": "kg"},
        {"value": Decimal("80.5"), "system": "http://unitsofmeasure.org", "code": "kg", "unit": "kg"},
        {"low": {"value": 1, "unit": "mg"}, "high": {"value": 5, "unit": "mg"}},
        "words",
    ],
    ("Fhir", "Any value as text"): [None, "words"],
    ("Fhir", "Value is quantity"): [True, True, False, False],
    ("Fhir", "Value of choice"): [True, True, False, False],
    ("Fhir", "Onset"): ["2019-03", {"value": 40, "code": "a", "system": "http://unitsofmeasure.org"}, None],
    ("Fhir", "Onset times"): ["2019-03", None, None],
    ("Fhir", "Onset age"): ["c2"],
    ("Fhir", "Latest"): {"reference": "Observation/w2"},
    ("Fhir", "Latest first"): "w2",
    ("Fhir", "By issued"): ref("Observation/r", "Observation/t", "Observation/w2", "Observation/w1"),
    ("Fhir", "In period"): ref("Encounter/e1"),
    ("Fhir", "With"): ref("Condition/c1"),
    ("Fhir", "Without"): ref("Condition/c2"),
    ("Fhir", "Mixed"): [
        None,
        {"value": 79, "system": "http://unitsofmeasure.org", "code": "kg", "unit": "kg"},
        {"value": Decimal("80.5"), "system": "http://unitsofmeasure.org", "code": "kg", "unit": "kg"},
    ],
    ("Fhir", "Sum of weights"): Decimal("159.5"),
    ("Fhir", "Component"): ref("Observation/r"),
    ("Fhir", "Range"): {"low": {"value": 1, "unit": "mg"}, "high": {"value": 5, "unit": "mg"}},
    ("Fhir", "Range contains"): True,
    ("Fhir", "Instance"): quantity("3.5", "mg"),
    ("Fhir", "Instance choice"): {"reference": "Observation/made"},
    ("Fhir", "Instance value"): Decimal("3.5"),
    ("Fhir", "Ordered"): ref("ServiceRequest/o1"),
    ("Fhir", "Other library"): 4,
    ("Fhir", "Other define"): 42,
    ("Fhir", "Other function"): 8,
    ("Fhir", "Depth"): True,
    ("Fhir", "Comparator"): [True],
    ("Fhir", "Ages"): [49],
    ("Fhir", "Observations"): ref("Observation/w1", "Observation/w2", "Observation/r", "Observation/t"),
    ("Fhir", "How many"): 3,
}


@pytest.mark.parametrize(("library", "define"), ANSWERS)
def test_answer(program: Program, patient: list[dict[str, Any]], library: str, define: str) -> None:
    """Each define gives the value that the specification asks for."""
    coding = [{"system": "http://example.org/cs", "code": "lab"}]
    orders = [
        {"resourceType": "ServiceRequest", "id": "o1", "code": {"coding": coding}},
        {"resourceType": "ServiceRequest", "id": "o2", "code": {"text": "other"}},
    ]
    evaluation = program.evaluate(patient, NOW, {"Orders": orders})
    assert to_json(evaluation.value(library, define)) == ANSWERS[(library, define)]


def test_every_define_has_its_answer(program: Program) -> None:
    """A define added to the fixtures must be added here, or to the tests of errors."""
    failing = {"Cast fails", "Message error", "Runaway", "Fails", "Uses failing"}
    for library in program.libraries:
        assert {name for lib, name in ANSWERS if lib == library.name} == library.defines.keys() - failing
