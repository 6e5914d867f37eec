"""Equality of CQL values: `=` and `!=` over every type, with three outcomes (CQL reference, "Equal")."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from fhir_cds.cql.runtime.clinical import Code, CodeSystem, Concept, ValueSet
from fhir_cds.cql.runtime.comparison import NUMBERS, order
from fhir_cds.cql.runtime.interval import Interval, Span, end_span, start_span
from fhir_cds.cql.runtime.logical import and_, not_
from fhir_cds.cql.runtime.numbers import Long
from fhir_cds.cql.runtime.quantity import Quantity, Ratio
from fhir_cds.cql.runtime.temporal import Date, DateTime, Time
from fhir_cds.cql.runtime.uncertainty import Uncertainty


def equal(left: Any, right: Any) -> bool | None:
    """CQL `=`: null when a value is null, or when it cannot be told."""
    if left is None or right is None:
        return None
    test = _EQUAL.get(type(left))
    if test is None:
        return bool(left == right)
    return test(left, right)


def not_equal(left: Any, right: Any) -> bool | None:
    """CQL `!=`."""
    return not_(equal(left, right))


def same_or_null(left: Any, right: Any) -> bool | None:
    """Equality as lists and tuples use it for their elements: two nulls are equal."""
    return True if left is None and right is None else equal(left, right)


def _same_native(left: Any, right: Any) -> bool | None:
    kind = type(right)
    if kind in NUMBERS:
        return bool(left == right)
    return _by_order(left, right) if kind is Uncertainty else False


def _by_order(left: Any, right: Any) -> bool | None:
    sign = order(left, right)
    return None if sign is None else sign == 0


def _same_spans(left: Any, right: Any) -> bool | None:
    if type(left) is type(right):
        if left.lo == right.lo and left.hi == right.hi:
            return True
    elif isinstance(left, Time) or not isinstance(right, Date | DateTime):
        return False
    return _by_order(left, right)


def _same_quantity(left: Any, right: Any) -> bool | None:
    return _by_order(left, right) if isinstance(right, Quantity) else False


def _same_uncertainty(left: Any, right: Any) -> bool | None:
    return _by_order(left, right) if type(right) in NUMBERS or isinstance(right, Uncertainty) else False


def _same_boolean(left: Any, right: Any) -> bool:
    return left is right


def in_order(pairs: Any) -> bool | None:
    """Return the first answer that is not true among pairs of elements, taken in order; true when all are."""
    for left, right in pairs:
        answer = same_or_null(left, right)
        if answer is not True:
            return answer
    return True


def _same_list(left: Any, right: Any) -> bool | None:
    if not isinstance(right, list):
        return False
    return in_order(zip(left, right, strict=True)) if len(left) == len(right) else False


def _same_tuple(left: Any, right: Any) -> bool | None:
    if left is right:
        return True
    if not isinstance(right, dict):
        return False
    names = [*left, *(name for name in right if name not in left)]
    return in_order((left.get(name), right.get(name)) for name in names)


def _same_code(left: Any, right: Any) -> bool | None:
    if not isinstance(right, Code):
        return False
    return in_order(
        (
            (left.code, right.code),
            (left.system, right.system),
            (left.version, right.version),
            (left.display, right.display),
        )
    )


def _same_concept(left: Any, right: Any) -> bool | None:
    if not isinstance(right, Concept):
        return False
    return in_order(((list(left.codes), list(right.codes)), (left.display, right.display)))


def _same_vocabulary(left: Any, right: Any) -> bool | None:
    return in_order(((left.id, right.id), (left.version, right.version))) if type(left) is type(right) else False


def _same_ratio(left: Any, right: Any) -> bool | None:
    if not isinstance(right, Ratio):
        return False
    return and_(_by_order(left.numerator, right.numerator), _by_order(left.denominator, right.denominator))


def same_point(left: Span, right: Span) -> bool | None:
    """Tell whether two boundaries are the same point; null when they may be but need not."""
    (low, high), (least, greatest) = left, right
    if low is high and least is greatest:
        return equal(low, least)
    if order(high, least) == -1 or order(low, greatest) == 1:
        return False
    known = order(low, high) == 0 and order(least, greatest) == 0
    return equal(low, least) if known else None


def _same_interval(left: Any, right: Any) -> bool | None:
    if not isinstance(right, Interval):
        return False
    return and_(
        same_point(start_span(left), start_span(right)),
        same_point(end_span(left), end_span(right)),
    )


_EQUAL: Final[dict[type, Callable[[Any, Any], bool | None]]] = {
    bool: _same_boolean,
    int: _same_native,
    Long: _same_native,
    Decimal: _same_native,
    Date: _same_spans,
    DateTime: _same_spans,
    Time: _same_spans,
    Quantity: _same_quantity,
    Uncertainty: _same_uncertainty,
    Ratio: _same_ratio,
    Code: _same_code,
    Concept: _same_concept,
    ValueSet: _same_vocabulary,
    CodeSystem: _same_vocabulary,
    Interval: _same_interval,
    list: _same_list,
    dict: _same_tuple,
}

OPERATORS: Final[dict[str, Callable[..., Any]]] = {
    "Equal": equal,
    "NotEqual": not_equal,
}
STATEFUL: Final[frozenset[str]] = frozenset()
