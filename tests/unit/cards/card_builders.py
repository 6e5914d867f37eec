"""Small applied plans, made by hand, for the tests of the cards."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from fhir_cds.cards.cards import with_orders
from fhir_cds.cards.decisions import Decision
from fhir_cds.cards.outgoing import Card
from fhir_cds.cards.projection import Projection
from fhir_cds.reasoning.outcome import Applied, AppliedAction, Outcome, Reason, Stated, Verdict

BASE = "https://example.org/guide"
CQF = "http://hl7.org/fhir/StructureDefinition"
NOW = "2026-01-31T00:00:00+00:00"
TYPE = "http://terminology.hl7.org/CodeSystem/plan-definition-type"


def vote(yes: int, voters: int, percent: str) -> dict[str, Any]:
    """Return the extension of a vote."""
    parts = [
        {"url": "voters", "valueInteger": voters},
        {"url": "yes", "valueInteger": yes},
        {"url": "no", "valueInteger": voters - yes},
        {"url": "percent", "valueDecimal": Decimal(percent)},
        {"url": "category", "valueCode": "strong"},
    ]
    return {"url": f"{BASE}/StructureDefinition/consensus-vote", "extension": parts}


def coded(name: str, code: str) -> dict[str, Any]:
    """Return a cqf extension with a code."""
    return {"url": f"{CQF}/{name}", "valueCodeableConcept": {"coding": [{"system": "https://e.org", "code": code}]}}


def rule(
    number: str, *, strength: str = "B", display: str = "recommendation", priority: str = "routine", **action: Any
) -> dict[str, Any]:
    """Return the plan of one recommendation."""
    return {
        "resourceType": "PlanDefinition",
        "id": f"r-{number}",
        "url": f"{BASE}/PlanDefinition/r-{number}",
        "version": "1",
        "identifier": [{"system": f"{BASE}/recommendation", "value": f"guide:{number}"}],
        "type": {"coding": [{"system": TYPE, "code": "eca-rule"}]},
        "extension": [
            vote(33, 36, "91.67"),
            coded("cqf-qualityOfEvidence", "V"),
            coded("cqf-strengthOfRecommendation", strength),
            {"url": f"{BASE}/StructureDefinition/recommendation-display", "valueCode": display},
        ],
        "relatedArtifact": [{"type": "citation", "citation": "Guide 2025", "url": "https://doi.org/10.1/x"}],
        "action": [
            {"id": "a", "title": f"Do {number}", "description": f"Says {number}", "priority": priority} | action
        ],
    }


def strategy(name: str = "s") -> dict[str, Any]:
    """Return the plan of a strategy."""
    return {
        "resourceType": "PlanDefinition",
        "id": name,
        "url": f"{BASE}/PlanDefinition/{name}",
        "version": "1",
        "title": f"Question {name}",
        "publisher": "Guide group",
        "action": [{"id": "g"}],
    }


def reason(fact: str, value: Any, *resources: str) -> Reason:
    """Return the reason of one fact."""
    return Reason(fact.replace("_", " ").capitalize(), value, resources, fact, "Facts")


def leaf(plan: dict[str, Any], outcome: Outcome, **changes: Any) -> Applied:
    """Return a recommendation applied, with its one action."""
    definition = plan["action"][0]
    action = AppliedAction("a", "PlanDefinition.action[0]", definition, definition, outcome, **changes)
    return Applied(plan, "Patient/p", NOW, (action,))


def group(plan: dict[str, Any], *nested: Applied, verdict: Verdict = Verdict.APPLICABLE, **changes: Any) -> Applied:
    """Return a strategy applied, holding recommendations under one condition."""
    inner = tuple(
        AppliedAction(f"n{i}", f"PlanDefinition.action[{i}]", {}, {}, Outcome(Verdict.APPLICABLE), nested=item)
        for i, item in enumerate(nested)
    )
    children = inner if verdict is Verdict.APPLICABLE else ()
    outcome = Outcome(verdict, (), Stated((), ({"severity": "error", "code": "processing", "diagnostics": "broken"},)))
    top = AppliedAction("g", "PlanDefinition.action[0]", {}, {}, outcome, children)
    return Applied(plan, "Patient/p", NOW, (top,), **changes)


YES = Outcome(Verdict.APPLICABLE, (), Stated((reason("metastasis_count", 3, "Observation/o"),)))
NO = Outcome(Verdict.NOT_APPLICABLE)
_FAULT = {"severity": "error", "code": "processing", "diagnostics": 'Logic."D" (1:1-1:2) failed'}
FAILED = Outcome(Verdict.FAILED, (), Stated((), (_FAULT,)))


def unknown(*missing: str) -> Outcome:
    """Return an unknown outcome with its missing facts."""
    return Outcome(Verdict.UNKNOWN, missing, Stated((reason("sts_diagnosis", True, "Condition/c"),)))


def cards_from(decisions: Sequence[Decision], projection: Projection) -> tuple[Card, ...]:
    """Return the cards of the decisions that were chosen, without the orders they share."""
    return tuple(card for card, _ in with_orders(decisions, projection))
