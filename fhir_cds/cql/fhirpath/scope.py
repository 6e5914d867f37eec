"""What an expression is evaluated with: the focus of the moment and what stays the same throughout."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from fhir_cds.cql.fhirpath.errors import FhirPathError
from fhir_cds.cql.fhirpath.nodes import to_system
from fhir_cds.cql.runtime.temporal import DateTime

Resolver: TypeAlias = Callable[[str], Any]
# canonical of a value set -> its (system, code) pairs, None for one that is not known
Terminology: TypeAlias = Callable[[str], Iterable[tuple[str, str]] | None]


@dataclass(slots=True)
class Run:
    """One evaluation: given values and the steps left."""

    root: list[Any]
    variables: Mapping[str, Any]
    now: DateTime | None
    offset: int
    resolve: Resolver | None
    terminology: Terminology | None
    steps: int

    def step(self, count: int = 1) -> None:
        """Take steps off the budget; raises FhirPathError when it is used up."""
        self.steps -= count
        if self.steps < 0:
            raise FhirPathError("the step budget of the evaluation is used up")


class Scope:
    """The focus of names and `$this`, with `$index` and `$total`, and variables defined on the way."""

    __slots__ = ("defined", "focus", "index", "run", "total")

    def __init__(
        self, run: Run, focus: list[Any], index: int | None, total: list[Any], defined: dict[str, list[Any]]
    ) -> None:
        self.run = run
        self.focus = focus
        self.index = index
        self.total = total
        self.defined = defined

    def inner(self, focus: list[Any], index: int | None) -> Scope:
        """Return the scope of a criterion or projection."""
        return Scope(self.run, focus, index, self.total, self.defined)


Compiled: TypeAlias = Callable[[Scope], list[Any]]


def single(collection: list[Any], scope: Scope, what: str) -> Any:
    """Return the system value of the only item, None for none; raises FhirPathError for several."""
    if not collection:
        return None
    if len(collection) > 1:
        raise FhirPathError(f"{what} needs a single item, found {len(collection)}")
    return to_system(collection[0], scope.run.offset)


def truth(collection: list[Any], scope: Scope, what: str) -> bool | None:
    """Return a collection as a Boolean: another single item is true (FHIRPath N1, "Singleton Evaluation")."""
    value = single(collection, scope, what)
    return None if value is None else value if isinstance(value, bool) else True
