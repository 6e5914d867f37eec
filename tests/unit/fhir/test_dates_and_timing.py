"""Calendar arithmetic and Timing, by example and by property."""

from __future__ import annotations

import calendar
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_cds.errors import ContentError
from fhir_cds.fhir.dates import DateRange, add, add_months, date_range, whole
from fhir_cds.fhir.timing import DAYS_OF_CYCLE, bounds, cycle_occurrences, days_of_cycle, occurrences

START = date(2026, 1, 31)
DATES = st.dates(date(1900, 1, 1), date(2100, 12, 31))
MONTHS = st.integers(-600, 600)


def days(timing: dict[str, Any], start: date = START, **more: Any) -> list[str]:
    """Return the first days of the occurrences as text."""
    return [item.earliest.isoformat() for item in occurrences(timing, start, **more)]


@given(DATES, MONTHS)
def test_month_arithmetic(day: date, months: int) -> None:
    """The month is right, the day is the same or the month's last, and never later than before."""
    moved = add_months(day, months)
    assert (moved.year * 12 + moved.month) - (day.year * 12 + day.month) == months
    last = calendar.monthrange(moved.year, moved.month)[1]
    assert moved.day == min(day.day, last)


@given(DATES, DATES, MONTHS)
def test_adding_months_keeps_order(first: date, second: date, months: int) -> None:
    """Of two dates the earlier stays no later, whatever is added."""
    low, high = sorted((first, second))
    assert add_months(low, months) <= add_months(high, months)


@given(DATES, MONTHS, MONTHS)
def test_more_months_are_later(day: date, first: int, second: int) -> None:
    """More months give a later date."""
    if first < second:
        assert add_months(day, first) < add_months(day, second)


@given(st.dates(date(1900, 1, 1), date(2100, 12, 31)))
def test_a_year_later(day: date) -> None:
    """A year later is the same day, but 29 February becomes 28 February."""
    later = add(day, 1, "a")
    expected_day = 28 if (day.month, day.day) == (2, 29) else day.day
    assert (later.year, later.month, later.day) == (day.year + 1, day.month, expected_day)


@pytest.mark.parametrize(
    ("start", "value", "unit", "expected"),
    [
        ("2024-01-31", 1, "mo", "2024-02-29"),
        ("2023-01-31", 1, "mo", "2023-02-28"),
        ("2026-01-31", 3, "mo", "2026-04-30"),
        ("2024-02-29", 4, "a", "2028-02-29"),
        ("2026-03-31", -1, "month", "2026-02-28"),
        ("2026-01-31", 2, "wk", "2026-02-14"),
        ("2026-01-31", Decimal("1.5"), "years", "2027-07-31"),
        ("2026-12-31", 1, "d", "2027-01-01"),
    ],
)
def test_add(start: str, value: int | Decimal, unit: str, expected: str) -> None:
    """Lengths of time in UCUM and CQL words."""
    assert add(date.fromisoformat(start), value, unit).isoformat() == expected


@pytest.mark.parametrize(("value", "unit"), [(1, "h"), (Decimal("0.5"), "d"), (Decimal("0.1"), "mo"), (1, "")])
def test_add_refuses(value: int | Decimal, unit: str) -> None:
    """Hours, parts of a day and unknown units are refused."""
    with pytest.raises(ContentError):
        whole(value, unit)


@pytest.mark.parametrize(
    ("text", "earliest", "latest"),
    [
        ("2024", "2024-01-01", "2024-12-31"),
        ("2024-02", "2024-02-01", "2024-02-29"),
        ("2023-02", "2023-02-01", "2023-02-28"),
        ("2024-02-29", "2024-02-29", "2024-02-29"),
        ("2024-02-29T23:59:00-05:00", "2024-02-29", "2024-02-29"),
    ],
)
def test_date_range(text: str, earliest: str, latest: str) -> None:
    """A partial date is the range of days it can mean."""
    found = date_range(text)
    assert found == DateRange(date.fromisoformat(earliest), date.fromisoformat(latest))
    assert found is not None
    assert found.is_exact is (earliest == latest)


@pytest.mark.parametrize(
    "text", ["", "24", "2024-13", "2024-02-30", "0000", "2024-2-1", "2024-02-29 10:00", None, 7, "x"]
)
def test_no_date(text: object) -> None:
    """What is no FHIR date is None, not an error."""
    assert date_range(text) is None


