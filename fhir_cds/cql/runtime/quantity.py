"""Quantity and Ratio: values, comparison, conversion and arithmetic with units (CQL 1.5, types Quantity and Ratio).

Calendar units are words. Weeks and shorter ones are the UCUM units of the same length; years and months are a kind of
their own: `1 year = 12 months`, but `1 year = 1 'a'` and `1 year = 365 days` are null, and only equivalence takes them
as one (CQL 1.5, "Quantity", "Equal", "Equivalent"). A quantity with an invalid unit compares to null.
"""

from __future__ import annotations

from decimal import Context, Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Final

from msgspec import Struct

from fhir_cds.cql.runtime import ucum
from fhir_cds.cql.runtime.numbers import CONTEXT, decimal


class Quantity(Struct, frozen=True):
    """A Decimal with a unit: UCUM, or a calendar unit as a word ("year", "month", "day" …), "1" when there is none.

    Python equality is structural; CQL equality is `equality.equal`.
    """

    value: Decimal
    unit: str = "1"

    def __str__(self) -> str:
        shown = f"{self.value:f}"
        return f"{shown} {self.unit}" if self.unit in CALENDAR else f"{shown} '{self.unit}'"


class Ratio(Struct, frozen=True):
    """Two quantities in relation; not reduced."""

    numerator: Quantity
    denominator: Quantity

    def __str__(self) -> str:
        return f"{self.numerator}:{self.denominator}"


_SINGULAR: Final[dict[str, str]] = {
    "year": "a", "month": "mo", "week": "wk", "day": "d", "hour": "h", "minute": "min", "second": "s",
    "millisecond": "ms",
}  # fmt: skip
# Calendar word, singular or plural -> UCUM code of the same name.
CALENDAR: Final[dict[str, str]] = _SINGULAR | {f"{word}s": code for word, code in _SINGULAR.items()}
_MONTHS: Final[dict[str, int]] = {"year": 12, "years": 12, "month": 1, "months": 1}
_DAYS: Final[dict[str, int]] = {"year": 365, "years": 365, "month": 30, "months": 30}
_EXACT: Final = Context(prec=400, traps=[])


@lru_cache(maxsize=4096)
def unit_of(unit: str) -> ucum.Unit | None:
    """Return the meaning of a unit or calendar word, `None` when it is invalid."""
    months = _MONTHS.get(unit)
    if months is not None:
        return ucum.Unit(Fraction(months), (("calendar month", 1),))
    return ucum.unit_of(CALENDAR.get(unit, unit))


@lru_cache(maxsize=4096)
def _rate(left: str, right: str) -> tuple[Decimal, Decimal] | None:
    """Return the integers (a, b) with which `left * a` and `right * b` compare; `None` when plain factors do not do."""
    one, other = unit_of(left), unit_of(right)
    if one is None or other is None or one.dimensions != other.dimensions or one.scale or other.scale:
        return None
    rate = one.factor / other.factor
    return Decimal(rate.numerator), Decimal(rate.denominator)


def compare(left: Quantity, right: Quantity) -> int | None:
    """Return -1, 0 or 1; `None` when a unit is invalid or the dimensions differ."""
    a, b = left.value, right.value
    if left.unit == right.unit:
        return (a > b) - (a < b) if unit_of(left.unit) is not None else None
    rate = _rate(left.unit, right.unit)
    if rate is not None:
        a, b = _EXACT.multiply(a, rate[0]), _EXACT.multiply(b, rate[1])
        return (a > b) - (a < b)
    one, other = unit_of(left.unit), unit_of(right.unit)
    if one is None or other is None or one.dimensions != other.dimensions:
        return None
    x, y = one.to_base(a), other.to_base(b)
    return (x > y) - (x < y)


def equivalent(left: Quantity, right: Quantity) -> bool:
    """Return whether the values are the same; a year is 365 days or 1 'a', a month 30 days or 1 'mo' here."""
    order = compare(left, right)
    if order is None:
        order = compare(_loose(left, right), _loose(right, left))
    return order == 0


