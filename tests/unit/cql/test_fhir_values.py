"""FHIR JSON as CQL values: types, casts, properties, children, external functions; the model table."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fhir_cds.cql import Code, Concept, Interval, Long, Quantity, Ratio, Uncertainty, ValueSet
from fhir_cds.cql.modelinfo import (
    element_type,
    is_resource,
    is_subtype,
    known_type,
    model_type,
    primitive_of,
)
from fhir_cds.cql.modelinfo.generate import generate, is_fresh, main
from fhir_cds.cql.runtime import elements, fhir_helpers, primitives, typed
from fhir_cds.cql.runtime.temporal_text import parse_date, parse_datetime
from fhir_cds.cql.runtime.typed import Typed
from fhir_cds.cql.typesys import (
    ANY,
    BOOLEAN,
    DECIMAL,
    INTEGER,
    LONG,
    QUANTITY,
    STRING,
    ChoiceOf,
    IntervalOf,
    ListOf,
    Named,
    TupleOf,
)

PATIENT = {"resourceType": "Patient", "id": "p"}
FHIR_QUANTITY = Named("FHIR.Quantity")


class State(SimpleNamespace):
    """A state that counts steps."""

    steps = 0

    def spend(self, steps: int) -> None:
        """Count."""
        self.steps += steps


STATE = State(offset=0, resources=[PATIENT, {"resourceType": "Condition", "id": "c"}])


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (None, ANY, False),
        (1, ANY, True),
        (1, INTEGER, True),
        (True, INTEGER, False),
        (True, BOOLEAN, True),
        (Long(1), INTEGER, False),
        (Long(1), LONG, True),
        (Uncertainty(1, 2), INTEGER, True),
        (Decimal(1), DECIMAL, True),
        ("x", STRING, True),
        ("x", Named("FHIR.string"), False),
        (ValueSet("v"), Named("System.Vocabulary"), True),
        (PATIENT, Named("FHIR.Patient"), True),
        (PATIENT, Named("FHIR.DomainResource"), True),
        (PATIENT, Named("FHIR.Observation"), False),
        (PATIENT, QUANTITY, False),
        ({"value": 1}, FHIR_QUANTITY, True),
        ({"value": 1}, Named("FHIR.Patient"), False),
        (Typed("FHIR.Age", {}), FHIR_QUANTITY, True),
        (Typed("FHIR.Quantity", {}), Named("FHIR.Age"), False),
        (1, ChoiceOf((STRING, INTEGER)), True),
        (Decimal(1), ChoiceOf((STRING, INTEGER)), False),
        ([1, None], ListOf(INTEGER), True),
        ([1, "x"], ListOf(INTEGER), False),
        (1, ListOf(INTEGER), False),
        (Interval(1, 2), IntervalOf(INTEGER), True),
        (Interval(1, 2), IntervalOf(STRING), False),
        (Interval(None, None, True, True, "Integer"), IntervalOf(INTEGER), True),
        (Interval(None, None, True, True, "Integer"), IntervalOf(STRING), False),
        (1, IntervalOf(INTEGER), False),
        ({"a": 1}, TupleOf((("a", INTEGER), ("b", STRING))), True),
        ({"a": "x"}, TupleOf((("a", INTEGER),)), False),
        ({"z": 1}, TupleOf((("a", INTEGER),)), False),
    ],
)
def test_is_type(value: Any, kind: Any, expected: bool) -> None:
    """Each value is of the types it is of, and null of none."""
    assert typed.is_type(value, kind) is expected


def test_casts() -> None:
    """As gives null, cast an error; quantity values are unwrapped; lists item by item."""
    quantity = Typed("FHIR.Quantity", {"value": 1})
    assert typed.as_type(quantity, FHIR_QUANTITY) == {"value": 1}
    assert typed.as_type(quantity, Named("FHIR.string")) is None
    assert typed.as_type(quantity, ANY) is quantity
    assert typed.as_type([quantity, Typed("FHIR.string", "x")], ListOf(FHIR_QUANTITY)) == [{"value": 1}, None]
    assert typed.cast_type(None, INTEGER) is None
    assert typed.cast_type(1, INTEGER) == 1
    with pytest.raises(TypeError, match=r"cannot be cast to System\.Integer"):
        typed.cast_type("x", INTEGER)


def test_describe() -> None:
    """Elements and primitives get their type along, resources and system values say their own."""
    assert typed.describe("2020", Named("FHIR.dateTime")) == Typed("FHIR.dateTime", "2020")
    assert typed.describe(["x", None], ListOf(Named("FHIR.string"))) == [Typed("FHIR.string", "x"), None]
    assert typed.describe(PATIENT, Named("FHIR.Patient")) is PATIENT
    assert typed.describe("x", STRING) == "x"


def test_dynamic_properties() -> None:
    """Elements of values whose type is only known at evaluation."""
    observation = {"resourceType": "Observation", "valueString": "x", "code": {"text": "t"}}
    read = elements.dynamic_property
    assert read(STATE, None, "x") is None
    assert read(STATE, observation, "value") == Typed("FHIR.string", "x")
    assert read(STATE, read(STATE, observation, "value"), "value") == "x"
    assert read(STATE, read(STATE, observation, "value"), "extension") is None
    assert read(STATE, read(STATE, observation, "code"), "text") == Typed("FHIR.string", "t")
    assert read(STATE, Typed("FHIR.dateTime", "2020"), "value") == parse_datetime("2020", 0)
    assert read(STATE, {"a": 1}, "a") == 1
    assert read(STATE, [{"a": 1}, {"a": [2, 3]}, {}], "a") == [1, 2, 3]
    assert read(STATE, Quantity(Decimal(1), "mg"), "unit") == "mg"
    assert read(STATE, Quantity(Decimal(1), "mg"), "colour") is None
    assert read(STATE, {"resourceType": "Observation"}, "value") is None
    assert elements.system_property(Concept((Code("c"),)), "codes") == [Code("c")]


def test_primitives() -> None:
    """Primitives become CQL values; text that is none becomes null."""
    assert primitives.to_decimal(5) == Decimal(5)
    assert primitives.to_decimal("5.0") == Decimal("5.0")
    assert primitives.to_decimal(True) is None
    assert primitives.to_date("garbage") is None
    assert primitives.primitive(STATE, "FHIR.date", "2020-01") == parse_date("2020-01")
    assert primitives.primitive(STATE, "FHIR.code", "x") == "x"
    assert elements.first_key({"b": 2}, ("a", "b")) == 2
    assert elements.primitive_part(None, "_a", "id") is None
    assert elements.primitive_part({"_a": {"id": "i"}}, "_a", "id") == "i"


def test_children_and_descendants() -> None:
    """Children are one level down, descendants all; choices and nested elements keep their types."""
    component = {"code": {"text": "t"}, "valueQuantity": {"value": Decimal(1)}}
    observation = {"resourceType": "Observation", "status": "final", "_status": {}, "component": [component], "x": 1}
    found = elements.children(STATE, observation)
    assert found == [Typed("FHIR.ObservationStatus", "final"), Typed("FHIR.Observation.Component", component), 1]
    assert Typed("FHIR.Quantity", {"value": Decimal(1)}) in (elements.children(STATE, found[1]) or [])
    everything = elements.descendants(STATE, observation)
    assert everything is not None
    assert Typed("FHIR.decimal", Decimal(1)) in everything
    assert Typed("FHIR.string", "t") in everything
    assert elements.children(STATE, None) is None
    assert elements.descendants(STATE, None) is None
    assert elements.children(STATE, 5) == []
    assert elements.children(STATE, Interval(1, 2)) == [1, True, 2, True]
    assert elements.children(STATE, [Quantity(Decimal(1), "mg")]) == [Decimal(1), "mg"]
    ratio = Ratio(Quantity(Decimal(1), "mg"), Quantity(Decimal(2), "mg"))
    assert len(elements.descendants(STATE, ratio) or []) == 6
    assert elements.children(STATE, {"a": 1, "b": [2, 3]}) == [1, 2, 3]


def test_external_functions() -> None:
    """The functions FHIRHelpers declares external, on values of every form."""
    element = {
        "extension": [{"url": "u", "valueCode": "c"}, {"url": "v"}, {"url": "v"}],
        "modifierExtension": [{"url": "m"}],
    }
    assert fhir_helpers.extension(STATE, element, "u") == {"url": "u", "valueCode": "c"}
    assert fhir_helpers.extension(STATE, Typed("FHIR.Quantity", element), "none") is None
    with pytest.raises(ValueError, match="more than one"):
        fhir_helpers.extension(STATE, element, "v")
    assert fhir_helpers.extensions(STATE, "text", "u") is None
    assert fhir_helpers.extensions(STATE, element, None) is None
    assert fhir_helpers.modifier_extension(STATE, element, "m") == {"url": "m"}
    assert fhir_helpers.modifier_extensions(STATE, 5, "m") is None
    assert fhir_helpers.has_value(STATE, "x")
    assert not fhir_helpers.has_value(STATE, None)
    assert not fhir_helpers.has_value(STATE, Typed("FHIR.Quantity", {}))
    assert fhir_helpers.get_value(STATE, Typed("FHIR.date", "2020")) == parse_date("2020")
    assert fhir_helpers.get_value(STATE, Typed("FHIR.Quantity", {})) is None
    assert fhir_helpers.get_value(STATE, "x") == "x"
    assert fhir_helpers.get_value(STATE, {}) is None
    assert fhir_helpers.reference(STATE, "Patient/p") == {"reference": "Patient/p"}
    assert fhir_helpers.reference(STATE, PATIENT) == {"reference": "Patient/p"}
    assert fhir_helpers.reference(STATE, {"reference": "x"}) == {"reference": "x"}
    assert fhir_helpers.reference(STATE, None) is None
    assert fhir_helpers.resolve(STATE, {"reference": "Condition/c"}) == {"resourceType": "Condition", "id": "c"}
    assert fhir_helpers.resolve(STATE, "Patient/other") is None
    assert fhir_helpers.resolve(STATE, {"identifier": {}}) is None
    assert fhir_helpers.to_value_set("v") == ValueSet("v")
    assert fhir_helpers.to_value_set(None) is None
    assert fhir_helpers.quantity_ignoring_comparator({"value": 1, "comparator": "<"}) == Quantity(Decimal(1), "1")
    assert fhir_helpers.calendar_unit(None) is None


def test_model_types() -> None:
    """Elements (inherited ones too), choices, primitives and code paths of FHIR 4.0.1."""
    observation = model_type("FHIR.Observation")
    assert observation is not None
    assert observation.code_path == "code"
    assert element_type("FHIR.Observation", "id") == Named("FHIR.id")
    assert element_type("FHIR.Observation", "category") == ListOf(Named("FHIR.CodeableConcept"))
    assert isinstance(element_type("FHIR.Observation", "value"), ChoiceOf)
    assert element_type("FHIR.Observation", "colour") is None
    assert element_type("FHIR.instant", "value") == Named("System.DateTime")
    assert element_type("System.Concept", "codes") == ListOf(Named("System.Code"))
    assert element_type("System.Concept", "colour") is None
    assert primitive_of("FHIR.positiveInt") == "Integer"
    assert primitive_of("FHIR.Quantity") is None
    assert is_subtype("FHIR.Age", "FHIR.Element")
    assert not is_subtype("FHIR.Quantity", "FHIR.Age")
    assert is_resource("FHIR.Patient")
    assert not is_resource("FHIR.Quantity")
    assert known_type("System.Integer")
    assert not known_type("System.Colour")
    assert not known_type("FHIR.Colour")
    assert known_type("FHIR.Patient")


MODEL = """<modelInfo xmlns="urn:hl7-org:elm-modelinfo:r1" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
 name="Toy" version="1" url="http://example.org/toy">
 <typeInfo xsi:type="ClassInfo" name="Thing" baseType="System.Any" primaryCodePath="code">
  <element name="code" elementType="Toy.text"/>
  <element name="many"><elementTypeSpecifier xsi:type="ListTypeSpecifier" elementType="Toy.text"/></element>
  <element name="either"><elementTypeSpecifier xsi:type="ChoiceTypeSpecifier">
   <choice xsi:type="NamedTypeSpecifier" namespace="Toy" name="text"/>
   <choice xsi:type="NamedTypeSpecifier" namespace="System" name="Integer"/></elementTypeSpecifier></element>
  <element name="lists"><elementTypeSpecifier xsi:type="ListTypeSpecifier">
   <elementTypeSpecifier xsi:type="NamedTypeSpecifier" name="text"/></elementTypeSpecifier></element>
  <element name="open"/>
 </typeInfo>
 <typeInfo xsi:type="ClassInfo" name="text" baseType="System.Any">
  <element name="value" elementType="System.String"/></typeInfo>
 <typeInfo xsi:type="ClassInfo" name="word" baseType="Toy.text"/>
</modelInfo>"""


def test_model_table_is_generated() -> None:
    """The compact table holds types, lists, choices, primitives and paths of the model info."""
    path, text = generate(MODEL)
    assert path.name == "toy-1.txt"
    assert text.splitlines()[1:] == [
        "Thing<System.Any@code|code:text,many:text*,either:text/System.Integer,lists:text*,open:System.Any",
        "text=String<System.Any",
        "word=String<text",
    ]
    with pytest.raises(ValueError, match="cannot hold"):
        generate(MODEL.replace('"ListTypeSpecifier"', '"TupleTypeSpecifier"'))


def test_check_of_the_model_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check fails while the table is absent or old, and writing it mends that."""
    monkeypatch.setattr("fhir_cds.cql.modelinfo.generate.__file__", str(tmp_path / "generate.py"))
    source = tmp_path / "toy.xml"
    source.write_text(MODEL, encoding="utf-8")
    assert not is_fresh(source)
    assert main([str(source), "--check"]) == 1
    assert main([str(source)]) == 0
    assert main([str(source), "--check"]) == 0
    (tmp_path / "toy-1.txt").write_text("old", encoding="utf-8")
    assert not is_fresh(source)
