"""The state of one evaluation: everything that changes lives here, so that compiled programs can be shared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fhir_cds.cql.runtime.temporal import DateTime


class BudgetSpentError(Exception):
    """The step budget of an evaluation is used up."""


class State:
    """What compiled code and stateful operators see: evaluation time, retrieved resources, messages, steps left."""

    __slots__ = ("buckets", "code_sets", "messages", "now", "offset", "resources", "steps")

    def __init__(
        self,
        now: DateTime,
        buckets: list[list[dict[str, Any]]],
        resources: Sequence[dict[str, Any]],
        code_sets: Mapping[str, frozenset[tuple[str | None, str]]],
        steps: int,
    ) -> None:
        self.now = now
        self.offset = now.offset
        self.buckets = buckets
        self.resources = resources
        self.code_sets = code_sets
        self.messages: list[Any] = []
        self.steps = steps

    def spend(self, steps: int) -> None:
        """Take steps from the budget; raises BudgetSpentError when none are left."""
        self.steps -= steps
        if self.steps < 0:
            raise BudgetSpentError


def rows(state: State, items: list[Any] | None) -> Sequence[Any]:
    """Return the rows of a loop, having paid for them: none for null."""
    if items is None:
        return ()
    steps = state.steps = state.steps - len(items)
    if steps < 0:
        raise BudgetSpentError
    return items


def rows_of_any(state: State, items: Any) -> Sequence[Any]:
    """Return the rows of a loop over something that may or may not be a list."""
    return rows(state, items if isinstance(items, list) or items is None else [items])


def cross(state: State, left: list[Any] | None, right: list[Any] | None) -> list[dict[str, Any]] | None:
    """Return each tuple of the left list with each of the right one (CQL 2.0, "Times")."""
    if left is None or right is None:
        return None
    state.spend(len(left) * len(right))
    return [{**a, **b} for a in left for b in right]
