"""Date, DateTime and Time: reading, writing, calendar arithmetic, boundaries."""

from __future__ import annotations

from decimal import Decimal

import pytest

from fhir_cds.cql.runtime import calendar_arithmetic as calendar
from fhir_cds.cql.runtime.precision import DAY, HOUR, MILLISECOND, MINUTE, MONTH, SECOND, YEAR
from fhir_cds.cql.runtime.temporal import Date, DateTime, Temporal, Time, decimal_seconds, key, to_datetime
from fhir_cds.cql.runtime.temporal_text import parse_date, parse_datetime, parse_time


def dt(text: str, offset: int = 0) -> DateTime:
    value = parse_datetime(text, offset)
    assert value is not None
    return value


def d(text: str) -> Date:
    value = parse_date(text)
    assert value is not None
    return value


def t(text: str) -> Time:
    value = parse_time(text)
    assert value is not None
    return value


def read(text: str) -> Temporal:
    """Read any of the three: `T…` is a time, a `T` within a DateTime."""
    return t(text) if text.startswith("T") else dt(text) if "T" in text else d(text)


@pytest.mark.parametrize(
    ("text", "precision", "fields", "shown"),
    [
        ("2020", YEAR, (2020,), "2020"),
        ("2020T", YEAR, (2020,), "2020"),
        ("2020-02", MONTH, (2020, 2), "2020-02"),
        ("2020-02T", MONTH, (2020, 2), "2020-02"),
        ("2020-02-29", DAY, (2020, 2, 29), "2020-02-29"),
        ("2020-02-29T", DAY, (2020, 2, 29), "2020-02-29"),
        ("2020-02-29T10", HOUR, (2020, 2, 29, 10), "2020-02-29T10+01:00"),
        ("2020-02-29T10:11", MINUTE, (2020, 2, 29, 10, 11), "2020-02-29T10:11+01:00"),
        ("2020-02-29T10:11Z", MINUTE, (2020, 2, 29, 10, 11), "2020-02-29T10:11+00:00"),
        ("2020-02-29T10:11:12", SECOND, (2020, 2, 29, 10, 11, 12), "2020-02-29T10:11:12+01:00"),
        ("2020-02-29T10:11:12Z", SECOND, (2020, 2, 29, 10, 11, 12), "2020-02-29T10:11:12+00:00"),
        ("2020-02-29T10:11:12-03:30", SECOND, (2020, 2, 29, 10, 11, 12), "2020-02-29T10:11:12-03:30"),
        ("2020-02-29T10:11:12.5", MILLISECOND, (2020, 2, 29, 10, 11, 12, 500), "2020-02-29T10:11:12.500+01:00"),
        ("2020-02-29T10:11:12.1239Z", MILLISECOND, (2020, 2, 29, 10, 11, 12, 123), "2020-02-29T10:11:12.123+00:00"),
        ("2020-02-29T10:11:12.123+14:00", MILLISECOND, (2020, 2, 29, 10, 11, 12, 123), "2020-02-29T10:11:12.123+14:00"),
        ("0001-01-01T00:00:00.000Z", MILLISECOND, (1, 1, 1, 0, 0, 0, 0), "0001-01-01T00:00:00.000+00:00"),
        ("9999-12-31T23:59:59.999Z", MILLISECOND, (9999, 12, 31, 23, 59, 59, 999), "9999-12-31T23:59:59.999+00:00"),
    ],
)
def test_datetime_reads_and_writes(text: str, precision: int, fields: tuple[int, ...], shown: str) -> None:
    """A DateTime keeps precision, local components and offset; without one it gets the default of +01:00."""
    value = dt(text, 60)
    assert (value.precision, value.fields(), str(value), value.zone) == (precision, fields, shown, 60)


