"""Functions of single values: strings, numbers, conversions, dates (FHIRPath N1, chapter "Functions").

All take the input collection, the scope and evaluated arguments; an empty input or argument gives an empty result.
"""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any, Final

from fhir_cds.cql.fhirpath.errors import FhirPathError
from fhir_cds.cql.fhirpath.nodes import Node
from fhir_cds.cql.fhirpath.scope import Run, Scope, single
from fhir_cds.cql.runtime import arithmetic, conversion, quantity, string
from fhir_cds.cql.runtime.numbers import CONTEXT, decimal, decimals
from fhir_cds.cql.runtime.precision import DAY
from fhir_cds.cql.runtime.quantity import Quantity
from fhir_cds.cql.runtime.temporal import Date, DateTime, Time

Items = list[Any]
Function = Callable[..., Items]
MAX_PLACES: Final = 28
_JSON_ESCAPE: Final = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_JSON_ESCAPED: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


def _result(value: Any) -> Items:
    return [] if value is None else [value]


def _text(function: Callable[..., Any], *types: type) -> Function:
    """Return a function of a string and arguments of the given types."""

    def apply(items: Items, scope: Scope, *arguments: Items) -> Items:
        value = single(items, scope, "a string function")
        operands = [single(argument, scope, "an argument") for argument in arguments]
        if value is None or None in operands:
            return []
        if not isinstance(value, str):
            raise FhirPathError("a string function needs a String")
        for operand, kind in zip(operands, types, strict=False):
            if type(operand) is not kind:
                raise FhirPathError(f"an argument must be {kind.__name__}")
        return _result(function(value, *operands))

    return apply


def _number(function: Callable[..., Any]) -> Function:
    """Return a function of a number (or Quantity) and numbers."""

    def apply(items: Items, scope: Scope, *arguments: Items) -> Items:
        value = single(items, scope, "a math function")
        operands = [single(argument, scope, "an argument") for argument in arguments]
        if value is None or None in operands:
            return []
        if any(isinstance(each, bool) or not isinstance(each, int | Decimal | Quantity) for each in (value, *operands)):
            raise FhirPathError("a math function needs numbers")
        return _result(function(value, *operands))

    return apply


def _substring(text: str, start: int, length: int | None = None) -> str | None:
    return None if start < 0 or start >= len(text) else string.substring(text, start, length)


def _matches(text: str, pattern: str) -> bool:
    return string.regex(pattern).search(text) is not None


def _encode(text: str, form: str) -> str:
    raw = text.encode()
    if form == "hex":
        return raw.hex()
    if form == "base64":
        return base64.b64encode(raw).decode()
    if form == "urlbase64":
        return base64.urlsafe_b64encode(raw).decode()
    raise FhirPathError(f"unknown encoding {form}")


def _decode(text: str, form: str) -> str:
    try:
        if form == "hex":
            return bytes.fromhex(text).decode()
        if form == "base64":
            return base64.b64decode(text, validate=True).decode()
        if form == "urlbase64":
            return base64.urlsafe_b64decode(text).decode()
    except (ValueError, binascii.Error):
        raise FhirPathError(f"the string is not {form}") from None
    raise FhirPathError(f"unknown encoding {form}")


def _escape(text: str, form: str) -> str:
    if form == "html":
        return html.escape(text)
    if form == "json":
        return json.dumps(text, ensure_ascii=False)[1:-1]
    raise FhirPathError(f"unknown escaping {form}")


def _unescape(text: str, form: str) -> str:
    if form == "html":
        return html.unescape(text)
    if form == "json":
        return _JSON_ESCAPE.sub(_unescaped, text)
    raise FhirPathError(f"unknown escaping {form}")


def _unescaped(match: re.Match[str]) -> str:
    code = match.group(1)
    return chr(int(code[1:], 16)) if len(code) > 1 else _JSON_ESCAPED.get(code, code)


def _to_chars(items: Items, scope: Scope) -> Items:
    return [letter for text in _text(lambda text: text)(items, scope) for letter in text]


def _split(items: Items, scope: Scope, separator: Items) -> Items:
    parts = _text(string.split, str)(items, scope, separator)
    return list(parts[0]) if parts else []


def _join(items: Items, scope: Scope, separator: Items = []) -> Items:  # noqa: B006 - never changed
    texts = [single([item], scope, "join()") for item in items]
    if not all(isinstance(text, str) for text in texts):
        raise FhirPathError("join() needs Strings")
    return [(single(separator, scope, "the separator") or "").join(texts)] if texts else []


def _sqrt(value: Any) -> Decimal | None:
    return decimal(CONTEXT.sqrt(arithmetic.to_decimal(value))) if value >= 0 else None


# --- boundaries


def _boundary(*, high: bool) -> Function:
    def apply(items: Items, scope: Scope, places: Items = []) -> Items:  # noqa: B006 - never changed
        value, digits = single(items, scope, "a boundary"), single(places, scope, "a precision")
        if isinstance(value, Quantity):
            found = _decimal_boundary(value.value, digits, high=high)
            return [] if found is None else [Quantity(found, value.unit)]
        if type(value) is int or isinstance(value, Decimal):
            return _result(_decimal_boundary(arithmetic.to_decimal(value), digits, high=high))
        if value is None or not isinstance(value, Date | DateTime | Time):
            return []
        found = arithmetic.OPERATORS["HighBoundary" if high else "LowBoundary"](value, digits)
        # As the specification shows it, a date and time cut to its day is a date.
        return _result(conversion.to_date(found) if isinstance(found, DateTime) and found.precision <= DAY else found)

    return apply


