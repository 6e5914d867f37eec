"""Data that actions name: inputs as variables of expressions, outputs as supporting information (IO-01, IO-02).

A DataRequirement is answered from the patient's record by type and codeFilter (codes, or a value set of the content);
filters it cannot answer are an issue, and leave the requirement without data.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from fhir_cds.errors import ContentError
from fhir_cds.reasoning import plans
from fhir_cds.reasoning.outcome import Json
from fhir_cds.reasoning.session import Session

SUPPORTING: Final = {
    "ServiceRequest": "supportingInfo",
    "DeviceRequest": "supportingInfo",
    "CarePlan": "supportingInfo",
    "MedicationRequest": "supportingInformation",
    "Appointment": "supportingInformation",
}
"""Where a request keeps what supports it; other types have no place for it."""


def variables(session: Session, action: Json, plan: Json, path: str) -> dict[str, list[Json]]:
    """Return the inputs of an action that have an id, as variables `%id` (IO-01).

    One that cannot be answered is not bound: an expression that needs it fails, and does not take it for empty.
    """
    found: dict[str, list[Json]] = {}
    for index, requirement in enumerate(action.get("input", ())):
        if requirement.get("id"):
            answer = _answered(session, requirement, plan, f"{path}.input[{index}]")
            if answer is not None:
                found[requirement["id"]] = answer
    return found


def supported(session: Session, action: Json, plan: Json, path: str, resource: Json | None) -> Json | None:
    """Return the request with the data that the action's outputs describe as its supporting information (IO-02)."""
    place = SUPPORTING.get(str(resource["resourceType"])) if resource else None
    if resource is None or place is None or not action.get("output"):
        return resource
    matching = [
        {"reference": f"{item['resourceType']}/{item['id']}"}
        for index, requirement in enumerate(action["output"])
        for item in _answered(session, requirement, plan, f"{path}.output[{index}]") or ()
    ]
    listed = [*resource.get(place, ()), *(item for item in matching if item not in resource.get(place, ()))]
    return {**resource, place: listed} if listed else resource


def _answered(session: Session, requirement: Json, plan: Json, path: str) -> list[Json] | None:
    try:
        return list(matching(session, requirement))
    except ContentError as error:
        session.issues.append(plans.content_issue("warning", error.code, error.message, plan, path))
        return None


def matching(session: Session, requirement: Json) -> Iterable[Json]:
    """Return the record's resources that meet a DataRequirement; raises ContentError for a filter it cannot answer."""
    if requirement.get("dateFilter"):
        raise ContentError("dateFilter is not answered here: filter in the logic")
    tests = [(str(item.get("path") or ""), _codes(session, item)) for item in requirement.get("codeFilter", ())]
    if any(not path for path, _ in tests):
        raise ContentError("codeFilter needs a path")
    found = [item for item in session.resources if item["resourceType"] == requirement.get("type")]
    return [item for item in found if all(codes & set(_codings(item.get(path))) for path, codes in tests)]


def _codes(session: Session, code_filter: Json) -> frozenset[tuple[Any, Any]]:
    canonical = code_filter.get("valueSet")
    if canonical is not None:
        codes = session.engine.code_sets.get(str(canonical))
        if codes is None:
            raise ContentError(f"the value set {canonical} is not in the content")
        return frozenset(codes)
    listed = code_filter.get("code")
    if not listed:
        raise ContentError("codeFilter needs codes or a value set")
    return frozenset((coding.get("system"), coding.get("code")) for coding in listed)


def _codings(value: Any) -> Iterable[tuple[Any, Any]]:
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, dict):
            for coding in item.get("coding", [item]):
                yield coding.get("system"), coding.get("code")
        elif item is not None:
            yield None, item
