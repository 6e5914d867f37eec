"""The words of the card's frame, in one table. What is clinical comes from the content, never from here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

WHY: Final = "Why"
WHY_TOO: Final = "Why, besides the facts above"
MET: Final = "Met so far"
MET_TOO: Final = "Met so far, besides the facts above"
ABOVE: Final = "Facts that stand above."
MISSING: Final = "What is missing"
OPEN: Final = "Open questions (no consensus, not advice)"
BACKGROUND: Final = "Background"
EVIDENCE: Final = "Evidence"
DIFFER: Final = "Where the guidelines differ"
FAILED: Final = "Could not be evaluated"
INCOMPLETE: Final = "Data that could not be read"
SCHEDULE: Final = "Schedule"
ELSEWHERE: Final = "Offered on another card"
ON_CARD: Final = "{order}: on the card “{summary}”"

FACT: Final = "Fact"
DECIDES: Final = "Would decide"
VISIT: Final = "Visit"
PHASE: Final = "Phase"
WINDOW: Final = "Window"
STATUS: Final = "Status"
VISIT_RECORDS: Final = "Visit {number}: {records}"

RANGE: Final = "{} to {}"
FROM: Final = "from {}"
OF_DAY: Final = "{} ({})"
YES: Final = "yes"
NO: Final = "no"
NONE_FOUND: Final = "none"

LEVEL: Final = "level {}"
STRENGTH: Final = "strength {}"
NOT_GRADED: Final = "not graded"
VOTE: Final = "{percent} %, {yes} of {voters}"
RECOMMENDATION: Final = "recommendation {}"
ITEMS: Final = "{} items"
UNDECIDED: Final = "Not decided yet: {text}"
OTHERS: Final = "{text} (+{count} more)"
MISSING_SUMMARY: Final = "{subject}: cannot be decided yet, {count} missing"
UNDECIDED_SUMMARY: Final = "{subject}: cannot be decided from the record"
FAILED_SUMMARY: Final = "{subject}: could not be evaluated, no advice given"
OPEN_SUMMARY: Final = "{subject}: open question, no consensus"
MORE_SUMMARY: Final = "{count} further topics: {subjects}"
BETWEEN_SUBJECTS: Final = "; "
DUE_SUMMARY: Final = "{subject}: {status}, {window}"
FOLLOWS: Final = "This plan follows {own}. It differs from {others}: {text}"
CREATE: Final = "Create {kind}: {text}"
ASK: Final = "Ask for the missing facts ({count})"
ASKED: Final = "To fill in: {facts}"
ACCEPT_SCHEDULE: Final = "{text}: create the care plan with its orders"
APP_LINK: Final = "Open the details"

VISIT_STATUS: Final[Mapping[str, str]] = MappingProxyType(
    {"completed": "done", "due": "due now", "overdue": "overdue", "scheduled": "planned", "booked": "booked"}
)
"""How the status of a follow-up visit reads."""
