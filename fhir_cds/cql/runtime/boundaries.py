"""Comparing the boundaries of intervals, each a pair of points it can be (CQL reference, "Interval Operators").

With a precision, dates and times are compared at that precision.
"""

from __future__ import annotations

from typing import Any

from fhir_cds.cql.runtime.comparison import order
from fhir_cds.cql.runtime.interval import Interval, Span, end_span, start_span
from fhir_cds.cql.runtime.logical import and_
from fhir_cds.cql.runtime.points import predecessor, successor
from fhir_cds.cql.runtime.precision import PRECISION_INDEX
from fhir_cds.cql.runtime.temporal_ops import TEMPORAL, keys, order_at

Answer = bool | None


def before(left: Span, right: Span, precision: str | None = None) -> Answer:
    """Tell whether a boundary lies before another."""
    (low, high), (least, greatest) = left, right
    if low is high and least is greatest:
        sign = order(low, least) if precision is None else order_at(low, least, precision)
        return None if sign is None else sign < 0
    if order_at(high, least, precision) == -1:
        return True
    return False if order_at(low, greatest, precision) in (0, 1) else None


def not_after(left: Span, right: Span, precision: str | None = None) -> Answer:
    """Tell whether a boundary lies before another or is the same point."""
    answer = before(right, left, precision)
    return None if answer is None else not answer


def same(left: Span, right: Span, precision: str | None = None) -> Answer:
    """Tell whether two boundaries are the same point."""
    return and_(not_after(left, right, precision), not_after(right, left, precision))


def next_to(left: Span, right: Span, precision: str | None) -> Answer:
    """Tell whether the left boundary comes immediately before the right one, at a precision if one is given."""
    (first, last), (least, greatest) = left, right
    if None in (first, last, least, greatest):
        return None
    if precision is not None and isinstance(first, TEMPORAL):
        index = PRECISION_INDEX[precision]
        one, _, other, _ = keys(first, least, index)
        _, two, _, another = keys(last, greatest, index)
        if two + 1 < other or one + 1 > another:
            return False
        return True if one + 1 == two + 1 == other == another else None
    if (first is last and successor(first) is None) or (least is greatest and predecessor(least) is None):
        return False
    return same(left, (_before_or_itself(least), _before_or_itself(greatest)))


def _before_or_itself(point: Any) -> Any:
    """Return the point before, the point itself when it is the first."""
    moved = predecessor(point)
    return point if moved is None else moved


def known(value: Interval) -> tuple[Span, Span]:
    """Return start and end of an interval."""
    return start_span(value), end_span(value)
