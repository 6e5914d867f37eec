"""Neighbours and limits of the types that intervals are made of.

CQL reference, "Successor", "Predecessor", "Minimum" and "Maximum": the step of an Integer or Long is 1, of a Decimal
0.00000001, of a Quantity that of its Decimal (ELM does not tell 5 from 5.0), of dates and times one unit of their
precision.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from fhir_cds.cql.runtime import calendar_arithmetic
from fhir_cds.cql.runtime.numbers import (
    CONTEXT,
    MAX_DECIMAL,
    MAX_INTEGER,
    MAX_LONG,
    MIN_DECIMAL,
    MIN_INTEGER,
    MIN_LONG,
    STEP,
    Long,
    decimal,
    integer,
    long,
)
from fhir_cds.cql.runtime.quantity import Quantity
from fhir_cds.cql.runtime.temporal import Date, DateTime, Time

MINIMUM: Final[dict[str, Any]] = {
    "Integer": MIN_INTEGER,
    "Long": Long(MIN_LONG),
    "Decimal": MIN_DECIMAL,
    "Quantity": Quantity(MIN_DECIMAL),
    "Date": Date.MIN,
    "DateTime": DateTime.MIN,
    "Time": Time.MIN,
}
MAXIMUM: Final[dict[str, Any]] = {
    "Integer": MAX_INTEGER,
    "Long": Long(MAX_LONG),
    "Decimal": MAX_DECIMAL,
    "Quantity": Quantity(MAX_DECIMAL),
    "Date": Date.MAX,
    "DateTime": DateTime.MAX,
    "Time": Time.MAX,
}


def _decimal(value: Decimal, sign: int) -> Decimal | None:
    return decimal(CONTEXT.add(value, STEP if sign > 0 else -STEP))


def _quantity(value: Quantity, sign: int) -> Quantity | None:
    moved = _decimal(value.value, sign)
    return None if moved is None else Quantity(moved, value.unit)


_NEXT: Final[dict[type, Callable[[Any, int], Any]]] = {
    int: lambda value, sign: integer(value + sign),
    Long: lambda value, sign: long(value + sign),
    Decimal: _decimal,
    Quantity: _quantity,
    Date: calendar_arithmetic.neighbour,
    DateTime: calendar_arithmetic.neighbour,
    Time: calendar_arithmetic.neighbour,
}


def successor(value: Any) -> Any:
    """Return the next value of the type, None for null and after the last; raises TypeError for other types."""
    return _step(value, 1)


def predecessor(value: Any) -> Any:
    """Return the value before, None for null and before the first; raises TypeError for other types."""
    return _step(value, -1)


def _step(value: Any, sign: int) -> Any:
    if value is None:
        return None
    step = _NEXT.get(type(value))
    if step is None:
        raise TypeError(f"values of type {type(value).__name__} have no next or previous value")
    return step(value, sign)
