"""Dynamic values: paths, values of CQL as FHIR, what goes wrong (apply.md DV-01 .. DV-05)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from fhir_cds.cql.runtime.clinical import Code, Concept
from fhir_cds.cql.runtime.interval import Interval
from fhir_cds.cql.runtime.quantity import Quantity
from fhir_cds.cql.runtime.temporal import Date
from fhir_cds.cql.runtime.temporal_text import parse_datetime

from .support import SCAN, Define, action, activity, by_id, dynamic, plan, run


def test_dv_01_order_of_dynamic_values() -> None:
    """DV-01: those of the ActivityDefinition first, then those of the action, each in order."""
    definition = activity(dynamicValue=[dynamic("code.text", "One"), dynamic("patientInstruction", "One")])
    subject = plan(action("a", definitionCanonical=SCAN, dynamicValue=[dynamic("code.text", "Other")]))
    applied = run(subject, definition, defines={"One": Define("one"), "Other": Define("two")})
    resource = by_id(applied)["a"].resource
    assert (resource["code"]["text"], resource["patientInstruction"]) == ("two", "one")


@pytest.mark.parametrize("prefix", ["%action.", "action."])
def test_dv_02_paths_to_the_action(prefix: str) -> None:
    """DV-02: `%action.` and `action.` edit the action; without a request every path does."""
    paths = [dynamic(f"{prefix}title", "T"), dynamic(f"{prefix}priority", "P")]
    applied = run(
        plan(
            action("a", definitionCanonical=SCAN, dynamicValue=paths),
            action("b", dynamicValue=[dynamic("description", "T")]),
        ),
        activity(),
        defines={"T": Define("new"), "P": Define("stat")},
    )
    made = by_id(applied)
    assert (made["a"].values["title"], made["a"].values["priority"]) == ("new", "stat")
    assert made["b"].values["description"] == "new"
    assert "title" not in made["a"].resource


NOV = Date.of(2026, 11, 5)


CODE = Code("1", "http://s", None, "One")


@pytest.mark.parametrize(
    ("kind", "path", "value", "expected"),
    [
        ("CommunicationRequest", "payload[0].contentString", "hi", {"payload": [{"contentString": "hi"}]}),
        (
            "ServiceRequest",
            "code.coding[0]",
            CODE,
            {"code": {"coding": [{"system": "http://s", "code": "1", "display": "One"}]}},
        ),
        (
            "ServiceRequest",
            "reasonCode[0].coding[0]",
            CODE,
            {"reasonCode": [{"coding": [{"system": "http://s", "code": "1", "display": "One"}]}]},
        ),
        ("ServiceRequest", "occurrenceDateTime", NOV, {"occurrenceDateTime": "2026-11-05"}),
        ("ServiceRequest", "occurrence[x]", NOV, {"occurrenceDateTime": "2026-11-05"}),
        (
            "ServiceRequest",
            "occurrence",
            Interval(NOV, NOV, True, True),
            {"occurrencePeriod": {"start": "2026-11-05", "end": "2026-11-05"}},
        ),
        ("ServiceRequest", "patientInstruction.ofType(string)", Decimal("1.50"), {"patientInstruction": "1.50"}),
        ("ServiceRequest", "priority", Code("stat", "http://s"), {"priority": "stat"}),
        ("ServiceRequest", "asNeededBoolean", True, {"asNeededBoolean": True}),
    ],
)
def test_dv_03_forms_of_paths(kind: str, path: str, value: Any, expected: dict[str, Any]) -> None:
    """DV-03: the path forms that real content uses."""
    applied = run(
        plan(action("a", definitionCanonical=SCAN, dynamicValue=[dynamic(path, "V")])),
        activity(kind=kind),
        defines={"V": Define(value)},
    )
    assert applied.issues == ()
    assert expected.items() <= by_id(applied)["a"].resource.items()


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("%action.timingTiming", {"repeat": {"count": 3}}, {"timingTiming": {"repeat": {"count": 3}}}),
        (
            "%action.code[0].coding[0]",
            CODE,
            {"code": [{"coding": [{"system": "http://s", "code": "1", "display": "One"}]}]},
        ),
        ("%action.extension", {"url": "u", "valueString": "s"}, {"extension": [{"url": "u", "valueString": "s"}]}),
        ("%action.timing", NOV, {"timingDateTime": "2026-11-05"}),
    ],
)
def test_dv_03_forms_of_paths_on_the_action(path: str, value: Any, expected: dict[str, Any]) -> None:
    """DV-03: the same on the action."""
    applied = run(plan(action("a", dynamicValue=[dynamic(path, "V")])), defines={"V": Define(value)})
    assert applied.issues == ()
    assert expected.items() <= by_id(applied)["a"].values.items()


def test_dv_04_null_several_and_errors() -> None:
    """DV-04: null is left out with a warning, several need a list, an error is an issue; the rest goes on."""
    values = [
        dynamic("%action.title", "Null"),
        dynamic("%action.title", "Several"),
        dynamic("reasonCode", "Concepts"),
        dynamic("%action.title", "Broken"),
        dynamic("%action.description", "Last"),
    ]
    concepts = [Concept((CODE,), "x"), Concept((CODE,), "y")]
    applied = run(
        plan(action("a", definitionCanonical=SCAN, dynamicValue=values)),
        activity(),
        defines={"Several": Define(["a", "b"]), "Concepts": Define(concepts), "Last": Define("end")},
    )
    made = by_id(applied)["a"]
    assert (made.values["title"], made.values["description"]) == ("A", "end")
    assert [concept["text"] for concept in made.resource["reasonCode"]] == ["x", "y"]
    assert [(i["severity"], i["expression"][0][-15:]) for i in applied.issues] == [
        ("warning", "dynamicValue[0]"),
        ("error", "dynamicValue[1]"),
        ("error", "dynamicValue[3]"),
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (parse_datetime("2026-01-02T03:04", 60), "2026-01-02T03:04:00+01:00"),
        (
            Quantity(Decimal("1.50"), "mg"),
            {"value": Decimal("1.50"), "unit": "mg", "system": "http://unitsofmeasure.org", "code": "mg"},
        ),
        (
            Quantity(Decimal(3), "months"),
            {"value": Decimal(3), "unit": "months", "system": "http://unitsofmeasure.org", "code": "mo"},
        ),
        (Concept((CODE,), "c"), {"coding": [{"system": "http://s", "code": "1", "display": "One"}], "text": "c"}),
        (
            Interval(Quantity(Decimal(1), "cm"), None),
            {"low": {"value": Decimal(1), "unit": "cm", "system": "http://unitsofmeasure.org", "code": "cm"}},
        ),
        (
            {"text": "t", "coding": [CODE]},
            {"text": "t", "coding": [{"system": "http://s", "code": "1", "display": "One"}]},
        ),
        ({"resourceType": "Condition", "id": "c"}, {"reference": "Condition/c"}),
    ],
)
def test_dv_05_cql_values_as_fhir(value: Any, expected: Any) -> None:
    """DV-05: date-times, quantities, concepts, intervals, tuples and resources as FHIR elements."""
    applied = run(plan(action("a", dynamicValue=[dynamic("%action.x", "V")])), defines={"V": Define(value)})
    assert by_id(applied)["a"].values["x"] == expected
