"""Reading a PlanDefinition: its actions with their paths and ids, its extensions, what it defines and refers to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from fhir_cds.fhir import issues
from fhir_cds.reasoning.outcome import Json

DEFINITIONS: Final = ("definitionCanonical", "definitionUri")
APPLICABILITY: Final = "applicability"
"""Kind of the conditions that decide."""

_ALTERNATIVES: Final = ("cqf-alternativeExpression", "us-ph-alternative-expression-extension")
RELATED: Final = "relatedAction"
RULE: Final = "eca-rule"
"""Plan type of one recommendation (http://terminology.hl7.org/CodeSystem/plan-definition-type)."""


class Placed(NamedTuple):
    """An action with the FHIRPath at which it stands in its plan."""

    path: str
    action: Json


def placed(actions: object, base: str) -> Iterator[Placed]:
    """Yield the actions of one level with their paths below `base` (`PlanDefinition` or an action's path)."""
    if isinstance(actions, list):
        for index, action in enumerate(actions):
            yield Placed(f"{base}.action[{index}]", action)


def walk(plan: Json) -> Iterator[Placed]:
    """Yield every action of a plan in document order, parents before children."""
    pending = list(placed(plan.get("action"), "PlanDefinition"))[::-1]
    while pending:
        item = pending.pop()
        yield item
        pending.extend(list(placed(item.action.get("action"), item.path))[::-1])


def action_id(action: Json, path: str) -> str:
    """Return the id of an action; one without gets a stable id from its place (`action-0-1`)."""
    given = action.get("id")
    return given if isinstance(given, str) and given else "action" + "".join(f"-{n}" for n in _indices(path))


def recommendation_id(plan: Json) -> tuple[str, str] | None:
    """Return source and number of a recommendation, from the identifier `source:number` of its plan; None without."""
    for identifier in plan.get("identifier", ()):
        source, colon, number = str(identifier.get("value", "")).partition(":")
        if colon and str(identifier.get("system", "")).endswith("/recommendation"):
            return source, number
    return None


def related_id(related: Json) -> str:
    """Return the id of the action that a relatedAction names: R4 `actionId`, R5 `targetId` (GR-07)."""
    return str(related.get("actionId") or related.get("targetId") or "")


def _indices(path: str) -> list[str]:
    return [part.split("]")[0] for part in path.split("action[")[1:]]


def extensions(element: Json, name: str) -> Iterator[Json]:
    """Yield the extensions whose canonical ends in `/name`, so content under any base is understood."""
    for extension in element.get("extension", ()):
        url = str(extension.get("url", ""))
        if url.endswith(name) and url.rpartition("/")[2] == name:
            yield extension


def extension(element: Json, name: str) -> Json | None:
    """Return the first extension whose canonical ends in `/name`, None when there is none."""
    return next(extensions(element, name), None) if "extension" in element else None


def extension_value(element: Json, name: str) -> Any:
    """Return the value[x] of the first such extension, whatever its type; None when there is none."""
    found = extension(element, name)
    return next((value for key, value in found.items() if key.startswith("value")), None) if found else None


def behaviour(element: Json) -> str:
    """Return `any` or `all` (the default) of a group, from R5's element or the R4 extension (CO-08)."""
    value = element.get("applicabilityBehavior") or extension_value(element, "cqf-applicabilityBehavior")
    code = value if isinstance(value, str) else _code(value)
    return "any" if code == "any" else "all"


def _code(value: object) -> object:
    if isinstance(value, dict):
        return value.get("code") or next((coding.get("code") for coding in value.get("coding", ())), None)
    return None


def alternative(condition: Json, expression: Json) -> Json | None:
    """Return the expression to take when the first has no value (CO-06): on the expression or on its condition."""
    for element in (expression, condition):
        for name in _ALTERNATIVES if "extension" in element else ():
            found = extension_value(element, name)
            if isinstance(found, dict):
                return found
    return None


def canonical(resource: Json) -> str:
    """Return `url|version` of a definition; `Type/id` for one without url."""
    url, version = resource.get("url"), resource.get("version")
    if not url:
        return f"{resource.get('resourceType')}/{resource.get('id', '')}"
    return f"{url}|{version}" if version else str(url)


def is_recommendation(plan: Json) -> bool:
    """Say whether a plan is one recommendation (type eca-rule) rather than a strategy, pathway or protocol."""
    return any(coding.get("code") == RULE for coding in plan.get("type", {}).get("coding", ()))


def choice(element: Mapping[str, Any], name: str) -> tuple[str, Any] | None:
    """Return (key, value) of the choice element `name[x]`, None when it has no value.

    >>> choice({"timingDateTime": "2024"}, "timing")
    ('timingDateTime', '2024')
    """
    for key, value in element.items():
        if key.startswith(name) and len(key) > len(name) and key[len(name)].isupper():
            return key, value
    return None


def content_issue(severity: str, code: str, text: str, plan: Json, path: str) -> dict[str, Any]:
    """Return an issue that names the plan's canonical in its text and the place by FHIRPath (apply.md ER-04)."""
    return issues.issue(severity, code, f"{canonical(plan)}: {text}", path)
