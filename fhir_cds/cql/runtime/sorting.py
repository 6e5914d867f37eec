"""Sorting of query results (CQL specification, "Sorting": null is lower than anything, the sort is stable)."""

from __future__ import annotations

from functools import cmp_to_key
from typing import Any

from fhir_cds.cql.runtime import comparison
from fhir_cds.cql.runtime.temporal import Date, DateTime, Time

_NATIVE = frozenset({int, str})


def sort(items: list[Any], keys: list[tuple[list[Any], bool]]) -> list[Any]:
    """Return the items ordered by (values, descending) keys, the first key deciding first."""
    order = list(range(len(items)))
    for values, descending in reversed(keys):
        _order_by(order, values, descending)
    return [items[i] for i in order]


def _order_by(order: list[int], values: list[Any], descending: bool) -> None:
    kinds = {type(value) for value in values}
    if len(kinds) == 1:
        kind = next(iter(kinds))
        if kind in _NATIVE:
            order.sort(key=values.__getitem__, reverse=descending)
            return
        if kind in (Date, DateTime, Time) and len({value.precision for value in values}) == 1:
            bounds = [value.lo for value in values]
            order.sort(key=bounds.__getitem__, reverse=descending)
            return
    compare = cmp_to_key(_compare)
    order.sort(key=lambda i: compare(values[i]), reverse=descending)


def _compare(left: Any, right: Any) -> int:
    """Return the order of two values; what cannot be told apart (a date in a longer span) keeps its place."""
    if left is None or right is None:
        return (left is not None) - (right is not None)
    less = comparison.less(left, right)
    if less is True:
        return -1
    if comparison.greater(left, right) is True:
        return 1
    if less is None and hasattr(left, "lo") and hasattr(right, "lo"):
        return int(left.lo > right.lo) - int(left.lo < right.lo)
    return 0
