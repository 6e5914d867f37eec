"""CDS Hooks and a real HAPI FHIR server: our service reads from it; its own service runs our plans."""

import sys
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from peer import Server
from starlette.testclient import TestClient

from fhir_cds.fhir import bundle
from fhir_cds.server.app import create_app
from fhir_cds.server.settings import Settings
from fhir_cds.server.state import Loaded

sys.path.insert(0, str(Path(__file__).parents[1] / "hooks"))
import ehr

pytestmark = pytest.mark.hapi

NAMES = sorted(path.stem for path in ehr.PATIENTS.glob("*.json"))
SERVICES = ("sarcoma-follow-up", "sarcoma-liver-metastases")
HOOK_SECONDS = 60


@pytest.fixture(scope="module")
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


@pytest.mark.parametrize("name", NAMES)
def test_cards_read_from_hapi(hapi: Server, client: TestClient, name: str) -> None:
    """Our service gives the same cards from the HAPI server as from prefetch."""
    hapi.put(bundle.read(ehr.bundle(name)).resources)
    for service in SERVICES:
        body = ehr.request(client, name, service)
        for key, query in ehr.templates(client, service).items():
            if "{{" not in query:  # not about this patient: all that the server has
                body["prefetch"][key] = hapi.get(f"{query.replace('|', '%7C')}&_count=500")
        read = ehr.cards(client, service, {**body, "prefetch": {}, "fhirServer": hapi.base})
        assert read == ehr.cards(client, service, body)


def test_hapi_serves_a_plan_of_ours(published: Server, content: Loaded) -> None:
    """HAPI's own CDS Hooks endpoint offers the pathway, which names its hook, and gives its action where it applies."""
    pathway = content.engine.plan("ibero2025-pathway")
    services = Server(published.base.removesuffix("/fhir"), "application/json")
    assert _offer(services, pathway["id"])["hook"] == "patient-view"
    for name, expected in (("metachronous-leiomyosarcoma", 1), ("no-cancer", 0)):
        document = ehr.bundle(name)
        published.put(bundle.read(document).resources)
        body = {
            "hook": "patient-view",
            "hookInstance": str(uuid.uuid4()),
            "fhirServer": published.base,
            "context": {"userId": "Practitioner/d", "patientId": ehr.patient_id(document)},
        }
        reply = services.call("POST", f"cds-services/{pathway['id']}", body)
        assert reply.status == 200, reply.body
        assert [card["summary"] for card in reply.body["cards"]] == [pathway["action"][0]["title"]] * expected


def _offer(services: Server, name: str) -> dict[str, Any]:
    """Return a service of the discovery document, waiting for HAPI to notice the plan."""
    deadline = time.monotonic() + HOOK_SECONDS
    while True:
        listed = services.get("cds-services").get("services", [])
        found = [service for service in listed if service["id"] == name]
        if found or time.monotonic() > deadline:
            assert found, listed
            return dict(found[0])
        time.sleep(1)
