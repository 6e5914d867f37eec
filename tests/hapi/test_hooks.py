"""CDS Hooks and a real HAPI FHIR server: our service reads from it; its own service runs our plans."""

import sys
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from peer import Server
from starlette.testclient import TestClient

from fhir_cds.authoring import parity
from fhir_cds.fhir import bundle
from fhir_cds.server.state import Loaded

sys.path.insert(0, str(Path(__file__).parents[1] / "hooks"))
import ehr

pytestmark = pytest.mark.hapi

NAMES = sorted(path.stem for path in ehr.PATIENTS.glob("*.json"))
SERVICES = ("sarcoma-follow-up", "sarcoma-liver-metastases")
HOOK_SECONDS = 60


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
    """HAPI's own CDS Hooks endpoint offers the pathway, which names its hook, and gives its action where it applies.

    The EHR sends what HAPI's discovery asks for (the data requirements of the plan's library).
    """
    pathway = content.engine.plan("ccsf2025-pathway")
    services = Server(published.base.removesuffix("/fhir"), "application/json")
    offer = _offer(services, pathway["id"])
    assert offer["hook"] == "patient-view"
    for name, expected in (("clear-cell-sarcoma", 1), ("no-cancer", 0)):
        document = _elsewhere(name)
        reply = services.call("POST", f"cds-services/{pathway['id']}", _call(document, offer["prefetch"]))
        assert reply.status == 200, reply.body
        assert [card["summary"] for card in reply.body["cards"]] == [pathway["action"][0]["title"]] * expected


def test_hapi_counts_twice_what_is_sent_and_held(published: Server) -> None:
    """A defect of HAPI: what is both sent and stored there is there twice, so a patient who is in both has no answer.

    Its data provider joins what its sources give and does not look at ids. Seen in cqf-ruler as its issue 487.
    A CDS Hooks call to HAPI meets it wherever HAPI holds the patient itself: prefetch goes on to $apply as data.
    """
    record = bundle.read(_elsewhere("metachronous-leiomyosarcoma", "twice.")).resources
    patient = next(item for item in record if item["resourceType"] == "Patient")
    published.put(record)
    data = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": patient}]}
    parts = [{"name": "subject", "valueString": f"Patient/{patient['id']}"}, {"name": "data", "resource": data}]
    body = {"resourceType": "Parameters", "parameter": parts}
    form = parity.normal_form(published.call("POST", "PlanDefinition/ibero2025-2-2/$apply", body).body)
    assert form.lines == ()
    assert any("Expected a list with at most one element" in error for error in form.errors)
    assert parity.normal_form(published.apply("ibero2025-2-2", f"Patient/{patient['id']}").body).errors == ()


def _elsewhere(name: str, prefix: str = "ehr.") -> dict[str, Any]:
    """Return a sample patient's Bundle under ids that HAPI does not hold."""
    resources = parity.renamed(bundle.read(ehr.bundle(name)).resources, prefix)
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": item} for item in resources]}


def _call(document: dict[str, Any], templates: dict[str, str]) -> dict[str, Any]:
    return {
        "hook": "patient-view",
        "hookInstance": str(uuid.uuid4()),
        "context": {"userId": "Practitioner/d", "patientId": ehr.patient_id(document)},
        "prefetch": ehr.prefetch(document, templates),
    }


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
