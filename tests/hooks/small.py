"""Small plans behind a real service: FHIRPath only, so that a test shows all that its answer rests on."""

from datetime import UTC, datetime
from typing import Any

from starlette.testclient import TestClient

from fhir_cds.fhir import codec
from fhir_cds.knowledge.load import Knowledge
from fhir_cds.knowledge.registry import Registry
from fhir_cds.server import state
from fhir_cds.server.state import Loaded

BASE = "http://example.org"
NOW = datetime(2026, 1, 31, tzinfo=UTC)
FHIR = {"content-type": "application/fhir+json"}


def plan(*actions: dict[str, Any], key: str = "plan", **more: Any) -> dict[str, Any]:
    """Return a PlanDefinition."""
    head = {"resourceType": "PlanDefinition", "id": key, "url": f"{BASE}/PlanDefinition/{key}", "version": "1"}
    return {**head, "status": "active", "action": list(actions), **more}


def activity(key: str = "scan", **more: Any) -> dict[str, Any]:
    """Return an ActivityDefinition of a ServiceRequest."""
    head = {"resourceType": "ActivityDefinition", "id": key, "url": f"{BASE}/ActivityDefinition/{key}", "version": "1"}
    return {**head, "status": "active", "kind": "ServiceRequest", **more}


def action(key: str, when: str | None = None, **more: Any) -> dict[str, Any]:
    """Return an action, with a FHIRPath condition if given."""
    made = {"id": key, "title": key, **more}
    expression = {"language": "text/fhirpath", "expression": when}
    return {**made, "condition": [{"kind": "applicability", "expression": expression}]} if when else made


def content(*resources: dict[str, Any]) -> Loaded:
    """Return content of these resources, without CQL."""
    registry = Registry.of([(f"{item['resourceType']}-{item['id']}.json", item) for item in resources])
    return state.derive(Knowledge(registry, {}, ()), lambda: NOW)


def patient(key: str = "p", **more: Any) -> dict[str, Any]:
    """Return a Patient."""
    return {"resourceType": "Patient", "id": key, **more}


def bundle(*resources: dict[str, Any]) -> dict[str, Any]:
    """Return a Bundle of data."""
    entries = [{"resource": resource} for resource in resources]
    return {"resourceType": "Bundle", "type": "collection", **({"entry": entries} if entries else {})}


def data(*resources: dict[str, Any]) -> dict[str, Any]:
    """Return the parameter data."""
    return {"name": "data", "resource": bundle(*resources)}


def text(name: str, value: str) -> dict[str, Any]:
    """Return a parameter that is a text."""
    return {"name": name, "valueString": value}


SUBJECT = text("subject", "Patient/p")
DATA = data(patient())


def post(client: TestClient, path: str, *parameters: dict[str, Any]) -> Any:
    """Return the answer to Parameters."""
    body = {"resourceType": "Parameters", "parameter": list(parameters)}
    return client.post(f"/fhir/{path}", content=codec.encode(body), headers=FHIR)


def issue(answer: Any, status: int) -> dict[str, Any]:
    """Return the first issue of an answer that must be an error."""
    assert answer.status_code == status, answer.text
    outcome = answer.json()
    assert outcome["resourceType"] == "OperationOutcome"
    first: dict[str, Any] = outcome["issue"][0]
    assert first["diagnostics"]
    return first


def group(careplan: dict[str, Any]) -> dict[str, Any]:
    """Return the RequestGroup of a CarePlan."""
    root = careplan["activity"][0]["reference"]["reference"].removeprefix("#")
    return next(item for item in careplan["contained"] if item["id"] == root)


def actions(careplan: dict[str, Any]) -> list[str]:
    """Return the ids of the top-level actions of a CarePlan."""
    return [item["id"] for item in group(careplan).get("action", [])]


def messages(careplan: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the issues of a result."""
    outcomes = [item for item in careplan.get("contained", []) if item["resourceType"] == "OperationOutcome"]
    return [found for outcome in outcomes for found in outcome["issue"]]
