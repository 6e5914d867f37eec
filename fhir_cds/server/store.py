"""The durable store of answers and feedback: ids, times, uuids, recommendation numbers, outcomes; no patient data.

The patient appears only as a keyed hash, a clinician's free comment only as "there was one". An answer is one row, its
cards JSON in it. Feedback is idempotent: an item sent twice is one row. Nothing is acknowledged before it is committed
(SQLite: WAL journal, synced), nor when the file it went to was removed or replaced meanwhile.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError

from fhir_cds.cards.messages import FeedbackItem
from fhir_cds.fhir import codec
from fhir_cds.server.tables import FEEDBACK, META, RESPONSES, TOKENS, StoreError, file_of, opened


class CardRow(msgspec.Struct, frozen=True):
    """What is kept of one card: its uuid, urgency, suggestions and the recommendations in it.

    `elsewhere` are the suggestions of other cards that hold an order which this one asks for too.
    """

    uuid: str
    indicator: str
    suggestions: tuple[str, ...]
    recommendations: tuple[str, ...]
    elsewhere: tuple[str, ...] = ()


class Answer(msgspec.Struct, frozen=True):
    """What is kept of one answer of a service."""

    id: str
    at: datetime
    service: str
    hook: str
    issuer: str
    patient: str
    milliseconds: int
    cards: tuple[CardRow, ...]


@dataclass(frozen=True, slots=True)
class Count:
    """What became of the cards that carried one recommendation; `reasons` are (system|code, times)."""

    recommendation: str
    shown: int
    accepted: int
    overridden: int
    reasons: tuple[tuple[str, int], ...] = ()

    @property
    def answered(self) -> int:
        """How many cards came back with feedback."""
        return self.accepted + self.overridden


@dataclass(frozen=True, slots=True)
class Month:
    """What became of the cards shown in one month (`2026-01`)."""

    month: str
    shown: int
    accepted: int
    overridden: int


class Store:
    """The store at a SQLAlchemy URL; its methods block and are called in a thread by the service."""

    def __init__(self, url: str) -> None:
        self._engine = opened(url)
        self._file = file_of(self._engine)
        dialect = postgresql if self._engine.dialect.name == "postgresql" else sqlite
        counted = {"preserve_rowcount": True}  # without it PostgreSQL does not say how many rows were new
        self._inserts = {
            table: dialect.insert(table).on_conflict_do_nothing().execution_options(**counted)
            for table in META.tables.values()
        }

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def ping(self) -> None:
        """Raise StoreError when the store does not take writes."""
        self._write(lambda connection: connection.execute(sa.delete(TOKENS).where(TOKENS.c.expires < 0)).rowcount)

    def keep(self, answers: Sequence[Answer]) -> None:
        """Keep answers, committed on return; one already there (same call again) stays as it is."""
        rows = [
            {
                "id": answer.id,
                "at": answer.at,
                "service": answer.service,
                "hook": answer.hook,
                "issuer": answer.issuer,
                "patient": answer.patient,
                "milliseconds": answer.milliseconds,
                "shown": codec.encode(answer.cards).decode(),
            }
            for answer in answers
        ]
        self._write(lambda connection: self._insert(connection, RESPONSES, rows))

    def feedback(self, service: str, issuer: str, items: Sequence[FeedbackItem], received: datetime) -> int:
        """Keep feedback, committed on return; give how many items were new."""
        rows = [_feedback_row(service, issuer, item, received) for item in items]
        return self._write(lambda connection: self._insert(connection, FEEDBACK, rows))

    def first_use(self, iss: str, jti: str, expires: float, now: float) -> bool:
        """Return whether a token id was not seen before by any worker, and remember it until it expires."""
        row = {"id": hashlib.sha256(f"{iss}\x1f{jti}".encode()).hexdigest(), "expires": expires}

        def work(connection: sa.Connection) -> int:
            connection.execute(sa.delete(TOKENS).where(TOKENS.c.expires <= now))
            return self._insert(connection, TOKENS, [row])

        return self._write(work) == 1

    def purge(self, before: datetime) -> int:
        """Delete what is older than an instant; give the number of rows."""
        columns = (RESPONSES.c.at, FEEDBACK.c.received)

        def delete(connection: sa.Connection) -> int:
            return sum(connection.execute(sa.delete(c.table).where(c < before)).rowcount for c in columns)

        return self._write(delete)

    def counts(self, since: datetime | None = None) -> list[Count]:
        """Return per recommendation how often it was shown, accepted, overridden and why, the most shown first.

        Of several feedback items on one card the last counts (an accept after a dismissal is an accept). An order that
        was accepted on another card counts here as well, unless this card was dismissed with a reason or comment.
        """
        shown, last = self._shown(since)
        found: dict[str, list[Any]] = {}
        for card, _ in shown.values():
            for recommendation in card["recommendations"]:
                found.setdefault(recommendation, []).append(last.get(card["uuid"]))
        counted = [_count(name, rows) for name, rows in found.items()]
        return sorted(counted, key=lambda count: (-count.shown, count.recommendation))

    def months(self, since: datetime | None = None) -> list[Month]:
        """Return what became of the cards by the month in which they were shown (UTC), the earliest first."""
        shown, last = self._shown(since)
        outcomes: dict[str, list[str]] = {}
        for uuid, (card, at) in shown.items():
            if card["recommendations"]:
                outcomes.setdefault(f"{at:%Y-%m}", []).append(last[uuid].outcome if uuid in last else "")
        return [
            Month(month, len(came), came.count("accepted"), came.count("overridden"))
            for month, came in sorted(outcomes.items())
        ]

    def _shown(self, since: datetime | None) -> tuple[dict[str, tuple[Any, datetime]], dict[str, Any]]:
        """Return the cards shown since an instant, each once with when it was first, and the last feedback by card."""
        start = since or datetime.now(UTC) - timedelta(days=36_500)
        said = [
            FEEDBACK.c[name] for name in ("card", "outcome", "suggestions", "reason_system", "reason_code", "commented")
        ]
        answers = sa.select(RESPONSES.c.shown, RESPONSES.c.at).where(RESPONSES.c.at >= start).order_by(RESPONSES.c.at)
        shown: dict[str, tuple[Any, datetime]] = {}
        with self._engine.connect() as connection:
            for answer in connection.execute(answers):
                for card in codec.decode(answer.shown):
                    shown.setdefault(card["uuid"], (card, answer.at))
            items = connection.execute(sa.select(*said).order_by(FEEDBACK.c.outcome_at, FEEDBACK.c.received)).all()
        return shown, _with_orders_elsewhere(shown, {row.card: row for row in items})

    def _insert(self, connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]) -> int:
        """Insert rows that are not there yet, in one statement; give how many were."""
        return connection.execute(self._inserts[table], rows).rowcount if rows else 0

    def _write(self, work: Callable[[sa.Connection], int]) -> int:
        """Do some work in one transaction; raises StoreError when it did not commit, or not to the store's file."""
        try:
            with self._engine.begin() as connection:
                result = work(connection)
        except SQLAlchemyError as error:
            told = f"the store did not take it: {type(error).__name__}"
            passing = isinstance(error, (OperationalError, InterfaceError))
            raise StoreError(told, where="store", passing=passing) from None
        if self._file is not None:
            self._file.check()
        return result


