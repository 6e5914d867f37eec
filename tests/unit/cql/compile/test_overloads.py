"""Which overload of a function is called, and instances of system classes."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from fhir_cds.cql import to_json
from fhir_cds.errors import ElmError, EvaluationError

from .elm_builders import FHIR, SYSTEM, named


def _overloads(write: Any, argument: Any, *kinds: str, signature: str | None = None) -> Any:
    functions = [
        {
            "type": "FunctionDef",
            "name": "f",
            "context": "Patient",
            "operand": [{"name": "a", "operandType": SYSTEM + kind}],
            "expression": write.literal(kind),
        }
        for kind in kinds
    ]
    call: dict[str, Any] = {"type": "FunctionRef", "name": "f", "operand": [argument]}
    if signature:
        call["signature"] = [named(SYSTEM + signature)]
    return write.value(call, more=functions)


def test_overload_by_signature_and_by_type(write: Any) -> None:
    """The signature decides, else the static types of the operands; what stays open is refused."""
    assert _overloads(write, write.literal(1), "Integer", "String") == "Integer"
    assert _overloads(write, {"type": "Null"}, "Integer", "String", signature="String") == "String"
    assert _overloads(write, write.literal(1), "Any") == "Any"
    assert _overloads(write, write.literal(1), "Decimal") == "Decimal"
    with pytest.raises(ElmError, match="no single overload"):
        _overloads(write, {"type": "Null"}, "Integer", "String")
    with pytest.raises(ElmError, match="no single overload"):
        _overloads(write, write.literal(True), "Integer", "String")


def test_choice_operands_say_their_type(write: Any) -> None:
    """A FHIR value given to an operand of a choice type can be asked for its type inside."""
    choice = {"type": "ChoiceTypeSpecifier", "choice": [named(FHIR + "Quantity"), named(FHIR + "string")]}
    function = {
        "type": "FunctionDef",
        "name": "f",
        "context": "Patient",
        "operand": [{"name": "a", "operandTypeSpecifier": choice}],
        "expression": write.node("Is", {"type": "OperandRef", "name": "a"}, isType=FHIR + "Quantity"),
    }
    quantity = {"type": "Instance", "classType": FHIR + "Quantity", "element": []}
    text = {
        "type": "Instance",
        "classType": FHIR + "string",
        "element": [{"name": "value", "value": write.literal("t")}],
    }
    call = {"type": "FunctionRef", "name": "f"}
    assert write.value({**call, "operand": [quantity]}, more=[function]) is True
    assert write.value({**call, "operand": [text]}, more=[function]) is False


def test_external_functions(write: Any, patient: list[dict[str, Any]]) -> None:
    """External functions the engine brings work; others are refused at load."""
    body = {"type": "FunctionDef", "name": "resolve", "context": "Patient", "external": True}
    external = {**body, "operand": [{"name": "r", "operandType": FHIR + "Reference"}]}
    made = {"type": "Instance", "classType": FHIR + "Reference"}
    made["element"] = [{"name": "reference", "value": write.literal("http://example.org/fhir/Condition/c1")}]
    call = {"type": "FunctionRef", "name": "resolve", "operand": [made]}
    assert write.value(call, patient, more=[external])["id"] == "c1"
    with pytest.raises(ElmError, match=r"external function Hand\.other is not known"):
        write.value({**call, "name": "other"}, more=[{**external, "name": "other"}])


@pytest.mark.parametrize(
    ("kind", "elements", "expected"),
    [
        ("Ratio", {"numerator": ("Quantity", {}), "denominator": ("Quantity", {})}, None),
        ("ValueSet", {"id": "v", "version": "1"}, {"id": "v"}),
        ("CodeSystem", {"id": "s"}, {"id": "s"}),
        ("Concept", {"display": "d"}, {"codes": [], "display": "d"}),
    ],
)
def test_system_instances(write: Any, kind: str, elements: dict[str, Any], expected: Any) -> None:
    """System structures are built from their elements."""

    def element(value: Any) -> Any:
        if isinstance(value, tuple):
            number = {"name": "value", "value": write.literal(Decimal("2.0"))}
            return {"type": "Instance", "classType": SYSTEM + value[0], "element": [number]}
        return write.literal(value)

    parts = [{"name": name, "value": element(value)} for name, value in elements.items()]
    built = to_json(write.value({"type": "Instance", "classType": SYSTEM + kind, "element": parts}))
    half = {"value": Decimal("2.0"), "unit": "1"}
    assert built == (expected or {"numerator": half, "denominator": half})


def test_instances_that_cannot_be(write: Any) -> None:
    """A system class without elements cannot be instantiated; a choice element needs one of its types."""
    with pytest.raises(EvaluationError, match="cannot be instantiated"):
        write.value({"type": "Instance", "classType": SYSTEM + "Integer", "element": []})
    wrong = [{"name": "value", "value": write.literal(1)}]
    with pytest.raises(EvaluationError, match="needs a FHIR value"):
        write.value({"type": "Instance", "classType": FHIR + "Observation", "element": wrong})
    empty = [{"name": "value", "value": {"type": "Null"}}, {"name": "id", "value": write.literal("i")}]
    node = {"type": "Instance", "classType": FHIR + "Observation", "element": empty}
    assert write.value(node) == {"resourceType": "Observation", "id": "i"}
