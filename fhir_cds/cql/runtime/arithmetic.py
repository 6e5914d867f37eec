"""Arithmetic operators over Integer, Long, Decimal, Quantity, temporal values and uncertainties.

CQL 1.5, appendix B, "Arithmetic Operators" and, for dates plus durations, "Date and Time Operators". Null in, null
out; a result that does not fit its type and a division by zero are null. Where the specification asks for a run-time
error (logarithm of zero, e to a power that does not fit, the value after the last one) the operator raises
ArithmeticError.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_UP, Decimal
from typing import Any, Final

from fhir_cds.cql.runtime import calendar_arithmetic, points, quantity, uncertainty
from fhir_cds.cql.runtime.numbers import (
    CONTEXT,
    MAX_INTEGER,
    MIN_INTEGER,
    Long,
    decimal,
    decimals,
    integer,
    like,
)
from fhir_cds.cql.runtime.quantity import Quantity
from fhir_cds.cql.runtime.temporal import Date, DateTime, Time
from fhir_cds.cql.runtime.uncertainty import Uncertainty

Number = int | Decimal
TEMPORAL: Final = (Date, DateTime, Time)


def mismatch(operator: str, *operands: Any) -> TypeError:
    """Return the error for operand types that an operator is not defined for (names types, not values)."""
    return TypeError(f"{operator} is not defined for {', '.join(type(operand).__name__ for operand in operands)}")


def to_decimal(value: Number) -> Decimal:
    """Return an Integer, Long or Decimal as Decimal."""
    return value if isinstance(value, Decimal) else Decimal(int(value))


def add(a: Any, b: Any) -> Any:
    """Return the sum; a temporal value plus a quantity of time; the union of spans for uncertainties."""
    if a is None or b is None:
        return None
    if type(a) is int and type(b) is int:
        total = a + b
        return total if MIN_INTEGER <= total <= MAX_INTEGER else None
    if isinstance(a, TEMPORAL) and isinstance(b, Quantity):
        return calendar_arithmetic.add(a, b.value, b.unit)
    return _binary("+", a, b)


def subtract(a: Any, b: Any) -> Any:
    """Return the difference; a temporal value minus a quantity of time."""
    if a is None or b is None:
        return None
    if type(a) is int and type(b) is int:
        total = a - b
        return total if MIN_INTEGER <= total <= MAX_INTEGER else None
    if isinstance(a, TEMPORAL) and isinstance(b, Quantity):
        return calendar_arithmetic.add(a, b.value, b.unit, -1)
    return _binary("-", a, b)


def multiply(a: Any, b: Any) -> Any:
    """Return the product."""
    if a is None or b is None:
        return None
    return _binary("*", a, b)


def divide(a: Any, b: Any) -> Any:
    """Return the quotient as Decimal (or Quantity)."""
    if a is None or b is None:
        return None
    if isinstance(a, Quantity) or isinstance(b, Quantity):
        return quantity.divide(_as_quantity(a), _as_quantity(b))
    if not isinstance(a, int | Decimal) or not isinstance(b, int | Decimal):
        raise mismatch("Divide", a, b)
    return decimal(CONTEXT.divide(to_decimal(a), to_decimal(b))) if b else None


def truncated_divide(a: Any, b: Any) -> Any:
    """Return the quotient without its fraction, in the type of the operands."""
    return None if a is None or b is None else _binary("//", a, b)


def modulo(a: Any, b: Any) -> Any:
    """Return the remainder of the truncated division; its sign is that of the dividend."""
    return None if a is None or b is None else _binary("%", a, b)


def _truncated(a: int, b: int) -> int:
    return a // b if (a < 0) == (b < 0) else -(-a // b)


_INTEGER: Final[dict[str, Callable[[int, int], int]]] = {
    "+": lambda a, b: int(a) + int(b),
    "-": lambda a, b: int(a) - int(b),
    "*": lambda a, b: int(a) * int(b),
    "//": _truncated,
    "%": lambda a, b: a - b * _truncated(a, b),
}
_NAMES: Final = {"+": "Add", "-": "Subtract", "*": "Multiply", "//": "TruncatedDivide", "%": "Modulo"}


def _binary(sign: str, a: Any, b: Any) -> Any:
    """Apply one of the operators to operands of the same kind, the wider of two numeric types."""
    if isinstance(a, Quantity) or isinstance(b, Quantity):
        left, right = _as_quantity(a), _as_quantity(b)
        return quantity.multiply(left, right) if sign == "*" else quantity.combine(left, right, sign)
    if isinstance(a, int) and isinstance(b, int):
        if sign in ("//", "%") and not b:
            return None
        return like(a if isinstance(a, Long) else b, _INTEGER[sign](a, b))
    if isinstance(a, int | Decimal) and isinstance(b, int | Decimal):
        x, y = to_decimal(a), to_decimal(b)
        return decimal(CONTEXT.multiply(x, y)) if sign == "*" else quantity.plain(x, y, sign)
    if sign in ("+", "-", "*") and (isinstance(a, Uncertainty) or isinstance(b, Uncertainty)):
        return uncertainty.lift(lambda x, y: _binary(sign, x, y), a, b)
    raise mismatch(_NAMES[sign], a, b)


def _as_quantity(value: Any) -> Quantity:
    if isinstance(value, Quantity):
        return value
    if isinstance(value, int | Decimal):
        return Quantity(to_decimal(value))
    raise mismatch("Quantity arithmetic", value)


def absolute(a: Any) -> Any:
    """Return the value without its sign."""
    if a is None:
        return None
    if isinstance(a, int):
        return like(a, abs(int(a)))
    if isinstance(a, Decimal):
        return a.copy_abs()
    if isinstance(a, Quantity):
        return Quantity(a.value.copy_abs(), a.unit)
    raise mismatch("Abs", a)


def negate(a: Any) -> Any:
    """Return the value with the other sign."""
    if a is None:
        return None
    if isinstance(a, int):
        return like(a, -int(a))
    if isinstance(a, Decimal):
        return CONTEXT.minus(a)
    if isinstance(a, Quantity):
        return Quantity(CONTEXT.minus(a.value), a.unit)
    if isinstance(a, Uncertainty):
        return uncertainty.lift(lambda x, y: _binary("-", x, y), 0, a)
    raise mismatch("Negate", a)


def _to_integer(rounding: str) -> Callable[[Any], int | None]:
    def whole(a: Number | None) -> int | None:
        return None if a is None else integer(int(to_decimal(a).to_integral_value(rounding)))

    return whole


def round_(a: Number | None, precision: int | None = None) -> Decimal | None:
    """Return the value with `precision` decimals (0 when not given), half away from zero."""
    if a is None:
        return None
    value, places = to_decimal(a), precision or 0
    if places >= decimals(value):
        return value
    return decimal(value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP, CONTEXT))


def ln(a: Number | None) -> Decimal | None:
    """Return the natural logarithm; `None` for a negative number; raises for zero."""
    if a is None or a < 0:
        return None
    if not a:
        raise ArithmeticError("the logarithm of zero has no value")
    return decimal(CONTEXT.ln(to_decimal(a)))


def log(a: Number | None, base: Number | None) -> Decimal | None:
    """Return the logarithm to a base; `None` where there is none (base 1, numbers that are not positive)."""
    if a is None or base is None or a <= 0 or base <= 0 or base == 1:
        return None
    return decimal(CONTEXT.divide(CONTEXT.ln(to_decimal(a)), CONTEXT.ln(to_decimal(base))))


def exp(a: Number | None) -> Decimal | None:
    """Return e to the power of the number; raises when the result is out of range."""
    if a is None:
        return None
    value = decimal(CONTEXT.exp(to_decimal(a))) if a < 100 else None
    if value is None:
        raise ArithmeticError("the result of Exp is out of the range of Decimal")
    return value


def power(a: Number | None, b: Number | None) -> Number | None:
    """Return a to the power of b: of the integer type of a where possible, a Decimal for a negative exponent."""
    if a is None or b is None:
        return None
    if isinstance(a, int) and isinstance(b, int) and b >= 0:
        if abs(a) > 1 and b > 64:
            return None
        return like(a, int(a) ** (int(b) if abs(a) > 1 else (b % 2 or 2) if b else 0))
    return decimal(CONTEXT.power(to_decimal(a), to_decimal(b)))


def _next(name: str, step: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return Successor or Predecessor; it raises at the end of the type's range."""

    def following(a: Any) -> Any:
        if isinstance(a, Quantity):
            return Quantity(following(a.value), a.unit)
        found = step(a)
        if found is None and a is not None:
            raise ArithmeticError(f"{name} is out of the range of {type(a).__name__}")
        return found

    return following


