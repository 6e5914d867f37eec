"""Conversions between system types (CQL 1.5, appendix B, "Type Operators"). What cannot be converted becomes null."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from fhir_cds.cql.runtime import quantity
from fhir_cds.cql.runtime.clinical import Code, Concept
from fhir_cds.cql.runtime.numbers import Long, decimal, decimal_text, integer, long
from fhir_cds.cql.runtime.precision import DAY
from fhir_cds.cql.runtime.quantity import CALENDAR, Quantity, Ratio
from fhir_cds.cql.runtime.temporal import Date, DateTime, Time, to_datetime
from fhir_cds.cql.runtime.temporal_ops import State, date_from
from fhir_cds.cql.runtime.temporal_text import parse_date, parse_datetime, parse_time

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,40}")
_DECIMAL: Final = re.compile(r"[+-]?[0-9]{1,40}(?:\.[0-9]{1,40})?")
_QUANTITY: Final = re.compile(r"([+-]?[0-9]{1,40}(?:\.[0-9]{1,40})?)(?:\s*'([^']*)'|\s+([a-z]+))?")
_ZONE: Final = re.compile(r"(?:Z|[+-][0-9]{2}:[0-9]{2})$")
_BOOLEANS: Final[dict[str, bool]] = {
    **dict.fromkeys(("true", "t", "yes", "y", "1"), True),
    **dict.fromkeys(("false", "f", "no", "n", "0"), False),
}


def to_boolean(a: Any) -> bool | None:
    """Return true or false for the usual words in any case, and for the numbers 1 and 0."""
    if isinstance(a, bool):
        return a
    if isinstance(a, str):
        return _BOOLEANS.get(a.lower())
    return bool(a) if isinstance(a, int | Decimal) and a in (0, 1) else None


def to_integer(a: Any) -> int | None:
    """Return an Integer from a string of digits, a Boolean or a Long that fits."""
    if isinstance(a, str):
        return integer(int(a)) if _INTEGER.fullmatch(a) else None
    return integer(int(a)) if isinstance(a, int) else None


def to_long(a: Any) -> Long | None:
    """Return a Long from a string of digits, a Boolean or an Integer."""
    if isinstance(a, str):
        return long(int(a)) if _INTEGER.fullmatch(a) else None
    return long(int(a)) if isinstance(a, int) else None


def to_decimal(a: Any) -> Decimal | None:
    """Return a Decimal from a string, a Boolean or an integer."""
    if type(a) is int:
        return Decimal(a)
    if isinstance(a, Decimal):
        return decimal(a)
    if isinstance(a, str):
        return decimal(Decimal(a)) if _DECIMAL.fullmatch(a) else None
    return Decimal(int(a)) if isinstance(a, int) else None


def to_quantity(a: Any) -> Quantity | None:
    """Return a Quantity from a number (unit "1"), a Ratio, or text such as `5.5 'cm'` or `3 days`."""
    if isinstance(a, Quantity):
        return a
    if isinstance(a, Ratio):
        return quantity.divide(a.numerator, a.denominator)
    if isinstance(a, str):
        return _parse_quantity(a)
    value = to_decimal(a)
    return None if value is None else Quantity(value)


def _parse_quantity(text: str) -> Quantity | None:
    match = _QUANTITY.fullmatch(text.strip())
    if match is None:
        return None
    number, code, word = match.groups()
    unit = "1" if code is None and word is None else code or word
    value = to_decimal(number)
    if value is None or not unit or quantity.unit_of(unit) is None or (word and word not in CALENDAR):
        return None
    return Quantity(value, unit)


def to_ratio(a: Any) -> Ratio | None:
    """Return a Ratio from text such as `1 'mg':2 'mL'`."""
    if isinstance(a, Ratio):
        return a
    if not isinstance(a, str):
        return None
    # A colon may be part of neither number nor unit.
    left, colon, right = a.partition(":")
    numerator, denominator = _parse_quantity(left), _parse_quantity(right)
    return Ratio(numerator, denominator) if colon and numerator and denominator else None


def to_string(a: Any) -> str | None:
    """Return the value as text, in the form of its literal; a DateTime with its offset unless it was assumed."""
    if a is None or isinstance(a, str):
        return a
    if isinstance(a, DateTime):
        return a.text(offset=a.stated or a.offset != a.zone)
    if isinstance(a, bool):
        return "true" if a else "false"
    if isinstance(a, Decimal):
        return decimal_text(a)
    return str(int(a)) if isinstance(a, int) else str(a)


def to_date(a: Any) -> Date | None:
    """Return the date of a DateTime, or of an ISO date as text."""
    if isinstance(a, DateTime):
        return date_from(a)
    return a if isinstance(a, Date) else parse_date(a) if isinstance(a, str) else None


def to_datetime_(state: State, a: Any) -> DateTime | None:
    """Return a DateTime from a date (same precision) or ISO text; without an offset it gets the evaluation's."""
    return datetime_of(a, state.offset)


