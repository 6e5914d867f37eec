"""The schedule rule: windows, statuses, re-anchoring, month-ends, imprecise dates (docs/adr/0010)."""

from __future__ import annotations

import itertools
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_cds.fhir.dates import DateRange, date_range
from fhir_cds.followup.rule import BOOKED, COMPLETED, DUE, OVERDUE, SCHEDULED, Event, Phase, Slot, visits
from fhir_cds.reasoning.steps import NO_TIME, Step

MONTH = Step(months=1)
PHASES = (
    Phase("one", Step(0), Step(24), Step(3), Step(4)),
    Phase("two", Step(24), Step(60), Step(6), Step(6)),
    Phase("three", Step(60), None, Step(12), Step(12)),
)
HORIZON = Step(months=120)


def on(text: str) -> DateRange:
    days = date_range(text)
    assert days is not None
    return days


def plan(
    anchor: str, now: str, *done: str, tolerance: Step = NO_TIME, end: str | None = None, phases=PHASES, horizon=HORIZON
) -> tuple[Slot, ...]:
    events = [Event(on(d), f"Procedure/{n}") for n, d in enumerate(done)]
    return visits(
        phases,
        on(anchor),
        events,
        date.fromisoformat(now),
        tolerance=tolerance,
        end=date.fromisoformat(end) if end else None,
        horizon=horizon,
    )


def window(slot: Slot) -> tuple[str, str]:
    return slot.earliest.isoformat(), slot.latest.isoformat()


def test_windows_of_the_three_phases() -> None:
    """[3,4], [6,7] … [24,25] months, then [30,30] … [60,60], then yearly, all counted from the anchor."""
    slots = plan("2024-01-15", "2024-01-15")
    months = [(s.earliest.year - 2024) * 12 + s.earliest.month - 1 for s in slots]
    assert months == [3, 6, 9, 12, 15, 18, 21, 24, 30, 36, 42, 48, 54, 60, 72, 84, 96, 108, 120]
    assert window(slots[0]) == ("2024-04-15", "2024-05-15")
    assert window(slots[7]) == ("2026-01-15", "2026-02-15")
    assert window(slots[8]) == ("2026-07-15", "2026-07-15")
    assert [s.number for s in slots] == list(range(1, 20))
    assert [s.phase.label for s in slots] == ["one"] * 8 + ["two"] * 6 + ["three"] * 5


@pytest.mark.parametrize(
    ("now", "status"),
    [
        ("2024-04-14", SCHEDULED),
        ("2024-04-15", DUE),
        ("2024-05-15", DUE),
        ("2024-05-16", OVERDUE),
    ],
)
def test_status_at_the_edges_of_a_window(now: str, status: str) -> None:
    """Both days of the window are inside it."""
    assert plan("2024-01-15", now)[0].status == status


def test_a_completed_visit_re_anchors_the_next() -> None:
    """Done on day d: the next is [d + 3, d + 4] months, and those after it follow on."""
    slots = plan("2024-01-15", "2024-06-01", "2024-05-02")
    assert (slots[0].status, slots[0].done) == (COMPLETED, date(2024, 5, 2))
    assert window(slots[1]) == ("2024-08-02", "2024-09-02")
    assert window(slots[2]) == ("2024-11-02", "2024-12-02")


def test_a_late_examination_completes_the_window_before_it() -> None:
    """After the window and before the next opens is still that visit."""
    slots = plan("2024-01-15", "2024-08-01", "2024-06-20")
    assert slots[0].status == COMPLETED
    assert window(slots[1])[0] == "2024-09-20"


def test_a_missed_visit_stays_overdue_when_a_later_one_is_done() -> None:
    """An examination completes the last window that opened before it, not the ones missed."""
    slots = plan("2024-01-15", "2024-08-01", "2024-07-20")
    assert [s.status for s in slots[:3]] == [OVERDUE, COMPLETED, SCHEDULED]
    assert window(slots[2]) == ("2024-10-20", "2024-11-20")


def test_an_examination_before_the_first_window_completes_nothing() -> None:
    """Too early is not done."""
    slots = plan("2024-01-15", "2024-03-01", "2024-02-20")
    assert all(s.done is None for s in slots)


def test_an_examination_after_now_does_not_count() -> None:
    """What is dated in the future has not been done."""
    assert plan("2024-01-15", "2024-04-20", "2024-04-25")[0].status == DUE


