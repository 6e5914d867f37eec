"""The outcome of asking a patient's record a question: four cases, never three, never two.

Every consumer handles all four: `Outcome` is what `$apply`, cards, CarePlan, `outcomes` and explanations are made of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, Protocol

from msgspec import Struct

Json = Mapping[str, Any]


class Verdict(StrEnum):
    """What a recommendation's conditions gave (CQL true, false, null; or an error)."""

    APPLICABLE = "applicable"
    NOT_APPLICABLE = "not-applicable"
    UNKNOWN = "unknown"
    FAILED = "failed"


APPLICABLE: Final = Verdict.APPLICABLE  # hot paths read these: a member of an enumeration is slow to look up
NOT_APPLICABLE: Final = Verdict.NOT_APPLICABLE
UNKNOWN: Final = Verdict.UNKNOWN
FAILED: Final = Verdict.FAILED


class Reason(Struct, frozen=True):
    """One define that led to the outcome: its value and the resources (`Type/id`) it was read from.

    `fact` is the id of the clinical fact (the CQL tag `@fact`) where the define is one, else None.
    """

    define: str
    value: Any
    resources: tuple[str, ...] = ()
    fact: str | None = None
    library: str = ""


class Grounds(Protocol):
    """What an outcome rests on; worked out when somebody looks: most outcomes say no, and nobody asks them why."""

    @property
    def because(self) -> tuple[Reason, ...]:
        """The decisions and the facts with a value that led to it."""

    @property
    def facts(self) -> tuple[Reason, ...]:
        """The clinical facts among them, in their order."""

    @property
    def issues(self) -> tuple[Json, ...]:
        """What went wrong (OperationOutcome.issue)."""


class Stated(Struct, frozen=True):
    """Grounds that are known."""

    because: tuple[Reason, ...] = ()
    issues: tuple[Json, ...] = ()

    @property
    def facts(self) -> tuple[Reason, ...]:
        """See Grounds."""
        return tuple(reason for reason in self.because if reason.fact is not None)


_NONE: Final = Stated()


class Outcome(Struct, frozen=True):
    """Verdict with its grounds; `missing` are the ids of the facts that leave it unknown."""

    verdict: Verdict
    missing: tuple[str, ...] = ()
    grounds: Grounds = _NONE

    @property
    def because(self) -> tuple[Reason, ...]:
        """See Grounds."""
        return self.grounds.because

    @property
    def facts(self) -> tuple[Reason, ...]:
        """See Grounds."""
        return self.grounds.facts

    @property
    def issues(self) -> tuple[Json, ...]:
        """See Grounds."""
        return self.grounds.issues


class AppliedAction(Struct, frozen=True):
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


class Visit(Struct, frozen=True):
    """One dated follow-up visit of a schedule (see docs/adr on the schedule rule)."""

    number: int
    phase: str
    earliest: date
    latest: date
    status: str  # completed | due | overdue | booked | scheduled
    activities: tuple[str, ...]
    source: str
    done: date | None = None
    booked: date | None = None
    resources: tuple[str, ...] = ()


def wanted_now(visits: Sequence[Visit]) -> Visit | None:
    """Return the visit of a schedule to arrange now: the last one due or overdue, if any.

    An overdue one needs nothing where the visit after it is booked: that makes good for it.
    """
    needed = [visit for visit in visits if visit.status in {"due", "overdue"}]
    if not needed:
        return None
    last = needed[-1]
    booked = any(visit.status == "booked" and visit.number == last.number + 1 for visit in visits)
    return None if last.status == "overdue" and booked else last


class Applied(Struct, frozen=True):
    """A PlanDefinition applied to one subject at one instant: everything else is a projection of this."""

    plan: Json
    subject: str
    now: str
    actions: tuple[AppliedAction, ...]
    goals: tuple[Json, ...] = ()
    visits: tuple[Visit, ...] = ()
    issues: tuple[Json, ...] = ()
    context: Json = MappingProxyType({})
