"""The store: idempotent, durable, without patient data.

`FHIR_CDS_TEST_STORE=postgresql+psycopg://…` runs what any database must pass on that one, in a schema of its own.
"""

import os
import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from msgspec.structs import replace

from fhir_cds.cards.messages import FeedbackItem, parse_feedback
from fhir_cds.errors import InputError
from fhir_cds.fhir import codec
from fhir_cds.server.audit import Audit
from fhir_cds.server.store import Answer, CardRow, Month, Store, patient_hash
from fhir_cds.server.tables import StoreError

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
REASON = {"reason": {"code": "c", "system": "https://e.org"}, "userComment": "Mrs Planted"}


def answer(number: int = 1, *cards: CardRow) -> Answer:
    """Return an answer with a card."""
    rows = cards or (CardRow(f"card-{number}", "info", ("s1",), ("guide:1", "guide:2")),)
    return Answer(f"a{number}", AT, "svc", "patient-view", "iss", patient_hash("k", "iss", "Patient/p"), 3, rows)


def items(*items: dict[str, object]) -> tuple[FeedbackItem, ...]:
    """Return feedback items with a card and a time."""
    base = {"card": "card-1", "outcome": "overridden", "outcomeTimestamp": AT.isoformat()}
    return parse_feedback({"feedback": [{**base, **item} for item in items]}).feedback


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Return the URL of an empty store."""
    url = os.environ.get("FHIR_CDS_TEST_STORE")
    if url is None:
        return f"sqlite:///{tmp_path / 'f.sqlite3'}"
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP SCHEMA IF EXISTS fhir_cds_test CASCADE")
        connection.exec_driver_sql("CREATE SCHEMA fhir_cds_test")
    engine.dispose()
    return f"{url}?options=-csearch_path%3Dfhir_cds_test"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """Return an empty store."""
    store = Store(url)
    yield store
    store.close()


@pytest.fixture
def in_file(tmp_path: Path) -> Iterator[Store]:
    """Return an empty store in a file of SQLite."""
    store = Store(f"sqlite:///{tmp_path / 'f.sqlite3'}")
    yield store
    store.close()


def test_feedback_is_idempotent(store: Store) -> None:
    """The same item again is not a second row; another time is."""
    later = (AT + timedelta(minutes=1)).isoformat()
    assert store.feedback("svc", "iss", items({}), AT) == 1
    assert store.feedback("svc", "iss", items({}), AT + timedelta(hours=1)) == 0
    assert store.feedback("svc", "iss", items({}, {"outcomeTimestamp": later}), AT) == 1


def test_counts_join_cards_and_the_last_feedback(store: Store) -> None:
    """Per recommendation: shown, accepted, overridden with reasons; a later accept wins."""
    store.keep([answer(1), answer(2), answer(3)])
    later = (AT + timedelta(minutes=1)).isoformat()
    accepted = {"outcome": "accepted", "acceptedSuggestions": [{"id": "s1"}], "outcomeTimestamp": later}
    store.feedback("svc", "iss", items({"overrideReason": REASON}, accepted), AT)
    store.feedback("svc", "iss", items({"card": "card-2", "overrideReason": REASON}, {"card": "unknown"}), AT)
    first, second = store.counts()
    assert (first.recommendation, first.shown, first.accepted, first.overridden) == ("guide:1", 3, 1, 1)
    assert first.reasons == (("https://e.org|c", 1),)
    assert second.recommendation == "guide:2"


def elsewhere(store: Store, *, accepted: str, dismissed: dict[str, object] | None = None) -> tuple[int, int]:
    """Return how often a card whose order stands on another one counts as accepted and overridden.

    `accepted` is the suggestion taken on the other card; `dismissed` is what the card itself is dismissed with.
    """
    first = CardRow("card-1", "info", ("board", "scan"), ("guide:1",))
    store.keep([answer(1, first, CardRow("card-2", "info", (), ("guide:2",), ("board",)))])
    taken = {"outcome": "accepted", "acceptedSuggestions": [{"id": accepted}]}
    store.feedback("svc", "iss", items(taken, *([] if dismissed is None else [{"card": "card-2", **dismissed}])), AT)
    first_counts, second = store.counts()
    assert (first_counts.recommendation, first_counts.shown, first_counts.accepted) == ("guide:1", 1, 1)
    assert store.months() == [Month("2026-01", 2, 1 + second.accepted, second.overridden)]
    return second.accepted, second.overridden


def test_an_order_counts_for_every_card_that_asks_for_it(store: Store) -> None:
    """The order is accepted on the card where it stands: the other card, left alone, counts as accepted too."""
    assert elsewhere(store, accepted="board") == (1, 0)


def test_another_order_does_not_count_elsewhere(store: Store) -> None:
    """Another order of that card says nothing about the card that asks for the first one."""
    assert elsewhere(store, accepted="scan") == (0, 0)


def test_a_card_cleared_away_after_its_order_was_accepted(store: Store) -> None:
    """Dismissed without a reason it still counts as accepted."""
    assert elsewhere(store, accepted="board", dismissed={}) == (1, 0)


@pytest.mark.parametrize("said", [REASON, {"userComment": "not her"}], ids=["reason", "comment"])
def test_a_reason_against_a_card_stands(store: Store, said: dict[str, object]) -> None:
    """Dismissed with a reason or a comment it is an override, whoever else asked for the order."""
    assert elsewhere(store, accepted="board", dismissed={"overrideReason": said}) == (0, 1)


def test_rows_of_before_are_counted(store: Store, url: str) -> None:
    """A stored card that does not name orders elsewhere counts as it did."""
    store.keep([answer()])
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        (shown,) = connection.execute(sa.text("SELECT shown FROM fhir_cds_response")).one()
        old = [{name: value for name, value in card.items() if name != "elsewhere"} for card in codec.decode(shown)]
        update = sa.text("UPDATE fhir_cds_response SET shown = :shown")
        connection.execute(update, {"shown": codec.encode(old).decode()})
    engine.dispose()
    assert [count.shown for count in store.counts()] == [1, 1]


def test_months_count_each_card_once(store: Store) -> None:
    """By month: a card with two recommendations is one card, and its last feedback counts."""
    earlier = replace(answer(2), at=AT - timedelta(days=40))
    store.keep([answer(1), earlier])
    store.feedback("svc", "iss", items({"card": "card-2"}), AT)
    assert store.months() == [Month("2025-12", 1, 0, 1), Month("2026-01", 1, 0, 0)]
    assert store.months(AT) == [Month("2026-01", 1, 0, 0)]


def test_counts_since(store: Store) -> None:
    """Cards before the day asked for are not counted."""
    store.keep([answer()])
    assert store.counts(AT + timedelta(days=1)) == []
    assert len(store.counts(AT)) == 2


def test_answers_are_kept_once(store: Store) -> None:
    """The same answer again changes nothing; a card without recommendations is kept and not counted."""
    bare = answer(2, CardRow("card-9", "info", (), ()))
    store.keep([answer(), answer(), bare])
    store.keep([answer()])
    assert [count.shown for count in store.counts()] == [1, 1]


def test_no_patient_data(tmp_path: Path) -> None:
    """Neither patient id nor free comment is in the file."""
    file = tmp_path / "f.sqlite3"
    store = Store(f"sqlite:///{file}")
    store.keep([answer()])
    store.feedback("svc", "iss", items({"overrideReason": REASON}), AT)
    store.close()
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"Planted" not in content
    assert b"Patient/p" not in content


def test_patient_hash_needs_the_key() -> None:
    """The hash depends on key, issuer and patient; without a key nothing is kept."""
    assert patient_hash("", "iss", "Patient/p") == ""
    assert len({patient_hash(k, i, p) for k in "ab" for i in "cd" for p in "ef"}) == 8


def test_purge(store: Store) -> None:
    """What is past its time goes, answers and feedback alike, the rest stays."""
    later = AT + timedelta(days=2)
    store.keep([answer(1), replace(answer(2), at=later)])
    old, new = items({}, {"card": "card-2"})
    assert store.feedback("svc", "iss", [old], AT) + store.feedback("svc", "iss", [new], later) == 2
    assert store.purge(AT + timedelta(days=1)) == 2
    assert [(count.shown, count.overridden) for count in store.counts()] == [(1, 1), (1, 1)]
    assert store.feedback("svc", "iss", [old, new], later) == 1


def test_durability_settings(in_file: Store) -> None:
    """SQLite syncs each commit."""
    with in_file._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2


def test_tokens_are_shared(store: Store, url: str) -> None:
    """A token id is new once, whichever worker asks, until it has expired."""
    other = Store(url)
    assert store.first_use("iss", "j", 100.0, 0.0)
    assert not other.first_use("iss", "j", 100.0, 1.0)
    assert other.first_use("another", "j", 100.0, 1.0)
    assert other.first_use("iss", "j", 300.0, 200.0)
    other.close()


def test_broken_store_is_an_error(store: Store) -> None:
    """What cannot be committed is not acknowledged."""
    with store._engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE fhir_cds_feedback")
    with pytest.raises(StoreError):
        store.feedback("svc", "iss", items({}), AT)


@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_that_is_gone_is_an_error(in_file: Store, tmp_path: Path, replaced: bool) -> None:
    """A removed or replaced file is noticed: what is written to the open handle would be lost."""
    file = tmp_path / "f.sqlite3"
    in_file.ping()
    content = file.read_bytes()
    file.unlink()
    if replaced:
        file.write_bytes(content)
    for write in (
        in_file.ping,
        lambda: in_file.keep([answer()]),
        lambda: in_file.feedback("svc", "iss", items({}), AT),
    ):
        with pytest.raises(StoreError, match="removed or replaced"):
            write()


def test_a_store_in_memory_has_no_file() -> None:
    """A store without a file takes writes."""
    store = Store("sqlite://")
    store.keep([answer()])
    store.close()


def test_a_store_of_another_version_is_refused(tmp_path: Path) -> None:
    """Tables with other columns are said at the start, and left as they are."""
    file = tmp_path / "old.sqlite3"
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE fhir_cds_response (id VARCHAR(36), cards INTEGER)")
    connection.close()
    with pytest.raises(InputError, match="fhir_cds_response is of another version"):
        Store(f"sqlite:///{file}")
    connection = sqlite3.connect(file)
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("fhir_cds_response",)]
    connection.close()


def test_a_call_sent_again_shows_its_cards_once(store: Store) -> None:
    """The same cards in a later answer (a caller that tries again) count as shown once, when they were first."""
    store.keep([answer(), replace(answer(), id="again", at=AT + timedelta(days=1))])
    assert [count.shown for count in store.counts()] == [1, 1]
    assert store.months() == [Month("2026-01", 1, 0, 0)]


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("nonsense", "not a database URL"),
        ("sqlite:////no/such/folder/f.sqlite3", "unable to open database file"),
        ("sqlite:///{folder}", "unable to open database file"),
        ("sqlite:///{folder}/text", "file is not a database"),
        ("nodb://u:s3cret@x", "nodb: no such database, or its driver is not installed"),
        ("sqlite+nosuchdriver:///f", "sqlite+nosuchdriver: no such database, or its driver is not installed"),
        ("mssql+pymssql://u:s3cret@h/d", "the module pymssql is not installed"),
    ],
)
def test_store_that_cannot_be_opened(tmp_path: Path, url: str, told: str) -> None:
    """A wrong URL, file or driver is said at the start, in words, without the password."""
    (tmp_path / "text").write_text("no database " * 100)
    with pytest.raises(InputError) as caught:
        Store(url.format(folder=tmp_path))
    assert str(caught.value).startswith("feedback_url: the store cannot be opened: ")
    assert told in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_audit_writes_in_the_background(store: Store) -> None:
    """Queued answers are in the store after closing."""
    audit = Audit(store)
    for number in range(5):
        audit(answer(number))
    audit.close()
    assert store.counts()[0].shown == 5


def test_audit_commits_many_answers_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers that come together go to the store together, in batches that are not too large."""
    sizes: list[int] = []
    monkeypatch.setattr(store, "keep", lambda answers: sizes.append(len(answers)))
    audit = Audit(store)
    for number in range(1200):
        audit(answer(number))
    audit.close()
    assert sum(sizes) == 1200
    assert len(sizes) < 20
    assert max(sizes) <= 500


