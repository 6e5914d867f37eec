"""UCUM unit expressions: parsing, dimensions, conversion and the units of products and quotients.

Everything is exact (fractions) except logarithmic scales. An expression that is not UCUM has no unit: `unit_of`
returns `None` and `problem` says why. Calendar words are not units here; `quantity` knows them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Final

from fhir_cds.cql.runtime import ucum_units as table

Dimensions = tuple[tuple[str, int], ...]
Terms = tuple[tuple[str, int], ...]

WIDE: Final = Context(prec=50)
MAX_LENGTH: Final = 200
MAX_EXPONENT: Final = 200
_ATOM: Final = re.compile(r"10[*^]|(?:[^\s\[\]./(){}0-9+\-=<>\"]|\[[^\s\[\]]+\])+")
_EXPONENT: Final = re.compile(r"[+-]?[0-9]{1,3}(?![0-9])")
_FACTOR: Final = re.compile(r"[0-9]{1,30}(?![0-9])")
_ANNOTATION: Final = re.compile(r"\{[^{}]*\}")


@dataclass(frozen=True, slots=True)
class Scale:
    """How a special unit maps its value to the base: `(x * step + offset)`, or `base ** (x * step / per)`."""

    step: Fraction = Fraction(1)
    offset: Fraction = Fraction(0)
    base: Decimal | None = None
    per: int = 1


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit as a factor of base units; `scale` only for thermometers and logarithmic units."""

    factor: Fraction
    dimensions: Dimensions
    scale: Scale | None = None

    def to_base(self, value: Decimal) -> Fraction:
        """Return the value in base units."""
        scale = self.scale
        if scale is None:
            return Fraction(value) * self.factor
        x = Fraction(value) * scale.step
        if scale.base is None:
            return (x + scale.offset) * self.factor
        return Fraction(WIDE.power(scale.base, _decimal(x / scale.per))) * self.factor

    def from_base(self, value: Fraction) -> Fraction:
        """Return a value in base units as a value in this unit; `ValueError` where a logarithm has no value."""
        x = value / self.factor
        scale = self.scale
        if scale is None:
            return x
        if scale.base is None:
            return (x - scale.offset) / scale.step
        if x <= 0:
            raise ValueError("a logarithmic unit has no value for zero or less")
        power = WIDE.divide(WIDE.ln(_decimal(x)), WIDE.ln(scale.base))
        return Fraction(power) * scale.per / scale.step


class UnitError(ValueError):
    """An expression that is not a UCUM unit; the message says what is wrong with it."""


@lru_cache(maxsize=4096)
def unit_of(expression: str) -> Unit | None:
    """Return the unit of a UCUM expression, `None` when it is not valid."""
    try:
        return _resolve(parse(expression))
    except UnitError:
        return None


@lru_cache(maxsize=4096)
def parse(expression: str) -> Terms:
    """Return the terms of an expression as (atom, exponent), like atoms merged in order of appearance.

    Integer factors are atoms too; annotations and the factor 1 leave nothing. Raises UnitError.
    """
    if not expression or len(expression) > MAX_LENGTH:
        raise UnitError("a unit needs 1 to 200 characters")
    reader = _Reader(expression)
    terms = reader.term()
    if reader.at < len(expression):
        raise UnitError(f"'{expression[reader.at]}' at character {reader.at + 1} does not belong there")
    return _merged(terms)


def combine(left: str, right: str, sign: int) -> str | None:
    """Return the unit of a product (`sign` 1) or quotient (-1), in shortest form; `None` for bad grammar."""
    if right == "1" and sign == 1:
        return left
    try:
        terms = [*parse(left), *((atom, exponent * sign) for atom, exponent in parse(right))]
    except UnitError:
        return None
    return text(_merged(terms))


def text(terms: Terms) -> str:
    """Return terms as a UCUM expression: `a.b2/c/d2`, "1" when there are none."""
    single = [term for atom, exponent in terms for term in _powers(atom, exponent)]
    above = ".".join(text for text, positive in single if positive)
    below = "".join(f"/{text}" for text, positive in single if not positive)
    return above + below or "1"


def _powers(atom: str, exponent: int) -> list[tuple[str, bool]]:
    """Return a power as written, with whether it is above the line; a factor is repeated: `22` is another number."""
    size = abs(exponent)
    if atom.isdigit():
        return [(atom, exponent > 0)] * size
    return [(atom if size == 1 else f"{atom}{size}", exponent > 0)]


def _merged(terms: list[tuple[str, int]]) -> Terms:
    found: dict[str, int] = {}
    for atom, exponent in terms:
        found[atom] = found.get(atom, 0) + exponent
    if any(abs(exponent) > MAX_EXPONENT for exponent in found.values()):
        raise UnitError("the exponent is too large")
    return tuple((atom, exponent) for atom, exponent in found.items() if exponent and atom != "1")


