"""The R4 result of `$apply`: one CarePlan with a contained RequestGroup, the requests, goals and messages.

R4 allows nothing inside a contained resource, so all is contained in the CarePlan itself and every inner reference
starts with `#` (apply.md DF-07). An action whose condition has no value is kept, without request and children, and its
condition says so with a data-absent-reason (CO-07); those that do not apply are left out; failed ones are issues.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from fhir_cds.fhir import ids, reference
from fhir_cds.reasoning import plans, tree
from fhir_cds.reasoning.goals import served
from fhir_cds.reasoning.outcome import Applied, AppliedAction, Json, Verdict
from fhir_cds.reasoning.sources import absent

MESSAGES: Final = "http://hl7.org/fhir/StructureDefinition/cqf-messages"
_SHOWN: Final = frozenset({Verdict.APPLICABLE, Verdict.UNKNOWN})
# What a RequestGroup.action takes over from a PlanDefinition.action as it is, in R4's order of elements.
_COPIED: Final = (
    "prefix",
    "title",
    "description",
    "textEquivalent",
    "priority",
    "code",
    "documentation",
    "condition",
    "relatedAction",
    "timing",
    "participant",
    "type",
    "groupingBehavior",
    "selectionBehavior",
    "requiredBehavior",
    "precheckBehavior",
    "cardinalityBehavior",
)


@dataclass(slots=True)
class _Parts:
    """What goes into the container beside its own elements, in order."""

    contained: list[Json] = field(default_factory=list)
    local: dict[str, str] = field(default_factory=dict)

    def add(self, resource: Json) -> str:
        """Take a resource in; return the reference to it inside the container."""
        name, local = reference.of(resource), f"#{resource['id']}"
        if name not in self.local:
            self.contained.append(resource)
            self.local[name] = local
        return local


def careplan(applied: Applied, *, merge_nested: bool = False) -> dict[str, Any]:
    """Return the CarePlan of an applied plan (R4 `$apply`); `merge_nested` folds nested plans into one (IN-11).

    Ids follow from plan, subject and day of `now`; the same `Applied` gives the same bytes.
    """
    parts = _Parts()
    group = request_group(applied, parts, merge_nested=merge_nested)
    parts.contained.insert(0, group)
    goal_references = [{"reference": parts.add(goal)} for goal in applied.goals]
    made: dict[str, Any] = {"resourceType": "CarePlan", "id": identifier("CarePlan", applied)}
    if "language" in applied.context:
        made["language"] = applied.context["language"]
    messages = _messages(applied, parts, merge_nested=merge_nested)
    made["contained"] = []
    if messages:
        made["extension"] = messages
    made |= said_of_plan(applied)
    made |= _links(applied, "created")
    if goal_references:
        made["goal"] = goal_references
    made["activity"] = [{"reference": {"reference": f"#{group['id']}"}}]
    made["contained"] = [reference.renamed(resource, parts.local) for resource in parts.contained]
    return made


def request_group(applied: Applied, parts: _Parts, *, merge_nested: bool) -> dict[str, Any]:
    """Return the RequestGroup of one plan; what it refers to is added to `parts`."""
    made: dict[str, Any] = {"resourceType": "RequestGroup", "id": identifier("RequestGroup", applied)}
    if applied.goals:
        made["extension"] = [served(goal["id"]) for goal in applied.goals]
    if applied.plan.get("url"):
        made["instantiatesCanonical"] = [plans.canonical(applied.plan)]
    made |= {"status": applied.context.get("status", "draft"), "intent": applied.context.get("intent", "proposal")}
    if applied.plan.get("priority"):
        made["priority"] = applied.plan["priority"]
    made |= _links(applied, "authoredOn")
    actions = list(_actions(applied.actions, parts, merge_nested=merge_nested))
    if actions:
        made["action"] = actions
    return made


def _links(applied: Applied, date: str) -> dict[str, Any]:
    """Return subject, encounter, date (under its element's name) and author of a CarePlan or RequestGroup."""
    links: dict[str, Any] = {"subject": {"reference": applied.subject}}
    if "encounter" in applied.context:
        links["encounter"] = {"reference": applied.context["encounter"]}
    links[date] = applied.now
    author = applied.context.get("practitioner") or applied.context.get("organization")
    if author:
        links["author"] = {"reference": author}
    return links


def _actions(actions: Iterable[AppliedAction], parts: _Parts, *, merge_nested: bool) -> Iterator[dict[str, Any]]:
    for action in actions:
        if action.outcome.verdict in _SHOWN:
            yield _action(action, parts, merge_nested=merge_nested)


def _action(action: AppliedAction, parts: _Parts, *, merge_nested: bool) -> dict[str, Any]:
    made = _copied(action)
    if action.outcome.verdict is Verdict.UNKNOWN:
        made["condition"] = [_unknown(condition) for condition in action.values.get("condition", ())] or [
            {"kind": "applicability", **absent()}
        ]
        made.pop("relatedAction", None)
        return _with_target(made, [])
    target = _target(action, parts, merge_nested=merge_nested)
    children = list(_actions(action.children, parts, merge_nested=merge_nested))
    if action.nested is not None and merge_nested:
        inner = _actions(action.nested.actions, parts, merge_nested=True)
        children = [*(_prefixed(child, f"{action.id}.") for child in inner), *children]
        for goal in action.nested.goals:
            parts.add(goal)
    if target is not None and children:  # R4 rqg-1: an action has a resource or actions, not both
        return {**made, "action": [{"id": f"{action.id}-definition", "resource": target}, *children]}
    if target is not None:
        return {**made, "resource": target}
    return _with_target(made, children)


def _copied(action: AppliedAction) -> dict[str, Any]:
    """Return what a RequestGroup.action takes over from the produced action, in R4's form."""
    values = action.values
    made: dict[str, Any] = {"id": action.id}
    if values.get("extension"):
        made["extension"] = values["extension"]
    for name in _COPIED:
        found = plans.choice(values, name) if name == "timing" else (name, values[name]) if name in values else None
        if found is not None:
            made[found[0]] = found[1]
    if isinstance(made.get("code"), Mapping):
        made["code"] = [made["code"]]
    if isinstance(made.get("type"), list):
        made["type"] = made["type"][0]
    return made


def _prefixed(action: dict[str, Any], prefix: str) -> dict[str, Any]:
    """Return an action of a nested plan as it stands in the outer one: its ids, unique there only, get a prefix."""
    made = {**action, "id": f"{prefix}{action['id']}"}
    if "relatedAction" in made:
        made["relatedAction"] = [
            {**related, "actionId": f"{prefix}{related['actionId']}"} for related in made["relatedAction"]
        ]
    if "action" in made:
        made["action"] = [_prefixed(child, prefix) for child in made["action"]]
    return made


def _with_target(made: dict[str, Any], children: list[dict[str, Any]]) -> dict[str, Any]:
    """Return an action without request: with its children, or with its words in place of a request (R4 rqg-1)."""
    if children:
        return {**made, "action": children}
    words = made.get("title") or made.get("description") or made.get("textEquivalent")
    return {**made, "resource": {"display": words} if words else absent("not-applicable")}


def _unknown(condition: Json) -> dict[str, Any]:
    if condition.get("kind") != "applicability":
        return dict(condition)
    return {**condition, "extension": [*condition.get("extension", ()), *absent()["extension"]]}


def _target(action: AppliedAction, parts: _Parts, *, merge_nested: bool) -> dict[str, Any] | None:
    """Return the reference of an action to its request, to a nested plan's group or to a definition."""
    if action.resource is not None:
        return {"reference": parts.add(action.resource)}
    if action.nested is not None and not merge_nested:
        group = request_group(action.nested, parts, merge_nested=False)
        messages = _messages(action.nested, parts, merge_nested=False)
        if messages:
            group["extension"] = [*group.get("extension", ()), *messages]
        for goal in action.nested.goals:
            parts.add(goal)
        return {"reference": parts.add(group)}
    given = action.values.get("resource")
    return dict(given) if given else None


def _messages(applied: Applied, parts: _Parts, *, merge_nested: bool) -> list[dict[str, Any]]:
    """Return the cqf-messages extension of one level, () when there is nothing to report (ER-01, ER-02)."""
    levels = tree.plans_in(applied) if merge_nested else (applied,)
    found = [item for level in levels for item in messages(level)]
    if not found:
        return []
    outcome = {"resourceType": "OperationOutcome", "id": identifier("OperationOutcome", applied), "issue": found}
    return [{"url": MESSAGES, "valueReference": {"reference": parts.add(outcome)}}]


def with_issues(resource: Json, found: Iterable[Json]) -> dict[str, Any]:
    """Return a lone request (ActivityDefinition/$apply) with its issues contained in it (ER-01)."""
    listed = [dict(item) for item in found]
    if not listed:
        return dict(resource)
    identity = ids.stable_uuid("OperationOutcome", str(resource["id"]))
    outcome = {"resourceType": "OperationOutcome", "id": identity, "issue": listed}
    head = {key: resource[key] for key in ("resourceType", "id", "meta") if key in resource}
    rest = {key: value for key, value in resource.items() if key not in {*head, "contained", "extension"}}
    message = {"url": MESSAGES, "valueReference": {"reference": f"#{identity}"}}
    return {
        **head,
        "contained": [*resource.get("contained", ()), outcome],
        "extension": [*resource.get("extension", ()), message],
        **rest,
    }


def messages(applied: Applied) -> Iterator[dict[str, Any]]:
    """Yield the issues of one plan: its own, those of its actions, and one for each outcome that is unknown."""
    yield from (dict(item) for item in applied.issues)
    for action in tree.walk(applied.actions):
        yield from (dict(item) for item in action.outcome.issues)
        if action.outcome.verdict is Verdict.UNKNOWN:
            missing = ", ".join(action.outcome.missing) or "not named"
            text = f"it is not known whether the action applies; missing facts: {missing}"
            yield plans.content_issue("warning", "incomplete", text, applied.plan, action.path)


def said_of_plan(applied: Applied) -> dict[str, Any]:
    """Return what a CarePlan says of the plan it comes from: its canonical, status and intent, title, description."""
    made: dict[str, Any] = {"instantiatesCanonical": [plans.canonical(applied.plan)]} if applied.plan.get("url") else {}
    made |= {"status": applied.context.get("status", "draft"), "intent": applied.context.get("intent", "proposal")}
    return made | {name: applied.plan[name] for name in ("title", "description") if applied.plan.get(name)}


def identifier(kind: str, applied: Applied) -> str:
    """Return the id of a result resource: it follows from plan, subject and day."""
    return ids.stable_uuid(kind, plans.canonical(applied.plan), applied.subject, applied.now[:10])
