"""Provenance: which resources a define's value was read from. Costs nothing unless asked for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from fhir_cds.cql.runtime.typed import Typed


def provenance(
    reads: Sequence[tuple[int, ...]],
    holding: Collection[int],
    held: Callable[[int], tuple[str, ...]],
    slot: int,
) -> tuple[str, ...]:
    """Return `Type/id` of the resources in a define's value, else of the nearest defines it refers to, in order.

    Defines go by their slots: `reads` has the slots that each refers to, `held` gives the resources in a slot's value,
    which is asked for those in `holding` only: the others' values are of types that hold none.
    """
    own = held(slot) if slot in holding else ()
    if own:
        return own
    seen = {slot}
    level: Sequence[int] = reads[slot]
    found: dict[str, None] = {}
    while level:
        deeper: list[int] = []
        for number in level:
            if number in seen:
                continue
            seen.add(number)
            if number in holding and (here := held(number)):
                for name in here:
                    found[name] = None
            else:
                deeper += reads[number]
        level = deeper
    return tuple(found)


def resources_in(value: Any) -> tuple[str, ...]:
    """Return `Type/id` of the resources a value is or holds, in order, each once."""
    if not isinstance(value, list | dict | Typed):
        return ()
    found: dict[str, None] = {}
    pending: list[Any] = value[::-1] if type(value) is list else [value]
    while pending:
        item = pending.pop()
        if isinstance(item, Typed):
            item = item.value
        if isinstance(item, dict):
            if "resourceType" in item:
                found[f"{item['resourceType']}/{item.get('id', '')}"] = None
            else:
                pending += reversed(list(item.values()))
        elif isinstance(item, list):
            pending += reversed(item)
    return tuple(found)