def _loose(quantity: Quantity, other: Quantity) -> Quantity:
    """Return a quantity of years or months in days, or in the UCUM unit of the name where the other has one."""
    days = _DAYS.get(quantity.unit)
    if days is None:
        return quantity
    if other.unit in CALENDAR or other.unit in {"d", "wk", "h", "min", "s", "ms"}:
        return Quantity(_EXACT.multiply(quantity.value, Decimal(days)), "d")
    return Quantity(quantity.value, CALENDAR[quantity.unit])


def same_ratio(left: Ratio, right: Ratio) -> bool:
    """Return whether two ratios express the same relation (1:2 and 2:4): equivalence of ratios."""
    one = multiply(left.numerator, right.denominator)
    other = multiply(right.numerator, left.denominator)
    return one is not None and other is not None and equivalent(one, other)


def convert(quantity: Quantity, unit: str) -> Quantity | None:
    """Return the quantity in another unit of the same dimension (8 decimals), `None` when there is no such value."""
    if quantity.unit == unit:
        return quantity if unit_of(unit) is not None else None
    one, other = unit_of(quantity.unit), unit_of(unit)
    if one is None or other is None:
        return None
    if one.dimensions != other.dimensions:
        loose = _loose(quantity, Quantity(quantity.value, unit))
        return convert(loose, unit) if loose is not quantity else None
    try:
        value = decimal(fraction(other.from_base(one.to_base(quantity.value))))
    except ValueError:
        return None
    return None if value is None else Quantity(value, unit)


def fraction(value: Fraction) -> Decimal:
    """Return a fraction as a decimal of at most 64 digits."""
    return CONTEXT.divide(Decimal(value.numerator), Decimal(value.denominator))


def aligned(left: Quantity, right: Quantity) -> tuple[Decimal, Decimal, str] | None:
    """Return both values in the finer unit of the two, with that unit; `None` when they have no common unit."""
    if left.unit == right.unit:
        return (left.value, right.value, left.unit) if unit_of(left.unit) is not None else None
    rate = _rate(left.unit, right.unit)
    if rate is None:
        return None
    if rate[0] >= rate[1]:
        if rate[0] == rate[1]:
            return left.value, right.value, left.unit
        return CONTEXT.divide(_EXACT.multiply(left.value, rate[0]), rate[1]), right.value, right.unit
    return left.value, CONTEXT.divide(_EXACT.multiply(right.value, rate[1]), rate[0]), left.unit


def combine(left: Quantity, right: Quantity, operation: str) -> Quantity | None:
    """Return sum, difference, remainder or truncated quotient ("+", "-", "%", "//") in the finer unit of the two."""
    pair = aligned(left, right)
    if pair is None:
        return None
    a, b, unit = pair
    value = plain(a, b, operation)
    return None if value is None else Quantity(value, unit)


def plain(a: Decimal, b: Decimal, operation: str) -> Decimal | None:
    """Return the same for decimals; `None` for a division by zero or a result out of range."""
    if operation == "+":
        return decimal(CONTEXT.add(a, b))
    if operation == "-":
        return decimal(CONTEXT.subtract(a, b))
    if not b:
        return None
    return decimal(CONTEXT.remainder(a, b) if operation == "%" else CONTEXT.divide_int(a, b))


def multiply(left: Quantity, right: Quantity) -> Quantity | None:
    """Return the product, its unit the product of the units."""
    value = decimal(CONTEXT.multiply(left.value, right.value))
    return _with_unit(value, left.unit, right.unit, 1)


def divide(left: Quantity, right: Quantity) -> Quantity | None:
    """Return the quotient, its unit the quotient of the units; `None` when dividing by zero."""
    if not right.value:
        return None
    value = decimal(CONTEXT.divide(left.value, right.value))
    return _with_unit(value, left.unit, right.unit, -1)


def _with_unit(value: Decimal | None, left: str, right: str, sign: int) -> Quantity | None:
    if value is None:
        return None
    if right == "1" and unit_of(left) is not None:
        return Quantity(value, left)
    if left == "1" and sign == 1 and unit_of(right) is not None:
        return Quantity(value, right)
    unit = ucum.combine(CALENDAR.get(left, left), CALENDAR.get(right, right), sign)
    return None if unit is None or unit_of(unit) is None else Quantity(value, unit)
