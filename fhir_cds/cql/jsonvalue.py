"""CQL values as JSON, for traces and answers."""

from __future__ import annotations

from typing import Any

from fhir_cds.cql.runtime.clinical import Code, CodeSystem, Concept, ValueSet
from fhir_cds.cql.runtime.interval import Interval
from fhir_cds.cql.runtime.quantity import Quantity, Ratio
from fhir_cds.cql.runtime.temporal import Date, DateTime, Time
from fhir_cds.cql.runtime.typed import Typed
from fhir_cds.cql.runtime.uncertainty import Uncertainty


def to_json(value: Any) -> Any:
    """Return a CQL value as JSON-able data; resources become references, dates ISO text, decimals stay Decimal."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, list):
        return [to_json(item) for item in value]
    if isinstance(value, dict):
        if "resourceType" in value:
            return {"reference": f"{value['resourceType']}/{value.get('id', '')}"}
        return {name: to_json(item) for name, item in value.items()}
    if isinstance(value, Date | DateTime | Time):
        return str(value)
    if isinstance(value, Typed):
        return to_json(value.value)
    return _structure(value)


def _structure(value: Any) -> Any:
    if isinstance(value, Quantity):
        return {"value": value.value, "unit": value.unit}
    if isinstance(value, Ratio):
        return {"numerator": to_json(value.numerator), "denominator": to_json(value.denominator)}
    if isinstance(value, Interval):
        bounds = {"low": to_json(value.low), "high": to_json(value.high)}
        return {**bounds, "lowClosed": value.low_closed, "highClosed": value.high_closed}
    if isinstance(value, Uncertainty):
        return {"low": value.low, "high": value.high, "lowClosed": True, "highClosed": True}
    if isinstance(value, Code):
        named = {"system": value.system, "version": value.version, "code": value.code, "display": value.display}
        return {key: text for key, text in named.items() if text is not None}
    if isinstance(value, Concept):
        concept: dict[str, Any] = {"codes": [to_json(code) for code in value.codes]}
        return concept if value.display is None else {**concept, "display": value.display}
    if isinstance(value, ValueSet | CodeSystem):
        return {"id": value.id}
    return value
