"""Collapse and expand of CQL: lists of intervals merged, or cut into pieces (CQL reference, "Collapse", "Expand").

`per` is the size of a piece: a quantity of the unit '1' for numbers, of a unit of time for dates and times. Pieces
start at the start of each interval, cut to the precision of `per`; a rest that is smaller than a piece is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import ROUND_FLOOR, Decimal
from functools import cmp_to_key
from typing import Any, Final

from fhir_cds.cql.runtime import calendar_arithmetic, quantity
from fhir_cds.cql.runtime.boundaries import not_after
from fhir_cds.cql.runtime.calendar_arithmetic import TIME_UNITS
from fhir_cds.cql.runtime.comparison import less_or_equal, order
from fhir_cds.cql.runtime.interval import Interval, end, end_span, start, start_span
from fhir_cds.cql.runtime.numbers import CONTEXT, Long, decimals, integer, long
from fhir_cds.cql.runtime.points import successor
from fhir_cds.cql.runtime.precision import DAY, HOUR, PRECISIONS
from fhir_cds.cql.runtime.quantity import Quantity
from fhir_cds.cql.runtime.temporal import Date, DateTime, Temporal, Time
from fhir_cds.cql.runtime.temporal_ops import TEMPORAL, order_at

# More pieces than this are a mistake in the expression, not an answer.
MAX_PIECES: Final = 1_000_000
_UNKNOWN: Final = Interval(None, None, False, False)
_moved: Final[Callable[[Any, Decimal, str], Any]] = calendar_arithmetic.add


def truncated(point: Temporal, precision: int) -> Temporal:
    """Return a date or time cut at a precision that it has."""
    fields = point.fields()
    if isinstance(point, Time):
        return Time.of(fields[: precision - DAY])
    if isinstance(point, Date):
        return Date.of(*fields[: precision + 1])
    return DateTime.of(fields[: precision + 1], point.offset, point.zone, point.stated)


def earlier_start(left: Interval, right: Interval) -> Interval | None:
    """Return the interval that starts first; None when that is not known."""
    sign = order(start(left), start(right))
    return None if sign is None else right if sign > 0 else left


def later_end(left: Interval, right: Interval) -> Interval | None:
    """Return the interval that ends last; None when that is not known."""
    sign = order(end(left), end(right))
    return None if sign is None else right if sign < 0 else left


def sorted_intervals(source: list[Interval | None]) -> list[Interval]:
    """Return the intervals of a list by start and then end, without nulls and those of which nothing is known."""

    def compare(left: Interval, right: Interval) -> int:
        return order(start(left), start(right)) or order(end(left), end(right)) or 0

    known = [one for one in source if one is not None and not (start(one) is None and end(one) is None)]
    return sorted(known, key=cmp_to_key(compare))


# ------------------------------------------------------------------------------------------------------- collapse


def collapse(source: list[Interval | None] | None, per: Quantity | None = None) -> list[Interval] | None:
    """Return the fewest intervals that cover those given, merging what overlaps, meets or is at most `per` apart.

    Intervals of which that is not known stay apart.
    """
    if source is None:
        return None
    merged: list[Interval] = []
    for one in sorted_intervals(source):
        if merged and _joins(merged[-1], one, per):
            last = merged.pop()
            first, longest = earlier_start(last, one) or _UNKNOWN, later_end(last, one) or _UNKNOWN
            kind = last.point_type or one.point_type
            merged.append(Interval(first.low, longest.high, first.low_closed, longest.high_closed, kind))
        else:
            merged.append(one)
    return merged


def _joins(last: Interval, following: Interval, per: Quantity | None) -> bool:
    """Tell whether the second interval starts in, or right after, the first."""
    reached, begins = end(last), start(following)
    if not_after(start_span(following), end_span(last)) is True:
        return True
    if reached is None or begins is None:
        return False
    if per is None:
        return less_or_equal(begins, successor(reached)) is True
    if isinstance(reached, TEMPORAL):
        index = TIME_UNITS.get(per.unit)
        if index is None:
            raise ValueError("collapse: dates and times need a unit of time after 'per'")
        precision = PRECISIONS[DAY if index < 0 else index]
        moved = _moved(reached, per.value, per.unit)
        return moved is not None and order_at(begins, moved, precision) in (-1, 0)
    return less_or_equal(begins, _plus(reached, per)) is True


def _plus(point: Any, per: Quantity) -> Any:
    """Return a number or quantity moved by `per`."""
    if isinstance(point, Quantity):
        return quantity.combine(point, per if per.unit != "1" else Quantity(per.value, point.unit), "+")
    return CONTEXT.add(Decimal(point), per.value)


# --------------------------------------------------------------------------------------------------------- expand


def expand(source: Any, per: Quantity | None = None) -> list[Any] | None:
    """Return the pieces of size `per` of a list of intervals, or the first points of the pieces of one interval.

    Null when a start or end is not known; raises ValueError when there would be too many pieces.
    """
    if source is None:
        return None
    intervals = sorted_intervals([source] if isinstance(source, Interval) else source)
    if any(start(one) is None or end(one) is None for one in intervals):
        return None
    pieces = list(_pieces(intervals, per or _default_per(intervals))) if intervals else []
    return [piece.low for piece in pieces] if isinstance(source, Interval) else pieces


def _pieces(intervals: list[Interval], per: Quantity) -> Iterator[Interval]:
    if per.value <= 0:
        raise ValueError("expand: the size after 'per' must be above zero")
    count = 0
    for one in intervals:
        for low, high in _cut_up(start(one), end(one), per):
            count += 1
            if count > MAX_PIECES:
                raise ValueError(f"expand: more than {MAX_PIECES} pieces")
            yield Interval(low, high, True, True, one.point_type)


def _default_per(intervals: list[Interval]) -> Quantity:
    """Return one unit of the coarsest precision among the boundaries."""
    points = [point for one in intervals for point in (start(one), end(one))]
    first = points[0]
    if isinstance(first, TEMPORAL):
        return Quantity(Decimal(1), PRECISIONS[min(point.precision for point in points)])
    if isinstance(first, Quantity):
        return Quantity(Decimal(1).scaleb(-min(decimals(point.value) for point in points)), first.unit)
    if isinstance(first, Decimal):
        return Quantity(Decimal(1).scaleb(-min(decimals(point) for point in points)))
    return Quantity(Decimal(1))


def _cut_up(first: Any, last: Any, per: Quantity) -> Iterator[tuple[Any, Any]]:
    if isinstance(first, TEMPORAL):
        return _cut_time(first, last, per)
    if isinstance(first, Quantity):
        unit = first.unit if per.unit == "1" else per.unit
        low, high = quantity.convert(first, unit), quantity.convert(last, unit)
        if low is None or high is None:
            return iter(())
        return (
            (Quantity(one, unit), Quantity(other, unit))
            for one, other in _cut_numbers(low.value, high.value, per.value)
        )
    return _cut_numbers(first, last, per.value)


def _cut_time(first: Any, last: Any, per: Quantity) -> Iterator[tuple[Any, Any]]:
    """Cut dates or times; nothing comes of a unit that is finer than they are."""
    index = TIME_UNITS.get(per.unit)
    if index is None:
        raise ValueError("expand: dates and times need a unit of time after 'per'")
    precision = DAY if index < 0 else index
    if first.precision < precision or last.precision < precision or (isinstance(first, Time) and precision < HOUR):
        return
    low, stop = truncated(first, precision), truncated(last, precision)
    while order(low, stop) in (-1, 0):
        following = _moved(low, per.value, per.unit)
        if isinstance(following, Time) and following.lo <= low.lo:
            following = None  # past midnight
        high = stop if following is None else calendar_arithmetic.predecessor(following)
        if order(high, stop) not in (-1, 0):
            return
        yield low, high
        if following is None:
            return
        low = following


def _cut_numbers(first: Any, last: Any, size: Decimal) -> Iterator[tuple[Any, Any]]:
    """Cut numbers at the decimals of the size; an integer stands for all its decimals."""
    places = max(0, decimals(size.normalize(CONTEXT)))
    step = Decimal(1).scaleb(-places)
    whole = not isinstance(first, Decimal)
    stop = Decimal(last) + 1 - step if whole else last.quantize(step, ROUND_FLOOR, CONTEXT)
    low = Decimal(first).quantize(step, ROUND_FLOOR, CONTEXT)

    def as_point(value: Decimal) -> Any:
        if not whole or places:
            return value
        return long(int(value)) if isinstance(first, Long) else integer(int(value))

    while (high := CONTEXT.add(low, size) - step) <= stop:
        yield as_point(low), as_point(high)
        low = CONTEXT.add(low, size)
