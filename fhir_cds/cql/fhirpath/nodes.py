"""Items of FHIRPath collections: system values as the engine has them, FHIR elements as `Node`.

A Node keeps the raw JSON, the FHIR type (`FHIR.code`; None when the JSON does not say) and the `_name` object that
holds id and extensions of a primitive. Elements of a type are looked up in the model, so that a name which the type
does not have is an error and `value` finds `valueQuantity`.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from functools import lru_cache
from itertools import zip_longest
from typing import Any, Final

from fhir_cds.cql.modelinfo import element_type, is_resource, is_subtype, known_type, model_type, primitive_of
from fhir_cds.cql.runtime.fhir_helpers import calendar_unit
from fhir_cds.cql.runtime.numbers import Long
from fhir_cds.cql.runtime.quantity import Quantity
from fhir_cds.cql.runtime.temporal import Date, DateTime, Time
from fhir_cds.cql.runtime.temporal_text import parse_date, parse_datetime, parse_time
from fhir_cds.cql.runtime.typed import Typed
from fhir_cds.cql.typesys import ChoiceOf, ListOf, Named, Type

Json = dict[str, Any]
_UCUM: Final = "http://unitsofmeasure.org"
_CALENDAR: Final = "http://hl7.org/fhirpath/CodeSystem/calendar-units"
_SYSTEM: Final[dict[type, str]] = {
    bool: "Boolean",
    int: "Integer",
    Long: "Long",
    Decimal: "Decimal",
    str: "String",
    Date: "Date",
    DateTime: "DateTime",
    Time: "Time",
    Quantity: "Quantity",
}


class Node:
    """A FHIR element or resource."""

    __slots__ = ("extra", "type", "value")

    def __init__(self, value: Any, type_name: str | None, extra: Json | None = None) -> None:
        self.value = value
        self.type = type_name
        self.extra = extra


def wrap(value: Any) -> list[Any]:
    """Return what a caller gave (JSON, system value, list of them, nothing) as a collection."""
    if value is None:
        return []
    if isinstance(value, list | tuple):
        return [item for element in value for item in wrap(element)]
    if isinstance(value, dict):
        return [Node(value, _type_of_json(value, None))]
    if isinstance(value, Typed):
        return [Node(value.value, value.type_name)]
    return [value]


def unwrap(collection: list[Any]) -> list[Any]:
    """Return a collection as JSON and system values; a primitive that has extensions only is left out."""
    values = (item.value if type(item) is Node else item for item in collection)
    return [value for value in values if value is not None]


def _type_of_json(value: Any, declared: str | None) -> str | None:
    """Return the type of JSON found where `declared` is expected: resources say their own."""
    if isinstance(value, dict):
        name = value.get("resourceType")
        if isinstance(name, str) and (declared is None or is_resource(declared)):
            full = f"FHIR.{name}"
            return full if known_type(full) else declared
    return declared


@lru_cache(maxsize=8192)
def slots(type_name: str, element: str) -> tuple[tuple[str, str | None], ...] | None:
    """Return the JSON keys under which an element may stand, with their types; None when there is no such element."""
    kind = element_type(type_name, element)
    if kind is None or primitive_of(type_name) is not None:
        return None
    item: Type = kind.item if isinstance(kind, ListOf) else kind
    if isinstance(item, ChoiceOf):
        names = [option.name for option in item.options if isinstance(option, Named)]
        return tuple((f"{element}{name[5].upper()}{name[6:]}", name) for name in names)
    return ((element, _fhir_type(item.name) if isinstance(item, Named) else None),)


def _fhir_type(name: str) -> str:
    """Return the type of an element as FHIR calls it: ids are declared as system strings."""
    return "FHIR.string" if name == "System.String" else name


def child(item: Any, name: str) -> list[Any]:
    """Return the elements of a name, none where the type of the item has no such element (see `typecheck`)."""
    if type(item) is not Node:
        return _system_child(item, name)
    value, kind = item.value, item.type
    if kind is None:
        return _elements(value, name, None) if isinstance(value, dict) else []
    keys = slots(kind, name)
    if keys is None:
        if primitive_of(kind) is None or name not in ("id", "extension"):
            return []
        value, keys = item.extra, ((name, "FHIR.Extension" if name == "extension" else "FHIR.string"),)
    if isinstance(value, dict):
        for key, each in keys:
            if key in value or "_" + key in value:
                return _elements(value, key, each)
    return []


def _system_child(item: Any, name: str) -> list[Any]:
    if not isinstance(item, Quantity) or name not in ("value", "unit"):
        return []
    return [item.value if name == "value" else item.unit]


def _elements(parent: Json, key: str, kind: str | None) -> list[Any]:
    """Return what stands under a key, single or repeated, with the objects beside it, as nodes."""
    found, extra = parent.get(key), parent.get("_" + key)
    if not isinstance(found, list) and not isinstance(extra, list):
        return [] if found is None and extra is None else [_node(found, extra, kind)]
    values = found if isinstance(found, list) else []
    extras = extra if isinstance(extra, list) else []
    pairs = zip_longest(values, extras)
    return [_node(value, beside, kind) for value, beside in pairs if value is not None or beside is not None]


def _node(value: Any, extra: Any, kind: str | None) -> Node:
    if type(value) is dict:
        kind = _type_of_json(value, kind)
    return Node(value, kind, extra if type(extra) is dict else None)


def children(item: Any) -> Iterator[Any]:
    """Yield all elements of an item, of a primitive those of its `_name` object."""
    if type(item) is not Node:
        return
    value = item.value if isinstance(item.value, dict) else item.extra
    if not isinstance(value, dict):
        return
    done = set()
    for key in value:
        name = key.removeprefix("_")
        if name in done or name == "resourceType":
            continue
        done.add(name)
        kind = _kind_of_key(item.type, name) if item.type is not None else None
        yield from _elements(value, name, kind)


@lru_cache(maxsize=8192)
def _kind_of_key(type_name: str, key: str) -> str | None:
    """Return the type of what stands under a JSON key of a type (`valueQuantity` too), None when unknown."""
    if primitive_of(type_name) is not None:
        return "FHIR.Extension" if key == "extension" else "FHIR.string"
    for cut in range(len(key), 0, -1):
        for slot, kind in slots(type_name, key[:cut]) or ():
            if slot == key:
                return kind
    return None


# --- types


def type_of(item: Any) -> tuple[str, str]:
    """Return namespace and name of an item's type, as `type()` tells them; codes are `code` whatever their binding."""
    if type(item) is not Node:
        return "System", _SYSTEM.get(type(item), "Any")
    if item.type is None:
        return ("FHIR", "Element") if isinstance(item.value, dict) else ("System", _SYSTEM.get(type(item.value), "Any"))
    return "FHIR", _plain(item.type).removeprefix("FHIR.")