def _bound(bounds: Mapping[str, Any]) -> Callable[[str], Any]:
    """Return MinValue or MaxValue, which takes the name of a type."""

    def bound(value_type: str) -> Any:
        name = value_type.rpartition("}")[2].removeprefix("System.")
        if name not in bounds:
            raise TypeError(f"{name} has no minimum and maximum")
        return bounds[name]

    return bound


def precision_of(a: Any) -> int | None:
    """Return the number of decimals, or of digits of a date or time."""
    if a is None:
        return None
    if isinstance(a, int):
        return 0
    return decimals(a) if isinstance(a, Decimal) else calendar_arithmetic.digits(a)


def _boundary(*, high: bool) -> Callable[[Any, int | None], Any]:
    """Return LowBoundary or HighBoundary."""

    def boundary(a: Any, precision: int | None = None) -> Any:
        if a is None:
            return None
        if isinstance(a, int | Decimal):
            return _decimal_boundary(to_decimal(a), 8 if precision is None else precision, high=high)
        if precision is None:
            precision = 8 if isinstance(a, Date) else 9 if isinstance(a, Time) else 17
        return calendar_arithmetic.boundary(a, precision, high=high)

    return boundary


def _decimal_boundary(value: Decimal, places: int, *, high: bool) -> Decimal | None:
    """Return the least or greatest number of `places` decimals that starts with the digits of the value."""
    if not 0 <= places <= 8:
        return None
    known = decimals(value)
    shown = value.quantize(Decimal(1).scaleb(-places), ROUND_DOWN, CONTEXT)
    if places > known and high == (value >= 0):
        rest = Decimal(1).scaleb(-known) - Decimal(1).scaleb(-places)
        return decimal(shown + rest if high else shown - rest)
    return decimal(shown)


OPERATORS: Final[dict[str, Callable[..., Any]]] = {
    "Abs": absolute,
    "Add": add,
    "Ceiling": _to_integer(ROUND_CEILING),
    "Divide": divide,
    "Exp": exp,
    "Floor": _to_integer(ROUND_FLOOR),
    "HighBoundary": _boundary(high=True),
    "Ln": ln,
    "Log": log,
    "LowBoundary": _boundary(high=False),
    "MaxValue": _bound(points.MAXIMUM),
    "MinValue": _bound(points.MINIMUM),
    "Modulo": modulo,
    "Multiply": multiply,
    "Negate": negate,
    "Power": power,
    "Precision": precision_of,
    "Predecessor": _next("Predecessor", points.predecessor),
    "Round": round_,
    "Subtract": subtract,
    "Successor": _next("Successor", points.successor),
    "Truncate": _to_integer(ROUND_DOWN),
    "TruncatedDivide": truncated_divide,
}
STATEFUL: Final[frozenset[str]] = frozenset()
