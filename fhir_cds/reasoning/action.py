"""Applying the actions of a plan: conditions, groups, definitions, dynamic values (apply.md CO, GR, DF).

Actions come out in the order of the plan, applicable or not. What is below an action that does not apply, is unknown or
failed is not looked at.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from fhir_cds.fhir import ids
from fhir_cds.reasoning import activity, conditions, dynamic, goals, inputs, participants, plans
from fhir_cds.reasoning.layout import Laid, Layout
from fhir_cds.reasoning.outcome import (
    APPLICABLE,
    FAILED,
    NOT_APPLICABLE,
    UNKNOWN,
    Applied,
    AppliedAction,
    Json,
    Outcome,
    Stated,
)
from fhir_cds.reasoning.session import Session
from fhir_cds.reasoning.special import COLLECT, CPG_ACTIVITY


@dataclass(frozen=True, slots=True)
class _Defined:
    """What the definition of an action came to."""

    definition: Json | None = None
    resource: dict[str, Any] | None = None
    nested: Applied | None = None
    reference: dict[str, Any] | None = None


_NOTHING: Final = _Defined()


def apply_plan(session: Session, plan: Json) -> Applied:
    """Return `plan` applied to the session's patient; its issues are those of its own level (ER-02)."""
    return _apply_laid(session, plan, session.engine.layout(plan))


def _apply_laid(session: Session, plan: Json, laid: Layout) -> Applied:
    around, session.issues = session.issues, []
    session.open_plans.append(laid.canonical)
    try:
        made = goals.goals(session, plan) if "goal" in plan else ()
        actions = apply_actions(session, plan, laid.actions, first_only=laid.first_only)
        return Applied(plan, session.subject, session.now, actions, made, (), tuple(session.issues), session.given)
    finally:  # an error must not leave the plan open to the next one of the session
        session.open_plans.pop()
        session.issues = around


def apply_actions(
    session: Session, plan: Json, items: Iterable[Laid], *, first_only: bool
) -> tuple[AppliedAction, ...]:
    """Return the actions of one level; `first_only`: the first that applies ends it."""
    decided: Outcome | None = None
    result: list[AppliedAction] = []
    for laid in items:
        if decided is not None:
            result.append(_pruned(laid, decided))
            continue
        applied = _apply(session, plan, laid)
        result.append(applied)
        if first_only:
            decided = _what_follows(applied.outcome, plan, laid.path)
    return tuple(result)


def _what_follows(outcome: Outcome, plan: Json, path: str) -> Outcome | None:
    """Return the outcome of the actions after one of an `any` group; None when they are still to be asked (CO-08)."""
    if outcome.verdict is NOT_APPLICABLE:
        return None
    if outcome.verdict is APPLICABLE:
        text = "not reached: an action before it in its group applies"
        issue = plans.content_issue("information", "informational", text, plan, path)
        return Outcome(NOT_APPLICABLE, grounds=Stated(issues=(issue,)))
    text = "not reached: an action before it in its group is not decided"
    issue = plans.content_issue("information", "incomplete", text, plan, path)
    return Outcome(UNKNOWN, outcome.missing, Stated(issues=(issue,)))


def _pruned(laid: Laid, outcome: Outcome) -> AppliedAction:
    return AppliedAction(laid.id, laid.path, laid.action, laid.action, outcome)


def _apply(session: Session, plan: Json, laid: Laid) -> AppliedAction:
    outcome = conditions.decide(session, plan, laid)
    if outcome.verdict is not APPLICABLE:
        if outcome.verdict is FAILED:
            session.failed.append(laid.path)
        return _pruned(laid, outcome)
    action, path = laid.action, laid.path
    children = apply_actions(session, plan, laid.below, first_only=laid.first_only) if laid.below else ()
    if laid.settled:
        nested = _nested(session, plan, laid.definition, path) if laid.definition is not None else None
        return AppliedAction(laid.id, path, action, laid.values, outcome, children, None, nested)
    defined = _defined(session, plan, laid)
    target = dynamic.Target(_values(session, laid, defined), defined.resource)
    if defined.definition is not None and defined.resource is not None:
        target = dynamic.apply(session, defined.definition, defined.definition, target, "ActivityDefinition")
    target = dynamic.apply(session, plan, action, target, path)
    return AppliedAction(
        id=laid.id,
        path=path,
        definition=action,
        values=target.action,
        outcome=outcome,
        children=children,
        resource=inputs.supported(session, action, plan, path, _with_goals(session, plan, action, target.resource)),
        nested=defined.nested,
    )


