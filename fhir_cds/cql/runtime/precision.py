"""Precisions of dates and times, and the numbers behind their parts: days, milliseconds, offsets.

Days are counted from 1970-01-01, milliseconds from midnight, offsets in minutes from UTC.
"""

from __future__ import annotations

from datetime import date
from typing import Final

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
# What follows the first millisecond of a value of each precision from day on.
TAIL_MS: Final = (0, 0, DAY_MS - 1, 3_599_999, 59_999, 999, 0)

_MONTH_DAYS: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def days_in_month(year: int, month: int) -> int:
    """Return the number of days of a month (1 to 12)."""
    if month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0):
        return 29
    return _MONTH_DAYS[month - 1]


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


def parse_offset(text: str) -> int:
    """Return the minutes of `Z` or `+hh:mm`; raises ValueError beyond 14 hours or for a wrong minute."""
    if text == "Z":
        return 0
    hours, minutes = int(text[1:3]), int(text[4:6])
    total = hours * 60 + minutes
    if minutes > 59 or total > MAX_OFFSET:
        raise ValueError("not an offset")
    return -total if text[0] == "-" else total
