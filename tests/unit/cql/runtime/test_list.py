"""List operators; laws of sets by property."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_cds.cql.runtime import list_ops
from fhir_cds.cql.runtime.clinical import Code
from fhir_cds.cql.runtime.list_ops import OPERATORS
from fhir_cds.cql.runtime.quantity import Quantity
from fhir_cds.cql.runtime.temporal import Date

elements = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(0, 3),
    st.sampled_from("abc"),
    st.sampled_from([Decimal("1.0"), Decimal("1.00"), Decimal(2)]),
    st.sampled_from([Code("a", "s"), Code("b", "s")]),
    st.sampled_from([{"id": "1", "resourceType": "A"}, {"id": "2", "resourceType": "A"}, {"x": 1}]),
    st.sampled_from([Quantity(Decimal(1), "m"), Quantity(Decimal(100), "cm")]),
)
lists = st.lists(elements, max_size=6)
VAGUE = [Date.of(2020), Date.of(2021)]


@pytest.mark.parametrize(
    ("operator", "operands", "expected"),
    [
        ("Exists", ([None],), False),
        ("Exists", ([None, 1],), True),
        ("Exists", (None,), False),
        ("First", ([None, 1],), None),
        ("First", ([],), None),
        ("Last", ([None, 1],), 1),
        ("Last", (None,), None),
        ("SingletonFrom", ([1],), 1),
        ("SingletonFrom", ([],), None),
        ("SingletonFrom", (None,), None),
        ("Indexer", ([1, 2], 1), 2),
        ("Indexer", ("ab", 0), "a"),
        ("Indexer", ([1, 2], 2), None),
        ("Indexer", ([1, 2], -1), None),
        ("Indexer", (None, 0), None),
        ("IndexOf", ([1, None, 2], 2), 2),
        ("IndexOf", ([1, None], None), None),
        ("IndexOf", ([1], 3), -1),
        ("Length", ("abc",), 3),
        ("Length", ([None, 1],), 2),
        ("Length", (None,), None),
        ("Slice", ([1, 2, 3], 1, None), [2, 3]),
        ("Slice", ([1, 2, 3], None, 2), [1, 2]),
        ("Slice", ([1, 2, 3], 0, 0), []),
        ("Slice", ([1, 2, 3], -1, None), []),
        ("Slice", ([1, 2, 3], 0, -1), []),
        ("Slice", (None, 0, 1), None),
        ("Flatten", ([[1], None, [2, None]],), [1, 2, None]),
        ("Flatten", ([1, [2]],), [1, 2]),
        ("Flatten", (None,), None),
        ("Distinct", ([1, None, 1, None, 2],), [1, None, 2]),
        ("Distinct", ([True, 1, "1"],), [True, 1, "1"]),
        ("Distinct", (None,), None),
    ],
)
def test_list_operators(operator: str, operands: tuple[object, ...], expected: object):
    """Each operator gives what the CQL reference says."""
    assert OPERATORS[operator](*operands) == expected


def test_singleton_from_several_raises():
    """Several elements where one is expected is an error."""
    with pytest.raises(ValueError, match="more than one"):
        OPERATORS["SingletonFrom"]([1, 2])


def test_the_length_of_no_list_is_zero():
    """A null list has no elements."""
    assert list_ops.list_length(None) == 0
    assert list_ops.list_length([None]) == 1


@pytest.mark.parametrize(
    ("function", "operands", "expected"),
    [
        ("contains", (["a", None], None), True),
        ("contains", (["a", None], "b"), False),
        ("contains", (None, "b"), False),
        ("contains", ([Decimal("1.0"), 2], Decimal("1.00")), True),
        ("contains", (VAGUE, Date.of(2020, 5)), None),
        ("contains", (VAGUE, Date.of(2022, 5)), False),
        ("includes", ([1, 2], []), True),
        ("includes", ([1, 2], [3]), False),
        ("includes", (None, [3]), None),
        ("includes", (VAGUE, [Date.of(2020, 5)]), None),
        ("proper_includes", ([1, 2], [1]), True),
        ("proper_includes", ([1, 1], [1]), False),
        ("proper_includes", ([1], [2]), False),
        ("proper_includes", ([Date.of(2020), Date.of(2020, 5)], [Date.of(2020)]), None),
        ("proper_contains", (["a", "b"], "a"), True),
        ("proper_contains", (["a", "a"], "a"), False),
        ("proper_contains", (["a", None], "a"), None),
        ("proper_contains", (["a", None], None), True),
        ("proper_contains", ([None, None], None), False),
        ("proper_contains", ([], "a"), False),
        ("proper_contains", ([1], 1), False),
        ("union", (None, None), None),
        ("union", (None, [1, 1]), [1]),
        ("intersect", ([1, 2, 2, None], [2, None]), [2, None]),
        ("intersect", (None, [2]), None),
        ("except_", ([1, 2, 1], [2]), [1]),
        ("except_", ([1, 1], None), [1]),
        ("except_", (None, [1]), None),
    ],
)
def test_membership_and_sets(function: str, operands: tuple[object, ...], expected: object):
    """Membership is three-valued; results of set operators have no duplicates."""
    assert getattr(list_ops, function)(*operands) == expected


@given(lists)
def test_distinct_is_idempotent(a: list[object]):
    """Distinct of distinct changes nothing, and every element stays in."""
    once = list_ops.distinct(a)
    assert list_ops.distinct(once) == once
    assert list_ops.includes(once, a) is True


@given(lists, lists)
def test_set_laws(a: list[object], b: list[object]):
    """The union has both lists; intersection and difference part the first list."""
    union, common, rest = list_ops.union(a, b), list_ops.intersect(a, b), list_ops.except_(a, b)
    assert list_ops.includes(union, a) is True
    assert list_ops.includes(union, b) is True
    assert common is not None
    assert rest is not None
    assert len(common) + len(rest) == len(list_ops.distinct(a) or [])
    assert list_ops.includes(b, common) is True


@given(lists, elements)
def test_properly_contains_implies_contains(a: list[object], element: object):
    """Whatever is properly contained is contained."""
    if list_ops.proper_contains(a, element):
        assert list_ops.contains(a, element) is True
