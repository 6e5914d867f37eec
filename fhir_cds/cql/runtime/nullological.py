"""Nullological operators (CQL 1.5, appendix B, "Nullological Operators")."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final


def coalesce(*operands: Any) -> Any:
    """Return the first operand that is not null; with one list as the only operand, its first such element."""
    values = operands[0] if len(operands) == 1 and isinstance(operands[0], list) else operands
    return next((value for value in values if value is not None), None)


def is_null(a: Any) -> bool:
    """Return whether the value is null."""
    return a is None


def is_true(a: bool | None) -> bool:
    """Return whether the value is true: false for null."""
    return a is True


def is_false(a: bool | None) -> bool:
    """Return whether the value is false: false for null."""
    return a is False


OPERATORS: Final[dict[str, Callable[..., Any]]] = {
    "Coalesce": coalesce,
    "IsFalse": is_false,
    "IsNull": is_null,
    "IsTrue": is_true,
}
STATEFUL: Final[frozenset[str]] = frozenset()
