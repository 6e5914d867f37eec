"""Which visits of a follow-up schedule are still worth a clinician's time on a card."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, TypeVar

from fhir_cds.cards import words
from fhir_cds.reasoning.outcome import Visit, wanted_now

_Of = TypeVar("_Of")

OPEN: Final = ("overdue", "due", "booked", "scheduled")
"""Statuses of visits not yet done, the most pressing first."""


def current(visits: Sequence[Visit]) -> tuple[Visit, ...]:
    """Return done visits and, source by source, what can still be acted on, in the order given.

    Of windows that passed without an examination only the last is kept: one visit now makes good for all of them, and
    none where that visit is booked. Where no visit lies ahead the schedule has ended (recurrence, palliative care,
    death), and what was missed is history.
    """
    kept: set[int] = set()
    for source in dict.fromkeys(visit.source for visit in visits):
        own = [visit for visit in visits if visit.source == source]
        missed = [visit for visit in own if visit.status == "overdue"]
        ended = not any(visit.status in OPEN and visit.status != "overdue" for visit in own)
        kept |= {id(visit) for visit in own if visit.status != "overdue"}
        kept |= {id(visit) for visit in missed[-1:] if not ended and wanted_now(own) is not None}
    return tuple(visit for visit in visits if id(visit) in kept)


def pressing(visits: Iterable[tuple[_Of, Visit]]) -> tuple[_Of, Visit] | None:
    """Return the visit to talk about, with what it is of: overdue, else due, else the next one; None when all are done.

    Among equals the first one given.
    """
    found = [(owner, visit) for owner, visit in visits if visit.status in OPEN]
    return min(found, key=lambda pair: OPEN.index(pair[1].status), default=None)


def window(visit: Visit) -> str:
    """Return when a visit should take place: a range of days, or the one day; for one that is booked, when it will."""
    if visit.booked is not None:
        return visit.booked.isoformat()
    if visit.earliest == visit.latest:
        return visit.earliest.isoformat()
    return words.RANGE.format(visit.earliest, visit.latest)
