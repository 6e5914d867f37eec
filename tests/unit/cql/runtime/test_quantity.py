"""Quantities: comparison, conversion, arithmetic, calendar durations; laws by property."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_cds.cql.runtime import arithmetic, quantity
from fhir_cds.cql.runtime.quantity import Quantity, Ratio

LENGTHS = ["m", "cm", "mm", "km", "[in_i]", "[ft_i]"]
MIXED = [*LENGTHS, "g", "mg", "s", "min", "1", "year", "month", "days", "a", "mo", "Cel", "[degF]", "nonsense"]
values = st.decimals(min_value=-1000, max_value=1000, places=3)
lengths = st.builds(Quantity, values, st.sampled_from(LENGTHS))
quantities = st.builds(Quantity, values, st.sampled_from(MIXED))


def q(value: str | int, unit: str = "1") -> Quantity:
    """Return a quantity."""
    return Quantity(Decimal(value), unit)


@pytest.mark.parametrize(
    ("left", "right", "order"),
    [
        (q(1, "cm"), q("0.01", "m"), 0),
        (q(1, "m"), q(10, "cm"), 1),
        (q(37, "Cel"), q("98.6", "[degF]"), 0),
        (q(7, "[pH]"), q("1E-7", "mol/L"), 0),
        (q(1, "cm"), q(1, "cm2"), None),
        (q(1, "year"), q(12, "months"), 0),
        (q(1, "year"), q(1, "a"), None),
        (q(1, "month"), q(30, "days"), None),
        (q(1, "week"), q(7, "d"), 0),
        (q(1, "day"), q(86400, "s"), 0),
        (q(1, "nonsense"), q(1, "nonsense"), None),
        (q(1, "nonsense"), q(1, "m"), None),
        (q(5), q(500, "%"), 0),
        (q(1, "mg/dL"), q(10, "mg/L"), 0),
    ],
)
def test_comparison(left: Quantity, right: Quantity, order: int | None):
    """Units of one dimension compare exactly; what cannot be compared is null, also the other way round."""
    assert quantity.compare(left, right) == order
    assert quantity.compare(right, left) == (None if order is None else -order)


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        (q(1, "year"), q(1, "a"), True),
        (q(1, "month"), q(1, "mo"), True),
        (q(1, "year"), q(365, "days"), True),
        (q(1, "year"), q(365, "d"), True),
        (q(1, "month"), q(30, "days"), True),
        (q(1, "year"), q(366, "days"), False),
        (q(1, "year"), q(1, "m"), False),
        (q(1, "cm"), q("0.01", "m"), True),
        (q(1, "cm"), q(1, "g"), False),
    ],
)
def test_equivalence_takes_years_and_months_as_definite(left: Quantity, right: Quantity, same: bool):
    """Equivalence is never null, and knows 365 and 30 days."""
    assert quantity.equivalent(left, right) is same
    assert quantity.equivalent(right, left) is same


@given(quantities, quantities)
def test_comparison_is_antisymmetric(left: Quantity, right: Quantity):
    """Turning the operands round turns the sign round, null stays null."""
    order = quantity.compare(left, right)
    assert quantity.compare(right, left) == (None if order is None else -order)


@given(quantities)
def test_a_quantity_equals_itself_unless_its_unit_is_invalid(value: Quantity):
    """Reflexivity, with null for units that do not exist."""
    assert quantity.compare(value, value) == (None if value.unit == "nonsense" else 0)


@given(lengths, lengths, lengths)
def test_order_is_transitive(a: Quantity, b: Quantity, c: Quantity):
    """a <= b and b <= c give a <= c over mixed units."""
    first, second, third = quantity.compare(a, b), quantity.compare(b, c), quantity.compare(a, c)
    assert first is not None
    assert second is not None
    assert third is not None
    if first <= 0 and second <= 0:
        assert third <= 0


@given(lengths, lengths)
def test_addition_commutes(a: Quantity, b: Quantity):
    """a + b and b + a are the same length, in the finer unit."""
    one, other = arithmetic.add(a, b), arithmetic.add(b, a)
    assert quantity.compare(one, other) == 0
    assert one.unit in (a.unit, b.unit)


@given(lengths)
def test_subtracting_itself_leaves_nothing(a: Quantity):
    """a - a is zero."""
    assert arithmetic.subtract(a, a).value == 0


@given(lengths, st.sampled_from(LENGTHS))
def test_conversion_keeps_the_length(a: Quantity, unit: str):
    """A converted quantity differs by no more than the rounding to 8 decimals."""
    converted = quantity.convert(a, unit)
    assert converted is not None
    back = quantity.convert(converted, "m")
    straight = quantity.convert(a, "m")
    assert back is not None
    assert straight is not None
    assert abs(back.value - straight.value) <= Decimal("0.00001")


@given(quantities)
def test_null_operands_give_null(a: Quantity):
    """Null propagates through every operator, on either side."""
    for name in ("Add", "Subtract", "Multiply", "Divide", "Modulo", "TruncatedDivide"):
        assert arithmetic.OPERATORS[name](a, None) is None
        assert arithmetic.OPERATORS[name](None, a) is None


@pytest.mark.parametrize(
    ("operator", "left", "right", "expected"),
    [
        ("Multiply", q("1.0", "cm"), q("2.0", "cm"), q("2.0", "cm2")),
        ("Multiply", q(2), q(3, "m"), q(6, "m")),
        ("Multiply", q(2, "days"), q(3), q(6, "days")),
        ("Multiply", q(2, "g"), q(3, "nonsense"), None),
        ("Multiply", q(2, "nonsense"), q(3), None),
        ("Multiply", q("1E+15", "m"), q("1E+15", "m"), None),
        ("Divide", q(1, "g/cm3"), q(1, "g/cm3"), q(1)),
        ("Divide", q(10, "mg"), q(2, "day"), q(5, "mg/d")),
        ("Divide", q(6), q(2, "s"), q(3, "/s")),
        ("Divide", q(6, "m"), q(0, "s"), None),
        ("Add", q(1, "m"), q(1, "cm"), q(101, "cm")),
        ("Add", q(1, "cm"), q(1, "m"), q(101, "cm")),
        ("Add", q(1, "day"), q(1, "d"), q(2, "day")),
        ("Add", q(1, "m"), q(1, "g"), None),
        ("Add", q(1, "Cel"), q(1, "[degF]"), None),
        ("Add", q(1, "nonsense"), q(1, "nonsense"), None),
        ("Subtract", q(1, "year"), q(1, "month"), q(11, "month")),
        ("Modulo", q("3.5", "cm"), q(3, "cm"), q("0.5", "cm")),
        ("Modulo", q("3.5", "cm"), q(0, "cm"), None),
        ("TruncatedDivide", q("10.1", "cm"), q("-3.1", "cm"), q(-3, "cm")),
    ],
)
def test_arithmetic(operator: str, left: Quantity, right: Quantity, expected: Quantity | None):
    """Sums are told in the finer unit, products in the product of units."""
    assert arithmetic.OPERATORS[operator](left, right) == expected


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (q(5, "mg/dL"), "g/L", q("0.05", "g/L")),
        (q(1, "year"), "days", q(365, "days")),
        (q(1, "year"), "months", q(12, "months")),
        (q(2, "m"), "g", None),
        (q(2, "m"), "nonsense", None),
        (q(2, "nonsense"), "nonsense", None),
        (q(2, "m"), "m", q(2, "m")),
        (q(0, "W"), "B[W]", None),
        (q(1, "km"), "fm", q(10**18, "fm")),
        (q(100, "km"), "am", None),
    ],
)
def test_conversion(value: Quantity, unit: str, expected: Quantity | None):
    """Conversion needs valid units of one dimension and a result in range."""
    assert quantity.convert(value, unit) == expected


def test_ratios_are_equivalent_by_their_relation():
    """1:2 is 2:4, in whatever units; what cannot be multiplied is not equivalent."""
    assert quantity.same_ratio(Ratio(q(1, "mg"), q(2, "mL")), Ratio(q(2, "mg"), q("0.004", "L")))
    assert not quantity.same_ratio(Ratio(q(1, "mg"), q(2, "mL")), Ratio(q(1, "mg"), q(3, "mL")))
    assert not quantity.same_ratio(Ratio(q(1, "nonsense"), q(2)), Ratio(q(1, "nonsense"), q(2)))
    assert str(Ratio(q(1, "mg"), q(2, "days"))) == "1 'mg':2 days"