def test_the_phase_of_an_interval_is_that_in_which_it_begins() -> None:
    """A visit done before month 24 is followed at the first phase's interval, one done after it at the second's."""
    early = plan("2024-01-15", "2026-01-20", "2025-12-10", horizon=Step(months=36))
    assert window(early[7]) == ("2026-03-10", "2026-04-10")
    late = plan("2024-01-15", "2026-02-20", "2026-01-20", horizon=Step(months=36))
    assert window(next(s for s in late if s.earliest > date(2026, 2, 20))) == ("2026-07-20", "2026-07-20")


def test_tolerance_widens_status_and_matching_of_one_number_phases_only() -> None:
    """± 1 month around [30, 30]; the [3, 4] windows keep their own width; the dates shown stay the guideline's."""
    assert plan("2024-01-15", "2024-04-10", tolerance=MONTH)[0].status == SCHEDULED
    before, inside, after = (
        next(s for s in plan("2024-01-15", now, tolerance=MONTH) if s.earliest == date(2026, 7, 15))
        for now in ("2026-06-14", "2026-08-15", "2026-08-16")
    )
    assert (before.status, inside.status, after.status) == (SCHEDULED, DUE, OVERDUE)
    assert inside.latest == date(2026, 7, 15)
    done = plan("2024-01-15", "2026-07-01", "2026-06-20", tolerance=MONTH)
    assert next(s for s in done if s.earliest == date(2026, 7, 15)).done == date(2026, 6, 20)


def test_month_end_is_counted_from_the_anchor() -> None:
    """31 August + 6 months is the last of February, + 9 months is 31 May again."""
    slots = plan("2023-08-31", "2023-09-01")
    assert [s.earliest.isoformat() for s in slots[:3]] == ["2023-11-30", "2024-02-29", "2024-05-31"]
    assert slots[0].latest == date(2023, 12, 31)


def test_leap_day_anchor() -> None:
    """29 February gives 28 February in other years and 29 again in leap years."""
    slots = plan("2024-02-29", "2024-03-01")
    by_year = {s.earliest.year: s.earliest for s in slots if s.earliest.month == 2}
    assert by_year[2025] == date(2025, 2, 28)
    assert by_year[2028] == date(2028, 2, 29)


def test_imprecise_anchor_is_a_range() -> None:
    """`2024-03`: the window opens as if 1 March, closes as if 31 March."""
    assert window(plan("2024-03", "2024-04-01")[0]) == ("2024-06-01", "2024-07-31")


def test_imprecise_examination_completes_once_and_re_anchors_from_its_first_day() -> None:
    """A year alone completes one visit, not every visit of that year."""
    slots = plan("2024-01-15", "2025-01-31", "2024")
    assert [s.status for s in slots].count(COMPLETED) == 1
    assert slots[0].done == date(2024, 4, 15)
    month = plan("2024-01-15", "2024-06-15", "2024-05")
    assert month[0].done == date(2024, 5, 1)


def test_an_exact_examination_goes_before_an_imprecise_one() -> None:
    """Of two that match, the one whose day is known counts."""
    assert plan("2024-01-15", "2024-06-15", "2024", "2024-05-03")[0].done == date(2024, 5, 3)


def test_surveillance_ends() -> None:
    """Windows still open at the end are dropped; what was done or missed before stays."""
    slots = plan("2024-01-15", "2025-01-31", "2024-04-20", end="2024-12-01")
    assert [s.status for s in slots] == [COMPLETED, OVERDUE, OVERDUE]


def test_the_horizon_always_shows_the_next_visit() -> None:
    """Fifteen years after, the next yearly visit is there, and no more than one."""
    slots = plan("2010-01-15", "2025-03-01")
    assert [s.earliest for s in slots if s.earliest > date(2025, 3, 1)] == [date(2026, 1, 15)]


def test_wide_interval_touching_windows() -> None:
    """Every 3 to 6 months: an examination on the day two windows share completes the first."""
    wide = (Phase("wide", Step(0), None, Step(3), Step(6)),)
    slots = plan("2024-01-15", "2024-08-01", "2024-07-15", phases=wide)
    assert slots[0].done == date(2024, 7, 15)
    assert window(slots[1]) == ("2024-10-15", "2025-01-15")


def test_phase_that_its_interval_does_not_divide() -> None:
    """The next phase counts from its own start, and leaves no gap longer than an interval."""
    odd = (Phase("a", Step(0), Step(24), Step(5), Step(5)), Phase("b", Step(24), Step(40), Step(6), Step(6)))
    slots = plan("2024-01-01", "2024-01-01", phases=odd)
    assert [(s.earliest.year - 2024) * 12 + s.earliest.month - 1 for s in slots] == [5, 10, 15, 20, 25, 30, 36, 42]


