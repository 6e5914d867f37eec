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

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import ClassVar, Final

YEAR: Final = 0
MONTH: Final = 1
DAY: Final = 2
HOUR: Final = 3
MINUTE: Final = 4
SECOND: Final = 5
MILLISECOND: Final = 6

PRECISIONS: Final = ("year", "month", "day", "hour", "minute", "second", "millisecond")
PRECISION_INDEX: Final[dict[str, int]] = {name: index for index, name in enumerate(PRECISIONS)}
# Digits of the text at each precision, as LowBoundary, HighBoundary and Precision count them.
DATE_DIGITS: Final = (4, 6, 8, 10, 12, 14, 17)
TIME_DIGITS: Final = (0, 0, 0, 2, 4, 6, 9)

EPOCH_ORDINAL: Final = 719163
MIN_DAY: Final = 1 - EPOCH_ORDINAL
MAX_DAY: Final = date.max.toordinal() - EPOCH_ORDINAL
DAY_MS: Final = 86_400_000
# Milliseconds of one unit of each precision; years and months have no fixed length.
UNIT_MS: Final = (0, 0, DAY_MS, 3_600_000, 60_000, 1_000, 1)
MAX_OFFSET: Final = 14 * 60
_CACHE: Final = 32_768


_MONTH_DAYS: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def days_in_month(year: int, month: int) -> int:
    """Return the number of days of a month (1 to 12)."""
    if month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0):
        return 29
    return _MONTH_DAYS[month - 1]


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

    @staticmethod
    def parse(text: str) -> Date | None:
        """Read `YYYY`, `YYYY-MM` or `YYYY-MM-DD`; None when the text is none of these."""
        return parse_date(text)

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

    @staticmethod
    def parse(text: str, default_offset: int) -> DateTime | None:
        """Read an ISO 8601 date or date and time; one without offset gets `default_offset` (minutes)."""
        return parse_datetime(text, default_offset)

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

    @staticmethod
    def parse(text: str) -> Time | None:
        """Read `hh[:mm[:ss[.fff]]]`, with or without a leading `T`; None when the text is not a time."""
        return parse_time(text)

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

# What follows the first millisecond of a value of each precision from day on.
TAIL_MS: Final = (0, 0, DAY_MS - 1, 3_599_999, 59_999, 999, 0)


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


def time_possible(fields: tuple[int, ...]) -> bool:
    """Tell whether hour, minute, second, millisecond (as many as given) are a time of day."""
    return 1 <= len(fields) <= 4 and all(
        0 <= value < limit for value, limit in zip(fields, (24, 60, 60, 1000), strict=False)
    )


def time_ms(fields: tuple[int, ...]) -> int:
    """Return the milliseconds after midnight of hour, minute, second, millisecond (as many as given)."""
    return sum(value * unit for value, unit in zip(fields, UNIT_MS[HOUR:], strict=False))


def time_fields(ms: int) -> tuple[int, int, int, int]:
    """Return hour, minute, second and millisecond of `ms` after midnight."""
    return ms // 3_600_000, ms // 60_000 % 60, ms // 1000 % 60, ms % 1000


def time_text(ms: int, precision: int) -> str:
    """Return `hh:mm:ss.fff` cut at the precision."""
    hour, minute, second, rest = time_fields(ms)
    return f"{hour:02d}:{minute:02d}:{second:02d}.{rest:03d}"[: (0, 0, 0, 2, 5, 8, 12)[precision]]


def offset_text(offset: int) -> str:
    """Return an offset in minutes as `+hh:mm`."""
    hours, minutes = divmod(abs(offset), 60)
    return f"{'-' if offset < 0 else '+'}{hours:02d}:{minutes:02d}"


