"""Date and time operators of CQL (CQL reference, chapter "Date and Time Operators").

Comparisons at a precision (`same day as`, `before month of`) and counts between two values (`days between`,
`difference in months between`). Imprecise operands give null or an uncertainty. Two DateTimes with different offsets
are brought to the offset of the evaluation, but for comparisons and differences only from the hour on.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any, Final, Protocol

from fhir_cds.cql.runtime.comparison import order
from fhir_cds.cql.runtime.numbers import quotient
from fhir_cds.cql.runtime.precision import (
    DAY,
    DAY_MS,
    EPOCH_ORDINAL,
    HOUR,
    MILLISECOND,
    PRECISION_INDEX,
    SECOND,
    UNIT_MS,
)
from fhir_cds.cql.runtime.temporal import Date, DateTime, Temporal, Time, decimal_seconds, key, to_datetime
from fhir_cds.cql.runtime.uncertainty import Uncertainty, uncertain

TEMPORAL: Final = (Date, DateTime, Time)


class State(Protocol):
    """What the operators here need to know of an evaluation."""

    @property
    def now(self) -> DateTime:
        """The moment of the evaluation."""

    @property
    def offset(self) -> int:
        """The offset of the evaluation in minutes."""


def aligned(left: Any, right: Any) -> tuple[Temporal, Temporal]:
    """Return two temporal values as the same type; a date beside a DateTime becomes a DateTime."""
    if type(left) is not type(right):
        if isinstance(left, Date) and isinstance(right, DateTime):
            return to_datetime(left, right.zone), right
        if isinstance(left, DateTime) and isinstance(right, Date):
            return left, to_datetime(right, left.zone)
        raise TypeError(f"{type(left).__name__} and {type(right).__name__} cannot be compared")
    if not isinstance(left, TEMPORAL):
        raise TypeError(f"{type(left).__name__} has no precision")
    return left, right


def _offsets(left: Temporal, right: Temporal, precision: int) -> tuple[int, int]:
    """Return the offsets in which the parts of both values are told at a precision."""
    if not (isinstance(left, DateTime) and isinstance(right, DateTime)):
        return 0, 0
    if left.offset == right.offset or precision < HOUR:
        return left.offset, right.offset
    return left.zone, left.zone


def keys(left: Any, right: Any, precision: int) -> tuple[int, int, int, int]:
    """Return the least and greatest key of both values at a precision."""
    a, b = aligned(left, right)
    one, other = _offsets(a, b, precision)
    low, least = key(a, a.lo, precision, one), key(b, b.lo, precision, other)
    return (
        low,
        low if a.precision >= precision else key(a, a.hi, precision, one),
        least,
        least if b.precision >= precision else key(b, b.hi, precision, other),
    )


def order_at(left: Any, right: Any, precision: str | None) -> int | None:
    """Compare two values at a precision: -1, 0, 1, or None when unknown; values without precision compare whole."""
    if precision is None or not isinstance(left, TEMPORAL):
        return order(left, right)
    if right is None:
        return None
    low, high, least, greatest = keys(left, right, PRECISION_INDEX[precision])
    if high < least:
        return -1
    if low > greatest:
        return 1
    return 0 if low == high == least == greatest else None


# ---------------------------------------------------------------------------------------- duration and difference


def _months_between(start: int, stop: int) -> int:
    """Return the whole months between two local moments (milliseconds since 1970)."""
    days, early = divmod(start, DAY_MS)
    later_days, late = divmod(stop, DAY_MS)
    first, last = date.fromordinal(days + EPOCH_ORDINAL), date.fromordinal(later_days + EPOCH_ORDINAL)
    months = (last.year - first.year) * 12 + last.month - first.month
    if months > 0:
        return months - ((last.day, late) < (first.day, early))
    return months + (months < 0 and (last.day, late) > (first.day, early))


def _whole(start: int, stop: int, unit: str) -> int:
    """Return the whole periods between two moments in milliseconds, negative when they are in reverse order."""
    if unit in ("year", "month"):
        return quotient(_months_between(start, stop), 12 if unit == "year" else 1)
    return quotient(stop - start, 7 * DAY_MS if unit == "week" else UNIT_MS[PRECISION_INDEX[unit]])


def _moments(value: Temporal, offset: int) -> tuple[int, int]:
    """Return the first and last moment of a value in milliseconds of local time.

    Seconds and milliseconds are one decimal precision here, so a value known to the second is one moment.
    """
    if isinstance(value, Date):
        return value.lo * DAY_MS, value.hi * DAY_MS
    shift = offset * 60_000
    return value.lo + shift, (value.lo if value.precision == SECOND else value.hi) + shift


def duration_between(left: Any, right: Any, precision: str) -> int | Uncertainty | None:
    """Return the whole periods between two values, an uncertainty when one of them is too imprecise."""
    if left is None or right is None:
        return None
    a, b = aligned(left, right)
    _check(a, precision)
    offset = _offsets(a, b, HOUR)[0]
    (low, high), (least, greatest) = _moments(a, offset), _moments(b, offset)
    return uncertain(_whole(high, least, precision), _whole(low, greatest, precision))


def difference_between(left: Any, right: Any, precision: str) -> int | Uncertainty | None:
    """Return how many boundaries of a period lie between two values; weeks start on Sunday."""
    if left is None or right is None:
        return None
    if precision == "week":
        low, high, least, greatest = (_week(day) for day in keys(left, right, DAY))
    elif precision == "millisecond":
        one, other = aligned(left, right)
        low, high, least, greatest = keys(decimal_seconds(one), decimal_seconds(other), MILLISECOND)
    else:
        low, high, least, greatest = keys(left, right, PRECISION_INDEX[precision])
    return uncertain(least - high, greatest - low)


def _week(day: int) -> int:
    return (day + 4) // 7


def _check(value: Temporal, precision: str) -> None:
    index = DAY if precision == "week" else PRECISION_INDEX[precision]
    if index > DAY if isinstance(value, Date) else isinstance(value, Time) and index <= DAY:
        raise ValueError(f"a {type(value).__name__} has no {precision}")


# ----------------------------------------------------------------------------------------------- making and taking


def _known(operator: str, parts: tuple[Any, ...]) -> tuple[int, ...]:
    """Return the components up to the first missing one; raises ValueError when a finer one is given after it."""
    known = [part for part in parts if part is not None]
    if None in parts[: len(known)]:
        raise ValueError(f"{operator}: a component is given without the one above it")
    return tuple(known)


def make_date(year: int | None, month: int | None = None, day: int | None = None) -> Date | None:
    """Build a Date; None when all is missing; raises ValueError for an impossible one."""
    fields = _known("Date", (year, month, day))
    return Date.of(*fields) if fields else None


def make_datetime(state: State, *parts: Any) -> DateTime | None:
    """Build a DateTime from year … millisecond and an offset in hours (default: that of the evaluation)."""
    fields = _known("DateTime", parts[:7])
    if not fields:
        return None
    hours = parts[7] if len(parts) > 7 else None
    offset = state.offset if hours is None else int(Decimal(hours) * 60)
    return DateTime.of(fields, offset, state.offset, stated=hours is not None)


def make_time(*parts: Any) -> Time | None:
    """Build a Time from hour … millisecond."""
    fields = _known("Time", parts)
    return Time.of(fields) if fields else None


def now(state: State) -> DateTime:
    """Return the moment of the evaluation, to the millisecond."""
    moment = state.now
    return DateTime(MILLISECOND, moment.lo, moment.lo, moment.offset, state.offset, stated=True)


def today(state: State) -> Date:
    """Return the local date of the evaluation."""
    return Date.of_day(state.now.local_day())


def time_of_day(state: State) -> Time:
    """Return the local time of the evaluation."""
    return Time.at((state.now.lo + state.now.offset * 60_000) % DAY_MS)


def date_from(value: DateTime | Date | None) -> Date | None:
    """Return the date of a DateTime, in its own offset."""
    return value.to_date() if isinstance(value, DateTime) else value


def time_from(value: DateTime | None) -> Time | None:
    """Return the time of a DateTime in the offset of the evaluation; None when no hour is known."""
    if value is None or value.precision < HOUR:
        return None
    return Time.of(value.shifted(value.zone).fields()[HOUR:])


def timezone_offset_from(value: DateTime | None) -> Decimal | None:
    """Return the offset in hours."""
    return None if value is None else Decimal(value.offset) / 60


def component_from(value: Temporal | None, precision: str) -> int | None:
    """Return one component; None when it is not known."""
    if value is None:
        return None
    position = PRECISION_INDEX[precision]
    if position <= DAY and not isinstance(value, Time):
        return value.calendar(precision) if position <= value.precision else None
    position -= HOUR if isinstance(value, Time) else 0
    fields = value.fields()
    if position < 0:
        raise ValueError(f"a time of day has no {precision}")
    return fields[position] if position < len(fields) else None


OPERATORS: Final[dict[str, Callable[..., Any]]] = {
    "Date": make_date,
    "DateTime": make_datetime,
    "Time": make_time,
    "Now": now,
    "Today": today,
    "TimeOfDay": time_of_day,
    "DateFrom": date_from,
    "TimeFrom": time_from,
    "TimezoneOffsetFrom": timezone_offset_from,
    "DateTimeComponentFrom": component_from,
    "DurationBetween": duration_between,
    "DifferenceBetween": difference_between,
}
STATEFUL: Final[frozenset[str]] = frozenset({"DateTime", "Now", "Today", "TimeOfDay"})
