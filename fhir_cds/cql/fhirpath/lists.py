"""Functions over collections: existence, filtering, subsetting, combining, sorting (FHIRPath N1, "Functions")."""

from __future__ import annotations

from collections.abc import Callable
from functools import cmp_to_key
from typing import Any, Final

from fhir_cds.cql.fhirpath import equality, nodes
from fhir_cds.cql.fhirpath.errors import FhirPathError
from fhir_cds.cql.fhirpath.scope import Compiled, Scope, single, truth

Items = list[Any]


# --- functions of evaluated arguments: (input, scope, *collections)


def empty(items: Items, _scope: Scope) -> Items:
    """Return whether there is no item."""
    return [not items]


def count(items: Items, _scope: Scope) -> Items:
    """Return the number of items."""
    return [len(items)]


def not_(items: Items, scope: Scope) -> Items:
    """Return the opposite."""
    value = truth(items, scope, "not()")
    return [] if value is None else [not value]


def _booleans(items: Items, scope: Scope) -> list[bool]:
    values = [nodes.to_system(item, scope.run.offset) for item in items]
    if not all(isinstance(value, bool) for value in values):
        raise FhirPathError("every item must be a Boolean")
    return values


def all_true(items: Items, scope: Scope) -> Items:
    """Return whether all items are true."""
    return [all(_booleans(items, scope))]


def any_true(items: Items, scope: Scope) -> Items:
    """Return whether an item is true."""
    return [any(_booleans(items, scope))]


def all_false(items: Items, scope: Scope) -> Items:
    """Return whether all items are false."""
    return [not any(_booleans(items, scope))]


def any_false(items: Items, scope: Scope) -> Items:
    """Return whether an item is false."""
    return [not all(_booleans(items, scope))]


def subset_of(items: Items, scope: Scope, other: Items) -> Items:
    """Return whether every item is in the other collection."""
    seen = equality.Seen(scope.run.offset, other)
    return [all(item in seen for item in items)]


def superset_of(items: Items, scope: Scope, other: Items) -> Items:
    """Return whether every item of the other collection is in this one."""
    return subset_of(other, scope, items)


def distinct(items: Items, scope: Scope) -> Items:
    """Return the items without duplicates."""
    seen = equality.Seen(scope.run.offset)
    return [item for item in items if seen.add(item)]


def is_distinct(items: Items, scope: Scope) -> Items:
    """Return whether there are no duplicates."""
    return [len(distinct(items, scope)) == len(items)]


def single_(items: Items, _scope: Scope) -> Items:
    """Return the only item; raises FhirPathError when there are several."""
    if len(items) > 1:
        raise FhirPathError(f"single() found {len(items)} items")
    return items


def _number(collection: Items, scope: Scope, what: str) -> int | None:
    value = single(collection, scope, what)
    if value is not None and type(value) is not int:
        raise FhirPathError(f"{what} needs an Integer")
    return value


def skip(items: Items, scope: Scope, number: Items) -> Items:
    """Return the items after the first `number`."""
    return items[max(_number(number, scope, "skip()") or 0, 0) :]


def take(items: Items, scope: Scope, number: Items) -> Items:
    """Return the first `number` items."""
    return items[: max(_number(number, scope, "take()") or 0, 0)]


def at(items: Items, scope: Scope, number: Items) -> Items:
    """Return the item at an index from 0: `[index]`."""
    index = _number(number, scope, "an index")
    return [] if index is None or not 0 <= index < len(items) else [items[index]]


def union(items: Items, scope: Scope, other: Items) -> Items:
    """Return the items of both without duplicates."""
    return distinct([*items, *other], scope)


def combine(items: Items, _scope: Scope, other: Items) -> Items:
    """Return the items of both, duplicates too."""
    return [*items, *other]


def intersect(items: Items, scope: Scope, other: Items) -> Items:
    """Return the items that are in both, without duplicates."""
    kept = equality.Seen(scope.run.offset, other)
    return distinct([item for item in items if item in kept], scope)


def exclude(items: Items, scope: Scope, other: Items) -> Items:
    """Return the items that are not in the other collection."""
    seen = equality.Seen(scope.run.offset, other)
    return [item for item in items if item not in seen]


def children(items: Items, scope: Scope) -> Items:
    """Return all elements of the items."""
    found = [child for item in items for child in nodes.children(item)]
    scope.run.step(len(found))
    return found


def descendants(items: Items, scope: Scope) -> Items:
    """Return all elements at any depth."""
    found: Items = []
    level = children(items, scope)
    while level:
        found.extend(level)
        level = children(level, scope)
    return found


# --- functions of criteria and projections: (input, scope, *compiled)


def _each(items: Items, scope: Scope, expression: Compiled) -> list[Items]:
    """Return what an expression gives for each item."""
    scope.run.step(len(items))
    return [expression(scope.inner([item], index)) for index, item in enumerate(items)]


def where(items: Items, scope: Scope, criterion: Compiled) -> Items:
    """Return the items for which the criterion is true."""
    answers = _each(items, scope, criterion)
    return [item for item, answer in zip(items, answers, strict=True) if truth(answer, scope, "where()")]


