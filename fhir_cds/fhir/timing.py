"""FHIR Timing (R4 §2.24.0.12) as dated occurrences.

>>> weekly = {"repeat": {"count": 2, "frequency": 1, "period": 1, "periodUnit": "wk"}}
>>> [str(item.earliest) for item in occurrences(weekly, date(2026, 1, 31))]
['2026-01-31', '2026-02-07']

What FHIR leaves open is read so: the first occurrence is on the start; `periodMax` makes each occurrence a window that
opens after `period` and closes after `periodMax`; a frequency above 1 divides the period into equal windows of days;
`boundsRange` is counted from the start: low is when the occurrences begin, high when they end (docs/adr on schedules).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import count as counting
from typing import Any, Final

from fhir_cds.errors import ContentError
from fhir_cds.fhir.dates import DAYS_IN, MONTHS_IN, add, add_months, date_range

Json = Mapping[str, Any]

DAYS_OF_CYCLE: Final = "http://hl7.org/fhir/StructureDefinition/timing-daysOfCycle"
MAX_OCCURRENCES: Final = 10_000

_SECONDS_IN: Final[Mapping[str, int]] = {"s": 1, "min": 60, "h": 3600}
_WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CODED: Final[Mapping[str, tuple[int, int, str]]] = {  # GTSAbbreviation codes -> frequency, period, unit
    "QD": (1, 1, "d"),
    "AM": (1, 1, "d"),
    "PM": (1, 1, "d"),
    "BED": (1, 1, "d"),
    "BID": (2, 1, "d"),
    "TID": (3, 1, "d"),
    "QID": (4, 1, "d"),
    "QOD": (1, 2, "d"),
    "Q1H": (1, 1, "h"),
    "Q2H": (1, 2, "h"),
    "Q3H": (1, 3, "h"),
    "Q4H": (1, 4, "h"),
    "Q6H": (1, 6, "h"),
    "Q8H": (1, 8, "h"),
    "WK": (1, 1, "wk"),
    "MO": (1, 1, "mo"),
}


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One time something is due: `number` from 1, the days between which it is due.

    `at` is the time of day, or the code of the daily event (R4 EventTiming), where the Timing names one.
    """

    number: int
    earliest: date
    latest: date
    at: str | None = None


def occurrences(
    timing: Json, start: date, *, until: date | None = None, where: str = "Timing"
) -> tuple[Occurrence, ...]:
    """Return the occurrences of a Timing that begins at `start`, none that opens after `until`.

    Raises ContentError for a Timing that has no end (no count, no bounds, no `until`), for one with more than
    `MAX_OCCURRENCES`, and for elements that contradict each other.
    """
    if timing.get("event"):
        return _events(timing["event"], where)
    repeat = _repeat_of(timing, where)
    first, last = bounds(repeat, start, where=where)
    ends = [day for day in (last, until) if day is not None]
    wanted = repeat.get("countMax") or repeat.get("count")
    if wanted is None and not ends:
        raise ContentError("has no end: neither count nor bounds", where=where)
    found: list[Occurrence] = []
    for earliest, latest, at in _generated(repeat, first, where):
        if (ends and earliest > min(ends)) or len(found) == wanted:
            break
        if len(found) >= MAX_OCCURRENCES:
            raise ContentError(f"has more than {MAX_OCCURRENCES} occurrences", where=where)
        found.append(Occurrence(len(found) + 1, earliest, latest, at))
    return tuple(found)


def bounds(repeat: Json, start: date, *, where: str = "Timing") -> tuple[date, date | None]:
    """Return the first and last day on which an occurrence can open; the last is None when open.

    A duration ends on the day before it is full: seven days from Monday end on Sunday. Raises ContentError for a
    boundsPeriod without a full date.
    """
    if "boundsPeriod" in repeat:
        period = repeat["boundsPeriod"]
        given = [date_range(period[key]) if key in period else None for key in ("start", "end")]
        if ("start" in period and given[0] is None) or ("end" in period and given[1] is None):
            raise ContentError("boundsPeriod needs dates", where=where)
        return (given[0].earliest if given[0] else start), (given[1].latest if given[1] else None)
    if "boundsDuration" in repeat:
        return start, _moved(start, repeat["boundsDuration"], where) - timedelta(days=1)
    if "boundsRange" in repeat:
        low, high = repeat["boundsRange"].get("low"), repeat["boundsRange"].get("high")
        return _moved(start, low, where) if low else start, _moved(start, high, where) if high else None
    return start, None


def days_of_cycle(extensions: Sequence[Json]) -> tuple[int, ...]:
    """Return the days that the timing-daysOfCycle extension names (1 is the first day of the cycle), in order."""
    for extension in extensions:
        if extension.get("url") == DAYS_OF_CYCLE:
            parts = extension.get("extension", [])
            return tuple(sorted(part["valueInteger"] for part in parts if part.get("url") == "day"))
    return ()


