"""FHIRHelpers 4.0.1 as functions: conversions of FHIR types, and what it declares external.

The unit test compiles the ELM of FHIRHelpers and requires the same answers.
"""

from __future__ import annotations

from typing import Any, Final

from fhir_cds.cql.modelinfo import primitive_of
from fhir_cds.cql.runtime.clinical import Code, Concept, ValueSet
from fhir_cds.cql.runtime.interval import Interval
from fhir_cds.cql.runtime.interval_ops import construct
from fhir_cds.cql.runtime.message import MessageError
from fhir_cds.cql.runtime.primitives import primitive, to_datetime, to_decimal
from fhir_cds.cql.runtime.quantity import Quantity, Ratio
from fhir_cds.cql.runtime.typed import Typed

Json = dict[str, Any]

_UNIT_SYSTEMS: Final = frozenset(
    {None, "http://unitsofmeasure.org", "http://hl7.org/fhirpath/CodeSystem/calendar-units"}
)
_UNITS: Final[dict[str, str]] = {
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
    return None if unit is None else _UNITS.get(unit, unit)


def _quantity(value: Json) -> Quantity | None:
    number = to_decimal(value.get("value"))
    if number is None:
        return None
    if value.get("system") not in _UNIT_SYSTEMS:
        raise MessageError("FHIRHelpers.ToQuantity.InvalidFHIRQuantity: the unit is of a system other than UCUM")
    unit = value.get("code")
    if unit is None:
        unit = value.get("unit")
    return Quantity(number, "1" if unit is None else _UNITS.get(str(unit), str(unit)))


def to_quantity(value: Json | None) -> Quantity | None:
    """ToQuantity(Quantity): null without a value; a comparator or a foreign unit system is an error."""
    if value is None or value.get("value") is None:
        return None
    if value.get("comparator") is not None:
        raise MessageError("FHIRHelpers.ToQuantity.ComparatorQuantityNotSupported: a quantity with a comparator")
    return _quantity(value)


def quantity_ignoring_comparator(value: Json | None) -> Quantity | None:
    """ToQuantityIgnoringComparator(Quantity)."""
    return None if value is None else _quantity(value)


def quantity_to_interval(value: Json | None) -> Interval | None:
    """ToInterval(Quantity): the comparator becomes a bound."""
    if value is None:
        return None
    comparator, plain = value.get("comparator"), _quantity(value)
    if comparator in ("<", "<="):
        return Interval(None, plain, True, comparator == "<=", "Quantity")
    if comparator in (">", ">="):
        return Interval(plain, None, comparator == ">=", True, "Quantity")
    return Interval(plain, plain, True, True, "Quantity")


def period_to_interval(state: Any, value: Json | None) -> Interval | None:
    """ToInterval(Period): a missing start is unknown, a missing end ongoing; ValueError for end before start."""
    if value is None:
        return None
    low, high = to_datetime(state, value.get("start")), to_datetime(state, value.get("end"))
    return construct(low, high, low is not None, True, "DateTime")


def range_to_interval(value: Json | None) -> Interval | None:
    """ToInterval(Range): a missing side is unknown; raises ValueError when it ends before it starts."""
    if value is None or (value.get("low") is None and value.get("high") is None):
        return None
    low, high = to_quantity(value.get("low")), to_quantity(value.get("high"))
    return construct(low, high, low is not None, high is not None, "Quantity")


def to_ratio(value: Json | None) -> Ratio | None:
    """ToRatio(Ratio)."""
    if value is None:
        return None
    return Ratio(to_quantity(value.get("numerator")), to_quantity(value.get("denominator")))  # type: ignore[arg-type]  # CQL allows a missing side


def to_code(value: Json | None) -> Code | None:
    """ToCode(Coding)."""
    if value is None:
        return None
    return Code(value.get("code"), value.get("system"), value.get("version"), value.get("display"))


def to_concept(value: Json | None) -> Concept | None:
    """ToConcept(CodeableConcept)."""
    if value is None:
        return None
    return Concept(tuple([to_code(c) for c in value.get("coding", ())]), value.get("text"))  # type: ignore[misc]  # no null in coding


def to_value_set(uri: str | None) -> ValueSet | None:
    """ToValueSet(uri)."""
    return None if uri is None else ValueSet(uri)


# --- membership of codes without building Code and Concept first


def concept_in(value: Json | None, codes: frozenset[tuple[str | None, str | None]]) -> bool:
    """Tell whether a CodeableConcept has one of the codes; false for null (CQL reference, "In (Valueset)")."""
    if value is None:
        return False
    for coding in value.get("coding", ()):  # noqa: SIM110 - a generator for each costs more
        if (coding.get("system"), coding.get("code")) in codes:
            return True
    return False


def coding_in(value: Json | None, codes: frozenset[tuple[str | None, str | None]]) -> bool:
    """Tell whether a Coding is one of the codes; false for null."""
    return value is not None and (value.get("system"), value.get("code")) in codes


# --- functions that FHIRHelpers declares external


def extensions(state: Any, element: Any, url: str | None) -> list[Json] | None:
    """Return the extensions of an element with a URL."""
    return _with_url(element, "extension", url)


def extension(state: Any, element: Any, url: str | None) -> Json | None:
    """Return the extension of an element with a URL; raises ValueError when there are several."""
    return _only(extensions(state, element, url))


def modifier_extensions(state: Any, element: Any, url: str | None) -> list[Json] | None:
    """Return the modifier extensions of an element with a URL."""
    return _with_url(element, "modifierExtension", url)


def modifier_extension(state: Any, element: Any, url: str | None) -> Json | None:
    """Return the modifier extension of an element with a URL; raises ValueError when there are several."""
    return _only(modifier_extensions(state, element, url))


def _with_url(element: Any, name: str, url: str | None) -> list[Json] | None:
    raw = element.value if isinstance(element, Typed) else element
    if not isinstance(raw, dict) or url is None:
        return None
    return [each for each in raw.get(name, ()) if each.get("url") == url]


def _only(found: list[Json] | None) -> Json | None:
    if found and len(found) > 1:
        raise ValueError("there is more than one extension with this URL")
    return found[0] if found else None


def has_value(state: Any, element: Any) -> bool:
    """Return whether a primitive has a value."""
    raw = element.value if isinstance(element, Typed) else element
    return raw is not None and not isinstance(raw, dict | list)


def get_value(state: Any, element: Any) -> Any:
    """Return the CQL value of a primitive."""
    if isinstance(element, Typed):
        return primitive(state, element.type_name, element.value) if primitive_of(element.type_name) else None
    return None if isinstance(element, dict | list) else element


def reference(state: Any, target: Any) -> Json | None:
    """Return a Reference: to a resource, from text, or the one given."""
    if isinstance(target, str):
        return {"reference": target}
    if isinstance(target, dict) and "resourceType" in target:
        return {"reference": f"{target['resourceType']}/{target.get('id')}"}
    return target if isinstance(target, dict) else None


def resolve(state: Any, target: Any) -> Json | None:
    """Return the resource that a reference points to among those of the patient, null when it is not there."""
    text = target.get("reference") if isinstance(target, dict) else target
    if not isinstance(text, str):
        return None
    wanted = tuple(text.rstrip("/").split("/")[-2:])
    return next((r for r in state.resources if (r.get("resourceType"), r.get("id")) == wanted), None)
