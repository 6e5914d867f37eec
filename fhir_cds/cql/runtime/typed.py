"""Types of values at evaluation: what a value is, and casts (CQL reference, chapter "Type Operators").

FHIR objects are the JSON dicts themselves and primitives their raw JSON values. A value whose FHIR type is not static
(an element of several types that was not cast) travels as `Typed`; resources say their own type, system values their
class.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from fhir_cds.cql.modelinfo import is_resource, is_subtype, primitive_of
from fhir_cds.cql.runtime.clinical import Code, CodeSystem, Concept, ValueSet
from fhir_cds.cql.runtime.interval import Interval
from fhir_cds.cql.runtime.numbers import Long
from fhir_cds.cql.runtime.primitives import primitive
from fhir_cds.cql.runtime.quantity import Quantity, Ratio
from fhir_cds.cql.runtime.temporal import Date, DateTime, Time
from fhir_cds.cql.runtime.uncertainty import Uncertainty
from fhir_cds.cql.typesys import ChoiceOf, IntervalOf, ListOf, Named, TupleOf, Type


@dataclass(frozen=True, slots=True)
class Typed:
    """A FHIR value with its type (`FHIR.Quantity`), where the type is only known at evaluation."""

    type_name: str
    value: Any


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


def _is_tuple(value: dict[str, Any], kind: TupleOf) -> bool:
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
