"""One HAPI FHIR server for the session, with the project's content in it."""

import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from starlette.testclient import TestClient

sys.path.insert(0, str(Path(__file__).parent))
import hapi_server
import publishing
from peer import Server
from publishing import Publication

from fhir_cds.server import state
from fhir_cds.server.app import create_app
from fhir_cds.server.settings import Settings
from fhir_cds.server.state import Loaded

ROOT = Path(__file__).parents[2]
ABSENT = hapi_server.missing_tools()
HALF = 20


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave these tests out where there is no Java or Maven, and say so at the end; `.ci/run` demands both."""
    mine = [item for item in items if item.get_closest_marker("hapi")]
    if not mine or ABSENT is None:
        return
    items[:] = [item for item in items if item not in mine]
    config.hook.pytest_deselected(items=mine)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line what was left out."""
    if ABSENT is not None:
        terminalreporter.write_line(ABSENT)


@pytest.fixture(scope="session")
def content() -> Loaded:
    """Return the project's content, compiled once."""
    return state.load((ROOT,), lambda: datetime(2026, 1, 31, tzinfo=UTC))


@pytest.fixture(scope="session")
def hapi() -> Iterator[Server]:
    """Return a HAPI server that is empty at first."""
    with hapi_server.running() as base:
        yield Server(base)


@pytest.fixture(scope="session")
def publication(hapi: Server) -> Publication:
    """Publish by the command line: kill the first run half-way, let the second complete it, and run a third time."""
    first = publishing.started(hapi)
    while first.poll() is None and publishing.held(hapi) < HALF:
        time.sleep(0.05)
    first.kill()
    first.wait()
    return Publication(publishing.held(hapi), publishing.publish(hapi), publishing.publish(hapi))


@pytest.fixture(scope="session")
def published(hapi: Server, publication: Publication) -> Server:
    """Return the server with our content in it."""
    assert publication.third["counts"]["unchanged"] == len(publication.third["steps"])
    return hapi


@pytest.fixture(scope="session")
def client(content: Loaded, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """Return a client of our service in development mode, its clock on the day of the samples."""
    settings = Settings(
        feedback_url=f"sqlite:///{tmp_path_factory.mktemp('hooks')}/f.sqlite3",
        rate_per_minute=100_000,
        fhir_timeout_seconds=60,
        budget_seconds=120,
    )
    app = create_app(content, settings, clock=lambda: datetime(2026, 1, 31, tzinfo=UTC))
    with TestClient(app, base_url="http://localhost") as made:
        yield made
