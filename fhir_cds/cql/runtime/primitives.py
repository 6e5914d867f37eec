"""FHIR primitives as CQL values; in the JSON of a record they are plain texts, numbers and booleans."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from fhir_cds.cql.modelinfo import primitive_of
from fhir_cds.cql.runtime.temporal import Date, DateTime, Time
from fhir_cds.cql.runtime.temporal_text import parse_date, parse_datetime, parse_time


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
