"""FHIR JSON as CQL values: primitives, values that carry their type, property access.

FHIR objects are the JSON dicts themselves and primitives their raw JSON values. A value whose FHIR type is not static
(an element of several types that was not cast) travels as `Typed`; resources say their own type, system values their
class.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from fhir_cds.cql.modelinfo import element_type, is_resource, is_subtype, primitive_of
from fhir_cds.cql.runtime.clinical import Code, CodeSystem, Concept, ValueSet
from fhir_cds.cql.runtime.interval import Interval
from fhir_cds.cql.runtime.numbers import Long
from fhir_cds.cql.runtime.quantity import Quantity, Ratio
from fhir_cds.cql.runtime.temporal import Date, DateTime, Time
from fhir_cds.cql.runtime.temporal_text import parse_date, parse_datetime, parse_time
from fhir_cds.cql.runtime.uncertainty import Uncertainty
from fhir_cds.cql.typesys import ChoiceOf, IntervalOf, ListOf, Named, TupleOf, Type

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Typed:
    """A FHIR value with its type (`FHIR.Quantity`), where the type is only known at evaluation."""

    type_name: str
    value: Any


# --- primitives


def to_decimal(value: Any) -> Decimal | None:
    """Return a FHIR decimal as CQL Decimal (JSON may write it without a point)."""
    if value is None or type(value) is Decimal:
        return value
    return None if isinstance(value, bool) or not isinstance(value, int | str) else Decimal(value)


def to_date(value: str | None) -> Date | None:
    """Return a FHIR date as CQL Date; null for text that is no date."""
    return None if value is None else parse_date(value)


def to_datetime(state: Any, value: str | None) -> DateTime | None:
    """Return a FHIR dateTime or instant as CQL DateTime; null for text that is none."""
    return None if value is None else parse_datetime(value, state.offset)


def to_time(value: str | None) -> Time | None:
    """Return a FHIR time as CQL Time; null for text that is no time."""
    return None if value is None else parse_time(value)


PRIMITIVES: Final[dict[str, tuple[Callable[..., Any], bool] | None]] = {
    "Boolean": None,
    "Date": (to_date, False),
    "DateTime": (to_datetime, True),
    "Decimal": (to_decimal, False),
    "Integer": None,
    "Long": None,
    "String": None,
    "Time": (to_time, False),
}
"""System type of a FHIR primitive -> (conversion of its JSON value, whether it takes the state); None: as it is."""


def primitive(state: Any, type_name: str, value: Any) -> Any:
    """Return the CQL value of a FHIR primitive given its type's full name."""
    conversion = PRIMITIVES.get(primitive_of(type_name) or "")
    if conversion is None:
        return value
    function, stateful = conversion
    return function(state, value) if stateful else function(value)


UNITS: Final[dict[str, str]] = {
    "ms": "millisecond",
    "s": "second",
    "min": "minute",
    "h": "hour",
    "d": "day",
    "wk": "week",
    "mo": "month",
    "a": "year",
}


def calendar_unit(unit: str | None) -> str | None:
    """ToCalendarUnit: the CQL calendar word of a UCUM duration, other units as they are."""
    return None if unit is None else UNITS.get(unit, unit)


def primitive_part(parent: Json | None, key: str, name: str) -> Any:
    """Return `id` or `extension` of a primitive from the `_field` beside it."""
    beside = None if parent is None else parent.get(key)
    return beside.get(name) if isinstance(beside, dict) else None


# --- values whose type is not static


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


def describe(value: Any, kind: Type | None) -> Any:
    """Return a value of static FHIR type in the form that says its own type (for choices and Any)."""
    if value is None or isinstance(value, Typed):
        return value
    if isinstance(kind, ListOf) and isinstance(value, list):
        return [describe(item, kind.item) for item in value]
    if isinstance(kind, Named) and kind.name.startswith("FHIR.") and not is_resource(kind.name):
        return Typed(kind.name, value)
    return value


