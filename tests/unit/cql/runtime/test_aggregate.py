"""Aggregate operators; laws by property."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_cds.cql.runtime.aggregate import OPERATORS
from fhir_cds.cql.runtime.numbers import MAX_INTEGER, Long
from fhir_cds.cql.runtime.quantity import Quantity
from fhir_cds.cql.runtime.temporal import Date

values = st.lists(st.none() | st.decimals(min_value=1, max_value=1000, places=3), max_size=8)


def q(value: str, unit: str = "mg") -> Quantity:
    """Return a quantity."""
    return Quantity(Decimal(value), unit)


@pytest.mark.parametrize(
    ("operator", "source", "expected"),
    [
        ("AllTrue", [True, None], True),
        ("AllTrue", [True, False], False),
        ("AllTrue", None, True),
        ("AnyTrue", [False, None, True], True),
        ("AnyTrue", None, False),
        ("Count", [1, None, 2], 2),
        ("Count", None, 0),
        ("Sum", [1, None, 2], 3),
        ("Sum", [MAX_INTEGER, 1, -1], None),
        ("Sum", [Long(1), Long(2)], Long(3)),
        ("Sum", [q("1"), q("1", "g")], q("1001")),
        ("Sum", [q("1"), q("1", "m")], None),
        ("Sum", [None], None),
        ("Product", [Long(5), Long(4)], Long(20)),
        ("Product", [q("2"), q("3")], q("6")),
        ("Min", [3, 1, 2], 1),
        ("Max", ["a", "c", "b"], "c"),
        ("Max", [Long(3), Long(4)], Long(4)),
        ("Max", [q("900"), q("1", "g")], q("1", "g")),
        ("Max", [q("900"), q("1", "m")], None),
        ("Min", [Date.of(2020), Date.of(2021, 5)], Date.of(2020)),
        ("Max", [Date.of(2020), Date.of(2020, 5)], None),
        ("Max", [Date.of(2020), Date.of(2020, 5), Date.of(2021)], Date.of(2021)),
        ("Max", [Date.of(2020), Date.of(2020, 5), Date.of(2020)], None),
        ("Max", [Date.of(2020), Date.of(2020, 5), Date.of(2020, 3)], None),
        ("Max", [Date.of(2020), Date.of(2020, 12, 30), Date.of(2020, 12)], None),
        ("Max", [Date.of(2019, 12), Date.of(2020), Date.of(2020, 5, 1), Date.of(2021, 1)], Date.of(2021, 1)),
        ("Max", None, None),
        ("Avg", [1, 2], Decimal("1.5")),
        ("Avg", [q("1"), q("1", "g")], q("500.5")),
        ("Avg", [q("1"), q("1", "m")], None),
        ("Median", [Decimal(6), Decimal(1), Decimal(2), Decimal(3)], Decimal("2.5")),
        ("Median", [3, 1, 2], Decimal(2)),
        ("Mode", [2, 1, 8, 2, 9, 1, 9, 9], 9),
        ("Mode", [Decimal("1.0"), 2, Decimal("1.00")], Decimal("1.0")),
        ("Mode", [Date.of(2020), Date.of(2020)], Date.of(2020)),
        ("Mode", [q("1", "nonsense"), q("1", "nonsense"), q("2")], q("1", "nonsense")),
        ("Mode", [], None),
        ("Variance", [1, 2, 3, 4, 5], Decimal("2.5")),
        ("Variance", [1], None),
        ("Variance", [q("1"), q("2"), q("3"), q("4"), q("5")], q("2.5")),
        ("PopulationVariance", [1, 2, 3, 4, 5], Decimal(2)),
        ("StdDev", [1, 2, 3, 4, 5], Decimal("1.58113883")),
        ("StdDev", [1], None),
        ("PopulationStdDev", [1, 2, 3, 4, 5], Decimal("1.41421356")),
        ("GeometricMean", [2, 8], Decimal(4)),
        ("GeometricMean", [0, 8], Decimal(0)),
        ("GeometricMean", [-2, 8], None),
        ("GeometricMean", [None], None),
    ],
)
def test_aggregates(operator: str, source: object, expected: object):
    """Each aggregate gives the value and the type that the CQL reference says."""
    result = OPERATORS[operator](source)
    assert result == expected
    assert type(result) is type(expected)


@given(values)
def test_order_of_statistics(source: list[Decimal | None]):
    """Min <= median, mean <= max, and the geometric mean is not above the mean."""
    low, high = OPERATORS["Min"](source), OPERATORS["Max"](source)
    mean, median, geometric = (OPERATORS[name](source) for name in ("Avg", "Median", "GeometricMean"))
    if low is None:
        assert (high, mean, median, geometric) == (None, None, None, None)
        return
    slack = Decimal("0.00000001")
    assert low <= median <= high
    assert low - slack <= mean <= high + slack
    assert geometric <= mean + slack


@given(values)
def test_the_deviation_is_the_root_of_the_variance(source: list[Decimal | None]):
    """StdDev squared is Variance, up to rounding."""
    variance, deviation = OPERATORS["Variance"](source), OPERATORS["StdDev"](source)
    assert (variance is None) == (deviation is None)
    if variance is not None:
        assert abs(deviation * deviation - variance) < Decimal("0.001")