class _Reader:
    """Recursive descent over `term := ["/"] component (("." | "/") component)*`."""

    def __init__(self, expression: str) -> None:
        self.expression = expression
        self.at = 0
        self.depth = 0

    def term(self) -> list[tuple[str, int]]:
        sign = -1 if self._take("/") else 1
        terms = [(atom, exponent * sign) for atom, exponent in self._component()]
        while True:
            if self._take("."):
                sign = 1
            elif self._take("/"):
                sign = -1
            else:
                return terms
            terms.extend((atom, exponent * sign) for atom, exponent in self._component())

    def _take(self, character: str) -> bool:
        if self.expression.startswith(character, self.at):
            self.at += 1
            return True
        return False

    def _match(self, pattern: re.Pattern[str]) -> str | None:
        found = pattern.match(self.expression, self.at)
        if found is None:
            return None
        self.at = found.end()
        return found.group()

    def _component(self) -> list[tuple[str, int]]:
        if self._take("("):
            self.depth += 1
            if self.depth > 20:
                raise UnitError("parentheses are nested too deeply")
            terms = self.term()
            if not self._take(")"):
                raise UnitError("a closing parenthesis is missing")
            self.depth -= 1
            self._match(_ANNOTATION)
            return terms
        atom = self._match(_ATOM)
        if atom is not None:
            exponent = self._match(_EXPONENT)
            terms = [(atom, int(exponent) if exponent else 1)]
        else:
            factor = self._match(_FACTOR)
            terms = [] if factor is None else [(str(int(factor)), 1)]
            if factor is None and not self.expression.startswith("{", self.at):
                raise UnitError(f"a unit is missing at character {self.at + 1}")
        if self._match(_ANNOTATION) is None and self.expression.startswith("{", self.at):
            raise UnitError("a closing brace is missing")
        return terms


def _resolve(terms: Terms) -> Unit:
    factor = Fraction(1)
    dimensions: dict[str, int] = {}
    for atom, exponent in terms:
        unit = _atom(atom)
        if unit.scale is not None:
            if len(terms) > 1 or exponent != 1:
                raise UnitError(f"the special unit {atom} cannot be part of a product or power")
            return unit
        factor *= unit.factor**exponent
        for name, power in unit.dimensions:
            dimensions[name] = dimensions.get(name, 0) + power * exponent
    return Unit(factor, tuple(sorted((name, power) for name, power in dimensions.items() if power)))


@lru_cache(maxsize=4096)
def _atom(atom: str) -> Unit:
    if atom.isdigit():
        if int(atom) == 0:
            raise UnitError("a factor cannot be zero")
        return Unit(Fraction(int(atom)), ())
    if atom in _DEFINED:
        return _defined(atom)
    for length in (2, 1):
        prefix, rest = table.PREFIXES.get(atom[:length]), atom[length:]
        if prefix is not None and rest in _DEFINED and _DEFINED[rest][0]:
            unit = _defined(rest)
            if unit.scale is None:
                return Unit(unit.factor * prefix, unit.dimensions)
            scale = Scale(unit.scale.step * prefix, unit.scale.offset, unit.scale.base, unit.scale.per)
            return Unit(unit.factor, unit.dimensions, scale)
    raise UnitError(f"{atom} is not a UCUM unit")


def _defined(code: str) -> Unit:
    definition = _DEFINED[code][1]
    if definition is None:
        return Unit(Fraction(1), ((code, 1),))
    number, expression = definition.split()
    unit = _resolve(parse(expression))
    return Unit(unit.factor * Fraction(number), unit.dimensions, _SCALES.get(code))


def _definitions() -> dict[str, tuple[bool, str | None]]:
    """Return code -> (takes prefixes, "value expression" or nothing for a dimension of its own)."""
    found: dict[str, tuple[bool, str | None]] = dict.fromkeys(table.BASE, (True, None))
    found |= dict.fromkeys(table.ARBITRARY_METRIC.split(), (True, None))
    found |= dict.fromkeys(table.ARBITRARY.split(), (False, None))
    for lines, metric in ((table.METRIC, True), (table.PLAIN, False)):
        for line in lines.strip().splitlines():
            code, definition = line.split(maxsplit=1)
            found[code] = (metric, definition)
    found |= {code: (metric, degree) for code, (_, degree, metric) in table.OFFSET.items()}
    found |= {code: (metric, zero) for code, (_, _, zero, metric) in table.LOGARITHMIC.items()}
    found["[pi]"] = (False, f"{table.PI} 1")
    found["[IU]"] = (True, "1 [iU]")
    return found


def _scales() -> dict[str, Scale]:
    e = WIDE.exp(Decimal(1))
    found = {code: Scale(offset=Fraction(offset)) for code, (offset, _, _) in table.OFFSET.items()}
    for code, (base, per, _, _) in table.LOGARITHMIC.items():
        found[code] = Scale(base=e if base == "e" else Decimal(base), per=per)
    return found


def _decimal(value: Fraction) -> Decimal:
    return WIDE.divide(Decimal(value.numerator), Decimal(value.denominator))


_DEFINED: Final = _definitions()
_SCALES: Final = _scales()
