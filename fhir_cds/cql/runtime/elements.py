"""Elements of a value: one by its name, all one level down, all at every level (CQL reference, "Children").

Where the compiler knows the type of a value it reads the JSON itself; this is the way for all others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from fhir_cds.cql.modelinfo import element_type, primitive_of
from fhir_cds.cql.runtime.clinical import Code, CodeSystem, Concept, ValueSet
from fhir_cds.cql.runtime.interval import Interval
from fhir_cds.cql.runtime.primitives import primitive
from fhir_cds.cql.runtime.quantity import Quantity, Ratio
from fhir_cds.cql.runtime.typed import Typed, describe
from fhir_cds.cql.typesys import ChoiceOf, Named

Json = dict[str, Any]


def choice(value: Json, keys: Iterable[tuple[str, str]]) -> Typed | None:
    """Return the value of a choice element: the first (JSON key, type) that is there."""
    for key, type_name in keys:
        found = value.get(key)
        if found is not None:
            return Typed(type_name, found)
    return None


def first_key(value: Json, keys: Iterable[str]) -> Any:
    """Return the value under the first of the keys that is there."""
    return next((value[key] for key in keys if value.get(key) is not None), None)


def primitive_part(parent: Json | None, key: str, name: str) -> Any:
    """Return `id` or `extension` of a primitive from the `_field` beside it."""
    beside = None if parent is None else parent.get(key)
    return beside.get(name) if isinstance(beside, dict) else None


_SYSTEM_PROPERTIES: Final[dict[type, dict[str, str]]] = {
    Quantity: {"value": "value", "unit": "unit"},
    Ratio: {"numerator": "numerator", "denominator": "denominator"},
    Code: {"code": "code", "system": "system", "version": "version", "display": "display"},
    Concept: {"codes": "codes", "display": "display"},
    ValueSet: {"id": "id", "version": "version", "name": "name"},
    CodeSystem: {"id": "id", "version": "version", "name": "name"},
    Interval: {"low": "low", "high": "high", "lowClosed": "low_closed", "highClosed": "high_closed"},
}


def system_property(value: Any, name: str) -> Any:
    """Return an element of a system structure (`Quantity.value`); null for null and for an unknown name."""
    attribute = _SYSTEM_PROPERTIES.get(type(value), {}).get(name)
    found = None if attribute is None else getattr(value, attribute)
    return list(found) if isinstance(found, tuple) else found


def dynamic_property(state: Any, value: Any, name: str) -> Any:
    """Return an element of a value whose type is only known now; of a list, the elements of its items, flattened."""
    if value is None:
        return None
    if isinstance(value, list):
        found = [dynamic_property(state, item, name) for item in value]
        return [x for part in found if part is not None for x in (part if isinstance(part, list) else [part])]
    if isinstance(value, Typed):
        return _typed_property(state, value, name)
    if isinstance(value, dict):
        own = value.get("resourceType")
        return _json_property(value, f"FHIR.{own}", name) if own else value.get(name)
    return system_property(value, name)


def _typed_property(state: Any, value: Typed, name: str) -> Any:
    if primitive_of(value.type_name) is not None:
        return primitive(state, value.type_name, value.value) if name == "value" else None
    return _json_property(value.value, value.type_name, name)


def _json_property(value: Json, type_name: str, name: str) -> Any:
    kind = element_type(type_name, name)
    if isinstance(kind, ChoiceOf):
        return choice(value, choice_keys(name, kind))
    return describe(value.get(name), kind)


def choice_keys(name: str, kind: ChoiceOf) -> tuple[tuple[str, str], ...]:
    """Return (JSON key, type name) for each option of a choice element."""
    options = [option.name for option in kind.options if isinstance(option, Named)]
    return tuple(
        (f"{name}{local[0].upper()}{local[1:]}", full) for full in options for local in [full.partition(".")[2]]
    )


def children(state: Any, value: Any) -> list[Any] | None:
    """Return the values of all elements of a value, one level down (CQL reference, "Children")."""
    if value is None:
        return None
    if isinstance(value, Interval):
        return [value.low, value.low_closed, value.high, value.high_closed]
    if type(value) in _SYSTEM_PROPERTIES:
        found = [system_property(value, name) for name in _SYSTEM_PROPERTIES[type(value)]]
    elif isinstance(value, list):
        return [child for item in value for child in children(state, item) or ()]
    elif isinstance(value, Typed) and isinstance(value.value, dict):
        found = _json_children(state, value.value, value.type_name)
    elif isinstance(value, dict):
        own = value.get("resourceType")
        found = _json_children(state, value, f"FHIR.{own}") if own else list(value.values())
    else:
        return []
    return [x for part in found if part is not None for x in (part if isinstance(part, list) else [part])]


def _json_children(state: Any, value: Json, type_name: str) -> list[Any]:
    found = []
    for key, child in value.items():
        if key == "resourceType" or key.startswith("_"):
            continue
        kind = element_type(type_name, key)
        found.append(describe(child, kind) if kind is not None else _choice_child(value, type_name, key))
    return found


def _choice_child(value: Json, type_name: str, key: str) -> Any:
    for cut in range(len(key) - 1, 0, -1):
        kind = element_type(type_name, key[:cut]) if key[cut].isupper() else None
        if isinstance(kind, ChoiceOf):
            return next(
                (Typed(full, value[key]) for name, full in choice_keys(key[:cut], kind) if name == key), value[key]
            )
    return value[key]


def descendants(state: Any, value: Any) -> list[Any] | None:
    """Return the values of all elements of a value at all levels (CQL reference, "Descendants")."""
    if value is None:
        return None
    found: list[Any] = []
    level = children(state, value) or []
    while level:
        found += level
        level = [child for item in level for child in children(state, item) or ()]
        state.spend(len(level))
    return found


def items_by_path(state: Any, items: list[Any] | None, path: str) -> list[Any] | None:
    """Return one element of each item of a list."""
    return None if items is None else [dynamic_property(state, item, path) for item in items]


OPERATORS: Final[dict[str, Callable[..., Any]]] = {
    "Children": children,
    "Descendants": descendants,
    "Descendents": descendants,
}
STATEFUL: Final[frozenset[str]] = frozenset(OPERATORS)