def _values(session: Session, laid: Laid, defined: _Defined) -> Json:
    """Return the produced action before its dynamic values (to be read only)."""
    who = laid.action.get("participant")
    if not who and defined.reference is None:
        return laid.values
    values = dict(laid.values)
    if who:
        values["participant"] = list(participants.performers(session, who).references)
        if not values["participant"]:
            del values["participant"]
    if defined.reference is not None:
        values["resource"] = defined.reference
    return values


def _with_goals(session: Session, plan: Json, action: Json, resource: dict[str, Any] | None) -> Json | None:
    """Return the request with links to the goals its action serves (GO-02)."""
    if resource is None or not action.get("goalId"):
        return resource
    known = {goals.goal_key(goal, index) for index, goal in enumerate(plan.get("goal", ()))}
    links = [goals.served(goals.goal_id(session, plan, key)) for key in action["goalId"] if key in known]
    return {**resource, "extension": [*resource.get("extension", ()), *links]} if links else resource


def _defined(session: Session, plan: Json, laid: Laid) -> _Defined:
    """Return what the action's definition comes to (DF-01 .. DF-06)."""
    action, path, definition = laid.action, laid.path, laid.definition
    uri = action.get("definitionUri")
    if uri is not None:
        return _Defined(reference={"reference": uri})
    canonical = action.get("definitionCanonical")
    if canonical is None:
        return _NOTHING
    if definition is None:
        text = f"the definition {canonical} is not in the content"
        _issue(session, "not-found", text, plan, f"{path}.definitionCanonical")
        return _NOTHING
    kind = definition["resourceType"]
    if kind == "ActivityDefinition":
        seed = f"{plans.canonical(plan)}#{path}"
        return _Defined(definition, activity.realise(session, definition, action, path, seed))
    if kind == "PlanDefinition":
        return _Defined(definition, nested=_nested(session, plan, definition, path))
    reference = {"reference": _reference(definition, str(canonical)), "type": kind}
    if kind == "Questionnaire" and session.context.collect_tasks:
        return _Defined(definition, _collect(session, plan, definition, reference, path))
    return _Defined(definition, reference=reference)


def _reference(definition: Json, canonical: str) -> str:
    if canonical.startswith("#") or not definition.get("id"):
        return canonical
    return f"{definition['resourceType']}/{definition['id']}"


def _nested(session: Session, plan: Json, definition: Json, path: str) -> Applied | None:
    if definition.get("url") in session.context.left_out:
        return None
    laid = session.engine.layout(definition)
    if laid.canonical in session.open_plans:
        ring = " -> ".join([*session.open_plans[session.open_plans.index(laid.canonical) :], laid.canonical])
        _issue(session, "processing", f"plans contain each other: {ring}", plan, f"{path}.definitionCanonical")
        return None
    return _apply_laid(session, definition, laid)


def _collect(session: Session, plan: Json, definition: Json, reference: Json, path: str) -> dict[str, Any]:
    """Return a task to fill in a questionnaire (DF-03)."""
    made: dict[str, Any] = {
        "resourceType": "Task",
        "id": ids.stable_uuid(plans.canonical(plan), path, plans.canonical(definition), session.subject, session.today),
        "status": session.context.status,
        "intent": session.context.intent,
        "code": {"coding": [{"system": CPG_ACTIVITY, "code": COLLECT}]},
        "focus": dict(reference),
        "for": {"reference": session.subject},
        "authoredOn": session.now,
    }
    if session.context.encounter:
        made["encounter"] = {"reference": session.context.encounter}
    requester = participants.requester(session)
    if requester is not None:
        made["requester"] = requester
    return made


def _issue(session: Session, code: str, text: str, plan: Json, path: str) -> None:
    session.issues.append(plans.content_issue("error", code, text, plan, path))