@pytest.mark.parametrize(
    "text",
    [
        "", "20", "2020-", "2020-13", "2020-02-30", "2020-2-3", "2020-02-29T24", "2020-02-29T10:60", "20200229",
        "2020-02-29T10:11:60Z", "2020-02-29T10:11:12,5Z", "2020-02-29T10:11:12,500Z", "2020-02-29T10:11:12+0100",
        "2020-02-29T10:11:12.Z", "2020-W09-6T10:11:12",
        "2020-02-29T10:11:12+15:00", "2020-02-29T10:11:12+01:60", "2020-02-29T10:11:12.123+15:00", " 2020", "2020\n",
        "٢٠٢٠-٠٢-٢٩", "2020-02-29T10+1:00", "0000-01-01", "2020-02-29x", "+020-02-29",
    ],
)  # fmt: skip
def test_datetime_refuses(text: str) -> None:
    """What is no date and time reads as None, never as something near it."""
    assert parse_datetime(text, 0) is None


@pytest.mark.parametrize("text", ["2020-02-29T10:11:12Z", "2020-02-30", "2020-13", "2020T", "x", "202-01-01"])
def test_date_refuses(text: str) -> None:
    """A Date has no time."""
    assert parse_date(text) is None


@pytest.mark.parametrize(
    ("text", "fields", "shown"),
    [
        ("10", (10,), "10"),
        ("T10:11", (10, 11), "10:11"),
        ("10:11:12", (10, 11, 12), "10:11:12"),
        ("T10:11:12.5", (10, 11, 12, 500), "10:11:12.500"),
        ("10:11:12.98765", (10, 11, 12, 987), "10:11:12.987"),
    ],
)
def test_time_reads_and_writes(text: str, fields: tuple[int, ...], shown: str) -> None:
    """A Time keeps its precision."""
    assert (t(text).fields(), str(t(text))) == (fields, shown)


@pytest.mark.parametrize("text", ["24", "10:60", "10:11:60", "1", "10:11:12.", "T", "10:11Z"])
def test_time_refuses(text: str) -> None:
    """What is no time of day reads as None."""
    assert parse_time(text) is None


@pytest.mark.parametrize(
    ("make", "arguments"),
    [
        (Date.of, (2020, 13)),
        (Date.of, (2021, 2, 29)),
        (Time.of, ((24,),)),
        (Time.of, ((),)),
        (DateTime.of, ((), 0)),
        (DateTime.of, ((2020,), 15 * 60)),
        (DateTime.of, ((2020, 1, 1, 24), 0)),
        (DateTime.of, ((10000,), 0)),
    ],
)
def test_impossible_components_raise(make: object, arguments: tuple[object, ...]) -> None:
    """Components that are no date or time raise ValueError."""
    with pytest.raises(ValueError, match=r"not a|must be|range"):
        make(*arguments)  # type: ignore[operator]


def test_values_are_equal_by_instant_and_span() -> None:
    """Python equality: same type, same span; the offset does not matter."""
    assert dt("2020-01-01T10:00:00Z") == dt("2020-01-01T11:00:00+01:00")
    assert dt("2020-01-01T10:00:00Z") != dt("2020-01-01T10:00:00.000Z")
    assert hash(dt("2020-01-01T10:00:00Z")) == hash(dt("2020-01-01T11:00:00+01:00"))
    assert len({d("2020"), d("2020"), d("2020-01"), t("10"), t("10")}) == 3
    assert d("2020-01-01") != dt("2020-01-01")
    assert t("00") != d("1970-01-01")
    assert [repr(d("2020")), repr(t("10:11")), repr(dt("2020"))] == ["Date(2020)", "Time(10:11)", "DateTime(2020)"]


def test_out_of_the_calendar_is_none() -> None:
    """An instant beyond year 9999 or before year 1, in its own offset, is no value."""
    assert DateTime.at(DateTime.MAX.hi + 1, 0) is None
    assert DateTime.at(DateTime.MIN.lo - 1, 0) is None
    assert DateTime.at(DateTime.MIN.lo, -60) is None
    assert DateTime.at(DateTime.MAX.hi, 0) == DateTime.MAX


