"""Aggregate operators (CQL 1.5, appendix B, "Aggregate Functions").

Nulls in the list are left out; a list without values gives null (Count 0, AllTrue true, AnyTrue false). Means are
computed with 64 digits and rounded once, at the end. Quantities are brought to the unit of the first one, which the
result has (the CQL reference gives the variance and product of milligrams in milligrams).
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from fhir_cds.cql.runtime import arithmetic, comparison, quantity
from fhir_cds.cql.runtime.equality import equal
from fhir_cds.cql.runtime.numbers import CONTEXT, ONE, ZERO, decimal
from fhir_cds.cql.runtime.quantity import Quantity

Source = list[Any] | None
_PLAIN: Final = frozenset({int, Decimal})


def _values(source: Source) -> list[Any]:
    return [element for element in source if element is not None] if source else []


def count(source: Source) -> int:
    """Return the number of elements that are not null."""
    return len(_values(source))


def all_true(source: Source) -> bool:
    """Return whether no element is false."""
    return False not in _values(source)


def any_true(source: Source) -> bool:
    """Return whether an element is true."""
    return True in _values(source)


def _extreme(better: Callable[[Any, Any], bool | None], python: Callable[[list[Any]], Any]) -> Callable[[Source], Any]:
    """Return Min or Max: null also when imprecise or incomparable values leave the result open."""

    def extreme(source: Source) -> Any:
        values = _values(source)
        if not values:
            return None
        if len(values) == 1:
            return values[0]
        if all(type(value) in _PLAIN for value in values):
            return python(values)
        best, undecided = values[0], []
        for value in values[1:]:
            answer = better(value, best)
            if answer:
                best = value
            elif answer is None:
                undecided.append(value)
        # What was open against an earlier candidate may be decided against the last one.
        return None if any(better(value, best) is None for value in undecided) else best

    return extreme


def _fold(operation: Callable[[Any, Any], Any]) -> Callable[[Source], Any]:
    def fold(source: Source) -> Any:
        values = _values(source)
        if not values:
            return None
        result = values[0]
        for value in values[1:]:
            result = operation(result, value)
            if result is None:
                return None
        return result

    return fold


def product(source: Source) -> Any:
    """Return the product, of quantities in the unit of the first."""
    values = _values(source)
    if values and isinstance(values[0], Quantity):
        return _of_decimals(_product)(values)
    return _fold(arithmetic.multiply)(values)


def _of_decimals(statistic: Callable[[list[Decimal]], Decimal | None]) -> Callable[[Source], Any]:
    """Return the operator that applies a statistic to decimals, or to quantities in the unit of the first one."""

    def operator(source: Source) -> Any:
        values = _values(source)
        if not values:
            return None
        if not isinstance(values[0], Quantity):
            result = statistic([arithmetic.to_decimal(value) for value in values])
            return None if result is None else decimal(result)
        unit = values[0].unit
        converted = [quantity.convert(value, unit) for value in values]
        if None in converted:
            return None
        result = statistic([value.value for value in converted if value is not None])
        rounded = None if result is None else decimal(result)
        return None if rounded is None else Quantity(rounded, unit)

    return operator


def _sum(values: list[Decimal]) -> Decimal:
    total = ZERO
    for value in values:
        total = CONTEXT.add(total, value)
    return total


def _product(values: list[Decimal]) -> Decimal:
    result = ONE
    for value in values:
        result = CONTEXT.multiply(result, value)
    return result


def _mean(values: list[Decimal]) -> Decimal:
    return CONTEXT.divide(_sum(values), Decimal(len(values)))


def _median(values: list[Decimal]) -> Decimal:
    ordered, half = sorted(values), len(values) // 2
    return ordered[half] if len(values) % 2 else _mean(ordered[half - 1 : half + 1])


def _spread(values: list[Decimal], divisor: int) -> Decimal | None:
    if divisor < 1:
        return None
    mean = _mean(values)
    squares = [CONTEXT.power(CONTEXT.subtract(value, mean), 2) for value in values]
    return CONTEXT.divide(_sum(squares), Decimal(divisor))


def _variance(values: list[Decimal]) -> Decimal | None:
    return _spread(values, len(values) - 1)


def _population_variance(values: list[Decimal]) -> Decimal | None:
    return _spread(values, len(values))


def _root(variance: Callable[[list[Decimal]], Decimal | None]) -> Callable[[list[Decimal]], Decimal | None]:
    def deviation(values: list[Decimal]) -> Decimal | None:
        spread = variance(values)
        return None if spread is None else CONTEXT.sqrt(spread)

    return deviation


def _geometric_mean(values: list[Decimal]) -> Decimal | None:
    if any(value < 0 for value in values):
        return None
    if not all(values):
        return ZERO
    return CONTEXT.exp(_mean([CONTEXT.ln(value) for value in values]))


def mode(source: Source) -> Any:
    """Return the most frequent value, of several the one that comes first."""
    best, most = None, 0
    rest = _values(source)
    while len(rest) > most:
        value = rest[0]
        others = [other for other in rest if equal(other, value) is not True]
        times = max(len(rest) - len(others), 1)
        if times > most:
            best, most = value, times
        rest = others if len(others) < len(rest) else rest[1:]
    return best


OPERATORS: Final[dict[str, Callable[..., Any]]] = {
    "AllTrue": all_true,
    "AnyTrue": any_true,
    "Avg": _of_decimals(_mean),
    "Count": count,
    "GeometricMean": _of_decimals(_geometric_mean),
    "Max": _extreme(comparison.greater, max),
    "Median": _of_decimals(_median),
    "Min": _extreme(comparison.less, min),
    "Mode": mode,
    "PopulationStdDev": _of_decimals(_root(_population_variance)),
    "PopulationVariance": _of_decimals(_population_variance),
    "Product": product,
    "StdDev": _of_decimals(_root(_variance)),
    "Sum": _fold(arithmetic.add),
    "Variance": _of_decimals(_variance),
}
STATEFUL: Final[frozenset[str]] = frozenset()
