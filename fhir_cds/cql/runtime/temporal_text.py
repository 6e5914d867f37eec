"""Date, DateTime and Time read from ISO 8601 texts, as CQL literals, FHIR elements and FHIRPath write them.

What was read is remembered: the dates of a record are read by every define that looks at them.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final

from fhir_cds.cql.runtime.precision import (
    DAY,
    DAY_MS,
    EPOCH_ORDINAL,
    MAX_OFFSET,
    MILLISECOND,
    SECOND,
    TAIL_MS,
    parse_offset,
)
from fhir_cds.cql.runtime.temporal import Date, DateTime, Time

_CACHE: Final = 32_768
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