def unwrap(value: Any) -> Any:
    """Return a value, or the items of a list, without the types they may carry."""
    if isinstance(value, list):
        return [unwrap(item) for item in value]
    return value.value if isinstance(value, Typed) else value


def system_value(state: Any, value: Any) -> Any:
    """Return the CQL value of a FHIR primitive that carries its type; any other value as it is."""
    if isinstance(value, Typed) and primitive_of(value.type_name) is not None:
        return primitive(state, value.type_name, value.value)
    return value


_SYSTEM_CLASSES: Final[dict[str, tuple[type, ...]]] = {
    "System.Boolean": (bool,),
    "System.Integer": (int, Uncertainty),
    "System.Long": (Long,),
    "System.Decimal": (Decimal,),
    "System.String": (str,),
    "System.Date": (Date,),
    "System.DateTime": (DateTime,),
    "System.Time": (Time,),
    "System.Quantity": (Quantity,),
    "System.Ratio": (Ratio,),
    "System.Code": (Code,),
    "System.Concept": (Concept,),
    "System.ValueSet": (ValueSet,),
    "System.CodeSystem": (CodeSystem,),
    "System.Vocabulary": (ValueSet, CodeSystem),
}


def is_type(value: Any, kind: Type) -> bool:
    """Tell whether a value is of a type (CQL reference, "Is"); false for null."""
    if value is None:
        return False
    if isinstance(kind, Named):
        return _is_named(value, kind.name)
    if isinstance(kind, ChoiceOf):
        return any(is_type(value, option) for option in kind.options)
    if isinstance(kind, ListOf):
        return isinstance(value, list) and all(item is None or is_type(item, kind.item) for item in value)
    if isinstance(kind, IntervalOf):
        if not isinstance(value, Interval):
            return False
        points = [p for p in (value.low, value.high) if p is not None]
        if points:
            return all(is_type(point, kind.point) for point in points)
        return value.point_type is None or kind.point in (Named(f"System.{value.point_type}"), Named("System.Any"))
    return isinstance(value, dict) and "resourceType" not in value and _is_tuple(value, kind)


def _is_tuple(value: Json, kind: TupleOf) -> bool:
    return value.keys() <= {name for name, _ in kind.elements} and all(
        value.get(name) is None or is_type(value[name], element) for name, element in kind.elements
    )


def _is_named(value: Any, name: str) -> bool:
    if name == "System.Any":
        return True
    if isinstance(value, Typed):
        return is_subtype(value.type_name, name)
    if isinstance(value, dict):
        own = value.get("resourceType")
        return is_subtype(f"FHIR.{own}", name) if own else name.startswith("FHIR.") and not is_resource(name)
    if name.startswith("FHIR."):
        return False
    classes = _SYSTEM_CLASSES.get(name, ())
    if type(value) in classes:
        return True
    return isinstance(value, classes) and not isinstance(value, bool | Long)


def as_type(value: Any, kind: Type) -> Any:
    """Return the value if it is of the type, else null (CQL reference, "As"); typed values are unwrapped."""
    if isinstance(value, list) and isinstance(kind, ListOf):
        return [as_type(item, kind.item) for item in value]
    if not is_type(value, kind):
        return None
    return value.value if isinstance(value, Typed) and isinstance(kind, Named) and kind.name != "System.Any" else value


def cast_type(value: Any, kind: Type) -> Any:
    """Return the value if it is of the type, else raise TypeError (CQL reference, "As" with strict)."""
    if value is None:
        return None
    if not is_type(value, kind):
        raise TypeError(f"the value cannot be cast to {kind}")
    return as_type(value, kind)


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


OPERATORS: Final[dict[str, Callable[..., Any]]] = {
    "Children": children,
    "Descendants": descendants,
    "Descendents": descendants,
}
STATEFUL: Final[frozenset[str]] = frozenset(OPERATORS)
