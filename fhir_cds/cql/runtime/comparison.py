"""Comparison operators of CQL over every type (CQL reference, chapters "Comparison Operators" and "Clinical").

`order` compares two values of an ordered type: -1, 0, 1, or None when that is not known (imprecise dates, units that
do not compare). Equality is three-valued; equivalence is always true or false.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from fhir_cds.cql.runtime import quantity, uncertainty
from fhir_cds.cql.runtime.clinical import Code, CodeSystem, Concept, ValueSet
from fhir_cds.cql.runtime.interval import Interval, Span, end_span, start_span
from fhir_cds.cql.runtime.numbers import CONTEXT, Long, decimals
from fhir_cds.cql.runtime.quantity import Quantity, Ratio
from fhir_cds.cql.runtime.temporal import Date, DateTime, Time, to_datetime
from fhir_cds.cql.runtime.uncertainty import Uncertainty


def both(left: bool | None, right: bool | None) -> bool | None:
    """Three-valued and."""
    if left is False or right is False:
        return False
    return None if left is None or right is None else True


def either(left: bool | None, right: bool | None) -> bool | None:
    """Three-valued or."""
    if left is True or right is True:
        return True
    return None if left is None or right is None else False


def negate(value: bool | None) -> bool | None:
    """Three-valued not."""
    return None if value is None else not value


def _native(left: Any, right: Any) -> int | None:
    if type(right) not in _NUMBERS:
        return uncertainty.order(left, right) if isinstance(right, Uncertainty) else _wrong(left, right)
    return int(left > right) - int(left < right)


def _text(left: Any, right: Any) -> int | None:
    return (left > right) - (left < right) if isinstance(right, str) else _wrong(left, right)


def _spans(left: Any, right: Any) -> int | None:
    if type(left) is not type(right):
        if isinstance(left, Date) and isinstance(right, DateTime):
            left = to_datetime(left, right.zone)
        elif isinstance(left, DateTime) and isinstance(right, Date):
            right = to_datetime(right, left.zone)
        else:
            return _wrong(left, right)
    if left.hi < right.lo:
        return -1
    if left.lo > right.hi:
        return 1
    return 0 if left.lo == right.lo and left.hi == right.hi else None


def _quantities(left: Any, right: Any) -> int | None:
    return quantity.compare(left, right) if isinstance(right, Quantity) else _wrong(left, right)


def _wrong(left: Any, right: Any) -> int | None:
    raise TypeError(f"{type(left).__name__} and {type(right).__name__} cannot be compared")


_NUMBERS: Final = frozenset({int, Long, Decimal})
_ORDER: Final[dict[type, Callable[[Any, Any], int | None]]] = {
    int: _native,
    Long: _native,
    Decimal: _native,
    str: _text,
    Date: _spans,
    DateTime: _spans,
    Time: _spans,
    Quantity: _quantities,
    Uncertainty: uncertainty.order,
}


def order(left: Any, right: Any) -> int | None:
    """Return -1, 0 or 1; None when a value is null or the order is not known; raises TypeError for other types."""
    if left is None or right is None:
        return None
    return _ORDER.get(type(left), _wrong)(left, right)


def less(left: Any, right: Any) -> bool | None:
    """CQL `<`."""
    sign = order(left, right)
    return None if sign is None else sign < 0


def greater(left: Any, right: Any) -> bool | None:
    """CQL `>`."""
    sign = order(left, right)
    return None if sign is None else sign > 0


def less_or_equal(left: Any, right: Any) -> bool | None:
    """CQL `<=`; of an uncertainty true as soon as its greatest value is."""
    if left is None or right is None:
        return None
    if type(left) is Uncertainty or type(right) is Uncertainty:
        return uncertainty.at_most(left, right)
    sign = _ORDER.get(type(left), _wrong)(left, right)
    return None if sign is None else sign <= 0


def greater_or_equal(left: Any, right: Any) -> bool | None:
    """CQL `>=`."""
    return less_or_equal(right, left)


# ---------------------------------------------------------------------------------------------------- equality


def equal(left: Any, right: Any) -> bool | None:
    """CQL `=`: null when a value is null, or when it cannot be told."""
    if left is None or right is None:
        return None
    test = _EQUAL.get(type(left))
    if test is None:
        return bool(left == right)
    return test(left, right)


def not_equal(left: Any, right: Any) -> bool | None:
    """CQL `!=`."""
    return negate(equal(left, right))


def same_or_null(left: Any, right: Any) -> bool | None:
    """Equality as lists and tuples use it for their elements: two nulls are equal."""
    return True if left is None and right is None else equal(left, right)


def _same_native(left: Any, right: Any) -> bool | None:
    kind = type(right)
    if kind in _NUMBERS:
        return bool(left == right)
    return _by_order(left, right) if kind is Uncertainty else False


def _by_order(left: Any, right: Any) -> bool | None:
    sign = order(left, right)
    return None if sign is None else sign == 0


def _same_spans(left: Any, right: Any) -> bool | None:
    if type(left) is type(right):
        if left.lo == right.lo and left.hi == right.hi:
            return True
    elif isinstance(left, Time) or not isinstance(right, Date | DateTime):
        return False
    return _by_order(left, right)


def _same_quantity(left: Any, right: Any) -> bool | None:
    return _by_order(left, right) if isinstance(right, Quantity) else False


def _same_uncertainty(left: Any, right: Any) -> bool | None:
    return _by_order(left, right) if type(right) in _NUMBERS or isinstance(right, Uncertainty) else False


def _same_boolean(left: Any, right: Any) -> bool:
    return left is right


def in_order(pairs: Any) -> bool | None:
    """Return the first answer that is not true among pairs of elements, taken in order; true when all are."""
    for left, right in pairs:
        answer = same_or_null(left, right)
        if answer is not True:
            return answer
    return True


def _same_list(left: Any, right: Any) -> bool | None:
    if not isinstance(right, list):
        return False
    return in_order(zip(left, right, strict=True)) if len(left) == len(right) else False


def _same_tuple(left: Any, right: Any) -> bool | None:
    if left is right:
        return True
    if not isinstance(right, dict):
        return False
    names = [*left, *(name for name in right if name not in left)]
    return in_order((left.get(name), right.get(name)) for name in names)


def _same_code(left: Any, right: Any) -> bool | None:
    if not isinstance(right, Code):
        return False
    return in_order(
        (
            (left.code, right.code),
            (left.system, right.system),
            (left.version, right.version),
            (left.display, right.display),
        )
    )


def _same_concept(left: Any, right: Any) -> bool | None:
    if not isinstance(right, Concept):
        return False
    return in_order(((list(left.codes), list(right.codes)), (left.display, right.display)))


def _same_vocabulary(left: Any, right: Any) -> bool | None:
    return in_order(((left.id, right.id), (left.version, right.version))) if type(left) is type(right) else False


def _same_ratio(left: Any, right: Any) -> bool | None:
    if not isinstance(right, Ratio):
        return False
    return both(_by_order(left.numerator, right.numerator), _by_order(left.denominator, right.denominator))


def same_point(left: Span, right: Span) -> bool | None:
    """Tell whether two boundaries are the same point; null when they may be but need not."""
    (low, high), (least, greatest) = left, right
    if low is high and least is greatest:
        return equal(low, least)
    if order(high, least) == -1 or order(low, greatest) == 1:
        return False
    known = order(low, high) == 0 and order(least, greatest) == 0
    return equal(low, least) if known else None


def _same_interval(left: Any, right: Any) -> bool | None:
    if not isinstance(right, Interval):
        return False
    return both(
        same_point(start_span(left), start_span(right)),
        same_point(end_span(left), end_span(right)),
    )


_EQUAL: Final[dict[type, Callable[[Any, Any], bool | None]]] = {
    bool: _same_boolean,
    int: _same_native,
    Long: _same_native,
    Decimal: _same_native,
    Date: _same_spans,
    DateTime: _same_spans,
    Time: _same_spans,
    Quantity: _same_quantity,
    Uncertainty: _same_uncertainty,
    Ratio: _same_ratio,
    Code: _same_code,
    Concept: _same_concept,
    ValueSet: _same_vocabulary,
    CodeSystem: _same_vocabulary,
    Interval: _same_interval,
    list: _same_list,
    dict: _same_tuple,
}


# ------------------------------------------------------------------------------------------------- equivalence


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
    if type(right) not in _NUMBERS:
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

OPERATORS: Final[dict[str, Callable[..., Any]]] = {
    "Equal": equal,
    "NotEqual": not_equal,
    "Equivalent": equivalent,
    "Less": less,
    "LessOrEqual": less_or_equal,
    "Greater": greater,
    "GreaterOrEqual": greater_or_equal,
}
STATEFUL: Final[frozenset[str]] = frozenset()
