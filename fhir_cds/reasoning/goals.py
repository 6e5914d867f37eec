"""Goals of a plan as proposed Goal resources of the patient (apply.md GO-01, GO-02)."""

from __future__ import annotations

from typing import Any, Final

from fhir_cds.fhir import ids
from fhir_cds.reasoning import plans
from fhir_cds.reasoning.outcome import Json
from fhir_cds.reasoning.session import Session

PERTAINS_TO: Final = "http://hl7.org/fhir/StructureDefinition/resource-pertainsToGoal"


def goals(session: Session, plan: Json) -> tuple[dict[str, Any], ...]:
    """Return the plan's goals for the session's patient, in order; each `id` follows from plan, goal and patient."""
    return tuple(_goal(session, plan, goal, index) for index, goal in enumerate(plan.get("goal", ())))


def goal_key(goal: Json, index: int) -> str:
    """Return the id by which actions name a goal of their plan (its element id, else its place)."""
    return str(goal.get("id") or f"goal-{index}")


def goal_id(session: Session, plan: Json, key: str) -> str:
    """Return the id of the Goal resource made of the plan's goal `key`."""
    return ids.stable_uuid(plans.canonical(plan), "goal", key, session.subject)


def _goal(session: Session, plan: Json, goal: Json, index: int) -> dict[str, Any]:
    made: dict[str, Any] = {
        "resourceType": "Goal",
        "id": goal_id(session, plan, goal_key(goal, index)),
        "lifecycleStatus": "proposed",
    }
    if "category" in goal:
        made["category"] = [goal["category"]]
    for name in ("priority", "description"):
        if name in goal:
            made[name] = goal[name]
    made["subject"] = {"reference": session.subject}
    if "start" in goal:
        made["startCodeableConcept"] = goal["start"]
    targets = [_target(target) for target in goal.get("target", ())]
    if targets:
        made["target"] = targets
    if "addresses" in goal:  # PlanDefinition: CodeableConcept, Goal: Reference to what is there; the words remain
        made["addresses"] = [{"display": text} for concept in goal["addresses"] if (text := _text(concept))]
        if not made["addresses"]:
            del made["addresses"]
    return made


def _target(target: Json) -> dict[str, Any]:
    made = {key: value for key, value in target.items() if key == "measure" or key.startswith("detail")}
    if "due" in target:
        made["dueDuration"] = target["due"]
    return made


def _text(concept: Json) -> str | None:
    return concept.get("text") or next((coding.get("display") for coding in concept.get("coding", ())), None)


def served(goal: str) -> dict[str, Any]:
    """Return the extension by which a request or group says that it serves a goal, given its id."""
    return {"url": PERTAINS_TO, "valueReference": {"reference": f"Goal/{goal}"}}
