"""Interval values and their boundaries (CQL specification, "Interval Values"; reference, "Start", "End", "Interval").

A missing closed bound is the limit of the point type; a missing open bound is unknown: some point between the limit and
the other bound. So a boundary is a pair of points, the least and the greatest it can be, equal when it is known.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from fhir_cds.cql.runtime.points import MAXIMUM, MINIMUM, predecessor, successor
from fhir_cds.cql.runtime.quantity import Quantity


class Interval(Struct, frozen=True):
    """The points between `low` and `high`; `point_type` names their type ("Integer" … "Time"), None when unknown.

    Python equality is structural; CQL equality is `equality.equal`.
    """

    low: Any
    high: Any
    low_closed: bool = True
    high_closed: bool = True
    point_type: str | None = None


# The least and the greatest point that a boundary can be; both None when nothing is known.
Span = tuple[Any, Any]


def plain_type(name: str | None) -> str | None:
    """Return a type name without model: `{urn:hl7-org:elm-types:r1}Integer` and `System.Integer` are `Integer`."""
    return None if name is None else name.rpartition("}")[2].rpartition(".")[2]


def limit(interval: Interval, *, high: bool) -> Any:
    """Return the greatest or least point of the interval's type, in the unit of its other bound; None if unknown."""
    other = interval.low if high else interval.high
    name = type(other).__name__ if interval.point_type is None else plain_type(interval.point_type)
    point = (MAXIMUM if high else MINIMUM).get("Integer" if name == "int" else name or "")
    if isinstance(point, Quantity) and isinstance(other, Quantity):
        return replace(point, unit=other.unit)
    return point


def start(interval: Interval) -> Any:
    """Return the starting point: None when unknown (CQL reference, "Start")."""
    if interval.low is None:
        return limit(interval, high=False) if interval.low_closed else None
    return interval.low if interval.low_closed else successor(interval.low)


def end(interval: Interval) -> Any:
    """Return the ending point: None when unknown (CQL reference, "End")."""
    if interval.high is None:
        return limit(interval, high=True) if interval.high_closed else None
    return interval.high if interval.high_closed else predecessor(interval.high)


def start_span(value: Any) -> Span:
    """Return what the start of an interval can be; a point is its own start."""
    if not isinstance(value, Interval):
        return value, value
    if value.low is None and not value.low_closed:
        return limit(value, high=False), end(value) if value.high is not None else limit(value, high=True)
    point = start(value)
    return point, point


def end_span(value: Any) -> Span:
    """Return what the end of an interval can be; a point is its own end."""
    if not isinstance(value, Interval):
        return value, value
    if value.high is None and not value.high_closed:
        return start(value) if value.low is not None else limit(value, high=False), limit(value, high=True)
    point = end(value)
    return point, point
