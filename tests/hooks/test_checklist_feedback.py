"""CDS Hooks checklist: feedback (B), and that what was acknowledged survives a kill."""

import os
import signal
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path
from threading import Semaphore
from typing import Any

import ehr
import pytest
from starlette.testclient import TestClient

from fhir_cds.fhir import codec

SERVICE = "sarcoma-follow-up"
TIME = "2026-01-31T10:00:00Z"


@pytest.fixture
def card(client: TestClient) -> dict[str, Any]:
    """Return a card with suggestions that the service has just given."""
    return ehr.cards(client, SERVICE, ehr.request(client, "after-resection-one-overdue", SERVICE))[0]


def send(client: TestClient, *items: Any, service: str = SERVICE) -> Any:
    """Return the answer to feedback."""
    return ehr.post(client, f"{service}/feedback", {"feedback": list(items)})


def accepted(card: dict[str, Any]) -> dict[str, Any]:
    """Return the feedback of a card whose suggestion was taken."""
    suggestion = {"id": card["suggestions"][0]["uuid"]}
    return {"card": card["uuid"], "outcome": "accepted", "outcomeTimestamp": TIME, "acceptedSuggestions": [suggestion]}


def overridden(card: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return the feedback of a card that was not followed."""
    return {"card": card["uuid"], "outcome": "overridden", "outcomeTimestamp": TIME} | changes


def test_b1_feedback_is_taken(client: TestClient, card: dict[str, Any]) -> None:
    """Feedback in the standard's envelope is 200, under the service's own address."""
    assert send(client, accepted(card)).status_code == 200
    assert send(client, accepted(card), service="nothing").status_code == 404
    assert client.get(f"/cds-services/{SERVICE}/feedback").status_code == 405


@pytest.mark.parametrize("member", ["card", "outcome", "outcomeTimestamp"])
def test_b2_mandatory_members(client: TestClient, card: dict[str, Any], member: str) -> None:
    """An item without one of its mandatory members is 400, naming it."""
    cut = {name: value for name, value in accepted(card).items() if name != member}
    answer = send(client, cut)
    assert answer.status_code == 400
    assert member in answer.text


TIMES = {
    "2026-01-31T10:00:00.123+05:30": 200,
    "2026-01-31t10:00:00z": 200,
    "0001-01-01T00:00:00+14:00": 400,
    "9999-12-31T23:59:59-14:00": 400,
    "2026-01-31T10:00:00": 400,
    "2026-01-31": 400,
    "1769853600": 400,
    1769853600: 400,
}


@pytest.mark.parametrize(("time", "status"), TIMES.items())
def test_b2_timestamps_are_of_rfc_3339(client: TestClient, card: dict[str, Any], time: Any, status: int) -> None:
    """outcomeTimestamp is a text of RFC 3339 §5.6, an instant that UTC has a name for; anything else is 400, named."""
    answer = send(client, accepted(card) | {"outcomeTimestamp": time})
    assert answer.status_code == status
    assert status == 200 or "outcomeTimestamp" in answer.text


@pytest.mark.parametrize("place", ["card", "suggestion", "reason"])
def test_b2_ids_hold_no_control_character(client: TestClient, card: dict[str, Any], place: str) -> None:
    """An id or code with a NUL, which PostgreSQL would not take, is 400 and not tried again for ever."""
    item = {
        "card": accepted(card) | {"card": "a\x00b"},
        "suggestion": accepted(card) | {"acceptedSuggestions": [{"id": "a\x00b"}]},
        "reason": overridden(card, overrideReason={"reason": {"system": "http://e.org", "code": "a\x00b"}}),
    }[place]
    assert send(client, item).status_code == 400


def test_b2_optional_members_may_be_null(client: TestClient, card: dict[str, Any]) -> None:
    """A client that writes null for what it does not have is understood."""
    assert send(client, overridden(card, acceptedSuggestions=None, overrideReason=None)).status_code == 200


def test_b3_accepted_names_suggestions(client: TestClient, card: dict[str, Any]) -> None:
    """Accepted needs the suggestions that were taken."""
    assert send(client, accepted(card) | {"acceptedSuggestions": []}).status_code == 400


def test_b4_override_reason(client: TestClient, card: dict[str, Any]) -> None:
    """A reason without display and a comment alone are taken; an empty reason is not."""
    reason = {"code": card["overrideReasons"][0]["code"], "system": card["overrideReasons"][0]["system"]}
    assert send(client, overridden(card, overrideReason={"reason": reason})).status_code == 200
    assert send(client, overridden(card, overrideReason={"userComment": "not today"})).status_code == 200
    assert send(client, overridden(card)).status_code == 200
    assert send(client, overridden(card, overrideReason={})).status_code == 400


def test_b5_repeats_and_changes_of_mind(client: TestClient, card: dict[str, Any]) -> None:
    """Several cards in one call, the same item again, and an accept after a dismissal are all taken."""
    later = accepted(card) | {"outcomeTimestamp": "2026-01-31T11:00:00Z"}
    for items in ([overridden(card), later], [overridden(card)], [later]):
        assert send(client, *items).status_code == 200
    store = client.app.state.fhir_cds.store  # type: ignore[attr-defined]
    client.app.state.fhir_cds.audit.close()  # type: ignore[attr-defined]
    counts = {count.recommendation: count for count in store.counts()}
    assert counts["ibero2025:13.1"].accepted == 1
    assert counts["ibero2025:13.1"].overridden == 0


def test_b6_unknown_card_is_taken(client: TestClient, card: dict[str, Any]) -> None:
    """Feedback on a card that is not known is taken, not refused."""
    unknown = card | {"uuid": "00000000-0000-4000-8000-000000000000"}
    assert send(client, accepted(unknown)).status_code == 200


def test_b8_nothing_is_expected_for_ignored_cards(client: TestClient, card: dict[str, Any]) -> None:
    """A card without feedback counts as shown and nothing else."""
    assert card["uuid"]
    client.app.state.fhir_cds.audit.close()  # type: ignore[attr-defined]
    counts = client.app.state.fhir_cds.store.counts()  # type: ignore[attr-defined]
    assert counts
    assert all(count.answered == 0 for count in counts)


def test_acknowledged_feedback_survives_kill(tmp_path: Path) -> None:
    """Twenty times: the service is killed while four clients send, and every acknowledged item is in the store."""
    database = tmp_path / "f.sqlite3"
    environment = os.environ | {
        "FHIR_CDS_FEEDBACK_URL": f"sqlite:///{database}",
        "FHIR_CDS_RATE_PER_MINUTE": "1000000",
        "PYTHONPATH": str(ehr.ROOT),
    }
    command = [sys.executable, "-c", "import serve_small; serve_small.run_again_and_again()"]
    acknowledged: set[str] = set()
    cut_off = 0
    with subprocess.Popen(
        command, cwd=Path(__file__).parent, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as services:
        for turn in range(20):
            names, under_way = _killed_in_the_middle(services, f"card-{turn}")
            acknowledged |= names
            cut_off += under_way
    with sqlite3.connect(database) as connection:
        kept = {row[0] for row in connection.execute("SELECT card FROM fhir_cds_feedback")}
    connection.close()
    assert len(acknowledged) >= 100
    assert cut_off >= 20
    assert acknowledged <= kept


def _killed_in_the_middle(services: subprocess.Popen[str], name: str) -> tuple[set[str], int]:
    """Start a service, kill it once it has acknowledged five items; give those, and how many calls were under way."""
    assert services.stdin is not None
    assert services.stdout is not None
    services.stdin.write("next\n")
    services.stdin.flush()
    url, process = services.stdout.readline().split()
    told = Semaphore(0)
    with ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(_until_cut_off, url, f"{name}-{number}", told) for number in range(4)]
        try:
            for _ in range(5):
                assert told.acquire(timeout=60)
        finally:
            os.kill(int(process), signal.SIGKILL)
        assert services.stdout.readline() == "gone\n"
    results = [client.result() for client in clients]
    return set().union(*(names for names, _ in results)), sum(under_way for _, under_way in results)


def _until_cut_off(url: str, name: str, told: Semaphore) -> tuple[set[str], bool]:
    """Send feedback until the service is gone; give what was acknowledged, and whether a call was under way then."""
    acknowledged: set[str] = set()
    while True:
        card = f"{name}-{len(acknowledged)}"
        try:
            assert _post(url, card) == 200
        except urllib.error.URLError as error:
            return acknowledged, not isinstance(error.reason, ConnectionRefusedError)
        except (OSError, HTTPException):
            return acknowledged, True
        acknowledged.add(card)
        told.release()


def _post(url: str, card: str) -> int:
    """Return the status of one feedback item."""
    item = {"card": card, "outcome": "overridden", "outcomeTimestamp": TIME}
    data = codec.encode({"feedback": [item]})
    call = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(call, timeout=60) as answer:
        return int(answer.status)