def test_seconds_can_be_taken_as_decimal() -> None:
    """`decimal_seconds` gives a value known to the second its .000 and leaves others alone."""
    assert str(decimal_seconds(dt("2020-01-01T10:00:00Z"))) == "2020-01-01T10:00:00.000+00:00"
    assert str(decimal_seconds(t("10:00:00"))) == "10:00:00.000"
    assert decimal_seconds(t("10:00")) == t("10:00")
    assert decimal_seconds(d("2020")) == d("2020")


def test_keys_count_periods() -> None:
    """The key of an instant follows the key of the period before it."""
    before, after = dt("2019-12-31T23:59:59.999Z"), dt("2020-01-01T00:00:00.000Z")
    for precision in range(7):
        assert key(after, after.lo, precision) - key(before, before.lo, precision) == 1
    with pytest.raises(ValueError, match="no parts of a day"):
        key(d("2020"), 0, HOUR)
    with pytest.raises(ValueError, match="no date"):
        key(t("10"), 0, DAY)


def test_date_as_datetime_spans_its_local_day() -> None:
    """A date becomes the DateTime of the same precision in the offset given."""
    assert to_datetime(d("2020-02"), 60) == dt("2020-02", 60)


def test_shifted_keeps_the_instant() -> None:
    """The same instant in another offset has other local components."""
    value = dt("2020-01-01T00:30:00.000+01:00")
    assert value.shifted(0).fields() == (2019, 12, 31, 23, 30, 0, 0)
    assert value.shifted(60) is value
    assert value.local_day() == d("2020-01-01").lo


@pytest.mark.parametrize(
    ("start", "amount", "unit", "result"),
    [
        ("2012-02-29", 1, "year", "2013-02-28"),
        ("2012-02-29", 4, "years", "2016-02-29"),
        ("2014-01-31", 1, "month", "2014-02-28"),
        ("2014-12-15", 1, "month", "2015-01-15"),
        ("2014", 24, "months", "2016"),
        ("2014", 25, "months", "2016"),
        ("2014", 735, "days", "2016"),
        ("2014-06", 33, "days", "2014-07"),
        ("2014-06", 1, "year", "2015-06"),
        ("2014-06-10", 3, "weeks", "2014-07-01"),
        ("2014-06-10", 2, "wk", "2014-06-24"),
        ("2014-06-10", 1, "d", "2014-06-11"),
        ("2014-06-10", 25, "hours", "2014-06-11"),
        ("2014-06-10T", 25, "hours", "2014-06-11T"),
        ("2014-06-10T", 23, "h", "2014-06-10T"),
        ("2014-06-10T10", 90, "min", "2014-06-10T11"),
        ("2016-05T", -31535999, "seconds", "2015-05T"),
        ("2014-06-10T10:00:00.000Z", "1.5", "seconds", "2014-06-10T10:00:01.500Z"),
        ("2014-06-10T10:00:00Z", "1.9", "s", "2014-06-10T10:00:01Z"),
        ("2014-06-10T10:00:00Z", "1.9", "hours", "2014-06-10T11:00:00Z"),
        ("2014-06-10T10:00:00.000+02:00", 14, "hours", "2014-06-11T00:00:00.000+02:00"),
        ("2014-03-31T10:00:00.000Z", 1, "month", "2014-04-30T10:00:00.000Z"),
        ("2014-06-10T10:00:00.000Z", 5, "ms", "2014-06-10T10:00:00.005Z"),
        ("T23:00", 90, "minutes", "T00:30"),
        ("T10", 90, "minutes", "T11"),
        ("T10:00:00.000", "0.001", "s", "T10:00:00.001"),
    ],
)
def test_adding_a_duration(start: str, amount: int | str, unit: str, result: str) -> None:
    """Calendar rules: month ends, leap days, decimals cut, finer units turned into the precision of the value."""
    value, expected = read(start), read(result)
    found = calendar.add(value, Decimal(amount), unit)
    assert (type(found), str(found)) == (type(expected), str(expected))
    subtracted = calendar.add(value, -Decimal(amount), unit, -1)
    assert str(subtracted) == str(expected)


