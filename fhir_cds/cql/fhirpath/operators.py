"""The binary operators of FHIRPath (FHIRPath N1, chapter "Operations").

An operator is given the collection on its left and, since `and`, `or` and `implies` may not need it, the compiled
expression on its right.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from fhir_cds.cql.fhirpath import equality, lists
from fhir_cds.cql.fhirpath.errors import FhirPathError
from fhir_cds.cql.fhirpath.scope import Compiled, Scope, single, truth
from fhir_cds.cql.runtime import arithmetic, logical

Items = list[Any]
Operator = Callable[[Scope, Items, Compiled], Items]


def result(value: Any) -> Items:
    """Return the collection of a value, empty for null."""
    return [] if value is None else [value]


def _arithmetic(function: Callable[[Any, Any], Any]) -> Operator:
    def operator(scope: Scope, left: Items, right: Compiled) -> Items:
        a, b = single(left, scope, "an operator"), single(right(scope), scope, "an operator")
        if isinstance(a, bool) or isinstance(b, bool):
            raise FhirPathError("a Boolean is no number")
        return result(function(a, b))

    return operator


def _add(a: Any, b: Any) -> Any:
    if isinstance(a, str) and isinstance(b, str):
        return a + b
    return arithmetic.add(a, b)


def _concatenate(scope: Scope, left: Items, right: Compiled) -> Items:
    a, b = single(left, scope, "&"), single(right(scope), scope, "&")
    if not isinstance(a, str | None) or not isinstance(b, str | None):
        raise FhirPathError("& needs Strings")
    return [(a or "") + (b or "")]


def _logic(function: Callable[[bool | None, bool | None], bool | None], decided: bool | None) -> Operator:
    """Return an operator of three-valued logic; `decided` is the left operand that decides alone."""

    def operator(scope: Scope, left: Items, right: Compiled) -> Items:
        a = truth(left, scope, "a logical operator")
        if a is not None and a is decided:
            return result(function(a, None))
        return result(function(a, truth(right(scope), scope, "a logical operator")))

    return operator


def _ordered(test: Callable[[int], bool]) -> Operator:
    def operator(scope: Scope, left: Items, right: Compiled) -> Items:
        other = right(scope)
        if len(left) > 1 or len(other) > 1:
            raise FhirPathError("a comparison needs single items")
        if not left or not other:
            return []
        sign = equality.order(left[0], other[0], scope.run.offset)
        return [] if sign is None else [test(sign)]

    return operator


def _equal(scope: Scope, left: Items, right: Compiled) -> Items:
    return result(equality.equal(left, right(scope), scope.run.offset))


def _not_equal(scope: Scope, left: Items, right: Compiled) -> Items:
    return result(logical.not_(equality.equal(left, right(scope), scope.run.offset)))


def _in(scope: Scope, left: Items, right: Compiled) -> Items:
    return _membership(scope, left, right(scope))


def _contains(scope: Scope, left: Items, right: Compiled) -> Items:
    return _membership(scope, right(scope), left)


def _membership(scope: Scope, item: Items, items: Items) -> Items:
    if len(item) > 1:
        raise FhirPathError("membership needs a single item")
    return [item[0] in equality.Seen(scope.run.offset, items)] if item else []


OPERATORS: Final[dict[str, Operator]] = {
    "+": _arithmetic(_add),
    "-": _arithmetic(arithmetic.subtract),
    "*": _arithmetic(arithmetic.multiply),
    "/": _arithmetic(arithmetic.divide),
    "div": _arithmetic(arithmetic.truncated_divide),
    "mod": _arithmetic(arithmetic.modulo),
    "&": _concatenate,
    "|": lambda scope, left, right: lists.union(left, scope, right(scope)),
    "<": _ordered(lambda sign: sign < 0),
    "<=": _ordered(lambda sign: sign <= 0),
    ">": _ordered(lambda sign: sign > 0),
    ">=": _ordered(lambda sign: sign >= 0),
    "=": _equal,
    "!=": _not_equal,
    "~": lambda scope, left, right: [equality.equivalent(left, right(scope), scope.run.offset)],
    "!~": lambda scope, left, right: [not equality.equivalent(left, right(scope), scope.run.offset)],
    "in": _in,
    "contains": _contains,
    "and": _logic(logical.and_, decided=False),
    "or": _logic(logical.or_, decided=True),
    "xor": _logic(logical.xor, decided=None),
    "implies": _logic(logical.implies, decided=False),
}
