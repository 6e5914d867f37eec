"""Interval operators of CQL (CQL reference, chapter "Interval Operators"), list overloads handed to `list_ops`.

Boundaries are compared as the pairs of points they can be (see `interval`), so an unknown bound gives null only where
it matters. With a precision, dates and times are compared at that precision.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from fhir_cds.cql.runtime import arithmetic, interval_sets, list_ops
from fhir_cds.cql.runtime.boundaries import Answer, before, known, next_to, not_after, same
from fhir_cds.cql.runtime.comparison import order
from fhir_cds.cql.runtime.equality import equal
from fhir_cds.cql.runtime.interval import Interval, Span, end, end_span, start, start_span
from fhir_cds.cql.runtime.logical import and_, not_, or_
from fhir_cds.cql.runtime.numbers import STEP
from fhir_cds.cql.runtime.points import predecessor, successor
from fhir_cds.cql.runtime.quantity import Quantity
from fhir_cds.cql.runtime.temporal_ops import TEMPORAL, order_at
from fhir_cds.cql.runtime.uncertainty import Uncertainty, span


def construct(
    low: Any, high: Any, low_closed: bool = True, high_closed: bool = True, point_type: str | None = None
) -> Interval:
    """Build an interval; raises ValueError when it would end before it starts."""
    built = Interval(low, high, low_closed, high_closed, point_type)
    if low is not None and high is not None:
        sign = order(low, high)
        if sign == 1 or (sign == 0 and not (low_closed and high_closed)):
            raise ValueError("an interval must not end before it starts")
    return built


# ------------------------------------------------------------------------------------------------- point in interval


def _within(point: Any, interval: Interval, precision: str | None) -> Answer:
    """Tell whether a point is in an interval: open bounds are exclusive, missing closed ones hold."""
    return and_(_from_low(point, interval, precision), _to_high(point, interval, precision))


def _agreed(one: Answer, other: Answer) -> Answer:
    """Return the answer for the least and the greatest number of an uncertainty, when it is one and the same."""
    return one if one is other else None


def _from_low(point: Any, interval: Interval, precision: str | None) -> Answer:
    if isinstance(point, Uncertainty):
        return _agreed(_from_low(point.low, interval, precision), _from_low(point.high, interval, precision))
    if interval.low is None:
        return True if interval.low_closed else not_after(start_span(interval), (point, point), precision)
    sign = order_at(point, interval.low, precision)
    return None if sign is None else sign > 0 or (sign == 0 and interval.low_closed)


def _to_high(point: Any, interval: Interval, precision: str | None) -> Answer:
    if isinstance(point, Uncertainty):
        return _agreed(_to_high(point.low, interval, precision), _to_high(point.high, interval, precision))
    if interval.high is None:
        return True if interval.high_closed else not_after((point, point), end_span(interval), precision)
    sign = order_at(point, interval.high, precision)
    return None if sign is None else sign < 0 or (sign == 0 and interval.high_closed)


def contains(left: Any, right: Any, precision: str | None = None) -> Answer:
    """Tell whether an interval or list contains a point or element."""
    if left is None:
        return False
    if isinstance(left, list):
        return list_ops.contains(left, right)
    return None if right is None else _within(right, left, precision)


def in_(left: Any, right: Any, precision: str | None = None) -> Answer:
    """Tell whether a point or element is in an interval or list."""
    return contains(right, left, precision)


def proper_contains(left: Any, right: Any, precision: str | None = None) -> Answer:
    """Tell whether an interval contains a point that is neither its start nor its end; or a list of more elements."""
    if left is None:
        return False
    if isinstance(left, list):
        return list_ops.proper_contains(left, right)
    if right is None:
        return None
    (first, last), point = known(left), span(right)
    return and_(before(first, point, precision), before(point, last, precision))


def proper_in(left: Any, right: Any, precision: str | None = None) -> Answer:
    """Tell whether a point is properly in an interval, an element in a list of more elements."""
    return proper_contains(right, left, precision)


# ---------------------------------------------------------------------------------------------- interval and interval


def _intervals(test: Callable[..., Answer], on_lists: Callable[..., Answer] | None = None) -> Callable[..., Answer]:
    """Return the operator that tests two intervals; null for null, lists by their own operator."""

    def operator(left: Any, right: Any, precision: str | None = None) -> Answer:
        if on_lists is not None and (isinstance(left, list) or isinstance(right, list)):
            return on_lists(left, right)
        if left is None or right is None:
            return None
        return test(start_span(left), end_span(left), start_span(right), end_span(right), precision)

    return operator


def _includes(a: Span, b: Span, c: Span, d: Span, precision: str | None) -> Answer:
    return and_(not_after(a, c, precision), not_after(d, b, precision))


def _properly(a: Span, b: Span, c: Span, d: Span, precision: str | None) -> Answer:
    return and_(_includes(a, b, c, d, precision), or_(before(a, c, precision), before(d, b, precision)))


def _overlaps(a: Span, b: Span, c: Span, d: Span, precision: str | None) -> Answer:
    return and_(not_after(a, d, precision), not_after(c, b, precision))


def _meets(a: Span, b: Span, c: Span, d: Span, precision: str | None) -> Answer:
    return or_(next_to(b, c, precision), next_to(d, a, precision))


overlaps: Final = _intervals(_overlaps)
meets: Final = _intervals(_meets)
same_as: Final = _intervals(lambda a, b, c, d, p: and_(same(a, c, p), same(b, d, p)))


# --------------------------------------------------------------------------------------- start, end, width, one point


def start_of(interval: Interval | None) -> Any:
    """Return the starting point."""
    return None if interval is None else start(interval)


def end_of(interval: Interval | None) -> Any:
    """Return the ending point."""
    return None if interval is None else end(interval)


def width(interval: Interval | None) -> Any:
    """Return end minus start; raises TypeError for dates and times, for which it is not defined."""
    if interval is None:
        return None
    first, last = start(interval), end(interval)
    if isinstance(first, TEMPORAL) or isinstance(last, TEMPORAL):
        raise TypeError("the width of an interval of dates or times is not defined: use a duration")
    return arithmetic.subtract(last, first)


def size(interval: Interval | None) -> Any:
    """Return width plus the size of one point."""
    total = width(interval)
    if isinstance(total, Quantity):
        return arithmetic.add(total, Quantity(STEP, total.unit))
    return arithmetic.add(total, STEP if isinstance(total, Decimal) else type(total)(1) if total is not None else None)


def point_from(interval: Interval | None) -> Any:
    """Return the only point of an interval; raises ValueError when it has more."""
    if interval is None:
        return None
    first, last = start(interval), end(interval)
    answer = equal(first, last)
    if answer is False:
        raise ValueError("point from: the interval has more than one point")
    return first if answer else None


# ------------------------------------------------------------------------------------------------- union and the like


def _sets(combine: Callable[[Interval, Interval], Interval | None], on_lists: Callable[..., Any]) -> Callable[..., Any]:
    """Return the operator that combines intervals; lists by their own operator."""

    def operator(left: Any, right: Any, *more: Any) -> Any:
        if isinstance(left, Interval) or isinstance(right, Interval):
            combined = None if left is None or right is None else combine(left, right)
        else:
            combined = on_lists(left, right)
        return operator(combined, *more) if more else combined

    return operator


def _union(left: Interval, right: Interval) -> Interval | None:
    if or_(overlaps(left, right), meets(left, right)) is not True:
        return None
    first = interval_sets.earlier_start(left, right)
    last = interval_sets.later_end(left, right)
    if first is None or last is None:
        return None
    return Interval(first.low, last.high, first.low_closed, last.high_closed, left.point_type or right.point_type)


def _intersect(left: Interval, right: Interval) -> Interval | None:
    if overlaps(left, right) is not True:
        return None
    (a, b), (c, d) = known(left), known(right)
    low = _chosen(left, right, before(c, a), before(a, c), high=False)
    high = _chosen(left, right, before(b, d), before(d, b), high=True)
    return Interval(low[0], high[0], low[1], high[1], left.point_type or right.point_type)


def _chosen(left: Interval, right: Interval, is_left: Answer, is_right: Answer, *, high: bool) -> tuple[Any, bool]:
    """Return the bound (value, closed) of the left or right interval; an unknown one when that is open."""
    if is_left is None or is_right is None:
        return None, False
    source = right if is_right and not is_left else left
    return (source.high, source.high_closed) if high else (source.low, source.low_closed)


def _except(left: Interval, right: Interval) -> Interval | None:
    (a, b), (c, d) = known(left), known(right)
    apart = not_(overlaps(left, right))
    if apart is not False:
        return left if apart else None
    if before(a, c) is True and not_after(b, d) is True:
        return Interval(left.low, predecessor(c[0]), left.low_closed, True, left.point_type)
    if not_after(c, a) is True and before(d, b) is True:
        return Interval(successor(d[0]), left.high, True, left.high_closed, left.point_type)
    return None


def _points(test: Callable[[Any, Any, str | None], Answer]) -> Callable[..., Answer]:
    def operator(left: Any, right: Any, precision: str | None = None) -> Answer:
        return None if left is None or right is None else test(left, right, precision)

    return operator


def _same_as(left: Any, right: Any, precision: str | None) -> Answer:
    if isinstance(left, Interval) or isinstance(right, Interval):
        return same_as(left, right, precision)
    sign = order_at(left, right, precision)
    return None if sign is None else sign == 0


def _swapped(operator: Callable[..., Answer]) -> Callable[..., Answer]:
    return lambda left, right, precision=None: operator(right, left, precision)


_before: Final = _points(lambda left, right, precision: before(end_span(left), start_span(right), precision))
_same_or_before: Final = _points(lambda left, right, precision: not_after(end_span(left), start_span(right), precision))
includes: Final = _intervals(_includes, list_ops.includes)
proper_includes: Final = _intervals(_properly, list_ops.proper_includes)

OPERATORS: Final[dict[str, Callable[..., Any]]] = {
    "Interval": construct,
    "After": _swapped(_before),
    "Before": _before,
    "Contains": contains,
    "Collapse": interval_sets.collapse,
    "End": end_of,
    "Ends": _intervals(lambda a, b, c, d, p: and_(not_after(c, a, p), same(b, d, p))),
    "Except": _sets(_except, list_ops.except_),
    "Expand": interval_sets.expand,
    "In": in_,
    "IncludedIn": _swapped(includes),
    "Includes": includes,
    "Intersect": _sets(_intersect, list_ops.intersect),
    "Meets": meets,
    "MeetsAfter": _intervals(lambda a, b, c, d, p: next_to(d, a, p)),
    "MeetsBefore": _intervals(lambda a, b, c, d, p: next_to(b, c, p)),
    "Overlaps": overlaps,
    "OverlapsAfter": _intervals(lambda a, b, c, d, p: and_(before(d, b, p), not_after(a, d, p))),
    "OverlapsBefore": _intervals(lambda a, b, c, d, p: and_(before(a, c, p), not_after(c, b, p))),
    "PointFrom": point_from,
    "ProperContains": proper_contains,
    "ProperIn": proper_in,
    "ProperIncludedIn": _swapped(proper_includes),
    "ProperIncludes": proper_includes,
    "SameAs": _points(_same_as),
    "SameOrAfter": _swapped(_same_or_before),
    "SameOrBefore": _same_or_before,
    "Size": size,
    "Start": start_of,
    "Starts": _intervals(lambda a, b, c, d, p: and_(same(a, c, p), not_after(b, d, p))),
    "Union": _sets(_union, list_ops.union),
    "Width": width,
}
STATEFUL: Final[frozenset[str]] = frozenset()
