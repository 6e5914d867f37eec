"""Uncertainty: a whole number known only to lie between two bounds (CQL specification, "Uncertainty").

Durations and differences between imprecise dates give one. Comparisons with it are three-valued, and arithmetic works
on the bounds. Where the CQL tests expect an interval, an uncertainty is the closed interval of its bounds.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

from msgspec import Struct


class Uncertainty(Struct, frozen=True):
    """A number between `low` and `high`, both included and different."""

    low: int
    high: int


def uncertain(low: int, high: int) -> int | Uncertainty:
    """Return the number when both bounds are the same, else the uncertainty."""
    return low if low == high else Uncertainty(low, high)


def span(value: Any) -> tuple[Any, Any]:
    """Return both bounds of a number, certain or not."""
    return (value.low, value.high) if isinstance(value, Uncertainty) else (value, value)


def lift(operation: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
    """Apply an operation that is monotone in each operand (sum, difference, product) to the bounds.

    None when one of the results at the corners cannot be represented.
    """
    corners = [operation(a, b) for a, b in product(span(left), span(right))]
    return None if None in corners else uncertain(min(corners), max(corners))


def order(left: Any, right: Any) -> int | None:
    """Return -1, 0 or 1 when every pair of possible numbers compares so, else None."""
    (a, b), (c, d) = span(left), span(right)
    if b < c:
        return -1
    if a > d:
        return 1
    return 0 if a == b == c == d else None


def at_most(left: Any, right: Any) -> bool | None:
    """Tell whether the left number is at most the right one; None when that is open."""
    (a, b), (c, d) = span(left), span(right)
    if b <= c:
        return True
    return False if a > d else None