DAYS = st.dates(date(1990, 1, 1), date(2060, 12, 31))


@given(anchor=DAYS, later=st.integers(0, 4000), gaps=st.lists(st.integers(20, 500), max_size=8))
def test_no_overlap_no_gap_monotone(anchor: date, later: int, gaps: list[int]) -> None:
    """Windows follow each other in time, none overlaps, and no two are further apart than the longest interval."""
    done, day = [], anchor
    for gap in gaps:
        day += timedelta(days=gap)
        done.append(Event(DateRange(day, day)))
    now = anchor + timedelta(days=later)
    slots = visits(PHASES, DateRange(anchor, anchor), done, now, tolerance=Step(days=14), horizon=HORIZON)
    assert slots[0].earliest == Step(3).after(anchor)
    for one, two in itertools.pairwise(slots):
        assert one.earliest <= one.latest < two.earliest
        start = one.done or one.earliest
        assert two.earliest > start
        assert two.earliest <= two.phase.shorter.after(start) + timedelta(days=3)
        assert two.number == one.number + 1
    assert slots == visits(PHASES, DateRange(anchor, anchor), done[::-1], now, tolerance=Step(days=14), horizon=HORIZON)


@given(anchor=DAYS, now=DAYS)
def test_every_day_has_one_answer(anchor: date, now: date) -> None:
    """Statuses run overdue, due, scheduled in time, with at most one visit due when nothing was done."""
    slots = visits(PHASES, DateRange(anchor, anchor), (), now, tolerance=Step(days=14), horizon=HORIZON)
    rank = {OVERDUE: 0, DUE: 1, SCHEDULED: 2}
    ranks = [rank[s.status] for s in slots]
    assert ranks == sorted(ranks)
    assert ranks.count(1) <= 1


@given(anchor=DAYS, months=st.integers(0, 400))
def test_adding_months_lands_in_the_month_meant(anchor: date, months: int) -> None:
    """Never in the month after, and on the same day where the month has it."""
    day = Step(months).after(anchor)
    assert (day.year * 12 + day.month) - (anchor.year * 12 + anchor.month) == months
    assert day.day == anchor.day or (day + timedelta(days=1)).day == 1


def booked(now: str, *days: str, done: tuple[str, ...] = ()) -> list[tuple[int, str]]:
    """Return number and status of the first four visits of a schedule counted from 2024-01-15."""
    slots = visits(
        PHASES,
        on("2024-01-15"),
        [Event(on(day)) for day in done],
        date.fromisoformat(now),
        booked=[Event(on(day), f"Appointment/{day}") for day in days],
        horizon=HORIZON,
    )
    return [(slot.number, slot.status) for slot in slots[:4]]


def test_a_booking_belongs_to_the_visit_that_it_would_complete() -> None:
    """In a window, or after a missed one before the next opens; not before the first window, and not twice."""
    rest = [(2, SCHEDULED), (3, SCHEDULED), (4, SCHEDULED)]
    assert booked("2024-03-01", "2024-04-20") == [(1, BOOKED), *rest]
    assert booked("2024-06-01", "2024-06-10") == [(1, BOOKED), *rest]
    assert booked("2024-06-01", "2024-07-20") == [(1, OVERDUE), (2, BOOKED), *rest[1:]]
    assert booked("2024-03-01", "2024-04-14") == [(1, SCHEDULED), *rest]
    assert booked("2024-03-01", "2024-04-20", "2024-04-25") == [(1, BOOKED), *rest]
    assert booked("2024-03-01", "2024-07-20", "2024-04-20") == [(1, BOOKED), (2, BOOKED), *rest[1:]]


def test_a_booking_that_has_passed_is_none() -> None:
    """On the day itself it still counts; the day after, without an examination, it does not."""
    assert booked("2024-04-20", "2024-04-20")[0] == (1, BOOKED)
    assert booked("2024-04-21", "2024-04-20")[0] == (1, DUE)


def test_a_visit_that_is_done_is_not_booked() -> None:
    """A booking before the window of the next visit opens, when the last one is done, is an extra."""
    assert booked("2024-05-01", "2024-05-10", done=("2024-04-20",))[:2] == [(1, COMPLETED), (2, SCHEDULED)]
