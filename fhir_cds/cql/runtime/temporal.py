"""Date, DateTime and Time of CQL (CQL specification, Author's Guide, "Date, Time and DateTime values").

A value knows its precision and the span it stands for as two integers, `lo` and `hi`, so that two values of one
precision compare as integers, and two of different precision compare as spans (overlap = unknown):

* `Date`: days since 1970-01-01;
* `DateTime`: milliseconds since 1970-01-01T00:00:00Z, that is after its offset was applied;
* `Time`: milliseconds since midnight.

A value known to the second spans its 1000 milliseconds, as the official CQL tests want it; where the specification of
FHIRPath takes "10:00:00" for "10:00:00.000", `decimal_seconds` gives that value. Values are immutable by contract:
nothing assigns to them after they were built.
"""

from __future__ import annotations

from datetime import date
from typing import ClassVar, Final

from fhir_cds.cql.runtime.precision import (
    DAY,
    DAY_MS,
    EPOCH_ORDINAL,
    HOUR,
    MAX_DAY,
    MAX_OFFSET,
    MILLISECOND,
    MIN_DAY,
    MONTH,
    SECOND,
    TAIL_MS,
    UNIT_MS,
    YEAR,
    days_in_month,
    offset_text,
    time_fields,
    time_ms,
    time_possible,
    time_text,
)


class Date:
    """A calendar date known to the year, the month or the day."""

    __slots__ = ("hi", "lo", "precision")

    MIN: ClassVar[Date]
    MAX: ClassVar[Date]

    def __init__(self, precision: int, lo: int, hi: int) -> None:
        self.precision: Final = precision
        self.lo: Final = lo
        self.hi: Final = hi

    @staticmethod
    def of(year: int, month: int | None = None, day: int | None = None) -> Date:
        """Build a date from its components; raises ValueError for one that is not in the calendar."""
        first = date(year, 1 if month is None else month, 1 if day is None else day).toordinal() - EPOCH_ORDINAL
        if month is None:
            return Date(YEAR, first, date(year, 12, 31).toordinal() - EPOCH_ORDINAL)
        if day is None:
            return Date(MONTH, first, first + days_in_month(year, month) - 1)
        return Date(DAY, first, first)

    @staticmethod
    def of_day(days: int) -> Date:
        """Build the full date that is `days` after 1970-01-01."""
        return Date(DAY, days, days)

    def fields(self) -> tuple[int, ...]:
        """Return the known components, from the year down."""
        day = date.fromordinal(self.lo + EPOCH_ORDINAL)
        return (day.year, day.month, day.day)[: self.precision + 1]

    def calendar(self, component: str) -> int:
        """Return the year, month or day (`component`) on which the value starts."""
        found: int = getattr(date.fromordinal(self.lo + EPOCH_ORDINAL), component)
        return found

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Date) and self.lo == other.lo and self.hi == other.hi

    def __hash__(self) -> int:
        return hash(self.lo)

    def __str__(self) -> str:
        return date.fromordinal(self.lo + EPOCH_ORDINAL).isoformat()[: (4, 7, 10)[self.precision]]

    def __repr__(self) -> str:
        return f"Date({self})"