def _with_orders_elsewhere(shown: Mapping[str, tuple[Any, datetime]], last: dict[str, Any]) -> dict[str, Any]:
    """Return the last feedback by card, that of an accepted order also for the other cards that ask for it."""
    accepted = {
        suggestion: row for row in last.values() if row.outcome == "accepted" for suggestion in row.suggestions.split()
    }
    found = dict(last)
    for uuid, (card, _) in shown.items():
        own = last.get(uuid)
        if own is None or (own.outcome == "overridden" and not (own.reason_code or own.commented)):
            taken = next((accepted[one] for one in card.get("elsewhere", ()) if one in accepted), own)
            if taken is not None:
                found[uuid] = taken
    return found


def patient_hash(key: str, issuer: str, patient: str) -> str:
    """Return the keyed hash (HMAC-SHA-256) of a patient id; without a key, "" (nothing is kept)."""
    if not key:
        return ""
    return hmac.new(key.encode(), f"{issuer}\x1f{patient}".encode(), hashlib.sha256).hexdigest()


def _feedback_row(service: str, issuer: str, item: FeedbackItem, received: datetime) -> dict[str, Any]:
    """Return the row of one feedback item; its id is a hash of what was sent."""
    override = item.override_reason
    reason = override.reason if override else None
    row = {
        "service": service,
        "issuer": issuer,
        "card": item.card[:64],
        "outcome": item.outcome,
        "outcome_at": item.outcome_timestamp,
        "suggestions": " ".join(suggestion.id for suggestion in item.accepted_suggestions or ())[:4000],
        "reason_system": reason.system[:256] if reason else None,
        "reason_code": reason.code[:128] if reason else None,
        "commented": override is not None and override.user_comment is not None,
    }
    digest = hashlib.sha256("\x1f".join(str(value) for value in row.values()).encode()).hexdigest()
    return {"id": digest, "received": received, **row}


def _count(recommendation: str, rows: Sequence[Any]) -> Count:
    """Return the count of one recommendation from the last feedback (or None) on each of its cards."""
    reasons: dict[str, int] = {}
    for row in rows:
        if row is not None and row.outcome == "overridden" and row.reason_code:
            name = f"{row.reason_system}|{row.reason_code}"
            reasons[name] = reasons.get(name, 0) + 1
    outcomes = [row.outcome for row in rows if row is not None]
    ranked = tuple(sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0])))
    return Count(recommendation, len(rows), outcomes.count("accepted"), outcomes.count("overridden"), ranked)