def test_audit_goes_on_after_a_fault(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Answers that the store does not take are logged as lost; the next ones are kept."""
    keep = store.keep
    faults = [StoreError("full")]

    def once(answers: list[Answer]) -> None:
        if faults:
            raise faults.pop()
        keep(answers)

    monkeypatch.setattr(store, "keep", once)
    audit = Audit(store)
    for number in range(501):
        audit(answer(number))
    audit.close()
    assert "answers were not kept" in caplog.text
    assert 0 < store.counts()[0].shown < 501


def test_audit_waits_for_a_store_that_is_away(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Answers that the store could not take because it was away for a while are kept when it is back, none is lost."""
    monkeypatch.setattr("fhir_cds.server.audit.PAUSE", 0.01)
    keep = store.keep
    faults = [StoreError("away", passing=True) for _ in range(3)]
    came = threading.Event()

    def away(answers: list[Answer]) -> None:
        if faults:
            raise faults.pop()
        keep(answers)
        came.set()

    monkeypatch.setattr(store, "keep", away)
    audit = Audit(store)
    for number in range(3):
        audit(answer(number))
    assert came.wait(20)
    audit.close()
    assert store.counts()[0].shown == 3
    assert "are tried again" in caplog.text


def test_audit_ends_though_the_store_is_away(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What cannot be kept when the service ends is logged as lost; the end does not wait for the store."""

    def away(_answers: list[Answer]) -> None:
        raise StoreError("away", passing=True)

    monkeypatch.setattr(store, "keep", away)
    audit = Audit(store)
    audit(answer())
    audit.close()
    assert not audit._thread.is_alive()
    assert "answers were not kept" in caplog.text


def test_a_locked_store_is_a_passing_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What may be over in a moment is told apart from what the store never takes."""
    monkeypatch.setattr("fhir_cds.server.tables.BUSY_MILLISECONDS", 1)
    store = Store(f"sqlite:///{tmp_path / 'f.sqlite3'}")
    other = sqlite3.connect(tmp_path / "f.sqlite3", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError) as caught:
        store.keep([answer()])
    assert caught.value.passing
    other.close()
    with pytest.raises(StoreError) as caught:
        store.keep([replace(answer(), service=None)])
    assert not caught.value.passing
    store.close()