@pytest.mark.parametrize(
    ("start", "amount", "unit"),
    [("2005-10-10", 8000, "years"), ("2005", -2005, "years"), ("9999-12-31", 1, "day"), ("9999-12-31T23", 1, "hour"),
     ("0001-01-01T", -1, "day"), ("2005-10T", 12 * 8000, "months")],
)  # fmt: skip
def test_adding_out_of_range_is_null(start: str, amount: int, unit: str) -> None:
    """A result that cannot be represented is null."""
    assert calendar.add(read(start), amount, unit) is None


@pytest.mark.parametrize(("start", "unit"), [("2014", "a"), ("2014", "mo"), ("2014", "cm"), ("T10", "days")])
def test_adding_a_wrong_unit_raises(start: str, unit: str) -> None:
    """Definite years and months, and units that are no time, cannot be added; nor days to a time of day."""
    with pytest.raises(ValueError, match="cannot be added"):
        calendar.add(read(start), 1, unit)


@pytest.mark.parametrize(
    ("text", "following"),
    [("2019", "2020"), ("2019-12", "2020-01"), ("2020-02-29", "2020-03-01"), ("2020-02-28T", "2020-02-29T"),
     ("2020-02-29T23", "2020-03-01T00"), ("2020-02-29T23:59:59Z", "2020-03-01T00:00:00Z"), ("T10:59", "T11:00")],
)  # fmt: skip
def test_neighbours(text: str, following: str) -> None:
    """Successor and predecessor move one unit of the precision."""
    assert calendar.successor(read(text)) == read(following)
    assert calendar.predecessor(read(following)) == read(text)


def test_no_neighbour_beyond_the_range() -> None:
    """After the last and before the first there is nothing; a time does not go round midnight."""
    for kind in (Date, DateTime, Time):
        assert calendar.successor(kind.MAX) is None
        assert calendar.predecessor(kind.MIN) is None


@pytest.mark.parametrize(
    ("text", "places", "low", "high"),
    [
        ("2014", 6, "2014-01", "2014-12"),
        ("2014-02", 8, "2014-02-01", "2014-02-28"),
        ("2014-02-03", 4, "2014", "2014"),
        ("2014T", 17, "2014-01-01T00:00:00.000", "2014-12-31T23:59:59.999"),
        ("2014-01-01T08", 17, "2014-01-01T08:00:00.000", "2014-01-01T08:59:59.999"),
        ("2014-01-01T08:05:06", 17, "2014-01-01T08:05:06.000", "2014-01-01T08:05:06.999"),
        ("2014-01-01T08:05:06", 8, "2014-01-01T", "2014-01-01T"),
        ("T10:30", 9, "T10:30:00.000", "T10:30:59.999"),
        ("T10:30:15", 4, "T10:30", "T10:30"),
    ],
)
def test_boundaries(text: str, places: int, low: str, high: str) -> None:
    """The first and the last value of a number of digits in the span of the value."""
    value = read(text)
    assert str(calendar.boundary(value, places, high=False)) == str(read(low))
    assert str(calendar.boundary(value, places, high=True)) == str(read(high))


def test_boundaries_of_a_wrong_precision_are_null() -> None:
    """A Date has no 17 digits, a Time no 8, nothing has 5."""
    assert calendar.boundary(d("2014"), 17, high=True) is None
    assert calendar.boundary(t("10"), 8, high=True) is None
    assert calendar.boundary(dt("2014"), 5, high=False) is None
    assert [calendar.digits(value) for value in (d("2014"), dt("2014-01-01T10"), t("10:30"))] == [4, 10, 4]
