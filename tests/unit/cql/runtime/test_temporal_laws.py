"""Laws that hold for all dates and times."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from fhir_cds.cql.runtime import calendar_arithmetic as calendar
from fhir_cds.cql.runtime.comparison import greater, less, order
from fhir_cds.cql.runtime.equality import equal
from fhir_cds.cql.runtime.precision import PRECISIONS
from fhir_cds.cql.runtime.temporal import Date, DateTime, Temporal, Time
from fhir_cds.cql.runtime.temporal_ops import difference_between, duration_between, order_at
from fhir_cds.cql.runtime.temporal_text import parse_date, parse_datetime, parse_time
from fhir_cds.cql.runtime.uncertainty import span

OFFSETS = st.integers(-14 * 4, 14 * 4).map(lambda quarters: quarters * 15)
DAYS = st.dates()
MOMENTS = st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31))


@st.composite
def dates(draw: st.DrawFn) -> Date:
    """Dates of any precision."""
    day = draw(DAYS)
    return Date.of(*(day.year, day.month, day.day)[: draw(st.integers(1, 3))])


@st.composite
def datetimes(draw: st.DrawFn) -> DateTime:
    """DateTimes of any precision and offset, not at the ends of the calendar."""
    moment = draw(MOMENTS)
    parts = (*moment.timetuple()[:6], moment.microsecond // 1000)
    return DateTime.of(parts[: draw(st.integers(1, 7))], draw(OFFSETS))


@st.composite
def times(draw: st.DrawFn) -> Time:
    """Times of any precision."""
    moment = draw(st.times())
    return Time.of((moment.hour, moment.minute, moment.second, moment.microsecond // 1000)[: draw(st.integers(1, 4))])


def pairs() -> st.SearchStrategy[tuple[Temporal, Temporal]]:
    """Two values of one type."""
    return st.one_of(st.tuples(kind, kind) for kind in (dates(), datetimes(), times()))


@given(datetimes())
def test_text_of_a_datetime_reads_back(value: DateTime) -> None:
    """Writing and reading gives the same value, precision and offset."""
    read = parse_datetime(str(value), value.offset)
    assert read is not None
    assert (read, read.precision, read.offset, read.fields()) == (value, value.precision, value.offset, value.fields())


@given(st.one_of(dates(), times()))
def test_text_of_a_date_or_time_reads_back(value: Date | Time) -> None:
    """Writing and reading gives the same value and precision."""
    read = parse_date(str(value)) if isinstance(value, Date) else parse_time(str(value))
    assert read is not None
    assert (read, read.precision, read.fields()) == (value, value.precision, value.fields())


@given(st.datetimes(timezones=st.just(UTC)))
def test_instants_agree_with_the_standard_library(moment: datetime) -> None:
    """The milliseconds since 1970 are those of the standard library."""
    text = moment.isoformat(timespec="milliseconds")
    read = parse_datetime(text, 0)
    assert read is not None
    assert read.lo == (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text makes a reader fail."""
    for value in (parse_datetime(text, 0), parse_date(text), parse_time(text)):
        assert value is None or value.lo <= value.hi


@given(pairs())
def test_comparison_is_symmetric(pair: tuple[Temporal, Temporal]) -> None:
    """Turning the operands round turns the answer round."""
    left, right = pair
    there, back = order(left, right), order(right, left)
    assert there == (None if back is None else -back)
    assert equal(left, right) is equal(right, left)
    assert less(left, right) is greater(right, left)
    for precision in PRECISIONS[3:] if isinstance(left, Time) else PRECISIONS[:3]:
        one, other = order_at(left, right, precision), order_at(right, left, precision)
        assert one == (None if other is None else -other)


@given(pairs())
def test_an_answer_holds_for_every_instant(pair: tuple[Temporal, Temporal]) -> None:
    """A sure answer about imprecise values is the answer for their first and last instants."""
    left, right = pair
    sign = order(left, right)
    if sign in (-1, 1):
        assert all((a > b) - (a < b) == sign for a in (left.lo, left.hi) for b in (right.lo, right.hi))
    elif sign == 0:
        assert (left.lo, left.hi) == (right.lo, right.hi)


@given(dates(), st.integers(-5000, 5000), st.sampled_from(["years", "months", "weeks", "days"]))
def test_adding_keeps_precision(value: Date, amount: int, unit: str) -> None:
    """A sum has the precision of the date, and is null only out of the calendar."""
    total = calendar.add(value, amount, unit)
    if total is not None:
        assert total.precision == value.precision
        if amount == 0:
            assert total == value


@given(datetimes(), st.integers(-10_000_000, 10_000_000), st.sampled_from(["days", "hours", "minutes", "seconds"]))
def test_adding_and_subtracting_gives_back(value: DateTime, amount: int, unit: str) -> None:
    """Units of a fixed length that are not finer than the value can be added and taken away again."""
    if calendar.TIME_UNITS[unit] <= value.precision:
        there = calendar.add(value, amount, unit)
        back = None if there is None else calendar.add(there, amount, unit, -1)
        assert there is None or back == value


@given(DAYS, st.integers(-2000, 2000))
def test_months_clamp_to_the_month_end(day: date, months: int) -> None:
    """Months keep the day of the month, or the last one of a shorter month."""
    total = calendar.add(Date.of(day.year, day.month, day.day), months, "months")
    if total is not None:
        year, month, number = total.fields()
        assert year * 12 + month == day.year * 12 + day.month + months
        assert number == day.day or (number < day.day and calendar.add(total, 1, "day").fields()[1] != month)  # type: ignore[union-attr]


@given(st.one_of(dates(), datetimes(), times()))
def test_neighbours_are_inverse(value: Temporal) -> None:
    """The value before the next value is the value."""
    following = calendar.successor(value)
    if following is not None:
        assert order(value, following) == -1
        assert calendar.predecessor(following) == value


@given(st.one_of(st.tuples(dates(), dates()), st.tuples(datetimes(), datetimes())), st.sampled_from(PRECISIONS[:3]))
def test_uncertain_counts_enclose_the_sure_ones(pair: tuple[Temporal, Temporal], precision: str) -> None:
    """Durations and differences are ordered bounds, and a duration lies within one of the difference."""
    duration, difference = duration_between(*pair, precision), difference_between(*pair, precision)
    (low, high), (least, greatest) = span(duration), span(difference)
    assert low <= high
    assert least <= greatest
    if isinstance(pair[0], Date):
        assert least - 1 <= low
        assert high <= greatest + 1


@given(dates(), dates())
def test_durations_turn_round(left: Date, right: Date) -> None:
    """Days and differences change their sign when the operands change places."""
    low, high = span(duration_between(left, right, "day"))
    assert span(duration_between(right, left, "day")) == (-high, -low)
    low, high = span(difference_between(left, right, "month"))
    assert span(difference_between(right, left, "month")) == (-high, -low)
