"""Equivalence of CQL values: `~` over every type, always true or false (CQL reference, "Equivalent")."""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from fhir_cds.cql.runtime import quantity
from fhir_cds.cql.runtime.clinical import Code, Concept
from fhir_cds.cql.runtime.comparison import NUMBERS
from fhir_cds.cql.runtime.equality import equal
from fhir_cds.cql.runtime.interval import Interval, end_span, start_span
from fhir_cds.cql.runtime.numbers import CONTEXT, decimals
from fhir_cds.cql.runtime.quantity import Quantity, Ratio


def equivalent(left: Any, right: Any) -> bool:
    """CQL `~`: true or false, also for nulls (two nulls are equivalent)."""
    if left is None or right is None:
        return left is right
    test = _EQUIVALENT.get(type(left))
    return equal(left, right) is True if test is None else test(left, right)


def _like_text(left: Any, right: Any) -> bool:
    """Compare without regard to case and to the kind of white space."""
    return isinstance(right, str) and (left == right or _folded(left) == _folded(right))


def _folded(text: str) -> str:
    return "".join(" " if letter.isspace() else letter for letter in text).casefold()


def _like_decimal(left: Any, right: Any) -> bool:
    """Compare at the decimals of the less precise value; trailing zeros are no precision."""
    if type(right) not in NUMBERS:
        return equal(left, right) is True
    one, other = Decimal(left), Decimal(right)
    places = min(decimals(one.normalize(CONTEXT)), decimals(other.normalize(CONTEXT)))
    step = Decimal(1).scaleb(-places)
    return one.quantize(step, ROUND_HALF_UP, CONTEXT) == other.quantize(step, ROUND_HALF_UP, CONTEXT)


def _like_list(left: Any, right: Any) -> bool:
    return isinstance(right, list) and len(left) == len(right) and all(map(equivalent, left, right))


def _like_tuple(left: Any, right: Any) -> bool:
    if left is right:
        return True
    if not isinstance(right, dict):
        return False
    return all(equivalent(left.get(name), right.get(name)) for name in left.keys() | right.keys())


def _like_code(left: Any, right: Any) -> bool:
    if isinstance(right, Concept):
        return _like_concept(right, left)
    return isinstance(right, Code) and left.code == right.code and left.system == right.system


def _like_concept(left: Any, right: Any) -> bool:
    codes = right.codes if isinstance(right, Concept) else (right,)
    return any(_like_code(one, other) for one in left.codes for other in codes)


def _like_quantity(left: Any, right: Any) -> bool:
    return isinstance(right, Quantity) and quantity.equivalent(left, right)


def _like_ratio(left: Any, right: Any) -> bool:
    return isinstance(right, Ratio) and quantity.same_ratio(left, right)


def _like_interval(left: Any, right: Any) -> bool:
    if not isinstance(right, Interval):
        return False
    return all(
        equivalent(one, other)
        for spans in ((start_span(left), start_span(right)), (end_span(left), end_span(right)))
        for one, other in zip(*spans, strict=True)
    )


_EQUIVALENT: Final[dict[type, Callable[[Any, Any], bool]]] = {
    str: _like_text,
    Decimal: _like_decimal,
    list: _like_list,
    dict: _like_tuple,
    Code: _like_code,
    Concept: _like_concept,
    Quantity: _like_quantity,
    Ratio: _like_ratio,
    Interval: _like_interval,
}

OPERATORS: Final[dict[str, Callable[..., Any]]] = {"Equivalent": equivalent}
STATEFUL: Final[frozenset[str]] = frozenset()
