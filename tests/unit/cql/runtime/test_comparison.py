"""Equality, equivalence and order over every type."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_cds.cql.runtime import OPERATORS
from fhir_cds.cql.runtime.clinical import Code, CodeSystem, Concept, ValueSet
from fhir_cds.cql.runtime.comparison import order
from fhir_cds.cql.runtime.equality import equal, same_or_null
from fhir_cds.cql.runtime.equivalence import equivalent
from fhir_cds.cql.runtime.interval import Interval
from fhir_cds.cql.runtime.numbers import Long
from fhir_cds.cql.runtime.quantity import Quantity, Ratio
from fhir_cds.cql.runtime.temporal import Date, DateTime, Time

D = Decimal
A, B = Code("a", "s"), Code("b", "s")


def q(value: str, unit: str = "1") -> Quantity:
    return Quantity(D(value), unit)


def day(*parts: int) -> Date:
    return Date.of(*parts)


EQUAL: list[tuple[Any, Any, bool | None]] = [
    (True, True, True),
    (True, False, False),
    (True, 1, False),
    (1, True, False),
    (1, 1, True),
    (1, D("1.0"), True),
    (Long(1), 1, True),
    (D("1.50"), D("1.55"), False),
    (1, "1", False),
    ("a", "a", True),
    ("a", "A", False),
    ("a", None, None),
    (None, None, None),
    (day(2014), day(2014), True),
    (day(2014), day(2014, 1), None),
    (day(2014), day(2015, 1), False),
    (day(2014, 1, 1), DateTime.of((2014, 1, 1), 0), True),
    (DateTime.of((2014, 1, 1), 0), day(2014, 1, 1), True),
    (day(2014), Time.of((10,)), False),
    (Time.of((10,)), day(2014), False),
    (Time.of((10, 0, 0)), Time.of((10, 0, 0, 0)), None),
    (q("1", "cm"), q("0.01", "m"), True),
    (q("1", "cm"), q("1", "g"), None),
    (q("1", "cm"), 1, False),
    (Ratio(q("1"), q("2")), Ratio(q("1"), q("2")), True),
    (Ratio(q("1"), q("2")), Ratio(q("2"), q("4")), False),
    (Ratio(q("1"), q("2")), q("1"), False),
    (A, Code("a", "s"), True),
    (A, B, False),
    (A, Code("a", "s", "1"), None),
    (A, "a", False),
    (Concept((A,)), Concept((A,)), True),
    (Concept((A,)), Concept((A, B)), False),
    (Concept((A,)), A, False),
    (ValueSet("u"), ValueSet("u"), True),
    (ValueSet("u"), ValueSet("v"), False),
    (ValueSet("u"), CodeSystem("u"), False),
    ([1, None], [1, None], True),
    ([1, None], [1, 2], None),
    ([1, 2], [1], False),
    ([1], 1, False),
    ([None, 1], [1, 2], None),
    ({"a": 1, "b": None}, {"a": 1, "b": None}, True),
    ({"a": 1, "b": None}, {"a": 1, "b": 2}, None),
    ({"a": 1, "b": None}, {"a": 2, "b": 2}, False),
    ({"a": 1}, {"a": 1, "b": 2}, None),
    ({"a": 1}, [1], False),
    (Interval(1, 10), Interval(0, 11, False, False), True),
    (Interval(1, 10), Interval(1, 9), False),
    (Interval(1, 10), Interval(None, None, False, False, "Integer"), None),
    (Interval(1, None, True, False), Interval(20, 30), False),
    (Interval(20, 30), Interval(1, None, True, False), False),
    (Interval(None, 5, False, True), Interval(20, 30), False),
    (Interval(1, 10), 5, False),
    (object, object, True),
]


@pytest.mark.parametrize(("left", "right", "answer"), EQUAL)
def test_equal(left: Any, right: Any, answer: bool | None) -> None:
    """Equality is three-valued, the same both ways, and the opposite of inequality."""
    assert equal(left, right) is answer
    assert equal(right, left) is answer
    assert OPERATORS["NotEqual"](left, right) is OPERATORS["Not"](answer)


def test_one_known_point_against_a_boundary_that_is_one_point() -> None:
    """An unknown start with only one possible point is known."""
    only = Interval(None, -(2**31), False, True, "Integer")
    assert equal(only, Interval(-(2**31), -(2**31), True, True, "Integer")) is True


EQUIVALENT: list[tuple[Any, Any, bool]] = [
    (None, None, True),
    (None, 1, False),
    ("Abel", "abel", True),
    ("a b", "a\tb", True),
    ("a", "b", False),
    ("a", 1, False),
    (D("1.0"), D("1.00"), True),
    (D("1.001"), D("1.000"), True),
    (D("1.5"), D("1.55"), False),
    (D("1.0"), 1, True),
    (D("1.0"), "1", False),
    (day(2014), day(2014, 1), False),
    (day(2014), day(2014), True),
    (A, Code("a", "s", "1", "other"), True),
    (A, Code("a", "t"), False),
    (A, Concept((B, A)), True),
    (Concept((B, A)), A, True),
    (Concept((B, A)), Concept((A,)), True),
    (Concept((B,)), Concept((A,)), False),
    (Concept((B,)), "b", False),
    (A, "a", False),
    (q("1", "cm"), q("0.01", "m"), True),
    (q("1", "year"), q("1", "a"), True),
    (q("1", "cm"), 1, False),
    (Ratio(q("1"), q("2")), Ratio(q("2"), q("4")), True),
    (Ratio(q("1"), q("2")), q("1"), False),
    ([1, None], [1, None], True),
    ([1, None], [1, 2], False),
    ([1], [1, 2], False),
    ([1], 1, False),
    ({"a": 1, "b": None}, {"a": 1}, True),
    ({"a": 1, "b": 2}, {"a": 1}, False),
    ({"a": 1}, 1, False),
    (Interval(1, 10), Interval(0, 11, False, False), True),
    (Interval(1, None, True, False), Interval(1, None, True, False), True),
    (Interval(1, 10), Interval(1, 9), False),
    (Interval(1, 10), 1, False),
]


@pytest.mark.parametrize(("left", "right", "answer"), EQUIVALENT)
def test_equivalent(left: Any, right: Any, answer: bool) -> None:
    """Equivalence is never null, and the same both ways."""
    assert equivalent(left, right) is answer
    assert equivalent(right, left) is answer


def test_the_same_object_is_the_same() -> None:
    """A tuple with imprecise parts equals itself, as object, without a look inside."""
    resource = {"a": day(2014), "b": float("nan")}
    assert equal(resource, resource) is True
    assert equivalent(resource, resource) is True


@pytest.mark.parametrize(
    ("left", "right", "sign"),
    [
        (1, 2, -1),
        (Long(3), 2, 1),
        (D("1.0"), 1, 0),
        ("a", "aa", -1),
        (day(2013), day(2014, 2, 15), -1),
        (day(2014), day(2014, 2, 15), None),
        (day(2014), DateTime.of((2014, 2, 15), 0), None),
        (q("1", "m"), q("10", "cm"), 1),
        (q("1", "m"), q("10", "g"), None),
        (1, None, None),
        (None, 1, None),
    ],
)
def test_order(left: Any, right: Any, sign: int | None) -> None:
    """Order, its mirror image and the four operators agree."""
    assert order(left, right) == sign
    assert order(right, left) == (None if sign is None else -sign)
    answers = [OPERATORS[name](left, right) for name in ("Less", "LessOrEqual", "Greater", "GreaterOrEqual")]
    assert answers == [None] * 4 if sign is None else answers == [sign < 0, sign <= 0, sign > 0, sign >= 0]


@pytest.mark.parametrize(
    ("left", "right"), [(1, "1"), ("1", 1), (day(2014), Time.of((10,))), (q("1"), 1), (True, False), (A, B), ([1], [2])]
)
def test_order_refuses_what_has_none(left: Any, right: Any) -> None:
    """Values of different or unordered types raise."""
    with pytest.raises(TypeError, match="cannot be compared"):
        order(left, right)
    with pytest.raises(TypeError, match="cannot be compared"):
        OPERATORS["LessOrEqual"](left, right)


def test_elements_of_lists_may_both_be_null() -> None:
    """Two nulls are the same element; null and a value cannot be told."""
    assert [same_or_null(None, None), same_or_null(None, 1), same_or_null(1, 1)] == [True, None, True]


VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-3, 3),
        st.decimals(-2, 2, places=1),
        st.sampled_from(["a", "A", "b"]),
        st.sampled_from([day(2014), day(2014, 1), day(2015), Time.of((10,)), A, B, Concept((A, B))]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("xy"), inner, max_size=2)),
    max_leaves=6,
)


@given(VALUES, VALUES)
def test_equality_and_equivalence_are_symmetric(left: Any, right: Any) -> None:
    """Both ways the same, for any two values; what is equal is equivalent."""
    assert equal(left, right) is equal(right, left) or isinstance(left, list | dict)
    assert equivalent(left, right) is equivalent(right, left)
    if equal(left, right) is True:
        assert equivalent(left, right) is True


@given(VALUES)
def test_null_makes_null(value: Any) -> None:
    """A comparison with null is null, an equivalence with it false unless both are null."""
    for name in ("Equal", "NotEqual", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"):
        assert OPERATORS[name](value, None) is None
        assert OPERATORS[name](None, value) is None
    assert equivalent(value, None) is (value is None)