def exists(items: Items, scope: Scope, criterion: Compiled | None = None) -> Items:
    """Return whether there is an item (for which the criterion is true)."""
    return [bool(items if criterion is None else where(items, scope, criterion))]


def all_(items: Items, scope: Scope, criterion: Compiled) -> Items:
    """Return whether the criterion is true for every item."""
    return [all(truth(answer, scope, "all()") for answer in _each(items, scope, criterion))]


def select(items: Items, scope: Scope, projection: Compiled) -> Items:
    """Return what the projection gives for each item, as one collection."""
    return [found for each in _each(items, scope, projection) for found in each]


def repeat(items: Items, scope: Scope, projection: Compiled) -> Items:
    """Return what the projection gives for the items, for that, and so on, without duplicates."""
    seen, result = equality.Seen(scope.run.offset), []
    level = items
    while level:
        level = [item for item in select(level, scope, projection) if seen.add(item)]
        result.extend(level)
    return result


def aggregate(items: Items, scope: Scope, aggregator: Compiled, start: Compiled | None = None) -> Items:
    """Return the last `$total` of an expression evaluated for one item after the other."""
    total = [] if start is None else start(scope)
    scope.run.step(len(items))
    for index, item in enumerate(items):
        inner = scope.inner([item], index)
        inner.total = total
        total = aggregator(inner)
    return total


def iif(items: Items, scope: Scope, criterion: Compiled, then: Compiled, otherwise: Compiled | None = None) -> Items:
    """Return one of two expressions; only that one is evaluated."""
    if len(items) > 1:
        raise FhirPathError(f"iif() needs a single item, found {len(items)}")
    inner = scope.inner(items, scope.index)
    answer = single(criterion(inner), scope, "the criterion of iif()")
    if answer is not None and not isinstance(answer, bool):
        raise FhirPathError("the criterion of iif() must be a Boolean")
    if answer:
        return then(inner)
    return [] if otherwise is None else otherwise(inner)


def trace(items: Items, scope: Scope, name: Compiled, projection: Compiled | None = None) -> Items:
    """Return the input: nothing is logged, since it may be a patient's."""
    name(scope)
    if projection is not None:
        select(items, scope, projection)
    return items


def define_variable(items: Items, scope: Scope, name: Compiled, value: Compiled | None = None) -> Items:
    """Make `%name` available to what follows; return the input."""
    key = single(name(scope), scope, "the name of defineVariable()")
    if key in scope.run.variables or key in scope.defined:
        raise FhirPathError(f"the variable %{key} exists already")
    scope.defined = {**scope.defined, key: items if value is None else value(scope.inner(items, scope.index))}
    return items


def sort(items: Items, scope: Scope, *keys: tuple[Compiled, bool]) -> Items:
    """Return the items in ascending order of the keys (descending where marked); items without a key come last."""
    scope.run.step(len(items) * max(len(keys), 1))
    offset = scope.run.offset
    rows = [
        (item, [single(key(scope.inner([item], index)), scope, "a sort key") for key, _ in keys] or [item])
        for index, item in enumerate(items)
    ]
    directions = [descending for _, descending in keys] or [False]

    def compare(one: tuple[Any, list[Any]], other: tuple[Any, list[Any]]) -> int:
        for a, b, descending in zip(one[1], other[1], directions, strict=True):
            sign = (a is None) - (b is None) if a is None or b is None else equality.order(a, b, offset) or 0
            if sign:
                return -sign if descending else sign
        return 0

    return [item for item, _ in sorted(rows, key=cmp_to_key(compare))]


VALUES: Final[dict[str, tuple[int, int, Callable[..., Items]]]] = {
    "empty": (0, 0, empty),
    "count": (0, 0, count),
    "not": (0, 0, not_),
    "allTrue": (0, 0, all_true),
    "anyTrue": (0, 0, any_true),
    "allFalse": (0, 0, all_false),
    "anyFalse": (0, 0, any_false),
    "subsetOf": (1, 1, subset_of),
    "supersetOf": (1, 1, superset_of),
    "distinct": (0, 0, distinct),
    "isDistinct": (0, 0, is_distinct),
    "single": (0, 0, single_),
    "first": (0, 0, lambda items, _scope: items[:1]),
    "last": (0, 0, lambda items, _scope: items[-1:]),
    "tail": (0, 0, lambda items, _scope: items[1:]),
    "skip": (1, 1, skip),
    "take": (1, 1, take),
    "union": (1, 1, union),
    "combine": (1, 1, combine),
    "intersect": (1, 1, intersect),
    "exclude": (1, 1, exclude),
    "children": (0, 0, children),
    "descendants": (0, 0, descendants),
}
LAZY: Final[dict[str, tuple[int, int, Callable[..., Items]]]] = {
    "where": (1, 1, where),
    "exists": (0, 1, exists),
    "all": (1, 1, all_),
    "select": (1, 1, select),
    "repeat": (1, 1, repeat),
    "aggregate": (1, 2, aggregate),
    "iif": (2, 3, iif),
    "trace": (1, 2, trace),
    "defineVariable": (1, 2, define_variable),
}
