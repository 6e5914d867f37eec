"""Uncertain numbers: arithmetic on bounds, three-valued comparison."""

from __future__ import annotations

from operator import add, mul, sub
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fhir_cds.cql.runtime import OPERATORS
from fhir_cds.cql.runtime.comparison import less_or_equal
from fhir_cds.cql.runtime.equality import equal
from fhir_cds.cql.runtime.interval import Interval
from fhir_cds.cql.runtime.uncertainty import Uncertainty, at_most, lift, order, span, uncertain

BOUNDS = st.tuples(st.integers(-50, 50), st.integers(0, 40)).map(lambda pair: uncertain(pair[0], pair[0] + pair[1]))


def test_a_sure_number_is_a_number() -> None:
    """Equal bounds give the number itself."""
    assert uncertain(3, 3) == 3
    assert uncertain(3, 4) == Uncertainty(3, 4)
    assert span(3) == (3, 3)


@pytest.mark.parametrize(
    ("operation", "left", "right", "result"),
    [
        (add, Uncertainty(16, 44), Uncertainty(16, 44), Uncertainty(32, 88)),
        (sub, Uncertainty(16, 44), Uncertainty(4, 16), Uncertainty(0, 40)),
        (mul, Uncertainty(16, 44), Uncertainty(16, 44), Uncertainty(256, 1936)),
        (mul, Uncertainty(-2, 3), -4, Uncertainty(-12, 8)),
        (mul, Uncertainty(1, 2), 0, 0),
    ],
)
def test_arithmetic_works_on_the_bounds(operation: Any, left: Any, right: Any, result: Any) -> None:
    """The result encloses the results at all corners."""
    assert lift(operation, left, right) == result


def test_a_corner_out_of_range_makes_null() -> None:
    """When one corner cannot be represented nothing is known."""
    assert lift(lambda a, b: None if a + b > 5 else a + b, Uncertainty(1, 3), Uncertainty(2, 3)) is None


@pytest.mark.parametrize(
    ("name", "left", "right", "answer"),
    [
        ("Greater", Uncertainty(7, 18), 5, True),
        ("Greater", Uncertainty(1, 13), 5, None),
        ("Greater", Uncertainty(1, 5), 5, None),
        ("Less", Uncertainty(1, 4), 5, True),
        ("Less", 5, Uncertainty(1, 5), None),
        ("LessOrEqual", Uncertainty(4, 5), 5, True),
        ("LessOrEqual", Uncertainty(6, 7), 5, False),
        ("LessOrEqual", 5, Uncertainty(4, 5), None),
        ("GreaterOrEqual", Uncertainty(5, 6), 5, True),
        ("Equal", Uncertainty(7, 18), 24, False),
        ("Equal", 10, Uncertainty(7, 18), None),
        ("NotEqual", Uncertainty(7, 18), 24, True),
        ("Equivalent", Uncertainty(7, 18), 10, False),
        ("Equal", Uncertainty(7, 18), "10", False),
    ],
)
def test_comparison(name: str, left: Any, right: Any, answer: bool | None) -> None:
    """An answer is given only when it holds for every possible number."""
    assert OPERATORS[name](left, right) is answer


@given(BOUNDS, BOUNDS)
def test_answers_hold_for_every_number(left: Any, right: Any) -> None:
    """Order, at-most and equality agree with the numbers within the bounds, and null means both are possible."""
    (a, b), (c, d) = span(left), span(right)
    numbers = [(x, y) for x in {a, b} for y in {c, d}]
    sign = order(left, right)
    assert sign is None or all((x > y) - (x < y) == sign for x, y in numbers)
    for answer, possible in ((at_most(left, right), {x <= y for x, y in numbers}),):
        assert possible == ({answer} if answer is not None else {True, False})
    assert less_or_equal(left, right) is at_most(left, right)
    assert equal(left, right) is equal(right, left)


INTERVALS = st.builds(
    lambda low, width, first, last: Interval(low, low + width, first, last, "Integer"),
    st.integers(-5, 5),
    st.integers(4, 6),
    st.booleans(),
    st.booleans(),
)


@pytest.mark.parametrize("name", ["In", "ProperIn"])
@given(between=BOUNDS, interval=INTERVALS)
@example(between=Uncertainty(50, 51), interval=Interval(50, 75, True, True, "Integer"))
@example(between=Uncertainty(51, 52), interval=Interval(51, 75, True, True, "Integer"))
def test_membership_holds_for_every_number(name: str, between: Any, interval: Interval) -> None:
    """An uncertain number is in an interval when all its numbers are, not in it when they lie on one side of it."""
    (low, high), test = span(between), OPERATORS[name]
    answers = {test(number, interval) for number in range(low, high + 1)}
    assert test(between, interval) is (answers.pop() if len(answers) == 1 else None)


def test_membership_in_an_interval_without_bound() -> None:
    """A closed bound that is missing holds for every number, an open one for none that is sure."""
    assert OPERATORS["In"](Uncertainty(1, 2), Interval(1, None, True, True, "Integer")) is True
    assert OPERATORS["In"](Uncertainty(1, 2), Interval(1, None, True, False, "Integer")) is None
    assert OPERATORS["Contains"](Interval(None, 5, True, True, "Integer"), Uncertainty(6, 7)) is False