_DATE: Final = re.compile(r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2}))?)?")
_DATETIME: Final = re.compile(
    r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2})(?:[T ](?:([0-9]{2})(?::([0-9]{2})(?::([0-9]{2})(?:\.([0-9]+))?)?)?"
    r"(Z|[+-][0-9]{2}:[0-9]{2})?)?|T)?|T)?|T)?"
)
_TIME: Final = re.compile(r"T?([0-9]{2})(?::([0-9]{2})(?::([0-9]{2})(?:\.([0-9]+))?)?)?")
_EPOCH: Final = datetime(1970, 1, 1)
_EPOCH_UTC: Final = datetime(1970, 1, 1, tzinfo=UTC)
# The two spellings that nearly all recorded times have are left to the C parser; the rest goes through `_DATETIME`.
_COMMON: Final = frozenset({19, 20, 23, 24, 25, 29})


@lru_cache(_CACHE)
def parse_date(text: str) -> Date | None:
    """Read `YYYY`, `YYYY-MM` or `YYYY-MM-DD`; None when the text is none of these."""
    if len(text) == 10 and text[4] == text[7] == "-":
        try:
            day = date.fromisoformat(text).toordinal() - EPOCH_ORDINAL
        except ValueError:
            return None
        return Date(DAY, day, day)
    match = _DATE.fullmatch(text)
    if match is None:
        return None
    try:
        return Date.of(*[int(part) for part in match.groups() if part is not None])
    except ValueError:
        return None


@lru_cache(_CACHE)
def parse_datetime(text: str, default_offset: int) -> DateTime | None:
    """Read an ISO 8601 date or date and time; one without offset gets `default_offset` (minutes).

    Fractions of a second beyond the millisecond are cut off. None when the text is no date and time.
    """
    if len(text) == 10:
        day = parse_date(text)
        if day is None:
            return None
        lo = day.lo * DAY_MS - default_offset * 60_000
        return DateTime(DAY, lo, lo + DAY_MS - 1, default_offset, default_offset)
    if len(text) in _COMMON and text[10] == "T" and text[4] == text[7] == "-" and text[13] == text[16] == ":":
        parsed = _parse_common(text, default_offset)
        if parsed is not None:
            return parsed
    match = _DATETIME.fullmatch(text)
    if match is None:
        return None
    *parts, zone = match.groups()
    if parts[MILLISECOND] is not None:
        parts[MILLISECOND] = f"{parts[MILLISECOND]:0<3}"[:3]
    try:
        offset = default_offset if zone is None else parse_offset(zone)
        fields = tuple(int(part) for part in parts if part is not None)
        return DateTime.of(fields, offset, default_offset, zone is not None)
    except ValueError:
        return None


def _parse_common(text: str, default_offset: int) -> DateTime | None:
    """Read a date and time known to the second or millisecond; None when a plain look decides nothing."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    zone = moment.tzinfo
    if text[19:20] == "," or (zone is not None and text[-1] != "Z" and (text[-3] != ":" or text[-2] > "5")):
        return None
    if zone is None:
        offset = default_offset
        span = moment - _EPOCH
        shift = offset * 60_000
    else:
        offset = 0 if zone is UTC else _minutes(moment)
        span = moment - _EPOCH_UTC
        shift = 0
    if not -MAX_OFFSET <= offset <= MAX_OFFSET:
        return None
    lo = span.days * DAY_MS + span.seconds * 1000 + span.microseconds // 1000 - shift
    precision = MILLISECOND if text[19:20] == "." else SECOND
    return DateTime(precision, lo, lo + TAIL_MS[precision], offset, default_offset, zone is not None)


def _minutes(moment: datetime) -> int:
    """Return the offset of a moment that has one."""
    offset = moment.utcoffset() or timedelta()
    return offset.days * 1440 + offset.seconds // 60


@lru_cache(_CACHE)
def parse_time(text: str) -> Time | None:
    """Read `hh[:mm[:ss[.fff]]]`, with or without a leading `T`; None when the text is not a time."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    parts = [part for part in match.groups() if part is not None]
    if len(parts) == 4:
        parts[3] = f"{parts[3]:0<3}"[:3]
    try:
        return Time.of(tuple(int(part) for part in parts))
    except ValueError:
        return None


def parse_offset(text: str) -> int:
    """Return the minutes of `Z` or `+hh:mm`; raises ValueError beyond 14 hours or for a wrong minute."""
    if text == "Z":
        return 0
    hours, minutes = int(text[1:3]), int(text[4:6])
    total = hours * 60 + minutes
    if minutes > 59 or total > MAX_OFFSET:
        raise ValueError("not an offset")
    return -total if text[0] == "-" else total


Date.MIN, Date.MAX = Date.of_day(MIN_DAY), Date.of_day(MAX_DAY)
DateTime.MIN = DateTime(MILLISECOND, MIN_DAY * DAY_MS, MIN_DAY * DAY_MS, 0)
DateTime.MAX = DateTime(MILLISECOND, (MAX_DAY + 1) * DAY_MS - 1, (MAX_DAY + 1) * DAY_MS - 1, 0)
Time.MIN, Time.MAX = Time.at(0), Time.at(DAY_MS - 1)
