"""What the caller of an evaluation gives, as CQL values: its time and the parameters of the libraries."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

from fhir_cds.cql.runtime.interval import Interval
from fhir_cds.cql.runtime.numbers import Long
from fhir_cds.cql.runtime.precision import MILLISECOND, SECOND
from fhir_cds.cql.runtime.quantity import Quantity
from fhir_cds.cql.runtime.temporal import DateTime
from fhir_cds.cql.runtime.temporal_text import parse_date, parse_datetime, parse_time
from fhir_cds.cql.typesys import IntervalOf, ListOf, Named, Type
from fhir_cds.errors import InputError


def instant(now: str | DateTime) -> DateTime:
    """Return the evaluation time; text must be a full date and time with its offset, or a date (midnight UTC)."""
    if isinstance(now, DateTime):
        return now
    text = f"{now}T00:00:00.000+00:00" if len(now) == 10 else now
    found = parse_datetime(text, 0)
    if found is None or found.precision < SECOND:
        raise InputError("the evaluation time must be a date or a date and time with its offset", where="now")
    return found if found.precision == MILLISECOND else DateTime.at(found.lo, found.offset) or found


_TEXT: Final[dict[str, Any]] = {
    "System.Date": lambda text, offset: parse_date(text),
    "System.DateTime": parse_datetime,
    "System.Time": lambda text, offset: parse_time(text),
}


def parameter_value(value: Any, kind: Type | None, key: tuple[str, str], offset: int) -> Any:
    """Return a given parameter as a CQL value of its declared type; plain JSON and Python values are understood."""
    converted = _converted(value, kind, offset)
    if converted is None and value is not None:
        raise InputError(f"the parameter must be of type {kind}", where=".".join(key))
    return converted


def _converted(value: Any, kind: Type | None, offset: int) -> Any:
    if isinstance(kind, ListOf):
        return [_converted(item, kind.item, offset) for item in value] if isinstance(value, list | tuple) else None
    if isinstance(kind, IntervalOf):
        return _interval(value, kind, offset)
    name = kind.name if isinstance(kind, Named) else ""
    if isinstance(value, date | datetime):
        value = value.isoformat()
    if name in _TEXT and isinstance(value, str):
        return _TEXT[name](value, offset)
    if name == "System.Decimal" and isinstance(value, int | float) and not isinstance(value, bool):
        return Decimal(str(value))
    if name == "System.Long" and type(value) is int:
        return Long(value)
    if name == "System.Quantity" and isinstance(value, Mapping):
        return Quantity(Decimal(str(value.get("value"))), str(value.get("unit") or value.get("code") or "1"))
    return value


def _interval(value: Any, kind: IntervalOf, offset: int) -> Any:
    if not isinstance(value, Mapping):
        return value if isinstance(value, Interval) else None
    point = kind.point.name.removeprefix("System.") if isinstance(kind.point, Named) else None
    first, last = value.get("low", value.get("start")), value.get("high", value.get("end"))  # or a FHIR Period
    low, high = (_converted(bound, kind.point, offset) for bound in (first, last))
    if (low is None and first is not None) or (high is None and last is not None):
        return None
    return Interval(low, high, value.get("lowClosed") is not False, value.get("highClosed") is not False, point)
