"""CQL values as FHIR elements (apply.md DV-05; CQL 1.5 appendix, "Mapping CQL to FHIR")."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple

from fhir_cds.cql.runtime.clinical import Code, Concept
from fhir_cds.cql.runtime.interval import Interval
from fhir_cds.cql.runtime.quantity import CALENDAR, Quantity, Ratio
from fhir_cds.cql.runtime.temporal import Date, DateTime, Time
from fhir_cds.errors import ContentError

UCUM: Final = "http://unitsofmeasure.org"
_CODE_ELEMENTS: Final = frozenset({"priority", "status", "intent", "use", "kind", "valueCode", "language"})
_CODING_ELEMENTS: Final = frozenset({"coding", "valueCoding", "class", "tag", "security"})


class Element(NamedTuple):
    """A FHIR value with its type (`dateTime`, `CodeableConcept`); None where the value does not tell."""

    type: str | None
    value: Any


def element(value: Any, target: str = "") -> Element:
    """Return a CQL value as FHIR for an element named `target`: codes become code, Coding or CodeableConcept by it.

    Raises ContentError for a value that no FHIR element can hold.
    """
    if isinstance(value, list):
        return _listed([element(item, target) for item in value if item is not None])
    if isinstance(value, Code | Concept):
        return _coded(value, target)
    for kinds, name, convert in _SIMPLE:
        if isinstance(value, kinds):
            return Element(name, convert(value))
    if isinstance(value, Interval):
        return _interval(value)
    if isinstance(value, Mapping):
        return _mapping(value)
    typed = getattr(value, "type_name", None)
    if typed is not None:
        return Element(str(typed).rpartition(".")[2], value.value)
    raise ContentError(f"a value of type {type(value).__name__} has no place in a FHIR element")


def _listed(items: list[Element]) -> Element:
    return Element(items[0].type if items else None, [item.value for item in items])


def _coded(value: Code | Concept, target: str) -> Element:
    codes = (value,) if isinstance(value, Code) else value.codes
    if target in _CODE_ELEMENTS:
        return Element("code", codes[0].code if codes else None)
    if target in _CODING_ELEMENTS:
        return Element("Coding", coding(codes[0]))
    concept: dict[str, Any] = {"coding": [coding(code) for code in codes]}
    if isinstance(value, Concept) and value.display:
        concept["text"] = value.display
    return Element("CodeableConcept", concept)


def coding(code: Code) -> dict[str, Any]:
    """Return a code as a Coding."""
    parts = {"system": code.system, "version": code.version, "code": code.code, "display": code.display}
    return {key: value for key, value in parts.items() if value is not None}


def quantity(value: Quantity) -> dict[str, Any]:
    """Return a quantity as a FHIR Quantity; calendar words become the UCUM code of the same name."""
    if value.unit in {"1", ""}:
        return {"value": value.value}
    return {"value": value.value, "unit": value.unit, "system": UCUM, "code": CALENDAR.get(value.unit, value.unit)}


def date_time(value: DateTime) -> str:
    """Return a FHIR dateTime: FHIR has no time without seconds, so missing ones are zero."""
    text = str(value)
    day, mark, time = text.partition("T")
    if not mark:
        return day
    sign = max(time.rfind("+"), time.rfind("-"))
    clock, zone = time[:sign], time[sign:]
    return f"{day}T{clock}{':00' * (2 - clock.count(':'))}{zone}"


def _time(value: Time) -> str:
    text = str(value)
    return f"{text}{':00' * (2 - text.count(':'))}"


def _interval(value: Interval) -> Element:
    bounds = {"start": value.low, "end": value.high}
    if any(isinstance(bound, Date | DateTime) for bound in bounds.values()):
        period = {key: element(bound).value for key, bound in bounds.items() if bound is not None}
        return Element("Period", period)
    named = {"low": value.low, "high": value.high}
    range_ = {key: _amount(bound) for key, bound in named.items() if bound is not None}
    if not range_:
        raise ContentError("an interval without bounds has no place in a FHIR element")
    return Element("Range", range_)


def _amount(bound: Any) -> dict[str, Any]:
    if isinstance(bound, Quantity):
        return quantity(bound)
    if isinstance(bound, int | Decimal):
        return {"value": bound}
    raise ContentError(f"an interval of {type(bound).__name__} has no place in a FHIR element")


def _mapping(value: Mapping[str, Any]) -> Element:
    if "resourceType" in value:
        return Element("Reference", {"reference": f"{value['resourceType']}/{value.get('id', '')}"})
    parts = {key: element(item, key).value for key, item in value.items() if item is not None}
    return Element(None, parts)


def _ratio(value: Ratio) -> dict[str, Any]:
    return {"numerator": quantity(value.numerator), "denominator": quantity(value.denominator)}


_SIMPLE: Final[tuple[tuple[Any, str, Any], ...]] = (
    (bool, "boolean", bool),
    (str, "string", str),
    (int, "integer", int),
    (Decimal, "decimal", lambda value: value),
    (Date, "date", str),
    (DateTime, "dateTime", date_time),
    (Time, "time", _time),
    (Quantity, "Quantity", quantity),
    (Ratio, "Ratio", _ratio),
)
