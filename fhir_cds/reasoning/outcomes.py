"""Every recommendation of the content, asked of one patient: the form that other tools script against."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from fhir_cds.reasoning import conditions
from fhir_cds.reasoning.apply import NO_CONTEXT, Record, begin
from fhir_cds.reasoning.engine import Engine, Recommendation
from fhir_cds.reasoning.outcome import Outcome, Reason, Verdict
from fhir_cds.reasoning.session import Context, Session

_STRENGTH: Final = (Verdict.FAILED, Verdict.APPLICABLE, Verdict.UNKNOWN, Verdict.NOT_APPLICABLE)


def outcomes(engine: Engine, record: Record, now: str, context: Context = NO_CONTEXT) -> list[dict[str, Any]]:
    """Return one item per recommendation, by source, then number.

    Each is `{"source", "number", "plan", "outcome", "missing": [fact id], "because": [{"define", "value", "resources":
    ["Type/id"]}]}`; one that failed also has `issues` (OperationOutcome.issue).
    """
    return list(outcomes_in(begin(engine, record, now, context), engine.recommendations))


def outcomes_in(session: Session, asked: Iterable[Recommendation]) -> Iterator[dict[str, Any]]:
    """Yield one item per recommendation, in the form of `outcomes`, in a session that is open."""
    written: dict[int, tuple[Reason, dict[str, Any]]] = {}
    for one in asked:
        yield _item(one.source, one.number, str(one.plan["id"]), outcome_of(session, one.plan), written)


def _item(
    source: str, number: str, plan: str, outcome: Outcome, written: dict[int, tuple[Reason, dict[str, Any]]]
) -> dict[str, Any]:
    """Return an outcome; `written` are reasons already in JSON, by identity: many outcomes share them."""
    because = []
    for reason in outcome.because:
        known = written.get(id(reason))
        if known is None:  # the reason is kept with its JSON, so that its identity stays its own
            known = written[id(reason)] = reason, reason_of(reason)
        because.append(known[1])
    item: dict[str, Any] = {
        "source": source,
        "number": number,
        "plan": plan,
        "outcome": outcome.verdict.value,
        "missing": list(outcome.missing),
        "because": because,
    }
    if outcome.issues:
        item["issues"] = [dict(issue) for issue in outcome.issues]
    return item


def reason_of(reason: Reason) -> dict[str, Any]:
    """Return a reason as JSON."""
    return {"define": reason.define, "value": reason.value, "resources": list(reason.resources)}


def outcome_of(session: Session, plan: Any) -> Outcome:
    """Return the outcome of a recommendation: of its one action, or of several the strongest."""
    actions = session.engine.layout(plan).actions
    if len(actions) == 1:
        return conditions.decide(session, plan, actions[0])
    return strongest(conditions.decide(session, plan, laid) for laid in actions)


def strongest(results: Iterable[Outcome]) -> Outcome:
    """Return the failed outcome of several, else the applicable, the unknown, the other one (the first of each)."""
    return min(results, key=lambda outcome: _STRENGTH.index(outcome.verdict), default=conditions.ALWAYS)
