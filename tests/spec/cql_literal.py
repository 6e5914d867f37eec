"""The expected results of the official CQL tests: a small strict literal parser, and a strict comparison.

Literals are those of CQL: null, true, numbers, strings, dates and times, quantities, intervals, lists, tuples, codes
and concepts. `Now()` and the like are no literals: the harness gives their values. A DateTime without offset is UTC.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from fhir_cds.cql.runtime.clinical import Code, Concept
from fhir_cds.cql.runtime.interval import Interval, end, start
from fhir_cds.cql.runtime.numbers import Long
from fhir_cds.cql.runtime.quantity import Quantity, Ratio
from fhir_cds.cql.runtime.temporal import Date, DateTime, Time, to_datetime
from fhir_cds.cql.runtime.temporal_text import parse_date, parse_datetime, parse_time
from fhir_cds.cql.runtime.uncertainty import Uncertainty

TOLERANCE: Final = Decimal("0.00000001")
_TOKEN: Final = re.compile(
    r"\s*(?:(?P<time>@T[0-9:.]*)|(?P<date>@[0-9-]+(?:T[0-9:.]*(?:Z|[+-][0-9]{2}:[0-9]{2})?)?)|(?P<long>-?[0-9]+)L"
    r"|(?P<number>-?[0-9]+(?:\.[0-9]+)?)|'(?P<text>(?:[^'\\]|\\.)*)'|(?P<call>Now\(\))|(?P<word>[A-Za-z_]+)"
    r"|(?P<mark>[{}\[\](),:]))"
)
_ESCAPE: Final = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)")
_PLAIN: Final = {"n": "\n", "r": "\r", "t": "\t", "f": "\f"}
_CALENDAR: Final = re.compile(r"(year|month|week|day|hour|minute|second|millisecond)s?")


class Literal:
    """A parser over the tokens of one expected text; raises ValueError for anything it does not know."""

    def __init__(self, text: str, names: Mapping[str, Any]) -> None:
        self.names = names
        self.tokens: list[tuple[str, str]] = []
        position = 0
        while text[position:].strip():
            match = _TOKEN.match(text, position)
            if match is None or match.lastgroup is None:
                raise ValueError(f"no literal: {text[position:]!r}")
            self.tokens.append((match.lastgroup, match[match.lastgroup]))
            position = match.end()

    def whole(self) -> Any:
        """Read the text as one literal."""
        value = self.value()
        if self.tokens:
            raise ValueError(f"left over: {self.tokens}")
        return value

    def value(self) -> Any:
        """Read one value."""
        kind, text = self.tokens.pop(0)
        if kind == "mark" and text == "{":
            return self.elements()
        if kind == "word":
            return self.word(text)
        if kind == "text":
            return _ESCAPE.sub(_unescaped, text)
        if kind == "long":
            return Long(text)
        if kind == "call":
            return self.names[text]
        if kind == "number":
            return self.number(text)
        if kind in ("date", "time"):
            return moment(text)
        raise ValueError(f"unexpected {text!r}")

    def number(self, text: str) -> Any:
        """Read a number, or a quantity or ratio when a unit follows."""
        following, unit = self.tokens[0] if self.tokens else ("", "")
        if following != "text" and not (following == "word" and _CALENDAR.fullmatch(unit)):
            return Decimal(text) if "." in text else int(text)
        self.tokens.pop(0)
        quantity = Quantity(Decimal(text), unit)
        if self.tokens[:1] == [("mark", ":")]:
            self.tokens.pop(0)
            return Ratio(quantity, self.value())
        return quantity

    def word(self, text: str) -> Any:
        """Read null, a Boolean, or the value that a type name starts."""
        if text in _WORDS:
            return _WORDS[text]
        if text == "Interval":
            low_closed = self.mark("[(") == "["
            low = self.value()
            self.mark(",")
            high = self.value()
            return Interval(low, high, low_closed, self.mark("])") == "]")
        self.mark("{")
        parts = self.elements()
        if text == "Tuple":
            return parts
        if text == "Code":
            return Code(parts["code"], parts.get("system"), parts.get("version"), parts.get("display"))
        if text == "Concept":
            codes = parts["codes"]
            return Concept(tuple(codes) if isinstance(codes, list) else (codes,), parts.get("display"))
        raise ValueError(f"unknown type {text}")

    def elements(self) -> Any:
        """Read the rest of a list or tuple after its opening brace."""
        named, items = {}, []
        while self.tokens[0] != ("mark", "}"):
            if self.tokens[0][0] == "word" and self.tokens[1] == ("mark", ":"):
                name = self.tokens.pop(0)[1]
                self.mark(":")
                named[name] = self.value()
            else:
                items.append(self.value())
            if self.tokens[0] != ("mark", "}"):
                self.mark(",")
        self.tokens.pop(0)
        if named and items:
            raise ValueError("a list with named elements")
        return named or items

    def mark(self, allowed: str) -> str:
        """Read one of the punctuation marks."""
        kind, text = self.tokens.pop(0)
        if kind != "mark" or text not in allowed:
            raise ValueError(f"expected one of {allowed!r}, found {text!r}")
        return text


_WORDS: Final = {"null": None, "true": True, "false": False}


def _unescaped(match: re.Match[str]) -> str:
    code = match[1]
    return chr(int(code[1:], 16)) if len(code) > 1 else _PLAIN.get(code, code)


def moment(text: str) -> Date | DateTime | Time:
    """Read a date or time literal; one with a `T` after the date is a DateTime."""
    body = text[1:]
    value = parse_time(body) if body[0] == "T" else parse_datetime(body, 0) if "T" in body else parse_date(body)
    if value is None:
        raise ValueError(f"no date or time: {text}")
    return value


def parse(text: str, names: Mapping[str, Any] | None = None) -> Any:
    """Return the value of an expected text; `names` gives the values of calls such as `Now()`."""
    return Literal(text, names or {}).whole()


def same(expected: Any, actual: Any) -> bool:
    """Compare strictly: null is not false, types, order and precision count, decimals to 1e-8.

    An uncertainty is the closed interval of its bounds; a known bound may be written open or closed.
    """
    if isinstance(actual, Uncertainty):
        actual = Interval(actual.low, actual.high)
    if type(expected) is int and isinstance(actual, Decimal):
        expected = Decimal(expected)  # the expected texts write a whole Decimal in either way
    if isinstance(expected, Date) and isinstance(actual, DateTime):
        expected = to_datetime(expected, 0)  # and a DateTime known to the day
    if type(expected) is not type(actual):
        return False
    if isinstance(expected, Decimal):
        return abs(expected - actual) <= TOLERANCE
    if isinstance(expected, list):
        return len(expected) == len(actual) and all(map(same, expected, actual))
    parts = _PARTS.get(type(expected))
    if parts is not None:
        return same(parts(expected), parts(actual))
    return bool(expected == actual)


def _bounds(interval: Interval) -> list[Any]:
    low = interval.low_closed if interval.low is None else start(interval)
    high = interval.high_closed if interval.high is None else end(interval)
    return [low, high]


_PARTS: Final[dict[type, Callable[[Any], list[Any]]]] = {
    Quantity: lambda value: [value.value, value.unit],
    Ratio: lambda value: [value.numerator, value.denominator],
    Date: lambda value: [value.precision, value.lo],
    Time: lambda value: [value.precision, value.lo],
    DateTime: lambda value: [value.precision, value.lo, value.offset],
    Interval: _bounds,
    dict: lambda value: [*sorted(value), *(value[name] for name in sorted(value))],
}
