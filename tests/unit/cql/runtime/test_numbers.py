"""Numbers: ranges, rounding and text of Integer, Long and Decimal."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_cds.cql.runtime import numbers
from fhir_cds.cql.runtime.numbers import Long

decimals = st.decimals(min_value=-(10**15), max_value=10**15, places=12)


def test_integers_outside_their_range_are_null():
    """One beyond either end of Integer and Long is null."""
    assert numbers.integer(2**31 - 1) == 2**31 - 1
    assert numbers.integer(2**31) is None
    assert numbers.long(-(2**63)) == -(2**63)
    assert numbers.long(-(2**63) - 1) is None


def test_like_keeps_the_type_of_the_sample():
    """A result is a Long exactly when its operand was one."""
    assert type(numbers.like(Long(1), 2)) is Long
    assert type(numbers.like(1, 2)) is int
    assert numbers.like(1, 2**40) is None
    assert repr(Long(3)) == "3L"


@given(decimals)
def test_a_decimal_has_at_most_eight_decimals_rounded_half_away_from_zero(value: Decimal):
    """Rounding moves a value by at most half a step and leaves at most 8 decimals."""
    rounded = numbers.decimal(value)
    assert rounded is not None
    assert numbers.decimals(rounded) <= 8
    assert abs(rounded - value) <= Decimal("0.000000005")


@pytest.mark.parametrize(
    ("value", "rounded"),
    [
        ("1E+20", None),
        ("99999999999999999999.99999999", "99999999999999999999.99999999"),
        ("NaN", None),
        ("Infinity", None),
        ("-0.0", "0.0"),
        ("0.000000005", "0.00000001"),
        ("-0.000000005", "-0.00000001"),
        ("0.0000000049", "0"),
        ("20.000000000001", "20"),
    ],
)
def test_the_range_of_decimal(value: str, rounded: str | None):
    """What is out of range or no number is null; zero has no sign; rounding leaves no trailing zeros."""
    result = numbers.decimal(Decimal(value))
    assert (None if result is None else f"{result:f}") == rounded


@pytest.mark.parametrize(("value", "text"), [("2", "2.0"), ("1E+3", "1000.0"), ("-0.00000001", "-0.00000001")])
def test_decimal_text_has_a_point_and_no_exponent(value: str, text: str):
    """The text of a Decimal is a CQL literal."""
    assert numbers.decimal_text(Decimal(value)) == text


def test_decimals_counts_written_places():
    """Trailing zeros count, an exponent does not."""
    assert numbers.decimals(Decimal("1.58700")) == 5
    assert numbers.decimals(Decimal("1E+3")) == 0
    assert numbers.decimals(Decimal("NaN")) == 0
