"""Numbers of CQL: Integer (32 bits), Long (64 bits) and Decimal (28 digits, 8 of them decimals).

An Integer is a Python `int`, a Decimal a `decimal.Decimal`; only Long needs a class of its own. A result that does
not fit its type is null (CQL 1.5, appendix B, "Arithmetic Operators"), so the functions here return `None` then.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Final

MIN_INTEGER: Final = -(2**31)
MAX_INTEGER: Final = 2**31 - 1
MIN_LONG: Final = -(2**63)
MAX_LONG: Final = 2**63 - 1
MAX_DECIMAL: Final = Decimal("99999999999999999999.99999999")
MIN_DECIMAL: Final = -MAX_DECIMAL
STEP: Final = Decimal("0.00000001")
ZERO: Final = Decimal(0)
ONE: Final = Decimal(1)

# Wide enough that a product of two Decimals is exact before it is rounded; no traps: what is no number is null.
CONTEXT: Final = Context(prec=64, rounding=ROUND_HALF_UP, traps=[])


class Long(int):
    """A 64-bit integer; an `int` in every other respect."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{int(self)}L"


def integer(value: int) -> int | None:
    """Return the value as Integer, `None` when it needs more than 32 bits."""
    return value if MIN_INTEGER <= value <= MAX_INTEGER else None


def long(value: int) -> Long | None:
    """Return the value as Long, `None` when it needs more than 64 bits."""
    return Long(value) if MIN_LONG <= value <= MAX_LONG else None


def decimal(value: Decimal) -> Decimal | None:
    """Return the value in range and with at most 8 decimals (half away from zero), else `None`."""
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int):
        return None
    if exponent < -8:
        value = value.quantize(STEP, context=CONTEXT).normalize(CONTEXT)
        if value.adjusted() >= 0 and value == value.to_integral_value():
            value = value.quantize(ONE, context=CONTEXT)
    if not value:
        return value.copy_abs()
    return value if MIN_DECIMAL <= value <= MAX_DECIMAL else None


def like(sample: int, value: int) -> int | None:
    """Return the value in the integer type of the sample (Integer or Long), `None` when it does not fit."""
    return long(value) if isinstance(sample, Long) else integer(value)


def quotient(number: int, divisor: int) -> int:
    """Divide whole numbers by a positive one, cutting toward zero."""
    return number // divisor if number >= 0 else -(-number // divisor)


def decimals(value: Decimal) -> int:
    """Return the number of digits after the decimal point as written (trailing zeros count)."""
    exponent = value.as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def decimal_text(value: Decimal) -> str:
    """Return the CQL text of a Decimal: no exponent, at least one digit after the point (`(-)?#0.0#`)."""
    text = format(value, "f")
    return text if "." in text else f"{text}.0"