@lru_cache(maxsize=4096)
def _plain(type_name: str) -> str:
    """Return a type with the model's enumerations (AdministrativeGender …) told as the code that they are."""
    found = model_type(type_name)
    return "FHIR.code" if found is not None and found.primitive and found.base == "FHIR.Element" and (
        type_name[5].isupper()
    ) else type_name  # fmt: skip


@lru_cache(maxsize=1024)
def known(names: tuple[str, ...]) -> bool:
    """Tell whether a type name, with or without its namespace, exists."""
    if len(names) == 2:
        return names[0] in ("FHIR", "System") and (names[0] == "System" or known_type(".".join(names)))
    return len(names) == 1 and (known_type(f"FHIR.{names[0]}") or known_type(f"System.{names[0]}"))


def is_a(item: Any, names: tuple[str, ...], *, exact_primitive: bool = False) -> bool:
    """Tell whether an item is of a type or one derived from it.

    With `exact_primitive`, as for `as` and `ofType`, a code is no string although its type derives from it.
    """
    space, name = type_of(item)
    if len(names) == 2 and names[0] != space:
        return False
    wanted = names[-1]
    if name == wanted:
        return True
    if space == "System" or (exact_primitive and primitive_of(f"FHIR.{name}") is not None):
        return wanted == "Any"
    return is_subtype(f"FHIR.{name}", f"FHIR.{wanted}")


# --- system values


def to_system(item: Any, offset: int) -> Any:
    """Return the system value of an item; complex elements, and quantities that have none, stay nodes.

    None for a primitive without a value. `offset` is for times without one, in minutes.
    """
    if type(item) is not Node:
        return item
    value = item.value
    if item.type is None or value is None:
        return item if isinstance(value, dict) else value
    if type(value) is str and primitive_of(item.type) == "String":
        return value
    if isinstance(value, dict):
        return _quantity(item, value) if is_subtype(item.type, "FHIR.Quantity") else item
    kind = primitive_of(item.type)
    if kind == "Decimal":
        return value if isinstance(value, Decimal) else Decimal(str(value))
    if kind == "DateTime":
        return parse_datetime(value, offset) or value
    if kind == "Date":
        return parse_date(value) or value
    return (parse_time(value) or value) if kind == "Time" else value


def _quantity(item: Node, value: Json) -> Any:
    number = value.get("value")
    if number is None or value.get("comparator") is not None:
        return item
    system, code = value.get("system"), value.get("code")
    unit = code if code is not None and system in (_UCUM, _CALENDAR, None) else value.get("unit") or code
    if unit is not None and system in (_UCUM, _CALENDAR):
        unit = calendar_unit(unit)
    return Quantity(number if isinstance(number, Decimal) else Decimal(str(number)), unit or "1")
