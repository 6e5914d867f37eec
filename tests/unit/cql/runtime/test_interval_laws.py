"""Laws that hold for all intervals; unknown bounds are checked against every interval they could be."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_cds.cql.runtime.equality import equal
from fhir_cds.cql.runtime.equivalence import equivalent
from fhir_cds.cql.runtime.interval import Interval, end, start
from fhir_cds.cql.runtime.interval_ops import OPERATORS
from fhir_cds.cql.runtime.quantity import Quantity
from fhir_cds.cql.runtime.temporal import Date

RELATIONS = [
    "Before", "After", "Overlaps", "OverlapsBefore", "OverlapsAfter", "Meets", "MeetsBefore", "MeetsAfter", "Starts",
    "Ends", "Includes", "IncludedIn", "ProperIncludes", "ProperIncludedIn", "SameAs", "SameOrBefore", "SameOrAfter",
]  # fmt: skip
MIRRORED = [
    ("Before", "After"), ("MeetsBefore", "MeetsAfter"), ("Includes", "IncludedIn"),
    ("ProperIncludes", "ProperIncludedIn"), ("SameOrBefore", "SameOrAfter"),
]  # fmt: skip
SYMMETRIC = ["Overlaps", "Meets", "SameAs"]


@st.composite
def intervals(draw: st.DrawFn, *, known: bool = True) -> Interval:
    """Integer intervals, some with unknown (missing open) bounds when not `known`."""
    low = draw(st.integers(-9, 9))
    high = low + draw(st.integers(0, 6))
    if draw(st.booleans()):
        whole = Interval(low - 1, high, False, True, "Integer")
    else:
        whole = Interval(low, high + 1, True, False, "Integer")
    if known or draw(st.booleans()):
        return whole
    if draw(st.booleans()):
        return Interval(None, high, False, True, "Integer")
    return Interval(low, None, True, False, "Integer")


@st.composite
def date_intervals(draw: st.DrawFn) -> Interval:
    """Intervals of full dates."""
    low = draw(st.dates(date(2000, 1, 1), date(2003, 1, 1)))
    first = Date.of(low.year, low.month, low.day)
    return Interval(first, Date.of_day(first.lo + draw(st.integers(0, 90))), True, True, "Date")


def possible(interval: Interval) -> Iterator[Interval]:
    """Give intervals that one with an unknown bound could be."""
    if interval.low is None:
        for low in (-(2**31), -20, -3, 0, interval.high - 1, interval.high):
            if low <= interval.high:
                yield Interval(low, interval.high, point_type="Integer")
    elif interval.high is None:
        for high in (interval.low, interval.low + 1, 0, 3, 20, 2**31 - 1):
            if high >= interval.low:
                yield Interval(interval.low, high, point_type="Integer")
    else:
        yield interval


@pytest.mark.parametrize("name", RELATIONS)
@given(left=intervals(known=False), right=intervals(known=False))
def test_an_answer_holds_for_whatever_the_unknown_bound_is(name: str, left: Interval, right: Interval) -> None:
    """A sure answer about unknown bounds is the answer for each bound they could be."""
    answer = OPERATORS[name](left, right)
    if answer is not None:
        for one in possible(left):
            for other in possible(right):
                assert OPERATORS[name](one, other) is answer


@pytest.mark.parametrize("name", RELATIONS)
@given(interval=intervals(known=False))
def test_null_makes_null(name: str, interval: Interval) -> None:
    """A relation to null is null."""
    assert OPERATORS[name](interval, None) is None
    assert OPERATORS[name](None, interval) is None


@pytest.mark.parametrize("name", RELATIONS)
@given(left=intervals(), right=intervals())
def test_known_intervals_have_answers(name: str, left: Interval, right: Interval) -> None:
    """With known bounds a relation is true or false, and does not depend on how the bounds are written."""
    written = Interval(start(left), end(left), True, True, "Integer")
    assert OPERATORS[name](left, right) is OPERATORS[name](written, right)
    assert OPERATORS[name](left, right) in (True, False)


@given(left=intervals(known=False), right=intervals(known=False))
def test_relations_turn_round(left: Interval, right: Interval) -> None:
    """Each relation has its mirror image; equality and equivalence are symmetric."""
    for name in SYMMETRIC:
        assert OPERATORS[name](left, right) is OPERATORS[name](right, left)
    for name, mirrored in MIRRORED:
        assert OPERATORS[name](left, right) is OPERATORS[mirrored](right, left)
    assert equal(left, right) is equal(right, left)
    assert equivalent(left, right) is equivalent(right, left)


@given(interval=intervals(known=False), point=st.integers(-12, 16))
def test_membership_agrees_with_the_points(interval: Interval, point: int) -> None:
    """A point is in a known interval when it is between start and end; a sure answer holds for every bound."""
    answer = OPERATORS["In"](point, interval)
    answers = {start(one) <= point <= end(one) for one in possible(interval)}
    assert answer is None or answers == {answer}
    if interval.low is not None and interval.high is not None:
        assert answer in (True, False)


@given(left=intervals(), right=intervals())
def test_sets_agree_with_the_points(left: Interval, right: Interval) -> None:
    """Union, intersection and difference have the points they should, or are null."""

    def points(interval: Interval | None) -> set[int]:
        return set() if interval is None else set(range(start(interval), end(interval) + 1))

    one, other = points(left), points(right)
    union = OPERATORS["Union"](left, right)
    assert union is None or points(union) == one | other
    assert points(OPERATORS["Intersect"](left, right)) == one & other
    rest = OPERATORS["Except"](left, right)
    assert rest is None or points(rest) == one - other
    if not one & other:
        assert rest == left


@given(left=intervals(), right=intervals())
def test_relations_agree_with_the_points(left: Interval, right: Interval) -> None:
    """Relations of known intervals as sums over their starts and ends."""
    a, b, c, d = start(left), end(left), start(right), end(right)
    expected = {
        "Before": b < c,
        "Overlaps": a <= d and c <= b,
        "OverlapsBefore": a < c <= b,
        "OverlapsAfter": a <= d < b,
        "MeetsBefore": b + 1 == c,
        "MeetsAfter": d + 1 == a,
        "Meets": b + 1 == c or d + 1 == a,
        "Starts": a == c and b <= d,
        "Ends": a >= c and b == d,
        "Includes": a <= c and d <= b,
        "ProperIncludes": a <= c and d <= b and (a, b) != (c, d),
        "SameAs": (a, b) == (c, d),
        "SameOrBefore": b <= c,
    }
    assert {name: OPERATORS[name](left, right) for name in expected} == expected


@given(st.lists(intervals(), max_size=6))
def test_collapse_covers_the_same_points_once(source: list[Interval]) -> None:
    """Collapsed intervals have the points of the given ones, lie apart, and collapse to themselves."""
    collapsed = OPERATORS["Collapse"](source)
    covered = [point for one in collapsed for point in range(start(one), end(one) + 1)]
    assert len(covered) == len(set(covered))
    assert set(covered) == {point for one in source for point in range(start(one), end(one) + 1)}
    assert all(start(after) > end(before) + 1 for before, after in pairwise(collapsed))
    assert OPERATORS["Collapse"](collapsed) == collapsed
    assert [(start(one), end(one)) for one in OPERATORS["Collapse"](OPERATORS["Expand"](source))] == [
        (start(one), end(one)) for one in collapsed
    ]


@given(date_intervals(), st.sampled_from(["day", "week", "month"]), st.integers(1, 3))
def test_pieces_follow_each_other(interval: Interval, unit: str, count: int) -> None:
    """Pieces of dates join without a gap from the start; those of one day collapse to the interval."""
    pieces = OPERATORS["Expand"]([interval], Quantity(Decimal(count), unit))
    for one, following in pairwise(pieces):
        assert OPERATORS["MeetsBefore"](one, following) is True
    if pieces and unit != "month":
        assert pieces[0].low == interval.low
        assert OPERATORS["Includes"](interval, pieces[-1]) is True
    days: list[Any] = OPERATORS["Expand"]([interval], Quantity(Decimal(1), "day"))
    assert OPERATORS["Collapse"](days) == [interval]
