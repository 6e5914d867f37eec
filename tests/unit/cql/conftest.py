"""What the tests of the engine share: the fixture libraries, one small patient, ELM written by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fhir_cds.cql import Program

FIXTURES = Path(__file__).parent / "compile" / "fixtures"
NOW = "2020-06-15T12:00:00.000+00:00"
CS = "http://example.org/cs"
VALUESETS: Mapping[str, list[tuple[str, str]]] = {
    "http://example.org/vs": [(CS, "a"), (CS, "c")],
    "http://example.org/conditions": [(CS, "lab"), (CS, "x"), (CS, "problem")],
    "http://example.org/drugs": [(CS, "drug")],
}
SYSTEM = "{urn:hl7-org:elm-types:r1}"


def concept(*codes: str) -> dict[str, Any]:
    """Return a CodeableConcept of the test code system."""
    return {"coding": [{"system": CS, "code": code} for code in codes]}


def document(name: str) -> dict[str, Any]:
    """Return the ELM of a fixture library, decimals kept."""
    loaded: dict[str, Any] = json.loads((FIXTURES / f"{name}.json").read_text(encoding="utf-8"), parse_float=Decimal)
    return loaded


@pytest.fixture(scope="session")
def program() -> Program:
    """Return both fixture libraries, compiled."""
    return Program.load([document("Basics"), document("Fhir")], VALUESETS)


@pytest.fixture(scope="session")
def fixture_document() -> Callable[[str], dict[str, Any]]:
    """Return the function that reads the ELM of a fixture."""
    return document


@pytest.fixture
def patient() -> list[dict[str, Any]]:
    """Return the resources of one patient."""
    weight = {"system": "http://unitsofmeasure.org", "code": "kg", "unit": "kg"}
    return [
        {
            "resourceType": "Patient",
            "id": "p",
            "gender": "female",
            "birthDate": "1970-06-16",
            "_birthDate": {"extension": [{"url": "http://example.org/time", "valueTime": "10:00"}]},
            "deceasedBoolean": False,
            "name": [{"use": "official", "family": "Official", "given": ["A", "B"]}, {"use": "usual", "given": ["C"]}],
            "extension": [{"url": "http://example.org/x", "valueString": "text"}, {"url": "http://example.org/y"}],
        },
        {
            "resourceType": "Condition",
            "id": "c1",
            "code": concept("other", "x"),
            "category": [concept("problem"), concept("lab")],
            "clinicalStatus": concept("lab"),
            "onsetDateTime": "2019-03",
            "recordedDate": "2020-02-01T00:00:00+00:00",
        },
        {
            "resourceType": "Condition",
            "id": "c2",
            "code": concept("x"),
            "clinicalStatus": concept("weight"),
            "onsetAge": {"value": 40, "code": "a", "system": "http://unitsofmeasure.org"},
        },
        {"resourceType": "Condition", "id": "c3", "code": {"text": "no code"}},
        {
            "resourceType": "Observation",
            "id": "w1",
            "code": concept("weight"),
            "effectiveDateTime": "2020-01-15",
            "issued": "2020-01-16T00:00:00Z",
            "valueQuantity": {"value": 79, **weight},
        },
        {
            "resourceType": "Observation",
            "id": "w2",
            "code": concept("weight", "lab"),
            "effectiveDateTime": "2020-03-15",
            "issued": "2020-01-14T00:00:00Z",
            "valueQuantity": {"value": Decimal("80.5"), **weight},
        },
        {
            "resourceType": "Observation",
            "id": "r",
            "code": concept("panel"),
            "valueRange": {"low": {"value": 1, "unit": "mg"}, "high": {"value": 5, "unit": "mg"}},
            "component": [{"code": concept("lab"), "valueString": "inner"}],
        },
        {"resourceType": "Observation", "id": "t", "code": concept("note"), "valueString": "words"},
        {"resourceType": "MedicationRequest", "id": "m1", "medicationCodeableConcept": concept("drug")},
        {"resourceType": "MedicationRequest", "id": "m2", "medicationReference": {"reference": "Medication/1"}},
        {
            "resourceType": "Encounter",
            "id": "e1",
            "class": {"system": CS, "code": "x"},
            "period": {"start": "2020-05-01", "end": "2020-05-02"},
        },
        {
            "resourceType": "Encounter",
            "id": "e2",
            "class": {"system": CS, "code": "amb"},
            "period": {"start": "2019-05-01"},
        },
    ]


@pytest.fixture(scope="session")
def write() -> type[Elm]:
    """Return the writer of ELM by hand."""
    return Elm


class Elm:
    """ELM written by hand, where a test needs what no translator emits."""

    @staticmethod
    def node(kind: str, *operands: Any, **fields: Any) -> dict[str, Any]:
        """Return a node; operands go to `operand`, as one or as a list."""
        body: dict[str, Any] = {"type": kind, **fields}
        if operands:
            body["operand"] = operands[0] if len(operands) == 1 else list(operands)
        return body

    @staticmethod
    def literal(value: Any) -> dict[str, Any]:
        """Return a Boolean, Integer, Decimal or String literal."""
        name = {bool: "Boolean", int: "Integer", Decimal: "Decimal", str: "String"}[type(value)]
        text = str(value).lower() if isinstance(value, bool) else str(value)
        return {"type": "Literal", "valueType": f"{SYSTEM}{name}", "value": text}

    @staticmethod
    def integers(*values: int) -> dict[str, Any]:
        """Return a list selector of integers."""
        kind = {"type": "NamedTypeSpecifier", "name": f"{SYSTEM}Integer"}
        items = [Elm.literal(value) for value in values]
        return {
            "type": "List",
            "element": items,
            "resultTypeSpecifier": {"type": "ListTypeSpecifier", "elementType": kind},
        }

    @staticmethod
    def library(expression: Any, *, name: str = "Hand", define: str = "x", **sections: Any) -> dict[str, Any]:
        """Return a library with one define."""
        statements = [{"name": define, "context": "Patient", "expression": expression, "locator": "1:1-1:9"}]
        usings = [{"localIdentifier": "System", "uri": "urn:hl7-org:elm-types:r1"}]
        usings.append({"localIdentifier": "FHIR", "uri": "http://hl7.org/fhir", "version": "4.0.1"})
        body = {"identifier": {"id": name, "version": "1"}, "usings": {"def": usings}}
        body |= {section: {"def": entries} for section, entries in sections.items() if section != "more"}
        return {"library": {**body, "statements": {"def": [*statements, *sections.get("more", [])]}}}

    @staticmethod
    def value(expression: Any, resources: Any = (), **sections: Any) -> Any:
        """Return the value of an expression."""
        program = Program.load([Elm.library(expression, **sections)], VALUESETS)
        return program.evaluate(list(resources), NOW).value("Hand", "x")
