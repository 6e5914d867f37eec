"""Quantity and Ratio: values, comparison and arithmetic with units (CQL 1.5, appendix B, types Quantity and Ratio)."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Quantity:
    """A Decimal with a unit: UCUM, or a calendar unit as a word ("year", "month", "day" …), "1" when there is none.

    Python equality is structural; CQL equality is `comparison.Equal`.
    """

    value: Decimal
    unit: str = "1"


@dataclass(frozen=True, slots=True)
class Ratio:
    """Two quantities in relation; not reduced."""

    numerator: Quantity
    denominator: Quantity
