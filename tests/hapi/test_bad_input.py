"""Bad input to HAPI and to us, and a HAPI that goes down in the middle: told with its place, nothing half-written."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import failing
import pytest
from peer import Server
from publishing import COMMAND, ROOT, publish
from starlette.testclient import TestClient

from fhir_cds.authoring import parity
from fhir_cds.authoring.publish import Change
from fhir_cds.authoring.publish import publish as publish_to
from fhir_cds.authoring.remote import connect
from fhir_cds.fhir import bundle, codec
from fhir_cds.server.state import Loaded

sys.path.insert(0, str(Path(__file__).parents[1] / "hooks"))
import ehr

pytestmark = pytest.mark.hapi

PLAN = "ibero2025-1-1"
WRITES = 3


def ours(client: TestClient, path: str, *parts: dict[str, Any]) -> tuple[int, Any]:
    """Return our service's answer to a FHIR operation."""
    body = {"resourceType": "Parameters", "parameter": list(parts)}
    reply = client.post(f"/fhir/{path}", content=codec.encode(body), headers={"Content-Type": "application/fhir+json"})
    return reply.status_code, codec.decode(reply.content)


def about(subject: str) -> dict[str, Any]:
    """Return the parameter that says whom a plan is for."""
    return {"name": "subject", "valueString": subject}


def read_from(base: str) -> dict[str, Any]:
    """Return the parameter that says where data is."""
    return {"name": "dataEndpoint", "resource": {"resourceType": "Endpoint", "address": base}}


def test_a_plan_that_is_not_there(published: Server, client: TestClient) -> None:
    """Both answer 404 and name the plan."""
    theirs = published.apply("no-such-plan", "Patient/p")
    status, outcome = ours(client, "PlanDefinition/no-such-plan/$apply", about("Patient/p"))
    assert (status, theirs.status) == (404, 404)
    for answer in (outcome, theirs.body):
        assert "no-such-plan" in answer["issue"][0]["diagnostics"]
    assert outcome["issue"][0]["expression"] == ["PlanDefinition"]


def test_a_patient_whom_hapi_has_not(published: Server, client: TestClient) -> None:
    """We answer 404 at `subject`; HAPI applies the plan to nobody and finds that nothing applies."""
    status, outcome = ours(client, f"PlanDefinition/{PLAN}/$apply", about("Patient/nobody"), read_from(published.base))
    assert (status, outcome["issue"][0]["expression"]) == (404, ["subject"])
    theirs = published.apply(PLAN, "Patient/nobody")
    assert (theirs.status, parity.normal_form(theirs.body).lines) == (200, ())


def test_a_plan_without_its_library(published: Server, client: TestClient) -> None:
    """Both answer with a CarePlan in which nothing applies and an error that names the library."""
    condition = {"kind": "applicability", "expression": {"language": "text/cql-identifier", "expression": "X"}}
    plan = {
        "resourceType": "PlanDefinition",
        "id": "lacking",
        "url": "http://example.org/PlanDefinition/lacking",
        "status": "active",
        "library": ["http://example.org/Library/Lacking|1"],
        "action": [{"id": "a", "title": "A", "condition": [condition]}],
    }
    record = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"resource": {"resourceType": "Patient", "id": "p"}}],
    }
    parts = [
        about("Patient/p"),
        {"name": "planDefinition", "resource": plan},
        {"name": "data", "resource": record},
        {"name": "useServerData", "valueBoolean": False},
    ]
    status, careplan = ours(client, "PlanDefinition/$apply", *parts)
    theirs = published.call("POST", "PlanDefinition/$apply", {"resourceType": "Parameters", "parameter": parts})
    assert (status, theirs.status) == (200, 200)
    for answer in (careplan, theirs.body):
        form = parity.normal_form(answer)
        assert form.lines == ()
        assert any("lacking" in error.lower() for error in form.errors)


async def test_what_hapi_refuses(published: Server) -> None:
    """A resource that HAPI does not take is told in HAPI's words; what needs it is held back; neither is there then."""
    library = {"resourceType": "Library", "id": "bad", "url": "http://example.org/Library/bad", "status": "no-status"}
    plan = {
        "resourceType": "PlanDefinition",
        "id": "needs-bad",
        "url": "http://example.org/PlanDefinition/needs-bad",
        "status": "active",
        "library": [library["url"]],
    }
    async with connect(published.base) as remote:
        steps = {step.resource["id"]: step for step in await publish_to(remote, [plan, library])}
    assert steps["bad"].change is Change.REFUSED
    assert "no-status" in steps["bad"].detail
    assert steps["needs-bad"].change is Change.HELD_BACK
    assert library["url"] in steps["needs-bad"].detail
    for place in ("Library/bad", "PlanDefinition/needs-bad"):
        assert published.call("GET", place).status == 404


def test_hapi_goes_down_while_publishing(published: Server, content: Loaded) -> None:
    """The run ends with the address; each resource is as it was or as it should be; the next run does the rest."""
    plans = content.engine.registry.by_type("PlanDefinition")[: 2 * WRITES]
    for plan in plans:
        assert published.call("PUT", f"PlanDefinition/{plan['id']}", {**plan, "title": "Another"}).status == 200
    with failing.door(published.base, WRITES, "PUT") as door:
        done = subprocess.run([*COMMAND, door.base], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"{door.base}: cannot be reached" in done.stderr
    titles = [published.get(f"PlanDefinition/{plan['id']}")["title"] for plan in plans]
    assert set(titles) <= {"Another", *(plan["title"] for plan in plans)}
    assert titles.count("Another") == WRITES
    report = publish(published)
    assert report["counts"]["updated"] == WRITES
    assert report["counts"]["unchanged"] == len(content.knowledge.registry) - WRITES


def test_hapi_goes_down_while_we_read(hapi: Server, client: TestClient) -> None:
    """Half a record is no record: 412 that names what could not be read, and no card."""
    document = ehr.bundle("after-resection-one-overdue")
    hapi.put(bundle.read(document).resources)
    body = ehr.request(client, "after-resection-one-overdue", "sarcoma-follow-up")
    with failing.door(hapi.base, WRITES, "GET") as door:
        reply = client.post("/cds-services/sarcoma-follow-up", json={**body, "prefetch": {}, "fhirServer": door.base})
    assert reply.status_code == 412
    (issue,) = reply.json()["issue"]
    assert "cannot be read" in issue["diagnostics"]
    assert issue["expression"][0].startswith("prefetch.")
