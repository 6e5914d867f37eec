"""What a clinician can accept: the orders of a recommendation, or a care plan with its orders as one transaction.

The actions of one suggestion are processed like a FHIR transaction (C14), so everything created has an id and points
to the rest by `Type/id`; what a CarePlan carries as contained resources is lifted out (a server keeps no contained
resource that others should act on).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from fhir_cds.cards import facts, words
from fhir_cds.cards.choices import Choice
from fhir_cds.cards.outgoing import Suggestion
from fhir_cds.fhir import ids, reference
from fhir_cds.reasoning.outcome import Json

_ORDER: Final = ("ServiceRequest", "MedicationRequest", "Task", "Appointment", "Goal", "RequestGroup", "CarePlan")
_RANKS: Final[Mapping[str, int]] = MappingProxyType({name: rank for rank, name in enumerate(_ORDER)})


def suggestion(choice: Choice, recommended: bool | None) -> Suggestion:
    """Return a choice as a suggestion, one transaction; its uuid follows from the choice's seed and label.

    For a client of the 3.0 ballot the actions can be alternatives.
    """
    label = choice.named(choice.created)
    return Suggestion.of(
        label=label,
        uuid=ids.stable_uuid("suggestion", choice.seed, label, *[str(item.get("id", "")) for item in choice.created]),
        isRecommended=recommended,
        actionSelectionBehavior=choice.selection if len(choice.created) > 1 else None,
        actions=[
            {"type": "create", "description": _description(resource), "resource": resource}
            for resource in transaction([_noted(one, choice.notes) for one in choice.created], choice.seed)
        ],
    )


def _noted(resource: Json, notes: Sequence[Json]) -> Json:
    """Return a resource with more notes."""
    return {**resource, "note": [*resource.get("note", ()), *notes]} if notes else resource


def transaction(created: Sequence[Json], seed: str) -> list[dict[str, Any]]:
    """Return resources with ids, contained ones lifted out and referred to by `Type/id`, referred ones first."""
    flat: dict[str, dict[str, Any]] = {}
    for number, resource in enumerate(created):
        for lifted in _lift(resource, f"{seed}|{number}"):
            flat.setdefault(f"{lifted['resourceType']}/{lifted['id']}", lifted)
    return sorted(flat.values(), key=lambda resource: _RANKS.get(resource["resourceType"], 0))


def _lift(resource: Json, seed: str) -> list[dict[str, Any]]:
    """Return a resource without its contained ones, and these beside it under stable ids of their own."""
    given = _id(resource, seed)
    identified = {"resourceType": resource["resourceType"], "id": given, **resource}
    identified["id"] = given
    if "contained" not in resource:
        return [identified]
    lifted, names = [], {}
    for inner in identified.pop("contained"):
        fresh = {**inner, "id": ids.stable_uuid(seed, given, str(inner.get("id", "")))}
        names[f"#{inner.get('id')}"] = f"{inner['resourceType']}/{fresh['id']}"
        lifted.append(fresh)
    return [reference.renamed(item, names) for item in (*lifted, identified)]


def _id(resource: Json, seed: str) -> str:
    """Return the id of a resource, a stable one when it has none."""
    given = str(resource.get("id", "")).lstrip("#")
    return given or ids.stable_uuid(seed, str(resource["resourceType"]))


def _description(resource: Json) -> str:
    """Return what creating a resource means, in words: what it is or asks for, and its dates where it has any."""
    said = resource.get("description")
    text = resource.get("title") or (said if isinstance(said, str) else "") or facts.coded_text(resource)
    parts = filter(None, (text or _nested(resource), _when(resource)))
    return words.CREATE.format(kind=resource["resourceType"], text=", ".join(parts)).removesuffix(": ")


def _when(resource: Json) -> str:
    """Return the day, or the first and last day, on which what is ordered should take place, "" where that is open."""
    period = resource.get("occurrencePeriod") or {}
    start, end = (str(period.get(name, ""))[:10] for name in ("start", "end"))
    if start and end:
        return words.RANGE.format(start, end)
    return words.FROM.format(start) if start else str(resource.get("occurrenceDateTime", ""))[:10]


def _nested(resource: Json) -> str:
    """Return the first title among a request group's actions, "" when there is none."""
    titles: Iterable[str] = (str(action["title"]) for action in resource.get("action", ()) if action.get("title"))
    return next(iter(titles), "")
