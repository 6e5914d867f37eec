"""Which visits a card still talks about."""

from __future__ import annotations

from datetime import date

from msgspec.structs import replace

from fhir_cds.cards.visits import current, pressing, window
from fhir_cds.reasoning.outcome import Visit


def visit(number: int, status: str, source: str = "a") -> Visit:
    """Return a visit of 2026, one a month."""
    return Visit(number, "phase", date(2026, number, 1), date(2026, number, 20), status, (), source)


def numbers(*visits: Visit) -> list[int]:
    """Return the numbers of the visits that are kept."""
    return [kept.number for kept in current(visits)]


def test_only_the_last_missed_window_is_kept() -> None:
    """One visit now makes good for all that were missed."""
    assert numbers(visit(1, "overdue"), visit(2, "overdue"), visit(3, "scheduled")) == [2, 3]


def test_an_ended_schedule_has_nothing_overdue() -> None:
    """Where no visit lies ahead, what was missed is history; what was done stays."""
    assert numbers(visit(1, "completed"), visit(2, "overdue")) == [1]


def test_a_booked_visit_makes_good_for_those_missed() -> None:
    """What was missed is not held against a patient whose next visit is booked; a booking further on leaves it."""
    assert numbers(visit(1, "overdue"), visit(2, "booked"), visit(3, "scheduled")) == [2, 3]
    assert numbers(visit(1, "overdue"), visit(2, "scheduled"), visit(3, "booked")) == [1, 2, 3]
    assert numbers(visit(1, "overdue"), visit(2, "due"), visit(3, "booked")) == [1, 2, 3]


def test_sources_are_judged_apart() -> None:
    """One guideline's ended schedule does not hide another's missed visit."""
    assert numbers(visit(1, "overdue", "b"), visit(2, "overdue"), visit(3, "due")) == [2, 3]


def test_the_most_pressing_visit() -> None:
    """Overdue before due before booked before scheduled; none when all are done."""
    visits = [(number, visit(number, status)) for number, status in enumerate(("scheduled", "due", "overdue"), 1)]
    assert pressing(visits) == visits[2]
    assert pressing([("a", visit(1, "due")), ("b", visit(2, "due"))]) == ("a", visit(1, "due"))
    assert pressing([("a", visit(1, "completed"))]) is None
    booked = visit(1, "booked")
    assert pressing([("a", visit(2, "scheduled")), ("a", booked)]) == ("a", booked)
    assert pressing([("a", booked), ("a", visit(2, "due"))]) == ("a", visit(2, "due"))


def test_a_window_of_one_day_is_one_day() -> None:
    """A range is shown only where there is one; of a booked visit the day."""
    assert window(replace(visit(1, "booked"), booked=date(2026, 1, 7))) == "2026-01-07"
    assert window(visit(1, "due")) == "2026-01-01 to 2026-01-20"
    assert window(replace(visit(1, "due"), latest=date(2026, 1, 1))) == "2026-01-01"
