"""Instances that CQL builds: system structures and FHIR JSON."""

from __future__ import annotations

from typing import Any

from fhir_cds.cql.runtime.clinical import Code, CodeSystem, Concept, ValueSet
from fhir_cds.cql.runtime.quantity import Quantity, Ratio
from fhir_cds.cql.runtime.temporal import Date, DateTime, Time
from fhir_cds.cql.runtime.typed import Typed

Json = dict[str, Any]


def to_json_primitive(value: Any) -> Any:
    """Return a CQL value as the JSON value of a FHIR primitive: dates as text."""
    return str(value) if isinstance(value, Date | DateTime | Time) else value


def fhir_instance(resource_type: str | None, elements: Json, choices: frozenset[str]) -> Json:
    """Build FHIR JSON from elements; null ones are left out, choice elements get the key of their value's type."""
    built: Json = {} if resource_type is None else {"resourceType": resource_type}
    for name, value in elements.items():
        if value is None:
            continue
        if name not in choices:
            built[name] = to_json_primitive(value)
        elif isinstance(value, Typed):
            local = value.type_name.partition(".")[2]
            built[f"{name}{local[0].upper()}{local[1:]}"] = value.value
        else:
            raise TypeError(f"the element {name} needs a FHIR value of one of its types")
    return built


def system_instance(type_name: str, elements: Json) -> Any:
    """Build a system structure from its elements by name; raises TypeError for a class without elements."""
    get = elements.get
    if type_name == "System.Quantity":
        return None if get("value") is None else Quantity(elements["value"], get("unit") or "1")
    if type_name == "System.Ratio":
        return Ratio(elements["numerator"], elements["denominator"])
    if type_name == "System.Code":
        return Code(get("code"), get("system"), get("version"), get("display"))
    if type_name == "System.Concept":
        return Concept(tuple(get("codes") or ()), get("display"))
    if type_name in {"System.ValueSet", "System.CodeSystem", "System.Vocabulary"}:
        return (CodeSystem if type_name == "System.CodeSystem" else ValueSet)(
            get("id") or "", get("version"), get("name")
        )
    raise TypeError(f"{type_name} cannot be instantiated")
