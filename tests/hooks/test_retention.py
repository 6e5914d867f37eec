"""The service keeps no longer than it says."""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import conftest
import pytest
from starlette.testclient import TestClient

from fhir_cds.server.retention import retained
from fhir_cds.server.store import Answer, CardRow, Store


def answer(name: str, days: int) -> Answer:
    """Return an answer with one card, given some days ago."""
    row = CardRow(f"card-{name}", "info", (), ("guide:1",))
    return Answer(name, conftest.NOW - timedelta(days=days), "svc", "patient-view", "iss", "", 1, (row,))


def shown(store: Store) -> int:
    """Return how many cards are kept."""
    return sum(count.shown for count in store.counts())


def test_what_is_past_its_time_goes_when_the_service_starts(
    make_client: Callable[..., TestClient], tmp_path: Path
) -> None:
    """An answer older than the time that is set is gone, a younger one stays."""
    url = f"sqlite:///{tmp_path}/kept.sqlite3"
    store = Store(url)
    store.keep([answer("old", 31), answer("new", 29)])
    make_client(feedback_url=url, feedback_retention_days=30)
    until = time.monotonic() + 120
    while shown(store) > 1 and time.monotonic() < until:
        time.sleep(0.02)
    assert shown(store) == 1
    store.close()


async def test_it_is_done_again_and_a_store_that_refuses_is_asked_again(
    make_client: Callable[..., TestClient], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It goes on while the service runs, also after a fault of the store, and ends with the service."""
    service: Any = make_client(feedback_retention_days=30).app.state.fhir_cds  # type: ignore[attr-defined]
    service.store.keep([answer("old", 31)])
    working = service.store._engine
    with caplog.at_level(logging.INFO):
        async with retained(service, every=0.01):
            while shown(service.store):
                await asyncio.sleep(0.01)
            service.store._engine = Store("sqlite://")._engine
            with service.store._engine.begin() as connection:
                connection.exec_driver_sql("DROP TABLE fhir_cds_response")
            while "was not deleted" not in caplog.text:
                await asyncio.sleep(0.01)
            service.store._engine = working
            service.store.keep([answer("old", 31)])
            while shown(service.store):
                await asyncio.sleep(0.01)
    assert not [task for task in asyncio.all_tasks() if "_keep" in repr(task)]


async def test_it_ends_after_a_fault_of_the_service(make_client: Callable[..., TestClient]) -> None:
    """What goes wrong while the service runs leaves no task behind."""
    service: Any = make_client().app.state.fhir_cds  # type: ignore[attr-defined]
    with pytest.raises(RuntimeError, match="broken"):
        async with retained(service):
            raise RuntimeError("broken")
    assert not [task for task in asyncio.all_tasks() if "_keep" in repr(task)]
