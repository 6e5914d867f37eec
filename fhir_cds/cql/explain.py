"""Provenance: which resources a define's value was read from. Costs nothing unless asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhir_cds.cql.runtime.fhir import Typed
from fhir_cds.errors import EvaluationError

if TYPE_CHECKING:
    from fhir_cds.cql.evaluate import Evaluation
    from fhir_cds.cql.library import Program


def provenance(program: Program, evaluation: Evaluation, library: str, define: str) -> tuple[str, ...]:
    """Return `Type/id` of the resources in a define's value, else of the nearest defines it refers to, in order."""
    info = program.define(library, define)
    own = resources_in(_value(evaluation, library, define))
    if own:
        return own
    seen = {(library, define)}
    level = list(info.references)
    found: dict[str, None] = {}
    while level:
        deeper: list[tuple[str, str]] = []
        for key in level:
            if key in seen:
                continue
            seen.add(key)
            here = resources_in(_value(evaluation, *key))
            found.update(dict.fromkeys(here))
            if not here:
                deeper += program.define(*key).references
        level = deeper
    return tuple(found)


def _value(evaluation: Evaluation, library: str, define: str) -> Any:
    """Return a define's value; one that fails has no provenance."""
    try:
        return evaluation.value(library, define)
    except EvaluationError:
        return None


def resources_in(value: Any) -> tuple[str, ...]:
    """Return `Type/id` of the resources a value is or holds, in order, each once."""
    found: dict[str, None] = {}
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, Typed):
            item = item.value
        if isinstance(item, list):
            pending += reversed(item)
        elif isinstance(item, dict):
            if "resourceType" in item:
                found[f"{item['resourceType']}/{item.get('id', '')}"] = None
            else:
                pending += reversed(list(item.values()))
    return tuple(found)
