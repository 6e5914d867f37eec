"""What a clinician can accept: the orders of a recommendation, or a care plan with its orders as one transaction.

The actions of one suggestion are processed like a FHIR transaction (C14), so everything created has an id and points
to the rest by `Type/id`; what a CarePlan carries as contained resources is lifted out (a server keeps no contained
resource that others should act on).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from fhir_cds.cards import facts, words
from fhir_cds.cards.authored import SelectionBehavior
from fhir_cds.cards.outgoing import Suggestion
from fhir_cds.fhir import ids
from fhir_cds.reasoning.outcome import AppliedAction, Json

JOINED: Final = frozenset({"all", "all-or-none"})
_NOT_WHAT_IS_ORDERED: Final[Json] = MappingProxyType({"id": None, "priority": None})
_ORDER: Final = ("ServiceRequest", "MedicationRequest", "Task", "Appointment", "Goal", "RequestGroup", "CarePlan")
_RANKS: Final[Mapping[str, int]] = MappingProxyType({name: rank for rank, name in enumerate(_ORDER)})


def resources(action: AppliedAction) -> Iterator[Json]:
    """Yield the requests realised by an action and the applicable ones below it."""
    if action.resource is not None:
        yield action.resource
    for child in action.children:
        if child.outcome.verdict == "applicable":
            yield from resources(child)


def suggestion(
    seed: str,
    label: str,
    created: Sequence[Json],
    *,
    recommended: bool | None = None,
    selection: SelectionBehavior | None = None,
) -> Suggestion:
    """Return one suggestion that creates the resources as one transaction; its uuid follows from `seed` and label.

    With `selection` (3.0 ballot) the actions are alternatives.
    """
    return Suggestion.of(
        label=label,
        uuid=ids.stable_uuid("suggestion", seed, label, *[str(item.get("id", "")) for item in created]),
        isRecommended=recommended,
        actionSelectionBehavior=selection,
        actions=[
            {"type": "create", "description": _description(resource), "resource": resource}
            for resource in transaction(created, seed)
        ],
    )


def each_once(offered: Iterable[Suggestion]) -> list[Suggestion]:
    """Return the suggestions without those that order again what an earlier one orders (ids and priority apart)."""
    kept: list[Suggestion] = []
    for choice in offered:
        if not any(_same(choice, other) for other in kept):
            kept.append(choice)
    return kept


def _same(one: Suggestion, other: Suggestion) -> bool:
    """Say whether two suggestions order the same, in the same order."""
    first, second = ([action.resource or {} for action in each.actions or ()] for each in (one, other))
    return [item.get("code") for item in first] == [item.get("code") for item in second] and (
        [{**item, **_NOT_WHAT_IS_ORDERED} for item in first] == [{**item, **_NOT_WHAT_IS_ORDERED} for item in second]
    )


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
    return [_relink(item, names) for item in (*lifted, identified)]


def _id(resource: Json, seed: str) -> str:
    """Return the id of a resource, a stable one when it has none."""
    given = str(resource.get("id", "")).lstrip("#")
    return given or ids.stable_uuid(seed, str(resource["resourceType"]))


def _relink(value: Any, names: Mapping[str, str]) -> Any:
    """Return a value in which every local reference (`#id`) that `names` knows is replaced."""
    if isinstance(value, dict):
        return {
            key: names.get(item, item) if key == "reference" and isinstance(item, str) else _relink(item, names)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_relink(item, names) for item in value]
    return value


def _description(resource: Json) -> str:
    """Return what creating a resource means, in words."""
    text = resource.get("title") or facts.coded_text(resource) or resource.get("description") or _nested(resource)
    return words.CREATE.format(kind=resource["resourceType"], text=text) if text else str(resource["resourceType"])


def _nested(resource: Json) -> str:
    """Return the first title among a request group's actions, "" when there is none."""
    titles: Iterable[str] = (str(action["title"]) for action in resource.get("action", ()) if action.get("title"))
    return next(iter(titles), "")
