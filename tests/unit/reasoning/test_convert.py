"""CQL values as FHIR elements, and the data of actions: the rarer forms."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from fhir_cds.cql import Code, Concept, Date, Interval, Quantity, Ratio, ValueSet
from fhir_cds.cql.runtime.temporal_text import parse_datetime, parse_time
from fhir_cds.cql.runtime.typed import Typed
from fhir_cds.errors import ContentError
from fhir_cds.reasoning.convert import Element, element

A = Code("a", "http://s", "1", "Letter A")


@pytest.mark.parametrize(
    ("value", "target", "expected"),
    [
        (True, "", Element("boolean", True)),
        (3, "", Element("integer", 3)),
        (Decimal("1.50"), "", Element("decimal", Decimal("1.50"))),
        ("x", "", Element("string", "x")),
        (Date.of(2026, 1), "", Element("date", "2026-01")),
        (parse_datetime("2026-01-02", 0), "", Element("dateTime", "2026-01-02")),
        (parse_datetime("2026-01-02T03:04:05.678Z", 0), "", Element("dateTime", "2026-01-02T03:04:05.678+00:00")),
        (parse_time("03:04"), "", Element("time", "03:04:00")),
        (A, "intent", Element("code", "a")),
        (Concept((), "none"), "status", Element("code", None)),
        (A, "tag", Element("Coding", {"system": "http://s", "version": "1", "code": "a", "display": "Letter A"})),
        (Quantity(Decimal(2)), "", Element("Quantity", {"value": Decimal(2)})),
        (
            Ratio(Quantity(Decimal(1)), Quantity(Decimal(2))),
            "",
            Element("Ratio", {"numerator": {"value": Decimal(1)}, "denominator": {"value": Decimal(2)}}),
        ),
        (Interval(1, 2), "", Element("Range", {"low": {"value": 1}, "high": {"value": 2}})),
        (Interval(Date.of(2026, 1, 1), None), "", Element("Period", {"start": "2026-01-01"})),
        (Typed("FHIR.dateTime", "2026"), "", Element("dateTime", "2026")),
        ([1, None, 2], "", Element("integer", [1, 2])),
        ([], "", Element(None, [])),
    ],
)
def test_values_as_elements(value: Any, target: str, expected: Element) -> None:
    """DV-05: each CQL type has its FHIR type; codes take the form that the target element has."""
    assert element(value, target) == expected


@pytest.mark.parametrize("value", [ValueSet("http://v"), Interval(None, None), Interval("a", "b")])
def test_values_without_a_place(value: Any) -> None:
    """DV-05: a value that no element can hold is refused, without quoting it."""
    with pytest.raises(ContentError, match="has no place"):
        element(value)
