"""The rule that turns phases and an anchor into due windows (docs/adr/0010).

Phases count from the anchor. Visit k of a phase: earliest = phase start + k x shorter interval, latest = earliest +
(longer - shorter). A completed visit re-anchors what follows: [done + shorter, done + longer]. The interval in force is
that of the phase in which it begins. A phase of one number has a window of one day; its stated tolerance widens, on
both sides, when a visit counts as due and which examination completes it, never the dates shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import zip_longest
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from fhir_cds.fhir.dates import DateRange
from fhir_cds.reasoning.steps import NO_TIME, Step

COMPLETED: Final = "completed"
BOOKED: Final = "booked"
DUE: Final = "due"
OVERDUE: Final = "overdue"
SCHEDULED: Final = "scheduled"


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase of a schedule: from `start` to `end` (None = open) after the anchor, every `shorter` to `longer`."""

    label: str
    start: Step
    end: Step | None
    shorter: Step
    longer: Step
    activities: tuple[str, ...] = ()

    @property
    def width(self) -> Step:
        """How long the window of a visit is open."""
        return self.longer - self.shorter


class Event(Struct, frozen=True):
    """An examination or scan that was done or is booked: its day (or days, when imprecise) and the resource behind."""

    days: DateRange
    resource: str | None = None


class Slot(Struct, frozen=True):
    """A visit of the schedule: its window, its status as of now, what completed it or is booked for it."""

    number: int
    phase: Phase
    earliest: date
    latest: date
    status: str = SCHEDULED
    done: date | None = None
    event: Event | None = None


class _At(Struct, frozen=True):
    """Where planning stands: `elapsed` after `origin`, in phase number `index`; `nominal` = counted from the anchor."""

    origin: DateRange
    elapsed: Step
    index: int
    nominal: bool


def visits(
    phases: Sequence[Phase],
    anchor: DateRange,
    events: Sequence[Event],
    now: date,
    *,
    booked: Sequence[Event] = (),
    tolerance: Step = NO_TIME,
    end: date | None = None,
    horizon: Step,
) -> tuple[Slot, ...]:
    """Return the visits in order, with their status as of `now`.

    `phases` in order of time, each with a positive interval; `events` need no order, those after `now` do not count,
    nor what was `booked` for a day before. `end` ends the surveillance: a window still open then is dropped. An open
    phase is planned up to `horizon` after the anchor, and always up to the first visit after `now`.
    """
    until = max(horizon.after(anchor.latest), now)
    past = sorted((e for e in events if e.days.earliest <= min(now, end or now)), key=_order)
    planned: list[Slot] = []
    following = _next(phases, anchor, _At(anchor, phases[0].start, 0, nominal=True), None)
    while following is not None:
        slot, at = following
        following = _next(phases, anchor, at, slot)
        slot = _completed(slot, _opens(following[0], tolerance) if following else None, past, tolerance)
        if slot.done is not None:
            past = [event for event in past if event.days.earliest > slot.done]
            following = _next(
                phases, anchor, _At(DateRange(slot.done, slot.done), NO_TIME, at.index, nominal=False), slot
            )
        planned.append(slot)
        if slot.earliest > until:
            break
    if len(planned) > 1 and planned[-1].earliest > until and planned[-2].earliest > now:
        planned.pop()  # beyond the horizon, and not needed to show what comes next
    dated = [replace(slot, status=_status(slot, now, tolerance)) for slot in planned]
    ahead = sorted((event for event in booked if event.days.latest >= now), key=_order)
    return tuple(
        s
        for s in _booked(dated, ahead, tolerance)
        if end is None or s.status == COMPLETED or _closes(s, tolerance) < end
    )


def _next(phases: Sequence[Phase], anchor: DateRange, at: _At, last: Slot | None) -> tuple[Slot, _At] | None:
    """Return the window after `last`, as planned before anything is known of what was done; None after the last phase.

    Where a new phase begins inside the last window of the one before, its visits start behind that window.
    """
    floor = (at.elapsed + last.phase.width if last and last.done is None else at.elapsed).after(at.origin.earliest)
    while (entered := _enter(phases, anchor, at)) is not None:
        phase = phases[entered.index]
        earliest = (entered.elapsed + phase.shorter).after(entered.origin.earliest)
        latest = (entered.elapsed + phase.longer).after(entered.origin.latest)
        at = replace(entered, elapsed=entered.elapsed + phase.shorter)
        if last is None or last.phase is phase or earliest > floor:
            return Slot(last.number + 1 if last else 1, phase, earliest, latest), at
    return None


def _enter(phases: Sequence[Phase], anchor: DateRange, at: _At) -> _At | None:
    """Return `at` in the phase in which its next interval begins; None after the last phase.

    With an imprecise anchor the denser phase is kept as long as it can be in force.
    """
    index, at_day = at.index, at.elapsed.after(at.origin.earliest)
    while (closing := phases[index].end) is not None:
        if at_day < closing.after(anchor.earliest if at.nominal else anchor.latest):
            break
        index += 1
        if index == len(phases):
            return None
        start = phases[index].start
        if at.nominal or at_day < start.after(anchor.earliest):
            at = _At(anchor, start, index, nominal=True)
            at_day = start.after(anchor.earliest)
    return replace(at, index=index)


def _slack(slot: Slot, tolerance: Step) -> Step:
    return NO_TIME if slot.phase.width else tolerance


def _opens(slot: Slot, tolerance: Step) -> date:
    return _slack(slot, tolerance).before(slot.earliest)


def _closes(slot: Slot, tolerance: Step) -> date:
    return _slack(slot, tolerance).after(slot.latest)


def _completed(slot: Slot, next_opens: date | None, past: Sequence[Event], tolerance: Step) -> Slot:
    """Return `slot` completed by the first event that lies in its window, or after it and before the next opens.

    An imprecise event counts when one of its days does, and re-anchors from the first day that does: the sooner visit.
    """
    matching = _matching(slot, next_opens, past, tolerance)
    if not matching:
        return slot
    event = next((e for e in matching if e.days.is_exact), matching[0])
    return replace(slot, status=COMPLETED, done=max(event.days.earliest, _opens(slot, tolerance)), event=event)


def _matching(slot: Slot, next_opens: date | None, listed: Sequence[Event], tolerance: Step) -> list[Event]:
    """Return the events that lie in the window of `slot`, or after it and before the next opens."""
    opens, closes = _opens(slot, tolerance), _closes(slot, tolerance)
    return [
        event
        for event in listed
        if event.days.latest >= opens
        and (next_opens is None or event.days.earliest < next_opens or event.days.earliest <= closes)
    ]


def _booked(slots: Sequence[Slot], ahead: Sequence[Event], tolerance: Step) -> Iterator[Slot]:
    """Yield the slots; one that is not done yet is booked by the first event that would complete it."""
    for slot, following in zip_longest(slots, slots[1:]):
        matching = _matching(slot, _opens(following, tolerance) if following else None, ahead, tolerance)
        if slot.done is not None or not matching:
            yield slot
            continue
        yield replace(slot, status=BOOKED, event=matching[0])
        ahead = [event for event in ahead if event.days.earliest > matching[0].days.earliest]


def _status(slot: Slot, now: date, tolerance: Step) -> str:
    if slot.done is not None:
        return COMPLETED
    if now < _opens(slot, tolerance):
        return SCHEDULED
    return DUE if now <= _closes(slot, tolerance) else OVERDUE


def _order(event: Event) -> tuple[date, date, str]:
    return event.days.earliest, event.days.latest, event.resource or ""
