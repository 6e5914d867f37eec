"""What was done, as events on days, and which of it belongs to which visit."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, Final

from fhir_cds.errors import ContentError
from fhir_cds.fhir.dates import DateRange, date_range
from fhir_cds.followup.rule import Event, Slot
from fhir_cds.reasoning.expressions import Define
from fhir_cds.reasoning.outcome import Json
from fhir_cds.reasoning.session import Session

# Where a resource says when it was done, in the order looked at (R4: Procedure, Observation, DiagnosticReport,
# ImagingStudy, Encounter, Immunization, MedicationAdministration; Appointment when it is to be).
_DATES: Final = (
    "performedDateTime",
    "performedPeriod",
    "effectiveDateTime",
    "effectivePeriod",
    "effectiveInstant",
    "started",
    "start",
    "period",
    "occurrenceDateTime",
    "date",
    "issued",
)


def range_of(value: Any) -> DateRange | None:
    """Return the days that a CQL Date, DateTime, an ISO text or a resource stands for; None for null.

    Raises ContentError for anything else.
    """
    if value is None:
        return None
    if isinstance(value, dict):
        return resource_range(value)
    days = date_range(str(value))
    if days is None:
        raise ContentError(f"a date is expected, not {type(value).__name__}")
    return days


def resource_range(resource: Json) -> DateRange | None:
    """Return the days on which a resource says that it was done; of a period its start, else its end."""
    for name in _DATES:
        value = resource.get(name)
        text = (value.get("start") or value.get("end")) if isinstance(value, dict) else value
        days = date_range(text)
        if days is not None:
            return days
    return None


def events(session: Session, meaning: object, values: Any) -> tuple[Event, ...]:
    """Return the events that a schedule-performed or schedule-booked expression gave: dates, or dated resources.

    A date gets the resource behind the expression that is dated so. Raises ContentError for a value that is no date.
    """
    listed = values if isinstance(values, list) else [] if values is None else [values]
    behind = _behind(session, meaning)
    found: list[Event] = []
    for value in listed:
        days = range_of(value)
        if days is None:
            continue
        if isinstance(value, dict):
            found.append(Event(days, f"{value['resourceType']}/{value.get('id')}"))
        else:
            found += [Event(days, reference) for reference in behind.get(days, ())] or [Event(days)]
    return tuple(dict.fromkeys(found))


def resources_of(slot: Slot, following: date | None, done: Sequence[Event]) -> tuple[str, ...]:
    """Return the resources that belong to a visit: what is booked, or what was done before the next window opens."""
    if slot.done is None:
        return (slot.event.resource,) if slot.event and slot.event.resource else ()
    belonging = [
        event.resource
        for event in done
        if event.resource and event.days.latest >= slot.done and (following is None or event.days.earliest < following)
    ]
    return tuple(sorted(dict.fromkeys(belonging)))


def _behind(session: Session, meaning: object) -> dict[DateRange, tuple[str, ...]]:
    """Return the resources behind a define by the days they are dated."""
    if not isinstance(meaning, Define):
        return {}
    found: dict[DateRange, tuple[str, ...]] = {}
    for reference in session.evaluation.resources(meaning.library, meaning.name):
        days = resource_range(session.resource(reference) or {})
        if days is not None:
            found[days] = (*found.get(days, ()), reference)
    return found
