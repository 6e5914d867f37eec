"""The outcome of asking a patient's record a question: four cases, never three, never two.

Every consumer handles all four: `Outcome` is what `$apply`, cards, CarePlan, `outcomes` and explanations are made of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any, TypeVar, overload

Json = Mapping[str, Any]
T = TypeVar("T")


class Later(Sequence[T]):
    """Grounds that are worked out when somebody looks: most outcomes say no, and nobody asks them why."""

    __slots__ = ("_found", "_given", "_make")

    def __init__(self, make: Callable[..., tuple[T, ...]], *given: Any) -> None:
        self._make = make
        self._given = given
        self._found: tuple[T, ...] | None = None

    def _all(self) -> tuple[T, ...]:
        if self._found is None:
            self._found = self._make(*self._given)
        return self._found

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[T, ...]: ...
    def __getitem__(self, index: int | slice) -> T | tuple[T, ...]:
        return self._all()[index]

    def __len__(self) -> int:
        return len(self._all())

    def __iter__(self) -> Iterator[T]:
        return iter(self._all())

    def __eq__(self, other: object) -> bool:
        return self._all() == tuple(other) if isinstance(other, Later | tuple) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._all())

    def __repr__(self) -> str:
        return repr(self._all())


class Verdict(StrEnum):
    """What a recommendation's conditions gave (CQL true, false, null; or an error)."""

    APPLICABLE = "applicable"
    NOT_APPLICABLE = "not-applicable"
    UNKNOWN = "unknown"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Reason:
    """One define that led to the outcome: its value and the resources (`Type/id`) it was read from.

    `fact` is the id of the clinical fact (the CQL tag `@fact`) where the define is one, else None.
    """

    define: str
    value: Any
    resources: tuple[str, ...] = ()
    fact: str | None = None
    library: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Verdict with its grounds: missing fact ids when unknown, issues (OperationOutcome.issue) of what failed.

    `only_facts` are the facts in `because`, where they can be had at less cost than all of it.
    """

    verdict: Verdict
    missing: tuple[str, ...] = ()
    because: Sequence[Reason] = ()
    issues: Sequence[Json] = ()
    only_facts: Sequence[Reason] | None = None

    @property
    def facts(self) -> Sequence[Reason]:
        """The clinical facts among the reasons, in their order."""
        if self.only_facts is None:
            return tuple(reason for reason in self.because if reason.fact is not None)
        return self.only_facts


@dataclass(frozen=True, slots=True)
class AppliedAction:
    """One PlanDefinition.action after `$apply`, applicable or not (consumers choose what to show).

    `path` is the FHIRPath of the action in its plan (`PlanDefinition.action[0].action[1]`), `definition` the action
    as authored, `values` the action after dynamicValue; `resource` is the realised request, `nested` the plan applied.
    """

    id: str
    path: str
    definition: Json
    values: Json
    outcome: Outcome
    children: tuple[AppliedAction, ...] = ()
    resource: Json | None = None
    nested: Applied | None = None


@dataclass(frozen=True, slots=True)
class Visit:
    """One dated follow-up visit of a schedule (see docs/adr on the schedule rule)."""

    number: int
    phase: str
    earliest: date
    latest: date
    status: str  # completed | due | overdue | scheduled
    activities: tuple[str, ...]
    source: str
    done: date | None = None
    resources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Applied:
    """A PlanDefinition applied to one subject at one instant: everything else is a projection of this."""

    plan: Json
    subject: str
    now: str
    actions: tuple[AppliedAction, ...]
    goals: tuple[Json, ...] = ()
    visits: tuple[Visit, ...] = ()
    issues: tuple[Json, ...] = ()
    context: Json = field(default_factory=dict)