@given(st.integers(1, 60), st.integers(1, 30), st.sampled_from(["d", "wk", "mo", "a"]), DATES)
def test_count_is_kept(count: int, period: int, unit: str, start: date) -> None:
    """A count of n gives n occurrences, in order, the first at the start, each counted from the start."""
    repeat = {"count": count, "frequency": 1, "period": period, "periodUnit": unit}
    found = occurrences({"repeat": repeat}, start)
    assert [item.number for item in found] == list(range(1, count + 1))
    assert found[0].earliest == start
    assert [item.earliest for item in found] == [add(start, index * period, unit) for index in range(count)]


@given(st.integers(1, 40), st.integers(1, 7), DATES)
def test_bounds_are_kept(length: int, period: int, start: date) -> None:
    """No occurrence opens outside the bounds, and none inside is left out."""
    repeat = {"period": period, "periodUnit": "d", "boundsDuration": {"value": length, "code": "d"}}
    found = occurrences({"repeat": repeat}, start)
    assert len(found) == -(-length // period)
    assert all(start <= item.earliest < start + timedelta(days=length) for item in found)


@pytest.mark.parametrize(
    ("repeat", "expected"),
    [
        ({"count": 3, "period": 1, "periodUnit": "mo"}, ["2026-01-31", "2026-02-28", "2026-03-31"]),
        ({"count": 2, "countMax": 3, "period": 1, "periodUnit": "a"}, ["2026-01-31", "2027-01-31", "2028-01-31"]),
        ({"period": 10, "periodUnit": "d", "boundsPeriod": {"start": "2026-02-01", "end": "2026-02-21"}},
         ["2026-02-01", "2026-02-11", "2026-02-21"]),
        ({"period": 1, "periodUnit": "wk", "boundsPeriod": {"end": "2026-02"}},
         ["2026-01-31", "2026-02-07", "2026-02-14", "2026-02-21", "2026-02-28"]),
        ({"period": 6, "periodUnit": "mo", "boundsRange": {"low": {"value": 24, "code": "mo"},
          "high": {"value": 36, "code": "mo"}}}, ["2028-01-31", "2028-07-31", "2029-01-31"]),
        ({"count": 4, "period": 1, "periodUnit": "wk", "dayOfWeek": ["mon", "thu"]},
         ["2026-02-02", "2026-02-05", "2026-02-09", "2026-02-12"]),
        ({"count": 3, "period": 1, "periodUnit": "d", "dayOfWeek": ["sun"]},
         ["2026-02-01", "2026-02-08", "2026-02-15"]),
        ({"count": 3, "frequency": 3, "period": 1, "periodUnit": "wk"}, ["2026-01-31", "2026-02-02", "2026-02-04"]),
        ({"count": 4, "frequency": 2, "period": 1, "periodUnit": "d"},
         ["2026-01-31", "2026-01-31", "2026-02-01", "2026-02-01"]),
        ({"count": 4, "period": 8, "periodUnit": "h"}, ["2026-01-31", "2026-01-31", "2026-01-31", "2026-02-01"]),
    ],
)  # fmt: skip
def test_repeat(repeat: dict[str, Any], expected: list[str]) -> None:
    """Timing.repeat in its forms."""
    assert days({"repeat": repeat}) == expected


def test_period_max_opens_a_window() -> None:
    """Every 3 to 4 months: each occurrence is a window of a month."""
    repeat = {"count": 2, "period": 3, "periodMax": 4, "periodUnit": "mo"}
    found = occurrences({"repeat": repeat}, START)
    assert [(str(item.earliest), str(item.latest)) for item in found] == [
        ("2026-01-31", "2026-02-28"),
        ("2026-04-30", "2026-05-30"),
    ]


def test_times_of_day_are_occurrences() -> None:
    """Two times a day are two occurrences a day, each with its time; so are daily events."""
    repeat = {"count": 3, "frequency": 2, "period": 1, "periodUnit": "d", "timeOfDay": ["20:00:00", "08:00:00"]}
    found = occurrences({"repeat": repeat}, START)
    assert [(item.earliest.day, item.at) for item in found] == [(31, "08:00:00"), (31, "20:00:00"), (1, "08:00:00")]
    events = occurrences({"repeat": {"count": 2, "period": 1, "periodUnit": "d", "when": ["ACM", "ACV"]}}, START)
    assert [(item.earliest.day, item.at) for item in events] == [(31, "ACM"), (31, "ACV")]


def test_events_are_taken_as_they_are() -> None:
    """Timing.event: in order, partial ones as ranges, with the time where there is one."""
    found = occurrences({"event": ["2026-03", "2026-02-01T08:30:00Z"]}, START)
    assert [(str(item.earliest), str(item.latest), item.at) for item in found] == [
        ("2026-02-01", "2026-02-01", "08:30"),
        ("2026-03-01", "2026-03-31", None),
    ]


def test_coded_timing() -> None:
    """Timing.code BID alone is twice a day."""
    timing = {"code": {"coding": [{"code": "BID"}]}}
    assert len(occurrences(timing, START, until=START + timedelta(days=2))) == 6


def test_until_closes_an_open_timing() -> None:
    """An open Timing needs an end from the caller."""
    open_end = {"repeat": {"period": 1, "periodUnit": "a"}}
    assert days(open_end, until=date(2028, 1, 31)) == ["2026-01-31", "2027-01-31", "2028-01-31"]
    with pytest.raises(ContentError, match="no end"):
        occurrences(open_end, START)


@pytest.mark.parametrize(
    ("timing", "message"),
    [
        ({}, "neither event nor repeat"),
        ({"code": {"text": "now and then"}}, "neither event nor repeat"),
        ({"event": ["soon"]}, "event needs dates"),
        ({"repeat": {"count": 1, "period": 1, "periodUnit": "fortnight"}}, "no unit"),
        ({"repeat": {"count": 2, "period": 0, "periodUnit": "d"}}, "longer than nothing"),
        ({"repeat": {"count": 20_000, "period": 1, "periodUnit": "d"}}, "more than 10000"),
        ({"repeat": {"count": 9999, "period": 9, "periodUnit": "a"}}, "leaves the calendar"),
        ({"repeat": {"count": 1, "period": 1, "periodUnit": "wk", "dayOfWeek": ["monday"]}}, "mon to sun"),
        ({"repeat": {"period": 1, "boundsPeriod": {"end": "soon"}}}, "needs dates"),
    ],
)
def test_refused(timing: dict[str, Any], message: str) -> None:
    """A Timing that makes no sense is a ContentError."""
    with pytest.raises(ContentError, match=message):
        occurrences(timing, START)


def test_bounds() -> None:
    """Bounds of each form; open ends are None."""
    assert bounds({}, START) == (START, None)
    assert bounds({"boundsRange": {"low": {"value": 60, "code": "mo"}}}, START) == (date(2031, 1, 31), None)
    assert bounds({"boundsDuration": {"value": 7, "unit": "days"}}, START) == (START, date(2026, 2, 6))


GEMCITABINE_DAYS = {"url": DAYS_OF_CYCLE, "extension": [{"url": "day", "valueInteger": day} for day in (8, 1)]}
CARBOPLATIN_DAYS = {"url": DAYS_OF_CYCLE, "extension": [{"url": "day", "valueInteger": 1}]}
CYCLE = {"repeat": {"count": 6, "duration": 21, "durationUnit": "d"}}


def test_onc_1_eighteen_doses() -> None:
    """KDN5 (ONC-1): days 1 and 8, and day 1, of six cycles of 21 days: 12 + 6 = 18 doses on the right dates."""
    start = date(2026, 1, 5)
    gemcitabine = cycle_occurrences(CYCLE, days_of_cycle([GEMCITABINE_DAYS]), start)
    carboplatin = cycle_occurrences(CYCLE, days_of_cycle([CARBOPLATIN_DAYS]), start)
    assert (len(gemcitabine), len(carboplatin)) == (12, 6)
    expected = [start + timedelta(days=21 * cycle) for cycle in range(6)]
    assert [item.earliest for item in carboplatin] == expected
    assert [item.earliest for item in gemcitabine] == [
        day for first in expected for day in (first, first + timedelta(days=7))
    ]
    assert str(gemcitabine[-1].earliest) == "2026-04-27"


def test_cycle_by_period() -> None:
    """A cycle may be given by its period; day 29 of a monthly cycle must lie inside each month."""
    monthly = {"repeat": {"count": 3, "period": 1, "periodUnit": "mo"}}
    assert [str(item.earliest) for item in cycle_occurrences(monthly, (1, 15), date(2026, 1, 1))] == [
        "2026-01-01", "2026-01-15", "2026-02-01", "2026-02-15", "2026-03-01", "2026-03-15",
    ]  # fmt: skip
    with pytest.raises(ContentError, match="day 29 is outside"):
        cycle_occurrences(monthly, (29,), date(2026, 1, 1))


@pytest.mark.parametrize("day", [0, 22])
def test_day_outside_the_cycle(day: int) -> None:
    """A day before the first or after the last of the cycle is refused."""
    with pytest.raises(ContentError, match="outside the cycle"):
        cycle_occurrences(CYCLE, (day,), START)


def test_cycle_until() -> None:
    """Days after the end asked for are left out."""
    assert len(cycle_occurrences(CYCLE, (1, 8), date(2026, 1, 5), until=date(2026, 1, 26))) == 3
    assert days_of_cycle([{"url": "other"}]) == ()