def _decimal_boundary(value: Decimal, places: int | None, *, high: bool) -> Decimal | None:
    """Return the least or greatest value that would be rounded to this one, at a number of decimals (8)."""
    digits = 8 if places is None else places
    if not 0 <= digits <= MAX_PLACES:
        return None
    half = Decimal(5).scaleb(-decimals(value) - 1)
    edge = value + half if high else value - half
    return edge.quantize(Decimal(1).scaleb(-digits), ROUND_CEILING if high else ROUND_FLOOR, CONTEXT)


def _precision(items: Items, scope: Scope) -> Items:
    value = single(items, scope, "precision()")
    return [] if value is None else [arithmetic.precision_of(value)]


def _comparable(items: Items, scope: Scope, other: Items) -> Items:
    left, right = single(items, scope, "comparable()"), single(other, scope, "comparable()")
    if not isinstance(left, Quantity) or not isinstance(right, Quantity):
        return []
    one, two = quantity.unit_of(left.unit), quantity.unit_of(right.unit)
    return [one is not None and two is not None and one.dimensions == two.dimensions]


# --- conversions


def _to_boolean(value: Any) -> bool | None:
    return conversion.to_boolean({"1.0": "1", "0.0": "0"}.get(value, value) if isinstance(value, str) else value)


def _to_quantity(value: Any) -> Quantity | None:
    return None if isinstance(value, Date | DateTime | Time) else conversion.to_quantity(value)


def _to_string(value: Any) -> str | None:
    if isinstance(value, DateTime):
        return str(value)
    return None if isinstance(value, Node | dict) else conversion.to_string(value)


_CONVERSIONS: Final[dict[str, Callable[[Any], Any]]] = {
    "Boolean": _to_boolean,
    "Integer": conversion.to_integer,
    "Long": conversion.to_long,
    "Decimal": conversion.to_decimal,
    "String": _to_string,
    "Date": conversion.to_date,
    "Time": conversion.to_time,
    "Quantity": _to_quantity,
}


def _to(name: str) -> Function:
    def apply(items: Items, scope: Scope, unit: Items = []) -> Items:  # noqa: B006 - never changed
        value = single(items, scope, f"to{name}()")
        if value is None:
            return []
        found = conversion.datetime_of(value, scope.run.offset) if name == "DateTime" else _CONVERSIONS[name](value)
        wanted = single(unit, scope, "the unit")
        if wanted is not None and isinstance(found, Quantity):
            return _result(quantity.convert(found, wanted))
        return _result(found)

    return apply


def _converts(name: str) -> Function:
    to = _to(name)

    def apply(items: Items, scope: Scope, *unit: Items) -> Items:
        return [bool(to(items, scope, *unit))] if items else []

    return apply


# --- the moment of the evaluation


def _moment(run: Run) -> DateTime:
    if run.now is None:
        raise FhirPathError("now(), today() and timeOfDay() need the moment of the evaluation: pass now")
    return run.now


def _now(_items: Items, scope: Scope) -> Items:
    return [_moment(scope.run)]


def _today(_items: Items, scope: Scope) -> Items:
    return [Date.of_day(_moment(scope.run).local_day())]


def _time_of_day(_items: Items, scope: Scope) -> Items:
    return [Time.of(_moment(scope.run).fields()[DAY + 1 :])]


VALUES: Final[dict[str, tuple[int, int, Function]]] = {
    "indexOf": (1, 1, _text(str.find, str)),
    "lastIndexOf": (1, 1, _text(str.rfind, str)),
    "substring": (1, 2, _text(_substring, int, int)),
    "startsWith": (1, 1, _text(str.startswith, str)),
    "endsWith": (1, 1, _text(str.endswith, str)),
    "contains": (1, 1, _text(str.__contains__, str)),
    "upper": (0, 0, _text(str.upper)),
    "lower": (0, 0, _text(str.lower)),
    "trim": (0, 0, _text(str.strip)),
    "length": (0, 0, _text(len)),
    "replace": (2, 2, _text(str.replace, str, str)),
    "matches": (1, 1, _text(_matches, str)),
    "matchesFull": (1, 1, _text(string.matches, str)),
    "replaceMatches": (2, 2, _text(lambda a, b, c: string.replace_matches(a, b, c) if b else a, str, str)),
    "toChars": (0, 0, _to_chars),
    "split": (1, 1, _split),
    "join": (0, 1, _join),
    "encode": (1, 1, _text(_encode, str)),
    "decode": (1, 1, _text(_decode, str)),
    "escape": (1, 1, _text(_escape, str)),
    "unescape": (1, 1, _text(_unescape, str)),
    "abs": (0, 0, _number(arithmetic.absolute)),
    "ceiling": (0, 0, _number(arithmetic.OPERATORS["Ceiling"])),
    "exp": (0, 0, _number(arithmetic.exp)),
    "floor": (0, 0, _number(arithmetic.OPERATORS["Floor"])),
    "ln": (0, 0, _number(arithmetic.ln)),
    "log": (1, 1, _number(arithmetic.log)),
    "power": (1, 1, _number(arithmetic.power)),
    "round": (0, 1, _number(arithmetic.round_)),
    "sqrt": (0, 0, _number(_sqrt)),
    "truncate": (0, 0, _number(arithmetic.OPERATORS["Truncate"])),
    "lowBoundary": (0, 1, _boundary(high=False)),
    "highBoundary": (0, 1, _boundary(high=True)),
    "precision": (0, 0, _precision),
    "comparable": (1, 1, _comparable),
    "now": (0, 0, _now),
    "today": (0, 0, _today),
    "timeOfDay": (0, 0, _time_of_day),
    **{f"to{name}": (0, int(name == "Quantity"), _to(name)) for name in (*_CONVERSIONS, "DateTime")},
    **{f"convertsTo{name}": (0, int(name == "Quantity"), _converts(name)) for name in (*_CONVERSIONS, "DateTime")},
}