class DateTime:
    """A point in time known to some precision, with its offset from UTC in minutes.

    `zone` is the offset of the evaluation the value was made in: hours and finer components of two values with
    different offsets are compared in that offset (CQL reference, "Same As"). `stated` tells that the offset was given
    with the value and not assumed.
    """

    __slots__ = ("hi", "lo", "offset", "precision", "stated", "zone")

    MIN: ClassVar[DateTime]
    MAX: ClassVar[DateTime]

    def __init__(  # noqa: PLR0917 - the fields, in their order
        self, precision: int, lo: int, hi: int, offset: int, zone: int = 0, stated: bool = False
    ) -> None:
        self.precision: Final = precision
        self.lo: Final = lo
        self.hi: Final = hi
        self.offset: Final = offset
        self.zone: Final = zone
        self.stated: Final = stated

    @staticmethod
    def of(fields: tuple[int, ...], offset: int, zone: int | None = None, stated: bool = False) -> DateTime:
        """Build a value from the known local components, year first; raises ValueError for an impossible one."""
        if not (1 <= len(fields) <= 7 and -MAX_OFFSET <= offset <= MAX_OFFSET):
            raise ValueError("not a date and time")
        if len(fields) > HOUR and not time_possible(fields[HOUR:]):
            raise ValueError("not a time of day")
        day = Date.of(*fields[:HOUR])
        shift = offset * 60_000
        lo = day.lo * DAY_MS - shift
        home = offset if zone is None else zone
        if len(fields) <= HOUR:
            return DateTime(day.precision, lo, (day.hi + 1) * DAY_MS - 1 - shift, offset, home, stated)
        lo += time_ms(fields[HOUR:])
        precision = len(fields) - 1
        return DateTime(precision, lo, lo + TAIL_MS[precision], offset, home, stated)

    @staticmethod
    def at(
        ms: int, offset: int, zone: int | None = None, precision: int = MILLISECOND, stated: bool = False
    ) -> DateTime | None:
        """Build the value of day precision or finer that starts at `ms` (UTC); None when out of the calendar."""
        if not MIN_DAY * DAY_MS <= ms + offset * 60_000 < (MAX_DAY + 1) * DAY_MS:
            return None
        return DateTime(precision, ms, ms + TAIL_MS[precision], offset, offset if zone is None else zone, stated)

    def fields(self) -> tuple[int, ...]:
        """Return the known local components, from the year down."""
        days, ms = divmod(self.lo + self.offset * 60_000, DAY_MS)
        day = date.fromordinal(days + EPOCH_ORDINAL)
        return (day.year, day.month, day.day, *time_fields(ms))[: self.precision + 1]

    def calendar(self, component: str) -> int:
        """Return the local year, month or day (`component`) on which the value starts."""
        found: int = getattr(date.fromordinal(self.local_day() + EPOCH_ORDINAL), component)
        return found

    def to_date(self) -> Date:
        """Return the local date."""
        first = self.local_day()
        if self.precision >= DAY:
            return Date(DAY, first, first)
        return Date(self.precision, first, (self.hi + self.offset * 60_000) // DAY_MS)

    def local_day(self) -> int:
        """Return the local day (days since 1970-01-01) on which the value starts."""
        return (self.lo + self.offset * 60_000) // DAY_MS

    def shifted(self, offset: int) -> DateTime:
        """Return the same instant told in another offset (minutes)."""
        return (
            self
            if offset == self.offset
            else DateTime(self.precision, self.lo, self.hi, offset, self.zone, self.stated)
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DateTime) and self.lo == other.lo and self.hi == other.hi

    def __hash__(self) -> int:
        return hash(self.lo)

    def text(self, *, offset: bool = True) -> str:
        """Return the ISO 8601 text at the value's precision, with its offset or without."""
        days, ms = divmod(self.lo + self.offset * 60_000, DAY_MS)
        day = date.fromordinal(days + EPOCH_ORDINAL).isoformat()
        if self.precision < HOUR:
            return day[: (4, 7, 10)[self.precision]]
        return f"{day}T{time_text(ms, self.precision)}{offset_text(self.offset) if offset else ''}"

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return f"DateTime({self})"


class Time:
    """A time of day known to the hour, minute, second or millisecond."""

    __slots__ = ("hi", "lo", "precision")

    MIN: ClassVar[Time]
    MAX: ClassVar[Time]

    def __init__(self, precision: int, lo: int, hi: int) -> None:
        self.precision: Final = precision
        self.lo: Final = lo
        self.hi: Final = hi

    @staticmethod
    def of(fields: tuple[int, ...]) -> Time:
        """Build a time from its known components, hour first; raises ValueError for an impossible one."""
        if not time_possible(fields):
            raise ValueError("not a time of day")
        return Time.at(time_ms(fields), len(fields) + DAY)

    @staticmethod
    def at(ms: int, precision: int = MILLISECOND) -> Time:
        """Build the time of `precision` that starts `ms` after midnight."""
        return Time(precision, ms, ms + TAIL_MS[precision])

    def fields(self) -> tuple[int, ...]:
        """Return the known components, from the hour down."""
        return time_fields(self.lo)[: self.precision - DAY]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Time) and self.lo == other.lo and self.hi == other.hi

    def __hash__(self) -> int:
        return hash(self.lo)

    def __str__(self) -> str:
        return time_text(self.lo, self.precision)

    def __repr__(self) -> str:
        return f"Time({self})"


Temporal = Date | DateTime | Time


def decimal_seconds(value: Temporal) -> Temporal:
    """Return a value known to the second as the same value with 0 milliseconds; any other unchanged."""
    if isinstance(value, Date) or value.precision != SECOND:
        return value
    if isinstance(value, Time):
        return Time(MILLISECOND, value.lo, value.lo)
    return DateTime(MILLISECOND, value.lo, value.lo, value.offset, value.zone, value.stated)


def key(value: Temporal, instant: int, precision: int, offset: int = 0) -> int:
    """Return the number of the year, month, … that an instant of a value's own count (`lo`, `hi`) falls in.

    Numbers of one precision follow each other without a gap. Dates have no parts of a day; times nothing else.
    """
    if isinstance(value, Date):
        days = instant
        if precision > DAY:
            raise ValueError("a date has no parts of a day")
    elif isinstance(value, DateTime):
        instant += offset * 60_000
        if precision >= DAY:
            return instant // UNIT_MS[precision]
        days = instant // DAY_MS
    elif precision <= DAY:
        raise ValueError("a time of day has no date")
    else:
        return instant // UNIT_MS[precision]
    if precision == DAY:
        return days
    day = date.fromordinal(days + EPOCH_ORDINAL)
    return day.year if precision == YEAR else day.year * 12 + day.month - 1


def to_datetime(value: Date, offset: int) -> DateTime:
    """Return a date as the DateTime of the same precision (CQL reference, "ToDateTime")."""
    shift = offset * 60_000
    return DateTime(value.precision, value.lo * DAY_MS - shift, (value.hi + 1) * DAY_MS - 1 - shift, offset, offset)


Date.MIN, Date.MAX = Date.of_day(MIN_DAY), Date.of_day(MAX_DAY)
DateTime.MIN = DateTime(MILLISECOND, MIN_DAY * DAY_MS, MIN_DAY * DAY_MS, 0)
DateTime.MAX = DateTime(MILLISECOND, (MAX_DAY + 1) * DAY_MS - 1, (MAX_DAY + 1) * DAY_MS - 1, 0)
Time.MIN, Time.MAX = Time.at(0), Time.at(DAY_MS - 1)
