"""Bring one resource into the data set's own form: local references and one URI per code system.

Most resources need nothing: one pass looks for what would change, and only those found are copied. Input is never
changed in place.

    >>> rewrite({"resourceType": "Flag", "subject": {"reference": "urn:uuid:7"}}, {"urn:uuid:7": "Patient/1"})
    {'resourceType': 'Flag', 'subject': {'reference': 'Patient/1'}}
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from fhir_cds.errors import InputError
from fhir_cds.fhir import reference

MAX_DEPTH: Final = 100  # R4 resources nest some fifteen levels deep; Questionnaires and extensions some more


def rewrite(
    resource: dict[str, Any],
    targets: Mapping[str, str],
    systems: Mapping[str, str] | None = None,
    bases: Collection[str] = (),
    where: str | None = None,
) -> dict[str, Any]:
    """Return `resource` with its references made local and its code systems named by their preferred URI.

    `targets` maps references as written (fullUrl, urn:uuid, `#id`) to `Type/id`, `systems` maps alias URIs to the
    preferred one, `bases` are the servers' addresses (see `reference.normalise`). Returns the same object when there
    is nothing to change. Raises InputError when the resource nests deeper than `MAX_DEPTH`.
    """
    known = systems or {}
    if not _needs_change(resource, known, where):
        return resource
    copy: dict[str, Any] = _copy(resource, targets, known, bases)
    return copy


def _needs_change(resource: dict[str, Any], systems: Mapping[str, str], where: str | None) -> bool:
    level: list[Any] = [resource]
    changed = False
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for node in level:
            if type(node) is dict:
                for key, item in node.items():
                    kind = type(item)
                    if kind is dict or kind is list:
                        below.append(item)
                    elif kind is str and (
                        (key == "reference" and _is_not_local(item)) or (key == "system" and item in systems)
                    ):
                        changed = True
            else:
                below += [item for item in node if type(item) is dict or type(item) is list]
        if not below:
            return changed
        level = below
    raise InputError(f"nested deeper than {MAX_DEPTH} levels", where=where)


def _is_not_local(text: str) -> bool:
    return ":" in text or text.startswith("#") or "/_history/" in text


def _copy(value: Any, targets: Mapping[str, str], systems: Mapping[str, str], bases: Collection[str]) -> Any:
    if type(value) is list:
        return [_copy(item, targets, systems, bases) for item in value]
    if type(value) is not dict:
        return value
    result: dict[str, Any] = {}
    for key, item in value.items():
        if type(item) is not str:
            result[key] = _copy(item, targets, systems, bases)
        elif key == "reference":
            result[key] = targets.get(item) or reference.normalise(item, bases)
        elif key == "system":
            result[key] = systems.get(item, item)
        else:
            result[key] = item
    return result
