"""Date and time operators: comparison at a precision, durations, differences, components."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from fhir_cds.cql.runtime.interval_ops import OPERATORS as INTERVAL_OPERATORS
from fhir_cds.cql.runtime.temporal import DateTime, Temporal
from fhir_cds.cql.runtime.temporal_ops import OPERATORS, STATEFUL, order_at
from fhir_cds.cql.runtime.temporal_text import parse_date, parse_datetime, parse_time
from fhir_cds.cql.runtime.uncertainty import Uncertainty


@dataclass(frozen=True)
class State:
    """An evaluation at a moment; its offset is +01:00."""

    now: DateTime
    offset: int = 60


def read(text: str, zone: int = 0) -> Temporal:
    """Read any of the three: `T…` is a time, a `T` within a DateTime."""
    found: Temporal | None
    if text.startswith("T"):
        found = parse_time(text)
    else:
        found = parse_datetime(text, zone) if "T" in text else parse_date(text)
    assert found is not None
    return found


NOW = State(DateTime.of((2026, 1, 31, 0, 30, 15, 250), 60))


@pytest.mark.parametrize(
    ("left", "right", "precision", "sign"),
    [
        ("2014", "2014-05", "year", 0),
        ("2014", "2014-05", "month", None),
        ("2013", "2014-05", "month", -1),
        ("2014-05-01", "2014-05-31", "month", 0),
        ("2014-05-01", "2014-05-31", "day", -1),
        ("2014", "2014", "month", None),
        ("2014-05-01T10:30", "2014-05-01T10:45", "hour", 0),
        ("2014-05-01T10:30", "2014-05-01T", "hour", None),
        ("2022-02-22T00:00:00.000-05:00", "2022-02-22T04:59:00.000Z", "day", 0),
        ("2022-02-22T00:00:00.000-05:00", "2022-02-22T05:59:00.000Z", "hour", 0),
        ("2012-03-10T10:20:00.999+07:00", "2012-03-10T10:20:00.999+06:00", "hour", -1),
        ("2014-05-01", "2014-05-01T10:30Z", "day", 0),
        ("2014-05-02T10:30Z", "2014-05-01", "day", 1),
        ("T10:59", "T10:00:00", "hour", 0),
        ("T10:59", "T10:59:00", "second", None),
    ],
)
def test_order_at_a_precision(left: str, right: str, precision: str, sign: int | None) -> None:
    """Values are the same at a precision when all their parts down to it are; too imprecise ones give null."""
    assert order_at(read(left), read(right), precision) == sign
    assert order_at(read(right), read(left), precision) == (None if sign is None else -sign)


def test_hours_are_told_in_the_offset_of_the_evaluation() -> None:
    """Values with two offsets are compared in the offset of the evaluation, which decides where an hour begins."""
    left, right = "2020-01-01T10:45:00.000+05:30", "2020-01-01T05:10:00.000Z"
    assert order_at(read(left, 0), read(right, 0), "hour") == 0
    assert order_at(read(left, 330), read(right, 330), "hour") == 0
    assert order_at(read(left, 15), read(right, 15), "hour") == 0
    later = "2020-01-01T05:40:00.000Z"
    assert order_at(read(left, 0), read(later, 0), "hour") == 0
    assert order_at(read(left, 330), read(later, 330), "hour") == -1


def test_comparison_without_precision_and_of_nulls() -> None:
    """Without precision the whole value counts; null gives null; numbers have no precision."""
    assert order_at(read("2014"), read("2014-05"), None) is None
    assert order_at(read("2014"), None, "year") is None
    assert order_at(1, 2, "year") == -1
    for wrong in ("T10", 5):
        with pytest.raises(TypeError, match="cannot be compared"):
            order_at(read("2014"), read(wrong) if isinstance(wrong, str) else wrong, "year")


@pytest.mark.parametrize(
    ("name", "left", "right", "precision", "answer"),
    [
        ("SameAs", "2014-05-01", "2014-05-31", "month", True),
        ("SameAs", "2014-05-01", "2014", "month", None),
        ("SameOrBefore", "2014-05-31", "2014-05-01", "month", True),
        ("SameOrAfter", "2014-04-30", "2014-05-01", "month", False),
        ("Before", "2014-04-30", "2014-05-01", None, True),
        ("After", "2014-04-30", "2014-05-01", "month", False),
    ],
)
def test_point_comparisons(name: str, left: str, right: str, precision: str | None, answer: bool | None) -> None:
    """The timing phrases on points."""
    operator = INTERVAL_OPERATORS[name]
    assert operator(read(left), read(right), precision) is answer
    assert operator(None, read(right), precision) is None
    assert operator(read(left), None, precision) is None


@pytest.mark.parametrize(
    ("left", "right", "precision", "duration", "difference"),
    [
        ("2005T", "2010T", "year", Uncertainty(4, 5), 5),
        ("2014-01-31", "2014-02-01", "month", 0, 1),
        ("2014-02-01", "2014-01-31", "month", 0, -1),
        ("2012-02-29", "2013-02-28", "year", 0, 1),
        ("2013-03-01", "2012-02-29", "year", -1, -1),
        ("2014-03-15", "2014-01-20", "month", -1, -2),
        ("2014-01-15T", "2014-02T", "day", Uncertainty(16, 44), Uncertainty(17, 44)),
        ("2014-01-15", "2014-02", "day", Uncertainty(17, 44), Uncertainty(17, 44)),
        ("2012-03-10", "2012-03-20", "week", 1, 2),
        ("2012-03-18", "2012-03-24", "week", 0, 0),
        ("2017-03-12T01:00:00-07:00", "2017-03-12T03:00:00-06:00", "hour", 1, 1),
        ("2017-03-12T00:00:00-07:00", "2017-03-13T00:00:00-06:00", "day", 0, 1),
        ("2017-11-05T01:30:00-06:00", "2017-11-05T01:15:00-07:00", "minute", 45, 45),
        ("2000-10-10T10:05:45", "2000-10-10T10:05:45.900Z", "millisecond", 900, 900),
        ("T20:26:15.555", "T23:25:15.555", "hour", 2, 3),
        ("T20", "T23:25:15.555", "hour", Uncertainty(2, 3), 3),
    ],
)
def test_counting_between(left: str, right: str, precision: str, duration: Any, difference: Any) -> None:
    """Whole periods and crossed boundaries, uncertain where the values are imprecise."""
    assert OPERATORS["DurationBetween"](read(left), read(right), precision) == duration
    assert OPERATORS["DifferenceBetween"](read(left), read(right), precision) == difference


@pytest.mark.parametrize("name", ["DurationBetween", "DifferenceBetween"])
def test_counting_needs_values_with_that_precision(name: str) -> None:
    """Null gives null; hours of a date and days of a time are refused."""
    operator = OPERATORS[name]
    assert operator(None, read("2014"), "year") is None
    assert operator(read("2014"), None, "year") is None
    for text, precision in (("2014", "hour"), ("T10", "day"), ("T10", "week")):
        with pytest.raises(ValueError, match="has no"):
            operator(read(text), read(text), precision)
    with pytest.raises(TypeError):
        operator(1, 2, "day")


def test_now_today_and_time_of_day() -> None:
    """They tell the moment of the evaluation in its own offset."""
    assert str(OPERATORS["Now"](NOW)) == "2026-01-31T00:30:15.250+01:00"
    assert str(OPERATORS["Today"](NOW)) == "2026-01-31"
    assert str(OPERATORS["TimeOfDay"](NOW)) == "00:30:15.250"
    seconds = State(DateTime.of((2026, 1, 31, 0, 30, 15), 60))
    assert str(OPERATORS["Now"](seconds)) == "2026-01-31T00:30:15.000+01:00"
    assert {"Now", "Today", "TimeOfDay", "DateTime"} == STATEFUL


def test_constructors() -> None:
    """Components from the year down; the offset is that of the evaluation unless given in hours."""
    assert str(OPERATORS["Date"](2014, 5)) == "2014-05"
    assert OPERATORS["Date"](None) is None
    assert str(OPERATORS["DateTime"](NOW, 2014, 5, 1, 10)) == "2014-05-01T10+01:00"
    assert str(OPERATORS["DateTime"](NOW, 2014, 5, 1, 10, 0, 0, 0, Decimal("-3.5"))) == "2014-05-01T10:00:00.000-03:30"
    assert str(OPERATORS["DateTime"](NOW, 2014, 5, 1, None, None, None, None, None)) == "2014-05-01"
    assert OPERATORS["DateTime"](NOW, None, None) is None
    assert str(OPERATORS["Time"](10, 30)) == "10:30"
    assert OPERATORS["Time"](None, None) is None


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("Date", (2014, None, 3)),
        ("DateTime", (NOW, 2014, None, 3)),
        ("Time", (None, 30)),
        ("Date", (2014, 13)),
        ("Date", (2014, 0)),
        ("Date", (2014, 5, 0)),
    ],
)
def test_constructors_refuse(name: str, arguments: tuple[Any, ...]) -> None:
    """A component without the one above it, or an impossible one, raises."""
    with pytest.raises(ValueError, match=r"component|month"):
        OPERATORS[name](*arguments)


def test_parts_of_a_datetime() -> None:
    """Date in its own offset, time in that of the evaluation, offset in hours."""
    value = read("2014-05-01T23:30:15.250-02:30", 60)
    assert str(OPERATORS["DateFrom"](value)) == "2014-05-01"
    assert str(OPERATORS["DateFrom"](read("2014-05T"))) == "2014-05"
    assert OPERATORS["DateFrom"](read("2014-05")) == read("2014-05")
    assert OPERATORS["DateFrom"](None) is None
    assert str(OPERATORS["TimeFrom"](value)) == "03:00:15.250"
    assert OPERATORS["TimeFrom"](read("2014-05T")) is None
    assert OPERATORS["TimeFrom"](None) is None
    assert OPERATORS["TimezoneOffsetFrom"](value) == Decimal("-2.5")
    assert OPERATORS["TimezoneOffsetFrom"](None) is None


@pytest.mark.parametrize(
    ("text", "precision", "component"),
    [("2014-05-01T23:30Z", "year", 2014), ("2014-05-01T23:30Z", "minute", 30), ("2014-05-01T23:30Z", "second", None),
     ("2014-05", "month", 5), ("2014-05", "day", None), ("T23:30:15.250", "hour", 23),
     ("T23:30:15.250", "millisecond", 250), ("T23", "minute", None)],
)  # fmt: skip
def test_components(text: str, precision: str, component: int | None) -> None:
    """A component that is not known is null."""
    assert OPERATORS["DateTimeComponentFrom"](read(text), precision) == component


def test_components_of_nothing_and_wrong_ones() -> None:
    """Null gives null; a time has no year."""
    assert OPERATORS["DateTimeComponentFrom"](None, "year") is None
    with pytest.raises(ValueError, match="has no year"):
        OPERATORS["DateTimeComponentFrom"](read("T10"), "year")