def cycle_occurrences(
    cycle: Json, days: Sequence[int], start: date, *, until: date | None = None, where: str = "Timing"
) -> tuple[Occurrence, ...]:
    """Return the occurrences on the given days of each cycle of a Timing.

    The length of a cycle is `period`, or `duration` where no period is given (as in the FHIR example KDN5); cycles
    follow each other without a gap. Raises ContentError as `occurrences`, and for a day outside the cycle.

    >>> cycle = {"repeat": {"count": 6, "duration": 21, "durationUnit": "d"}}
    >>> len(cycle_occurrences(cycle, (1, 8), date(2026, 1, 5)))
    12
    """
    repeat = dict(_repeat_of(cycle, where))
    if "period" not in repeat and "duration" in repeat:
        repeat = {**repeat, "period": repeat["duration"], "periodUnit": repeat.get("durationUnit")}
    period = {key: value for key, value in repeat.items() if key not in {"duration", "durationUnit", "durationMax"}}
    starts = [item.earliest for item in occurrences({"repeat": period}, start, until=until, where=where)]
    found: list[date] = []
    for index, begun in enumerate(starts):
        following = starts[index + 1] if index + 1 < len(starts) else _moved_by(begun, period, 1, where)
        for number in days:
            day = begun + timedelta(days=number - 1)
            if number < 1 or day >= following:
                raise ContentError(f"day {number} is outside the cycle", where=where)
            if until is None or day <= until:
                found.append(day)
    return tuple(Occurrence(number, day, day) for number, day in enumerate(found, start=1))


def _repeat_of(timing: Json, where: str) -> Json:
    if "repeat" in timing:
        repeat: Json = timing["repeat"]
        return repeat
    for coding in timing.get("code", {}).get("coding", []):
        known = _CODED.get(coding.get("code", ""))
        if known is not None:
            return dict(zip(("frequency", "period", "periodUnit"), known, strict=True))
    raise ContentError("has neither event nor repeat nor a known code", where=where)


def _events(events: Sequence[object], where: str) -> tuple[Occurrence, ...]:
    found = sorted(
        (days.earliest, days.latest, str(text)[11:16] or None) for text in events if (days := date_range(text))
    )
    if len(found) != len(events):
        raise ContentError("event needs dates", where=where)
    return tuple(Occurrence(number, *item) for number, item in enumerate(found, start=1))


def _generated(repeat: Json, first: date, where: str) -> Iterator[tuple[date, date, str | None]]:
    """Yield (earliest, latest, time of day) without end, in order."""
    unit = repeat.get("periodUnit", "d")
    if unit in _SECONDS_IN:
        yield from _within_days(repeat, first, unit)
        return
    times: Sequence[str | None] = _times(repeat) or [None]
    for index in counting():
        opens = _moved_by(first, repeat, index, where)
        following = _moved_by(first, repeat, index + 1, where)
        if following <= opens:
            raise ContentError("period must be longer than nothing", where=where)
        for earliest, latest in _days_in_period(repeat, opens, following, where):
            for at in times:
                yield earliest, latest, at


def _days_in_period(repeat: Json, opens: date, following: date, where: str) -> Iterator[tuple[date, date]]:
    weekdays = repeat.get("dayOfWeek")
    if weekdays:
        unknown = [day for day in weekdays if day not in _WEEKDAYS]
        if unknown:
            raise ContentError("dayOfWeek must be mon to sun", where=where)
        wanted = {_WEEKDAYS.index(day) for day in weekdays}
        for offset in range(min(7, (following - opens).days)):
            day = opens + timedelta(days=offset)
            if day.weekday() in wanted:
                yield day, day
        return
    frequency = 1 if _times(repeat) else (repeat.get("frequency") or 1)
    if frequency == 1:
        latest = opens
        if "periodMax" in repeat:
            width = Decimal(repeat["periodMax"]) - Decimal(repeat.get("period", 1))
            latest = _shift(opens, width, repeat.get("periodUnit", "d"), where)
        yield opens, latest
        return
    length = (following - opens).days
    for part in range(frequency):
        earliest = opens + timedelta(days=part * length // frequency)
        closes = opens + timedelta(days=(part + 1) * length // frequency) - timedelta(days=1)
        yield earliest, max(earliest, closes)


def _times(repeat: Json) -> list[str]:
    """Return what names the moments of a day: clock times, or else event codes (breakfast, bedtime)."""
    return sorted(repeat.get("timeOfDay", ())) or list(repeat.get("when", ()))


def _within_days(repeat: Json, first: date, unit: str) -> Iterator[tuple[date, date, str | None]]:
    period = int(Decimal(repeat.get("period", 1)) * _SECONDS_IN[unit] * 1_000_000)
    frequency = repeat.get("frequency") or 1
    begin = datetime.combine(first, time.min)
    for index in counting():
        day = (begin + timedelta(microseconds=index * period // frequency)).date()
        yield day, day, None


def _moved_by(start: date, repeat: Json, periods: int, where: str) -> date:
    """Return the start of a period, counted from the first in one step (see `dates`)."""
    return _shift(start, Decimal(repeat.get("period", 1)) * periods, repeat.get("periodUnit", "d"), where)


def _moved(start: date, quantity: Json, where: str) -> date:
    return _shift(start, quantity.get("value", 0), quantity.get("code") or quantity.get("unit") or "", where)


def _shift(start: date, value: int | Decimal, unit: str, where: str) -> date:
    """Return `start` moved; of a period that is no whole number of days the day in which it ends."""
    try:
        total = Decimal(value)
        if unit in DAYS_IN:
            return start + timedelta(days=int(total * DAYS_IN[unit]))
        months = total * MONTHS_IN.get(unit, 1)
        if unit in MONTHS_IN and months != months.to_integral_value():
            return add_months(start, int(months)) + timedelta(days=int((months % 1) * 30))
        return add(start, total, unit, where=where)
    except (OverflowError, ValueError):
        raise ContentError("leaves the calendar", where=where) from None
