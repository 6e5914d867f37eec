"""The real content behind a real application, and the sample patients as an EHR would send them."""

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.testclient import TestClient

sys.path.insert(0, str(Path(__file__).parent))
import ehr

from fhir_cds.server import state
from fhir_cds.server.app import create_app
from fhir_cds.server.sandbox import application
from fhir_cds.server.settings import Settings
from fhir_cds.server.state import Loaded

NOW = datetime(2026, 1, 31, tzinfo=UTC)


def clock() -> datetime:
    """Return the day for which the sample patients were written."""
    return NOW


@pytest.fixture(scope="session")
def content() -> Loaded:
    """Return the project's content, compiled once."""
    return state.load((ehr.ROOT,), clock)


@pytest.fixture
def make_client(content: Loaded, tmp_path: Path) -> Iterator[Callable[..., TestClient]]:
    """Return a factory of clients of the service under some settings (development mode unless told otherwise)."""
    opened: list[TestClient] = []

    def make(loaded: Loaded = content, **settings: Any) -> TestClient:
        base = {"feedback_url": f"sqlite:///{tmp_path}/{len(opened)}.sqlite3", "rate_per_minute": 100_000}
        app = create_app(loaded, Settings(**{**base, **settings}), clock=clock)
        client = TestClient(app, base_url="http://localhost", raise_server_exceptions=False)
        opened.append(client.__enter__())
        return client

    yield make
    for client in opened:
        client.__exit__(None, None, None)


@pytest.fixture
def client(make_client: Callable[..., TestClient]) -> TestClient:
    """Return a client of the service in development mode."""
    return make_client()


@pytest.fixture(scope="session")
def serve() -> Iterator[Callable[[Starlette], str]]:
    """Return a function that serves an application on a free port of this machine and gives its address."""
    running: list[tuple[uvicorn.Server, threading.Thread, socket.socket]] = []

    def start(app: Starlette) -> str:
        bound = socket.socket()
        bound.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        running.append((server, thread, bound))
        return f"http://127.0.0.1:{bound.getsockname()[1]}"

    yield start
    for server, _, _ in running:
        server.should_exit = server.force_exit = True  # none waits for connections that clients keep open
    for _, thread, bound in running:
        thread.join(timeout=10)
        bound.close()


@pytest.fixture(scope="session")
def fhir_server(serve: Callable[[Starlette], str]) -> str:
    """Return the address of a FHIR server that holds the sample patients."""
    return serve(application(ehr.samples()))
