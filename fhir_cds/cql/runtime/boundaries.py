"""Comparing the boundaries of intervals, each a pair of points it can be (CQL reference, "Interval Operators").

With a precision, dates and times are compared at that precision.
"""

from __future__ import annotations

from fhir_cds.cql.runtime.comparison import both, negate
from fhir_cds.cql.runtime.interval import Interval, Span, end_span, start_span
from fhir_cds.cql.runtime.points import predecessor, successor
from fhir_cds.cql.runtime.temporal import PRECISION_INDEX
from fhir_cds.cql.runtime.temporal_ops import TEMPORAL, keys, order_at

Answer = bool | None


def before(left: Span, right: Span, precision: str | None = None) -> Answer:
    """Tell whether a boundary lies before another."""
    if left.low is left.high and right.low is right.high:
        sign = order_at(left.low, right.low, precision)
        return None if sign is None else sign < 0
    if order_at(left.high, right.low, precision) == -1:
        return True
    return False if order_at(left.low, right.high, precision) in (0, 1) else None


def not_after(left: Span, right: Span, precision: str | None = None) -> Answer:
    """Tell whether a boundary lies before another or is the same point."""
    return negate(before(right, left, precision))


def same(left: Span, right: Span, precision: str | None = None) -> Answer:
    """Tell whether two boundaries are the same point."""
    return both(not_after(left, right, precision), not_after(right, left, precision))


def next_to(left: Span, right: Span, precision: str | None) -> Answer:
    """Tell whether the left boundary comes immediately before the right one, at a precision if one is given."""
    if None in left or None in right:
        return None
    if precision is not None and isinstance(left.low, TEMPORAL):
        index = PRECISION_INDEX[precision]
        low, _, least, _ = keys(left.low, right.low, index)
        _, high, _, greatest = keys(left.high, right.high, index)
        if high + 1 < least or low + 1 > greatest:
            return False
        return True if low + 1 == high + 1 == least == greatest else None
    if (left.low is left.high and successor(left.low) is None) or (
        right.low is right.high and predecessor(right.low) is None
    ):
        return False
    return same(left, Span(*(point if (moved := predecessor(point)) is None else moved for point in right)))


def known(value: Interval) -> tuple[Span, Span]:
    """Return start and end of an interval."""
    return start_span(value), end_span(value)
