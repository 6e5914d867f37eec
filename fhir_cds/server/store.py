"""The durable store of answers and feedback: ids, times, uuids, recommendation numbers, outcomes; no patient data.

The patient appears only as a keyed hash, a clinician's free comment only as "there was one". Feedback is idempotent:
an item sent twice is one row. Nothing is acknowledged before it is committed (SQLite: WAL journal, synced).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from fhir_cds.cards.messages import FeedbackItem
from fhir_cds.errors import FhirCdsError, InputError

_META: Final = sa.MetaData()

RESPONSES: Final = sa.Table(
    "fhir_cds_response",
    _META,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("at", sa.DateTime(timezone=True), nullable=False, index=True),
    sa.Column("service", sa.String(128), nullable=False),
    sa.Column("hook", sa.String(64), nullable=False),
    sa.Column("issuer", sa.String(256), nullable=False),
    sa.Column("patient", sa.String(64), nullable=False),
    sa.Column("cards", sa.Integer, nullable=False),
    sa.Column("milliseconds", sa.Integer, nullable=False),
)
CARDS: Final = sa.Table(
    "fhir_cds_card",
    _META,
    sa.Column("uuid", sa.String(36), primary_key=True),
    sa.Column("response", sa.String(36), nullable=False, index=True),
    sa.Column("at", sa.DateTime(timezone=True), nullable=False, index=True),
    sa.Column("indicator", sa.String(16), nullable=False),
    sa.Column("recommendation", sa.String(128), primary_key=True),
    sa.Column("suggestions", sa.Text, nullable=False),
)
FEEDBACK: Final = sa.Table(
    "fhir_cds_feedback",
    _META,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("received", sa.DateTime(timezone=True), nullable=False, index=True),
    sa.Column("service", sa.String(128), nullable=False),
    sa.Column("issuer", sa.String(256), nullable=False),
    sa.Column("card", sa.String(64), nullable=False, index=True),
    sa.Column("outcome", sa.String(16), nullable=False),
    sa.Column("outcome_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("suggestions", sa.Text, nullable=False),
    sa.Column("reason_system", sa.String(256)),
    sa.Column("reason_code", sa.String(128)),
    sa.Column("commented", sa.Boolean, nullable=False),
)


TOKENS: Final = sa.Table(
    "fhir_cds_token",
    _META,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("expires", sa.Float, nullable=False, index=True),
)


class StoreError(FhirCdsError):
    """The store cannot be used; nothing was acknowledged."""

    status = 503
    code = "transient"


@dataclass(frozen=True, slots=True)
class CardRow:
    """What is kept of one card: its uuid, urgency, suggestions and the recommendations in it."""

    uuid: str
    indicator: str
    suggestions: tuple[str, ...]
    recommendations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answer:
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
        try:
            self._engine = sa.create_engine(url)
            if self._engine.dialect.name == "sqlite":
                event.listen(self._engine, "connect", _durable)
            _META.create_all(self._engine)
        except (SQLAlchemyError, ImportError) as error:
            raise InputError(f"the store cannot be opened: {type(error).__name__}", where="feedback_url") from None

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def ping(self) -> None:
        """Raise StoreError when the store does not take writes."""
        self._write(lambda connection: connection.execute(sa.delete(TOKENS).where(TOKENS.c.expires < 0)))

    def keep(self, answers: Sequence[Answer]) -> None:
        """Keep answers, committed on return; one already there (same call again) stays as it is."""
        responses = [
            {
                "id": answer.id,
                "at": answer.at,
                "service": answer.service,
                "hook": answer.hook,
                "issuer": answer.issuer,
                "patient": answer.patient,
                "cards": len(answer.cards),
                "milliseconds": answer.milliseconds,
            }
            for answer in answers
        ]
        cards = [row for answer in answers for row in _card_rows(answer)]
        self._write(lambda connection: self._insert(connection, ((RESPONSES, responses), (CARDS, cards))))

    def feedback(self, service: str, issuer: str, items: Sequence[FeedbackItem], received: datetime) -> int:
        """Keep feedback, committed on return; give how many items were new."""
        rows = [_feedback_row(service, issuer, item, received) for item in items]
        return self._write(lambda connection: self._insert(connection, ((FEEDBACK, rows),)))

    def first_use(self, iss: str, jti: str, expires: float, now: float) -> bool:
        """Return whether a token id was not seen before by any worker, and remember it until it expires."""
        row = {"id": hashlib.sha256(f"{iss}\x1f{jti}".encode()).hexdigest(), "expires": expires}

        def work(connection: sa.Connection) -> int:
            connection.execute(sa.delete(TOKENS).where(TOKENS.c.expires <= now))
            return self._insert(connection, ((TOKENS, [row]),))

        return self._write(work) == 1

    def purge(self, before: datetime) -> int:
        """Delete what is older than an instant; give the number of rows."""
        columns = (RESPONSES.c.at, CARDS.c.at, FEEDBACK.c.received)

        def delete(connection: sa.Connection) -> int:
            return sum(connection.execute(sa.delete(c.table).where(c < before)).rowcount for c in columns)

        return self._write(delete)

    def counts(self, since: datetime | None = None) -> list[Count]:
        """Return per recommendation how often it was shown, accepted, overridden and why, the most shown first.

        Of several feedback items on one card the last counts (an accept after a dismissal is an accept).
        """
        shown, last = self._shown(since)
        found: dict[str, list[Any]] = {}
        for card in shown:
            found.setdefault(card.recommendation, []).append(last.get(card.uuid))
        counted = [_count(name, rows) for name, rows in found.items() if name]
        return sorted(counted, key=lambda count: (-count.shown, count.recommendation))

    def months(self, since: datetime | None = None) -> list[Month]:
        """Return what became of the cards by the month in which they were shown (UTC), the earliest first."""
        shown, last = self._shown(since)
        month_of = {card.uuid: f"{card.at:%Y-%m}" for card in shown if card.recommendation}
        outcomes: dict[str, list[str]] = {}
        for uuid, month in month_of.items():
            outcomes.setdefault(month, []).append(last[uuid].outcome if uuid in last else "")
        return [
            Month(month, len(came), came.count("accepted"), came.count("overridden"))
            for month, came in sorted(outcomes.items())
        ]

    def _shown(self, since: datetime | None) -> tuple[Sequence[Any], dict[str, Any]]:
        """Return the rows of the cards shown since an instant, and the last feedback by card."""
        start = since or datetime.now(UTC) - timedelta(days=36_500)
        said = (FEEDBACK.c.card, FEEDBACK.c.outcome, FEEDBACK.c.reason_system, FEEDBACK.c.reason_code)
        with self._engine.connect() as connection:
            shown = connection.execute(
                sa.select(CARDS.c.uuid, CARDS.c.recommendation, CARDS.c.at).where(CARDS.c.at >= start)
            ).all()
            items = connection.execute(sa.select(*said).order_by(FEEDBACK.c.outcome_at, FEEDBACK.c.received)).all()
        return shown, {row.card: row for row in items}

    def _insert(self, connection: sa.Connection, batches: Iterable[tuple[sa.Table, list[dict[str, Any]]]]) -> int:
        """Insert rows that are not there yet; give how many were."""
        dialect = postgresql if self._engine.dialect.name == "postgresql" else sqlite
        new = 0
        for table, rows in batches:
            if rows:  # one statement for all of them: a statement a row costs a hundred times as much
                new += connection.execute(dialect.insert(table).on_conflict_do_nothing(), rows).rowcount
        return new

    def _write(self, work: Any) -> int:
        """Do some work in one transaction; raises StoreError when it did not commit."""
        try:
            with self._engine.begin() as connection:
                result = work(connection)
        except SQLAlchemyError as error:
            raise StoreError(f"the store did not take it: {type(error).__name__}", where="store") from None
        return result if isinstance(result, int) else 0


def patient_hash(key: str, issuer: str, patient: str) -> str:
    """Return the keyed hash (HMAC-SHA-256) of a patient id; without a key, "" (nothing is kept)."""
    if not key:
        return ""
    return hmac.new(key.encode(), f"{issuer}\x1f{patient}".encode(), hashlib.sha256).hexdigest()


def _durable(connection: Any, _record: Any) -> None:
    """Make SQLite sync each commit to disk and let readers and several processes work beside a writer."""
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _card_rows(answer: Answer) -> Iterator[dict[str, Any]]:
    """Yield one row per card and recommendation; a card without recommendations has one row for none."""
    for card in answer.cards:
        for recommendation in card.recommendations or ("",):
            yield {
                "uuid": card.uuid,
                "response": answer.id,
                "at": answer.at,
                "indicator": card.indicator,
                "recommendation": recommendation,
                "suggestions": " ".join(card.suggestions),
            }


def _feedback_row(service: str, issuer: str, item: FeedbackItem, received: datetime) -> dict[str, Any]:
    """Return the row of one feedback item; its id is a hash of what was sent."""
    override = item.override_reason
    reason = override.reason if override else None
    row = {
        "service": service,
        "issuer": issuer,
        "card": item.card[:64],
        "outcome": item.outcome,
        "outcome_at": item.outcome_timestamp.astimezone(UTC),
        "suggestions": " ".join(suggestion.id for suggestion in item.accepted_suggestions)[:4000],
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
