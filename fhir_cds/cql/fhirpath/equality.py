"""Equality, equivalence and order of FHIRPath (FHIRPath N1, chapters "Equality" and "Comparison")."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from fhir_cds.cql.fhirpath.nodes import Node, to_system
from fhir_cds.cql.runtime import comparison, equality, equivalence, quantity
from fhir_cds.cql.runtime.quantity import Quantity
from fhir_cds.cql.runtime.temporal import Date, DateTime, Time, decimal_seconds

_TEMPORAL: Final = frozenset({Date, DateTime, Time})
_FAMILY: Final[dict[type, str]] = {
    bool: "boolean",
    int: "number",
    Decimal: "number",
    str: "string",
    Date: "date",
    DateTime: "date",
    Time: "time",
    Quantity: "quantity",
}


def _plain(item: Any, offset: int) -> Any:
    """Return the system value; seconds and milliseconds are one precision in FHIRPath."""
    value = to_system(item, offset)
    return decimal_seconds(value) if type(value) in _TEMPORAL else value


def _pair(left: Any, right: Any, offset: int) -> tuple[Any, Any]:
    """Return both system values, a number beside a quantity as a quantity of unit "1"."""
    a, b = _plain(left, offset), _plain(right, offset)
    if type(a) is Quantity and _FAMILY.get(type(b)) == "number":
        b = Quantity(Decimal(b))
    elif type(b) is Quantity and _FAMILY.get(type(a)) == "number":
        a = Quantity(Decimal(a))
    return a, b


def same(left: Any, right: Any, offset: int) -> bool | None:
    """Return whether two items are equal, None when that cannot be told."""
    a, b = _pair(left, right, offset)
    if type(a) is str and type(b) is str:
        return a == b
    if type(a) is Node or type(b) is Node:
        return type(a) is type(b) and bool(a.value == b.value) and a.extra == b.extra
    if a is None or b is None:
        return None
    family = _FAMILY.get(type(a))
    if family is None or family != _FAMILY.get(type(b)):
        return False
    return equality.equal(a, b)


def equal(left: list[Any], right: list[Any], offset: int) -> bool | None:
    """Return whether two collections are equal, item by item in order; None when one is empty."""
    if not left or not right:
        return None
    if len(left) != len(right):
        return False
    result: bool | None = True
    for a, b in zip(left, right, strict=True):
        answer = same(a, b, offset)
        if answer is False:
            return False
        if answer is None:
            result = None
    return result


def like(left: Any, right: Any, offset: int) -> bool:
    """Return whether two items are equivalent."""
    a, b = _pair(left, right, offset)
    if type(a) is Node or type(b) is Node:
        return type(a) is type(b) and _like_json(a.value, b.value)
    if _FAMILY.get(type(a)) != _FAMILY.get(type(b)) or type(a) not in _FAMILY:
        return False
    if type(a) is Quantity:
        return _like_quantity(a, b)
    return (type(a) in (int, bool) and a == b) or equivalence.equivalent(_decimal(a), _decimal(b))


def _decimal(value: Any) -> Any:
    return Decimal(value) if type(value) is int else value


def _like_quantity(a: Quantity, b: Quantity) -> bool:
    """Compare in the coarser unit, at the decimals of the less precise value."""
    if quantity.equivalent(a, b):
        return True
    one, other = quantity.convert(b, a.unit), quantity.convert(a, b.unit)
    if one is None or other is None:
        return False
    x, y = (a.value, one.value) if abs(one.value) <= abs(b.value) else (other.value, b.value)
    return equivalence.equivalent(x, y)


def _like_json(a: Any, b: Any) -> bool:
    """Compare JSON: lists in any order, strings as equivalence takes them, ids of elements left out."""
    if isinstance(a, dict):
        if not isinstance(b, dict):
            return False
        names = (a.keys() | b.keys()) - {"id"}
        return all(_like_json(a.get(name), b.get(name)) for name in names)
    if isinstance(a, list):
        return isinstance(b, list) and _matched(a, b, _like_json)
    return equivalence.equivalent(a, b) if type(a) is type(b) else bool(a == b)


def _matched(left: list[Any], right: list[Any], test: Any) -> bool:
    """Return whether each item of one list has its own counterpart in the other."""
    if len(left) != len(right):
        return False
    rest = list(right)
    for a in left:
        index = next((index for index, b in enumerate(rest) if test(a, b)), None)
        if index is None:
            return False
        del rest[index]
    return True


def equivalent(left: list[Any], right: list[Any], offset: int) -> bool:
    """Return whether two collections are equivalent, in any order; two empty ones are."""
    return _matched(left, right, lambda a, b: like(a, b, offset))


def order(left: Any, right: Any, offset: int) -> int | None:
    """Return -1, 0 or 1, None when unknown; raises TypeError for items that have no order between them."""
    a, b = _pair(left, right, offset)
    if a is None or b is None:
        return None
    family = _FAMILY.get(type(a))
    if family in (None, "boolean") or family != _FAMILY.get(type(b)):
        raise TypeError("the operands cannot be compared")
    return comparison.order(a, b)


class Seen:
    """Items met so far, for distinct results: buckets by a key that equal items share."""

    def __init__(self, offset: int, items: list[Any] | None = None) -> None:
        self.offset = offset
        self.buckets: dict[Any, list[Any]] = {}
        for item in items or ():
            self.add(item)

    def add(self, item: Any) -> bool:
        """Add an item; return whether it is new."""
        bucket = self.buckets.setdefault(self._key(item), [])
        if any(same(other, item, self.offset) for other in bucket):
            return False
        bucket.append(item)
        return True

    def __contains__(self, item: Any) -> bool:
        return any(same(other, item, self.offset) for other in self.buckets.get(self._key(item), ()))

    def _key(self, item: Any) -> Any:
        value = _plain(item, self.offset)
        if type(value) is Node:
            return _frozen(value.value)
        if type(value) is Quantity:
            return Quantity
        if type(value) in _TEMPORAL:
            return (_FAMILY[type(value)], value.lo)
        return (_FAMILY.get(type(value)), value)


def _frozen(value: dict[str, Any]) -> Any:
    """Return a cheap hashable that equal JSON shares: names and short values, not what is nested."""
    return frozenset((name, each if isinstance(each, str) else None) for name, each in value.items())
