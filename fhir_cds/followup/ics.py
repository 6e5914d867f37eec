"""A schedule as iCalendar (RFC 5545): one all-day event per visit, from the earliest to the latest day.

A booked visit stands on its day. UIDs follow from source, patient and number of the visit, so a calendar updates its
events when it reads the file again. Completed visits are left out. No patient name or id is written: a calendar is not
a record.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from fhir_cds.fhir import ids
from fhir_cds.followup import rule
from fhir_cds.followup.schedule import Schedule
from fhir_cds.reasoning import plans
from fhir_cds.reasoning.outcome import Visit

PRODUCT: Final = "-//fhir-cds//follow-up//EN"
LINE_OCTETS: Final = 75
_ESCAPES: Final = str.maketrans({"\\": "\\\\", ";": "\\;", ",": "\\,", "\n": "\\n", "\r": ""})


def calendar(schedules: Iterable[Schedule]) -> str:
    """Return the visits of the schedules that are not completed as one calendar, CRLF lines folded at 75 octets."""
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", f"PRODID:{PRODUCT}", "CALSCALE:GREGORIAN", "METHOD:PUBLISH"]
    for schedule in schedules:
        for visit in schedule.visits:
            if visit.status != rule.COMPLETED:
                lines += _event(schedule, visit)
    lines.append("END:VCALENDAR")
    return "".join(f"{folded}\r\n" for line in lines for folded in fold(line))


def escape(text: str) -> str:
    """Return text as an iCalendar TEXT value (RFC 5545 §3.3.11)."""
    return text.translate(_ESCAPES)


def fold(line: str) -> Iterator[str]:
    """Yield a content line in parts of at most 75 octets, continuations begun with a space; no character is split."""
    part, size = "", 0
    for character in line:
        octets = len(character.encode())
        if size + octets > LINE_OCTETS:
            yield part
            part, size = " ", 1
        part += character
        size += octets
    yield part


def _event(schedule: Schedule, visit: Visit) -> Iterator[str]:
    applied = schedule.applied
    stamp = datetime.fromisoformat(applied.now).astimezone(UTC)
    uid = ids.stable_uuid("visit", plans.canonical(applied.plan), applied.subject, str(visit.number))
    title = str(schedule.action.values.get("title") or applied.plan.get("title") or schedule.source)
    body = "\n".join((f"{visit.phase} ({visit.status})", *visit.activities, schedule.source))
    yield "BEGIN:VEVENT"
    yield f"UID:{uid}"
    yield f"DTSTAMP:{stamp:%Y%m%dT%H%M%SZ}"
    yield f"DTSTART;VALUE=DATE:{visit.booked or visit.earliest:%Y%m%d}"
    yield f"DTEND;VALUE=DATE:{(visit.booked or visit.latest) + timedelta(days=1):%Y%m%d}"
    yield f"SUMMARY:{escape(title)}"
    yield f"DESCRIPTION:{escape(body)}"
    yield f"CATEGORIES:{escape(visit.status)}"
    yield "TRANSP:TRANSPARENT"
    yield "END:VEVENT"
