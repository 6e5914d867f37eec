"""Arithmetic operators: types, ranges, rounding, errors, and laws by property."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_cds.cql.runtime.arithmetic import OPERATORS
from fhir_cds.cql.runtime.numbers import MAX_DECIMAL, MAX_INTEGER, MAX_LONG, MIN_INTEGER, Long
from fhir_cds.cql.runtime.quantity import Quantity
from fhir_cds.cql.runtime.temporal import Date, DateTime, Time
from fhir_cds.cql.runtime.uncertainty import Uncertainty

UNARY = ["Abs", "Ceiling", "Exp", "Floor", "HighBoundary", "Ln", "LowBoundary", "Negate", "Precision", "Predecessor"]
UNARY += ["Round", "Successor", "Truncate"]
BINARY = ["Add", "Divide", "Log", "Modulo", "Multiply", "Power", "Subtract", "TruncatedDivide"]
integers = st.integers(-1000, 1000)
decimals = st.decimals(min_value=-1000, max_value=1000, places=4)
anything = st.one_of(integers, decimals, st.builds(Long, integers))
DAY = Date.of(2020, 1, 31)


@pytest.mark.parametrize("operator", UNARY)
def test_null_in_null_out_unary(operator: str):
    """Operators of one operand give null for null."""
    assert OPERATORS[operator](None) is None


@given(st.sampled_from(BINARY), st.none() | anything)
def test_null_in_null_out_binary(operator: str, value: object):
    """Operators of two operands give null when either is null."""
    assert OPERATORS[operator](None, value) is None
    assert OPERATORS[operator](value, None) is None


@pytest.mark.parametrize(
    ("operator", "operands", "expected"),
    [
        ("Add", (MAX_INTEGER, 1), None),
        ("Add", (Long(MAX_LONG), Long(1)), None),
        ("Add", (1, Long(2)), Long(3)),
        ("Add", (1, Decimal("0.5")), Decimal("1.5")),
        ("Add", (MAX_DECIMAL, Decimal(1)), None),
        ("Add", (DAY, Quantity(Decimal(1), "month")), Date.of(2020, 2, 29)),
        ("Add", (Uncertainty(2, 5), 1), Uncertainty(3, 6)),
        ("Add", (Uncertainty(0, MAX_INTEGER), 1), None),
        ("Subtract", (MIN_INTEGER, 1), None),
        ("Subtract", (DAY, Quantity(Decimal(1), "year")), Date.of(2019, 1, 31)),
        ("Subtract", (10, Uncertainty(2, 5)), Uncertainty(5, 8)),
        ("Multiply", (65536, 65536), None),
        ("Multiply", (Decimal("0.00001"), Decimal("0.0005")), Decimal("0.00000001")),
        ("Multiply", (Uncertainty(-2, 5), -3), Uncertainty(-15, 6)),
        ("Multiply", (2, Quantity(Decimal(3), "m")), Quantity(Decimal(6), "m")),
        ("Divide", (10, 4), Decimal("2.5")),
        ("Divide", (1, 3), Decimal("0.33333333")),
        ("Divide", (2, 3), Decimal("0.66666667")),
        ("Divide", (1, 0), None),
        ("TruncatedDivide", (-7, 2), -3),
        ("TruncatedDivide", (7, -2), -3),
        ("TruncatedDivide", (MIN_INTEGER, -1), None),
        ("TruncatedDivide", (Decimal("10.1"), Decimal("-3.1")), Decimal(-3)),
        ("TruncatedDivide", (1, 0), None),
        ("Modulo", (-7, 2), -1),
        ("Modulo", (7, -2), 1),
        ("Modulo", (Decimal("3.5"), 3), Decimal("0.5")),
        ("Modulo", (Decimal(1), Decimal(0)), None),
        ("Abs", (MIN_INTEGER,), None),
        ("Abs", (Long(-3),), Long(3)),
        ("Abs", (Decimal("-1.50"),), Decimal("1.50")),
        ("Abs", (Quantity(Decimal(-1), "cm"),), Quantity(Decimal(1), "cm")),
        ("Negate", (MIN_INTEGER,), None),
        ("Negate", (2147483648,), MIN_INTEGER),
        ("Negate", (Decimal("0.0"),), Decimal("0.0")),
        ("Negate", (Quantity(Decimal(1), "cm"),), Quantity(Decimal(-1), "cm")),
        ("Negate", (Uncertainty(1, 3),), Uncertainty(-3, -1)),
        ("Ceiling", (Decimal("-1.1"),), -1),
        ("Ceiling", (Decimal("2147483647.2"),), None),
        ("Floor", (Decimal("-1.1"),), -2),
        ("Truncate", (Decimal("-1.9"),), -1),
        ("Round", (Decimal("-0.5"),), Decimal(-1)),
        ("Round", (Decimal("-0.4"),), Decimal(0)),
        ("Round", (Decimal("3.14159"), 2), Decimal("3.14")),
        ("Round", (Decimal("3.1"), 5), Decimal("3.1")),
        ("Ln", (-1,), None),
        ("Ln", (1000,), Decimal("6.90775528")),
        ("Log", (16, 2), Decimal(4)),
        ("Log", (Decimal("0.125"), 2), Decimal(-3)),
        ("Log", (2, 1), None),
        ("Log", (0, 2), None),
        ("Log", (2, -2), None),
        ("Exp", (1,), Decimal("2.71828183")),
        ("Exp", (-1000,), Decimal(0)),
        ("Power", (2, 10), 1024),
        ("Power", (2, -2), Decimal("0.25")),
        ("Power", (2, 31), None),
        ("Power", (2, 1000), None),
        ("Power", (-1, 10**9), 1),
        ("Power", (-1, 10**9 + 1), -1),
        ("Power", (0, 0), 1),
        ("Power", (Long(2), Long(40)), Long(2**40)),
        ("Power", (0, -1), None),
        ("Power", (Decimal(-2), Decimal("0.5")), None),
        ("Power", (Decimal(4), Decimal("0.5")), Decimal(2)),
        ("Precision", (Decimal("1.58700"),), 5),
        ("Precision", (3,), 0),
        ("Precision", (DAY,), 8),
        ("Precision", (Time.of((10, 30)),), 4),
        ("LowBoundary", (Decimal("1.587"), 8), Decimal("1.58700000")),
        ("HighBoundary", (Decimal("1.587"), 8), Decimal("1.58799999")),
        ("HighBoundary", (Decimal("1.58888"),), Decimal("1.58888999")),
        ("LowBoundary", (Decimal("-1.587"), 4), Decimal("-1.5879")),
        ("HighBoundary", (Decimal("-1.587"), 4), Decimal("-1.5870")),
        ("HighBoundary", (Decimal("1.587"), 2), Decimal("1.58")),
        ("HighBoundary", (Decimal("1.587"), 9), None),
        ("HighBoundary", (1, 2), Decimal("1.99")),
        ("HighBoundary", (Date.of(2014), 6), Date.of(2014, 12)),
        ("LowBoundary", (Date.of(2014),), Date.of(2014, 1, 1)),
        ("LowBoundary", (Time.of((10, 30)),), Time.of((10, 30, 0, 0))),
        ("HighBoundary", (DateTime.of((2014, 1, 1, 8), 0),), DateTime.of((2014, 1, 1, 8, 59, 59, 999), 0)),
        ("Predecessor", (Decimal("1.0"),), Decimal("0.99999999")),
        ("Successor", (Quantity(Decimal(1), "cm"),), Quantity(Decimal("1.00000001"), "cm")),
        ("Successor", (Long(1),), Long(2)),
        ("Successor", (Date.of(2014),), Date.of(2015)),
        ("MinValue", ("{urn:hl7-org:elm-types:r1}Integer",), MIN_INTEGER),
        ("MaxValue", ("System.Decimal",), MAX_DECIMAL),
    ],
)
def test_operators(operator: str, operands: tuple[object, ...], expected: object):
    """Each operator gives the value and the type that the specification says."""
    result = OPERATORS[operator](*operands)
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    ("operator", "operands", "error"),
    [
        ("Ln", (0,), ArithmeticError),
        ("Exp", (1000,), ArithmeticError),
        ("Exp", (Decimal(60),), ArithmeticError),
        ("Successor", (MAX_INTEGER,), ArithmeticError),
        ("Predecessor", (Time.MIN,), ArithmeticError),
        ("Successor", (DateTime.MAX,), ArithmeticError),
        ("MinValue", ("System.Boolean",), TypeError),
        ("Add", ("a", 1), TypeError),
        ("Subtract", (DAY, 1), TypeError),
        ("Divide", ("a", 1), TypeError),
        ("Multiply", (Quantity(Decimal(1)), "a"), TypeError),
        ("Abs", ("a",), TypeError),
        ("Negate", ("a",), TypeError),
        ("Add", (DAY, Quantity(Decimal(1), "mg")), ValueError),
    ],
)
def test_what_has_no_value_raises(operator: str, operands: tuple[object, ...], error: type[Exception]):
    """Run-time errors of the specification, and operands of a wrong type, raise."""
    with pytest.raises(error):
        OPERATORS[operator](*operands)


@given(anything, anything)
def test_sum_and_product_commute(a: object, b: object):
    """a + b = b + a and a * b = b * a."""
    assert OPERATORS["Add"](a, b) == OPERATORS["Add"](b, a)
    assert OPERATORS["Multiply"](a, b) == OPERATORS["Multiply"](b, a)


@given(st.one_of(integers, decimals), st.one_of(integers, decimals).filter(bool))
def test_quotient_and_remainder_make_up_the_dividend(a: object, b: object):
    """a = b * (a div b) + a mod b."""
    whole, rest = OPERATORS["TruncatedDivide"](a, b), OPERATORS["Modulo"](a, b)
    assert OPERATORS["Add"](OPERATORS["Multiply"](b, whole), rest) == a


@given(anything)
def test_negate_twice_is_the_same(a: object):
    """-(-a) = a and |a| = |-a|."""
    negate = OPERATORS["Negate"]
    assert negate(negate(a)) == a
    assert OPERATORS["Abs"](a) == OPERATORS["Abs"](negate(a))


@given(decimals)
def test_boundaries_enclose_the_value(a: Decimal):
    """The low boundary is at most, the high boundary at least the value."""
    assert OPERATORS["LowBoundary"](a, 8) <= a <= OPERATORS["HighBoundary"](a, 8)


@given(st.one_of(integers, decimals))
def test_predecessor_of_successor(a: object):
    """One step up and one down is no step."""
    assert OPERATORS["Predecessor"](OPERATORS["Successor"](a)) == a
