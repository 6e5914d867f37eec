"""Calendar arithmetic on Date, DateTime and Time: adding durations, next and previous value, boundaries.

CQL reference, chapters "Arithmetic Operators" (Add, Subtract, Successor, Predecessor, Low and High Boundary) and
"Date and Time Operators".
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Final, TypeVar

from fhir_cds.cql.runtime.numbers import quotient
from fhir_cds.cql.runtime.precision import (
    DATE_DIGITS,
    DAY,
    DAY_MS,
    EPOCH_ORDINAL,
    HOUR,
    MAX_DAY,
    MILLISECOND,
    MIN_DAY,
    MONTH,
    PRECISIONS,
    SECOND,
    TIME_DIGITS,
    UNIT_MS,
    YEAR,
    days_in_month,
)
from fhir_cds.cql.runtime.temporal import Date, DateTime, Time

T = TypeVar("T", Date, DateTime, Time)

WEEK: Final = -1
# Calendar words and the UCUM codes that may be added: 'a' and 'mo' have a definite length, so they may not.
TIME_UNITS: Final[dict[str, int]] = {
    **{name: index for index, name in enumerate(PRECISIONS)},
    **{f"{name}s": index for index, name in enumerate(PRECISIONS)},
    "week": WEEK,
    "weeks": WEEK,
    "wk": WEEK,
    "d": 2,
    "h": 3,
    "min": 4,
    "s": 5,
    "ms": 6,
}
DAYS_PER_MONTH: Final = 30
DAYS_PER_YEAR: Final = 365


def add(value: T, amount: Decimal | int, unit: str, sign: int = 1) -> T | None:
    """Add `sign` * `amount` of a unit of time to a value; its precision stays.

    A unit finer than the value is first turned into the value's precision, decimals cut (CQL reference, "Add").
    None when the result is out of range; raises ValueError when the unit cannot be added to the value.
    """
    index = TIME_UNITS.get(unit)
    if index is None:
        raise ValueError(f"the unit {unit!r} cannot be added to a date or time: use calendar units")
    if isinstance(value, Date) and index > DAY:
        return _add_to_date(value, _to_days(amount, index) * sign, DAY)
    steps: int | Decimal = amount
    if index == WEEK:
        steps, index = int(amount) * 7, DAY
    elif index < SECOND:
        steps = int(amount)
    if isinstance(value, Date):
        return _add_to_date(value, int(steps) * sign, index)
    if isinstance(value, DateTime):
        return _add_to_datetime(value, steps, index, sign)
    if index < HOUR:
        raise ValueError(f"the unit {unit!r} cannot be added to a time of day")
    return _add_to_time(value, steps, index, sign)


def _to_days(amount: Decimal | int, index: int) -> int:
    """Return the whole days in a number of hours or finer units."""
    return quotient(int(amount * UNIT_MS[index]), DAY_MS)


def _coarsen(days: int, precision: int) -> int:
    """Return whole months or years in a number of days."""
    return quotient(days, DAYS_PER_MONTH if precision == MONTH else DAYS_PER_YEAR)


def _months(fields: tuple[int, ...], months: int) -> tuple[int, ...] | None:
    """Add months to components; a day that the month does not have becomes its last; None out of range."""
    year, month = divmod(fields[0] * 12 + (fields[1] - 1 if len(fields) > 1 else 0) + months, 12)
    if not 1 <= year <= 9999:
        return None
    if len(fields) == 1:
        return (year,)
    if len(fields) == 2:
        return (year, month + 1)
    return (year, month + 1, min(fields[2], days_in_month(year, month + 1)), *fields[3:])


def _calendar_steps(precision: int, steps: int, index: int) -> int:
    """Return the months to add to a value of a precision for whole steps of years, months or (imprecise) days."""
    if index == DAY:
        steps, index = _coarsen(steps, precision), precision
    if index == MONTH and precision == YEAR:
        steps, index = quotient(steps, 12), YEAR
    return steps * 12 if index == YEAR else steps


def _add_to_date(value: Date, steps: int, index: int) -> Date | None:
    if index == DAY and value.precision == DAY:
        day = value.lo + steps
        return Date(DAY, day, day) if MIN_DAY <= day <= MAX_DAY else None
    fields = _months(value.fields(), _calendar_steps(value.precision, steps, index))
    return None if fields is None else Date.of(*fields)


def _add_to_datetime(value: DateTime, amount: int | Decimal, index: int, sign: int) -> DateTime | None:
    precision = value.precision
    if index <= MONTH or precision < DAY:
        steps = int(amount) if index <= DAY else _to_days(amount, index)
        index = min(index, DAY)
        fields = _months(value.fields(), _calendar_steps(precision, steps * sign, index))
        return None if fields is None else DateTime.of(fields, value.offset, value.zone, value.stated)
    unit = UNIT_MS[precision]
    ms = int(amount * UNIT_MS[index]) // unit * unit if amount >= 0 else -(int(-amount * UNIT_MS[index]) // unit * unit)
    return DateTime.at(value.lo + sign * ms, value.offset, value.zone, precision, value.stated)


def _add_to_time(value: Time, amount: int | Decimal, index: int, sign: int) -> Time:
    unit = UNIT_MS[value.precision]
    ms = quotient(int(amount * UNIT_MS[index]), unit) * unit
    return Time.at((value.lo + sign * ms) % DAY_MS, value.precision)


def neighbour(value: T, sign: int) -> T | None:
    """Return the next (`sign` 1) or previous (-1) value at the same precision; None beyond the last or first."""
    if isinstance(value, Time):
        ms = value.lo + sign * UNIT_MS[value.precision]
        return Time.at(ms, value.precision) if 0 <= ms < DAY_MS else None
    return add(value, 1, PRECISIONS[value.precision], sign)


def successor(value: T) -> T | None:
    """Return the next value at the same precision; None after the last one."""
    return neighbour(value, 1)


def predecessor(value: T) -> T | None:
    """Return the value before at the same precision; None before the first one."""
    return neighbour(value, -1)


def digits(value: Date | DateTime | Time) -> int:
    """Return the precision of a value as its number of digits (CQL reference, "Precision")."""
    return (TIME_DIGITS if isinstance(value, Time) else DATE_DIGITS)[value.precision]


def boundary(value: T, places: int, *, high: bool) -> T | None:
    """Return the first or last value of `places` digits in the span of the value; None when not allowed.

    CQL reference, "LowBoundary" and "HighBoundary": a value that is more precise is cut at `places`.
    """
    if isinstance(value, Time):
        if places not in TIME_DIGITS[HOUR:]:
            return None
        precision = TIME_DIGITS.index(places)
        ms = value.lo
        if high and precision > value.precision:
            ms = value.lo + UNIT_MS[value.precision] - 1
        return Time.at(ms // UNIT_MS[precision] * UNIT_MS[precision], precision)
    if places not in DATE_DIGITS or (isinstance(value, Date) and places > DATE_DIGITS[DAY]):
        return None
    precision = DATE_DIGITS.index(places)
    if isinstance(value, Date):
        day = date.fromordinal((value.hi if high else value.lo) + EPOCH_ORDINAL)
        return Date.of(*(day.year, day.month, day.day)[: precision + 1])
    instant = value.hi if high else value.lo
    full = DateTime(MILLISECOND, instant, instant, value.offset, value.zone, value.stated)
    return DateTime.of(full.fields()[: precision + 1], value.offset, value.zone, value.stated)
