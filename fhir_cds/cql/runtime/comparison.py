"""Order of CQL values: `<`, `<=`, `>`, `>=` (CQL reference, chapter "Comparison Operators").

`order` compares two values of an ordered type: -1, 0, 1, or None when that is not known (imprecise dates, units that
do not compare).
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from fhir_cds.cql.runtime import quantity, uncertainty
from fhir_cds.cql.runtime.numbers import Long
from fhir_cds.cql.runtime.quantity import Quantity
from fhir_cds.cql.runtime.temporal import Date, DateTime, Time, to_datetime
from fhir_cds.cql.runtime.uncertainty import Uncertainty


def _native(left: Any, right: Any) -> int | None:
    if type(right) not in NUMBERS:
        return uncertainty.order(left, right) if isinstance(right, Uncertainty) else _wrong(left, right)
    return int(left > right) - int(left < right)


def _text(left: Any, right: Any) -> int | None:
    return (left > right) - (left < right) if isinstance(right, str) else _wrong(left, right)


def _spans(left: Any, right: Any) -> int | None:
    if type(left) is not type(right):
        if isinstance(left, Date) and isinstance(right, DateTime):
            left = to_datetime(left, right.zone)
        elif isinstance(left, DateTime) and isinstance(right, Date):
            right = to_datetime(right, left.zone)
        else:
            return _wrong(left, right)
    if left.hi < right.lo:
        return -1
    if left.lo > right.hi:
        return 1
    return 0 if left.lo == right.lo and left.hi == right.hi else None


def _quantities(left: Any, right: Any) -> int | None:
    return quantity.compare(left, right) if isinstance(right, Quantity) else _wrong(left, right)


def _wrong(left: Any, right: Any) -> int | None:
    raise TypeError(f"{type(left).__name__} and {type(right).__name__} cannot be compared")


NUMBERS: Final = frozenset({int, Long, Decimal})
_ORDER: Final[dict[type, Callable[[Any, Any], int | None]]] = {
    int: _native,
    Long: _native,
    Decimal: _native,
    str: _text,
    Date: _spans,
    DateTime: _spans,
    Time: _spans,
    Quantity: _quantities,
    Uncertainty: uncertainty.order,
}


def order(left: Any, right: Any) -> int | None:
    """Return -1, 0 or 1; None when a value is null or the order is not known; raises TypeError for other types."""
    if left is None or right is None:
        return None
    return _ORDER.get(type(left), _wrong)(left, right)


def less(left: Any, right: Any) -> bool | None:
    """CQL `<`."""
    sign = order(left, right)
    return None if sign is None else sign < 0


def greater(left: Any, right: Any) -> bool | None:
    """CQL `>`."""
    sign = order(left, right)
    return None if sign is None else sign > 0


def less_or_equal(left: Any, right: Any) -> bool | None:
    """CQL `<=`; of an uncertainty true as soon as its greatest value is."""
    if left is None or right is None:
        return None
    if type(left) is Uncertainty or type(right) is Uncertainty:
        return uncertainty.at_most(left, right)
    sign = _ORDER.get(type(left), _wrong)(left, right)
    return None if sign is None else sign <= 0


def greater_or_equal(left: Any, right: Any) -> bool | None:
    """CQL `>=`."""
    return less_or_equal(right, left)


OPERATORS: Final[dict[str, Callable[..., Any]]] = {
    "Less": less,
    "LessOrEqual": less_or_equal,
    "Greater": greater,
    "GreaterOrEqual": greater_or_equal,
}
STATEFUL: Final[frozenset[str]] = frozenset()
