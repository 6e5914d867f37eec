"""List operators (CQL 1.5, appendix B, "List Operators").

Elements are compared with CQL equality, and null with null is equal. Operators that also exist for intervals are
plain functions here; `interval_ops` puts both under one name. Where equality of an element cannot be told (imprecise
dates, units that do not compare) membership is null unless another element decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from fhir_cds.cql.runtime.clinical import Code
from fhir_cds.cql.runtime.equality import equal, same_or_null
from fhir_cds.cql.runtime.numbers import Long
from fhir_cds.cql.runtime.temporal import Date, DateTime, Time

# Types whose Python equality is CQL equality where CQL equality is true.
_EXACT: Final = frozenset({str, int, Long, Date, DateTime, Time})


def exists(source: list[Any] | None) -> bool:
    """Return whether the list has an element that is not null."""
    return source is not None and any(element is not None for element in source)


def first(source: list[Any] | None) -> Any:
    """Return the first element, null when there is none."""
    return source[0] if source else None


def last(source: list[Any] | None) -> Any:
    """Return the last element, null when there is none."""
    return source[-1] if source else None


def singleton_from(source: list[Any] | None) -> Any:
    """Return the only element; null for none; raises ValueError for several."""
    if not source:
        return None
    if len(source) > 1:
        raise ValueError("the list has more than one element where a single one is expected")
    return source[0]


def indexer(source: list[Any] | str | None, index: int | None) -> Any:
    """Return the element (or character) at an index from 0, null outside."""
    if source is None or index is None or not 0 <= index < len(source):
        return None
    return source[index]


def index_of(source: list[Any] | None, element: Any) -> int | None:
    """Return the index of the first equal element, -1 when there is none, null when an operand is null."""
    if source is None or element is None:
        return None
    return next((index for index, other in enumerate(source) if equal(other, element) is True), -1)


def length(source: list[Any] | str | None) -> int | None:
    """Return the number of elements or characters; null for null (the compiler knows where null is a list: 0)."""
    return None if source is None else len(source)


def list_length(source: list[Any] | None) -> int:
    """Return the number of elements, 0 for null."""
    return 0 if source is None else len(source)


def slice_(source: list[Any] | None, start: int | None = None, end: int | None = None) -> list[Any] | None:
    """Return the elements from `start` up to before `end`; empty for a negative index (as Skip and Take ask)."""
    if source is None:
        return None
    if (start or 0) < 0 or (end or 0) < 0:
        return []
    return source[start or 0 : end]


def flatten(source: list[Any] | None) -> list[Any] | None:
    """Return the elements of a list's lists, one level down."""
    if source is None:
        return None
    result: list[Any] = []
    for element in source:
        if isinstance(element, list):
            result.extend(element)
        elif element is not None:
            result.append(element)
    return result


def distinct(source: list[Any] | None) -> list[Any] | None:
    """Return the elements without duplicates, in order of first appearance."""
    if source is None:
        return None
    if len(source) < 2:
        return source[:]
    found = _Seen()
    return [element for element in source if found.add(element)]


class _Seen:
    """Elements met so far, in buckets of those that may be equal."""

    def __init__(self, elements: Iterable[Any] = ()) -> None:
        self.buckets: dict[Any, list[Any]] = {}
        for element in elements:
            self.add(element)

    def add(self, element: Any) -> bool:
        """Add the element; return whether it is new."""
        key = _key(element)
        bucket = self.buckets.get(key)
        if bucket is None:
            self.buckets[key] = [element]
            return True
        if bucket[0] is element or type(element) in _EXACT or any(same_or_null(other, element) for other in bucket):
            return False
        bucket.append(element)
        return True

    def __contains__(self, element: Any) -> bool:
        bucket = self.buckets.get(_key(element))
        return bucket is not None and (
            type(element) in _EXACT or any(same_or_null(other, element) is True for other in bucket)
        )


def _key(element: Any) -> Any:
    """Return a hashable that is the same for all elements that can be equal to this one."""
    kind = type(element)
    if kind is dict:
        identity = element.get("id")
        return (identity, element.get("resourceType")) if type(identity) is str else dict
    if kind in _EXACT:
        return element
    return (Code, element.code, element.system) if kind is Code else kind


def contains(source: list[Any] | None, element: Any) -> bool | None:
    """Return whether an element of the list equals the given one; false for a null list."""
    if not source:
        return False
    if element is None:
        return any(other is None for other in source)
    if type(element) is str:
        return element in source
    unknown = False
    for other in source:
        if other is not None:
            answer = equal(other, element)
            if answer:
                return True
            unknown = unknown or answer is None
    return None if unknown else False


def includes(source: list[Any] | None, part: list[Any] | None) -> bool | None:
    """Return whether the list has every element of the other one."""
    if source is None or part is None:
        return None
    unknown = False
    for element in part:
        answer = contains(source, element)
        if answer is False:
            return False
        unknown = unknown or answer is None
    return None if unknown else True


def proper_includes(source: list[Any] | None, part: list[Any] | None) -> bool | None:
    """Return whether the list has every element of the other one, and more."""
    answer = includes(source, part)
    if not answer:
        return answer
    back = includes(part, source)
    return None if back is None else not back


def proper_contains(source: list[Any] | None, element: Any) -> bool | None:
    """Return whether the list has an equal element, and one that is not equal."""
    if not source:
        return False
    found, more = contains(source, element), _has_other(source, element)
    if found is False or more is False:
        return False
    return None if found is None or more is None else True


def _has_other(source: list[Any], element: Any) -> bool | None:
    """Return whether some element differs; null when one may."""
    if element is None:
        return any(other is not None for other in source)
    unknown = False
    for other in source:
        answer = equal(other, element)
        if answer is False:
            return True
        unknown = unknown or answer is None
    return None if unknown else False


def union(a: list[Any] | None, b: list[Any] | None) -> list[Any] | None:
    """Return the elements of both lists without duplicates; a null list counts as empty, two as null."""
    if a is None and b is None:
        return None
    return distinct([*(a or ()), *(b or ())])


def intersect(a: list[Any] | None, b: list[Any] | None) -> list[Any] | None:
    """Return the elements of the first list that the second has too, without duplicates."""
    if a is None or b is None:
        return None
    kept, found = _Seen(b), _Seen()
    return [element for element in a if element in kept and found.add(element)]


def except_(a: list[Any] | None, b: list[Any] | None) -> list[Any] | None:
    """Return the elements of the first list that the second does not have, without duplicates."""
    if a is None:
        return None
    found = _Seen(b or ())
    return [element for element in a if found.add(element)]


OPERATORS: Final[dict[str, Callable[..., Any]]] = {
    "Distinct": distinct,
    "Exists": exists,
    "First": first,
    "Flatten": flatten,
    "IndexOf": index_of,
    "Indexer": indexer,
    "Last": last,
    "Length": length,
    "SingletonFrom": singleton_from,
    "Slice": slice_,
}
STATEFUL: Final[frozenset[str]] = frozenset()
