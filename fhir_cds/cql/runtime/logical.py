"""Logical operators with three values (CQL 1.5, appendix B, "Logical Operators"): null is "unknown"."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final


def and_(a: bool | None, b: bool | None) -> bool | None:
    """Return false when either is false, null when nothing is false but something unknown."""
    if a is False or b is False:
        return False
    return None if a is None or b is None else True


def or_(a: bool | None, b: bool | None) -> bool | None:
    """Return true when either is true, null when nothing is true but something unknown."""
    if a is True or b is True:
        return True
    return None if a is None or b is None else False


def xor(a: bool | None, b: bool | None) -> bool | None:
    """Return whether exactly one is true, null when either is unknown."""
    return None if a is None or b is None else a is not b


def implies(a: bool | None, b: bool | None) -> bool | None:
    """Return `not a or b`."""
    return or_(not_(a), b)


def not_(a: bool | None) -> bool | None:
    """Return the opposite, null for unknown."""
    return None if a is None else not a


OPERATORS: Final[dict[str, Callable[..., Any]]] = {
    "And": and_,
    "Implies": implies,
    "Not": not_,
    "Or": or_,
    "Xor": xor,
}
STATEFUL: Final[frozenset[str]] = frozenset()
