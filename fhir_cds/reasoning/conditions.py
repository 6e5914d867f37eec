"""Whether an action applies, in three-valued logic (apply.md CO-01 .. CO-09).

Only conditions of kind `applicability` decide; several are joined by AND. A define or path that has no value is
unknown, never false. An expression that cannot be used, a value that is no Boolean and an error make the outcome
failed, with an issue that names plan and place. An `any` group stops at its first applicable child, and pauses at one
that is unknown or failed: what comes after it cannot be decided before that one is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from msgspec import Struct

from fhir_cds.errors import ContentError, EvaluationError, FhirCdsError
from fhir_cds.reasoning import inputs, plans
from fhir_cds.reasoning.explain import Explainer
from fhir_cds.reasoning.expressions import Define
from fhir_cds.reasoning.graph import Node
from fhir_cds.reasoning.layout import Laid
from fhir_cds.reasoning.outcome import (
    APPLICABLE,
    FAILED,
    NOT_APPLICABLE,
    UNKNOWN,
    Json,
    Outcome,
    Reason,
    Stated,
)
from fhir_cds.reasoning.session import Session

_STRENGTH: Final = (FAILED, NOT_APPLICABLE, UNKNOWN, APPLICABLE)
_VERDICTS: Final = {True: APPLICABLE, False: NOT_APPLICABLE, None: UNKNOWN}

ALWAYS: Final = Outcome(APPLICABLE)


class _Explained(Struct, frozen=True):
    """The grounds of what a define gave, at the condition `path` of a plan."""

    explainer: Explainer
    define: Node
    plan: Json
    path: str

    @property
    def because(self) -> tuple[Reason, ...]:
        """See Grounds."""
        return self.explainer.because(self.define)

    @property
    def facts(self) -> tuple[Reason, ...]:
        """See Grounds."""
        return self.explainer.facts(self.define)

    @property
    def issues(self) -> tuple[Json, ...]:
        """A warning for each define that failed and was not needed."""
        return tuple(
            plans.content_issue(
                "warning", error.code, f"not needed for the outcome, but failed: {error}", self.plan, self.path
            )
            for error in self.explainer.failures(self.define)
        )


class _Joined(Struct, frozen=True):
    """The grounds of several outcomes, each reason once."""

    outcomes: tuple[Outcome, ...]

    @property
    def because(self) -> tuple[Reason, ...]:
        """See Grounds."""
        return _distinct(reason for outcome in self.outcomes for reason in outcome.because)

    @property
    def facts(self) -> tuple[Reason, ...]:
        """See Grounds."""
        return _distinct(reason for outcome in self.outcomes for reason in outcome.facts)

    @property
    def issues(self) -> tuple[Json, ...]:
        """See Grounds."""
        return tuple(issue for outcome in self.outcomes for issue in outcome.issues)


@dataclass(frozen=True, slots=True)
class _Answer:
    """One expression's Boolean, and the define it came from (None for a FHIRPath)."""

    value: bool | None
    define: Node | None


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a condition stands."""

    session: Session
    plan: Json
    action: Json
    path: str

    def variables(self) -> dict[str, Any]:
        """Return the variables that its FHIRPath sees: of the call, of the plan, the action's named inputs."""
        named = inputs.variables(self.session, self.action, self.plan, self.path)
        return self.session.scope(self.plan, **named)


def applicability(session: Session, plan: Json, action: Json, path: str) -> Outcome:
    """Return whether `action` (at `path` of `plan`) applies to the session's patient, with its grounds."""
    listed = action.get("condition")
    if not listed:
        return ALWAYS
    place = _Place(session, plan, action, path)
    return conjunction(
        [
            _condition(place, condition, f"{path}.condition[{index}]")
            for index, condition in enumerate(listed)
            if condition.get("kind") == plans.APPLICABILITY
        ]
    )


def decide(session: Session, plan: Json, laid: Laid) -> Outcome:
    """Return whether an action of a plan that is laid out applies to the session's patient, with its grounds."""
    define, path = laid.define, laid.condition
    if define is None:
        return applicability(session, plan, laid.action, laid.path) if laid.conditional else ALWAYS
    try:
        value = session.evaluation.at(define.slot)
        if value is not None and value is not True and value is not False:
            raise _no_boolean(value)
    except (ContentError, EvaluationError) as error:
        return _failed(error, plan, path)
    return _grounded(session.explainer, plan, value, define, path)


def conjunction(outcomes: Iterable[Outcome]) -> Outcome:
    """Return the AND of outcomes: failed, else not applicable, else unknown, else applicable; grounds of all kept."""
    listed = tuple(outcomes)
    if not listed:
        return ALWAYS
    if len(listed) == 1:
        return listed[0]
    verdict = min((item.verdict for item in listed), key=_STRENGTH.index)
    missing = (fact for item in listed for fact in item.missing) if verdict is UNKNOWN else ()
    return Outcome(verdict, tuple(dict.fromkeys(missing)), _Joined(listed))


def _condition(place: _Place, condition: Json, path: str) -> Outcome:
    session, plan = place.session, place.plan
    expression = condition.get("expression")
    if not isinstance(expression, dict):
        return _failed(ContentError("the condition has no expression"), plan, path)
    answer: _Answer | None = None
    try:
        answer = _answer(place, expression)
        fault: FhirCdsError | None = None
    except ContentError as error:
        fault = error
    except EvaluationError as error:
        return _failed(error, plan, path)
    other = plans.alternative(condition, expression)
    if other is not None and (answer is None or answer.value is None):
        try:
            answer, fault = _answer(place, other), None
        except (ContentError, EvaluationError) as error:
            return _failed(fault or error, plan, path)
    if answer is None or fault is not None:
        return _failed(fault or ContentError("the condition gave no answer"), plan, path)
    return _outcome(session, plan, answer, path)


def _outcome(session: Session, plan: Json, answer: _Answer, path: str) -> Outcome:
    if answer.define is None:
        return Outcome(_VERDICTS[answer.value])
    return _grounded(session.explainer, plan, answer.value, answer.define, path)


def _grounded(explainer: Explainer, plan: Json, value: bool | None, define: Node, path: str) -> Outcome:
    """Return an outcome with its grounds, all but the missing facts worked out when asked for."""
    missing = explainer.missing(define) if value is None else ()
    return Outcome(_VERDICTS[value], missing, _Explained(explainer, define, plan, path))


def _answer(place: _Place, expression: Json) -> _Answer:
    meaning = place.session.meaning(expression, place.plan)
    value = place.session.value(meaning, place.plan, place.variables)
    if isinstance(meaning, Define):
        return _Answer(_boolean(value, single=True), place.session.engine.graph.get(meaning))
    return _Answer(_boolean(value, single=False), None)


def _boolean(value: Any, *, single: bool) -> bool | None:
    if not single and isinstance(value, list):
        if len(value) > 1:
            raise ContentError("the condition gave several values, one Boolean is expected")
        value = value[0] if value else None
    if value is None or isinstance(value, bool):
        return value
    raise _no_boolean(value)


def _no_boolean(value: object) -> ContentError:
    return ContentError(f"the condition gave {type(value).__name__}, a Boolean is expected")


def _failed(error: FhirCdsError, plan: Json, path: str) -> Outcome:
    issue = plans.content_issue("error", error.code, str(error), plan, path)
    return Outcome(FAILED, grounds=Stated(issues=(issue,)))


def _distinct(reasons: Iterable[Reason]) -> tuple[Reason, ...]:
    found: dict[tuple[str, str], Reason] = {}
    for reason in reasons:
        found.setdefault((reason.library, reason.define), reason)
    return tuple(found.values())
