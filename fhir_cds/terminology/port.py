"""What the rest of the program asks of a terminology: which codes a value set holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Terminology(Protocol):
    """A source of value sets; `local.LocalTerminology` is the one in the box."""

    @property
    def code_sets(self) -> Mapping[str, frozenset[tuple[str, str]]]:
        """Canonical (`url` or `url|version`) -> the (system, code) pairs of the value set."""

    @property
    def systems(self) -> Mapping[str, str]:
        """Other URIs of code systems -> the preferred URI; records are normalised by it before evaluation."""
