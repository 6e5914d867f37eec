"""Every recommendation of the content, asked of one patient: the form that other tools script against."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from fhir_cds.reasoning import conditions, plans
from fhir_cds.reasoning.apply import NO_CONTEXT, Record, begin
from fhir_cds.reasoning.engine import Engine
from fhir_cds.reasoning.outcome import Outcome, Reason, Verdict
from fhir_cds.reasoning.session import Context, Session

_STRENGTH: Final = (Verdict.FAILED, Verdict.APPLICABLE, Verdict.UNKNOWN, Verdict.NOT_APPLICABLE)


def outcomes(engine: Engine, record: Record, now: str, context: Context = NO_CONTEXT) -> list[dict[str, Any]]:
    """Return one item per recommendation, by source, then number.

    Each is `{"source", "number", "plan", "outcome", "missing": [fact id], "because": [{"define", "value", "resources":
    ["Type/id"]}]}`; one that failed also has `issues` (OperationOutcome.issue).
    """
    session = begin(engine, record, now, context)
    return [
        item_of(
            recommendation.source,
            recommendation.number,
            str(recommendation.plan["id"]),
            outcome_of(session, recommendation.plan),
        )
        for recommendation in engine.recommendations
    ]


def item_of(source: str, number: str, plan: str, outcome: Outcome) -> dict[str, Any]:
    """Return an outcome in the form above."""
    item: dict[str, Any] = {
        "source": source,
        "number": number,
        "plan": plan,
        "outcome": outcome.verdict.value,
        "missing": list(outcome.missing),
        "because": [reason_of(reason) for reason in outcome.because],
    }
    if outcome.issues:
        item["issues"] = [dict(issue) for issue in outcome.issues]
    return item


def reason_of(reason: Reason) -> dict[str, Any]:
    """Return a reason as JSON."""
    return {"define": reason.define, "value": reason.value, "resources": list(reason.resources)}


def outcome_of(session: Session, plan: Any) -> Outcome:
    """Return the outcome of a recommendation: of its one action, or of several the strongest."""
    return strongest(
        conditions.applicability(session, plan, action, path)
        for path, action in plans.placed(plan.get("action"), "PlanDefinition")
    )


def strongest(results: Iterable[Outcome]) -> Outcome:
    """Return the failed outcome of several, else the applicable, the unknown, the other one (the first of each)."""
    return min(results, key=lambda outcome: _STRENGTH.index(outcome.verdict), default=conditions.ALWAYS)