def datetime_of(a: Any, offset: int) -> DateTime | None:
    """Return a DateTime from a date (same precision) or ISO text; without an offset it gets this one (minutes)."""
    if isinstance(a, Date):
        return to_datetime(a, offset)
    return a if isinstance(a, DateTime) else parse_datetime(a, offset) if isinstance(a, str) else None


def to_time(a: Any) -> Time | None:
    """Return the time of a DateTime or of ISO text; an offset in the text is left out."""
    if isinstance(a, DateTime):
        return Time.of(a.fields()[DAY + 1 :]) if a.precision > DAY else None
    return a if isinstance(a, Time) else parse_time(_ZONE.sub("", a)) if isinstance(a, str) else None


def to_concept(a: Any) -> Concept | None:
    """Return a Concept of one code or a list of codes."""
    if isinstance(a, Code):
        return Concept((a,), a.display)
    if isinstance(a, list):
        return Concept(tuple(code for code in a if code is not None))
    return a if isinstance(a, Concept) else None


def to_list(a: Any) -> list[Any]:
    """Return a list of the value, an empty one for null."""
    return [] if a is None else [a]


def to_chars(a: str | None) -> list[str] | None:
    """Return the characters of a string."""
    return None if a is None else list(a)


def convert_quantity(a: Quantity | None, unit: str | None) -> Quantity | None:
    """Return the quantity in another unit, null when it has no such value."""
    return None if a is None or unit is None else quantity.convert(a, unit)


def can_convert_quantity(a: Quantity | None, unit: str | None) -> bool | None:
    """Return whether the quantity can be told in another unit."""
    return None if a is None or unit is None else quantity.convert(a, unit) is not None


_TO: Final[dict[str, Callable[[Any], Any]]] = {
    "Boolean": to_boolean,
    "Concept": to_concept,
    "Date": to_date,
    "Decimal": to_decimal,
    "Integer": to_integer,
    "Long": to_long,
    "Quantity": to_quantity,
    "Ratio": to_ratio,
    "String": to_string,
    "Time": to_time,
}


def convert(state: State, a: Any, to_type: str) -> Any:
    """Return the value as another system type (`System.Integer`, `{…}Integer`), null when it cannot be converted."""
    name = to_type.rpartition("}")[2].removeprefix("System.")
    if name == "DateTime":
        return to_datetime_(state, a)
    if name not in _TO:
        raise TypeError(f"there is no conversion to {name}")
    return None if a is None else _TO[name](a)


def can_convert(state: State, a: Any, to_type: str) -> bool | None:
    """Return whether the value can be told as another system type."""
    return None if a is None else convert(state, a, to_type) is not None


def _converts(to: Callable[[Any], Any]) -> Callable[[Any], bool | None]:
    def converts(a: Any) -> bool | None:
        return None if a is None else to(a) is not None

    return converts


def _converts_to_datetime(state: State, a: Any) -> bool | None:
    return None if a is None else to_datetime_(state, a) is not None


OPERATORS: Final[dict[str, Callable[..., Any]]] = {
    **{f"To{name}": operator for name, operator in _TO.items()},
    **{f"ConvertsTo{name}": _converts(operator) for name, operator in _TO.items() if name != "Concept"},
    "CanConvert": can_convert,
    "CanConvertQuantity": can_convert_quantity,
    "Convert": convert,
    "ConvertQuantity": convert_quantity,
    "ConvertsToDateTime": _converts_to_datetime,
    "ToChars": to_chars,
    "ToDateTime": to_datetime_,
    "ToList": to_list,
}
STATEFUL: Final[frozenset[str]] = frozenset({"CanConvert", "Convert", "ConvertsToDateTime", "ToDateTime"})
