"""The way in: plans and activities applied to one patient's record at one instant.

One evaluation serves all plans of a call; a define is computed at most once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, Protocol

from fhir_cds.errors import InputError
from fhir_cds.reasoning import action as actions
from fhir_cds.reasoning import activity as activities
from fhir_cds.reasoning import dynamic, plans, related, selection, tree
from fhir_cds.reasoning.engine import Engine
from fhir_cds.reasoning.explain import Explainer
from fhir_cds.reasoning.outcome import Applied, Json
from fhir_cds.reasoning.session import Context, Session, variables_of

_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_INSTANT: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})")
_PATIENT: Final = "Patient"
NO_CONTEXT: Final = Context()


class Record(Protocol):
    """One patient's data (`fhir_cds.data.record.PatientRecord`)."""

    @property
    def subject(self) -> str:
        """`Patient/id`."""

    @property
    def resources(self) -> Sequence[Json]:
        """All resources, the Patient among them."""


def instant(now: str) -> str:
    """Return `now` as a FHIR instant: a day is its first moment in UTC. Raises InputError for anything else."""
    if _DAY.fullmatch(now):
        now = f"{now}T00:00:00+00:00"
    if not _INSTANT.fullmatch(now):
        raise InputError("a day (2026-01-31) or an instant with its zone is expected", where="now")
    return now.replace("Z", "+00:00")


def begin(engine: Engine, record: Record, now: str, context: Context = NO_CONTEXT) -> Session:
    """Return a session: one patient, one instant, one evaluation, for as many plans as wanted.

    What the call gives is visible in FHIRPath as `%name`, and in CQL as a parameter of that name, where a library
    declares one (apply.md DV-06, IN-14).
    """
    moment = instant(now)
    known = {f"{item['resourceType']}/{item.get('id')}": item for item in record.resources}
    variables = variables_of(context, record.subject, known)
    given = {f"%{name}": value for name, value in variables.items() if value != []}
    evaluation = engine.evaluate(record.resources, moment, {**given, **context.parameters})
    explainer = Explainer(engine.graph, evaluation)
    return Session(
        engine, record.subject, record.resources, known, moment, context, evaluation, explainer, context.given
    )


def apply_plan(engine: Engine, plan: str | Json, record: Record, now: str, context: Context = NO_CONTEXT) -> Applied:
    """Return a plan (id, canonical, or the resource itself) applied to the record's patient as of `now`.

    Raises NotFoundError for a plan that is not in the content; InputError for a `now` that is no instant, a plan about
    another kind of subject, or a selection that the plan does not allow. All else that goes wrong is an issue or a
    failed outcome in the result.
    """
    return apply_in(begin(engine, record, now, context), plan)


def apply_in(session: Session, plan: str | Json) -> Applied:
    """Return a plan applied in a session that is open."""
    definition = session.engine.plan(plan) if isinstance(plan, str) else plan
    _check(definition)
    applied = actions.apply_plan(session, definition)
    context = session.context
    if context.selected is not None:
        applied = selection.select_actions(applied, context.selected, context.documented)
    where = None if context.starts else session.engine.where(plans.RELATED)
    return tree.map_plans(applied, lambda one: related.resolve(one, context.starts), where)


def apply_activity(
    engine: Engine, activity: str | Json, record: Record, now: str, context: Context = NO_CONTEXT
) -> tuple[dict[str, Any] | None, tuple[Json, ...]]:
    """Return (the request that an ActivityDefinition makes, issues); raises as `apply_plan`."""
    definition = engine.activity(activity) if isinstance(activity, str) else activity
    if definition.get("resourceType") != "ActivityDefinition":
        raise InputError("an ActivityDefinition is expected", where="activityDefinition")
    session = begin(engine, record, now, context)
    made = activities.realise(session, definition)
    if made is not None:
        made = dynamic.apply(session, definition, definition, dynamic.Target({}, made), "ActivityDefinition").resource
    return made, tuple(session.issues)


def _check(plan: Json) -> None:
    if plan.get("resourceType") != "PlanDefinition":
        raise InputError("a PlanDefinition is expected", where="planDefinition")
    about = plan.get("subjectCodeableConcept", {}).get("coding", ())
    codes = [coding.get("code") for coding in about]
    if codes and _PATIENT not in codes:
        raise InputError(f"the plan is about a {codes[0]}, not about a Patient", where="subject")
