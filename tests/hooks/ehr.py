"""Calls as an EHR makes them, from the sample patients."""

import copy
import json
import logging
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
from starlette.testclient import TestClient

from fhir_cds.data.record import PatientRecord, from_bundle
from fhir_cds.fhir import codec
from fhir_cds.server.sandbox import Store

ROOT = Path(__file__).parents[2]
PATIENTS = ROOT / "tests" / "patients"


@cache
def samples() -> Store:
    """Return the sample patients as a FHIR server holds them (ids are unique there)."""
    return Store.load(PATIENTS)


def bundle(name: str) -> dict[str, Any]:
    """Return a sample patient's Bundle, as read from a FHIR server."""
    entries = [{"resource": copy.deepcopy(resource)} for resource in samples().records[name]]
    return {"resourceType": "Bundle", "type": "collection", "entry": entries}


def patient_id(document: dict[str, Any]) -> str:
    """Return the id of the Patient in a Bundle."""
    return next(e["resource"]["id"] for e in document["entry"] if e["resource"]["resourceType"] == "Patient")


def prefetch(document: dict[str, Any], templates: dict[str, str]) -> dict[str, Any]:
    """Return the prefetch that an EHR would fill from a patient's resources."""
    resources = [entry["resource"] for entry in document["entry"]]
    filled: dict[str, Any] = {}
    for key, template in templates.items():
        kind = template.split("?")[0].split("/")[0]
        found = [resource for resource in resources if resource["resourceType"] == kind]
        if "?" not in template:
            filled[key] = found[0]
        else:
            entries = [{"resource": item, "search": {"mode": "match"}} for item in found]
            filled[key] = {"resourceType": "Bundle", "type": "searchset", **({"entry": entries} if entries else {})}
    return filled


def templates(client: TestClient, service: str, hook: str = "patient-view") -> dict[str, str]:
    """Return the prefetch templates of a service."""
    listed = client.get("/cds-services").json()["services"]
    found: dict[str, str] = next(s["prefetch"] for s in listed if s["id"] == service and s["hook"] == hook)
    return found


INSTANCE = "3f0b8a8e-5d0e-4a63-9c38-7f5d2f2b7c11"


def request(client: TestClient, name: str, service: str, **changes: Any) -> dict[str, Any]:
    """Return the call of a service for a sample patient, all prefetch sent; None removes a member."""
    document = bundle(name)
    hook = changes.get("hook", "patient-view")
    body = {
        "hook": hook,
        "hookInstance": INSTANCE,
        "context": {"userId": "Practitioner/d", "patientId": patient_id(document), "encounterId": "e1"},
        "prefetch": prefetch(document, templates(client, service, hook)),
        **changes,
    }
    return {name: value for name, value in body.items() if value is not None}


def validator(name: str) -> jsonschema.Draft202012Validator:
    """Return the validator of one of our JSON Schemas."""
    schema = json.loads((Path(__file__).parent / "schema" / f"{name}.json").read_text())
    return jsonschema.Draft202012Validator(schema)


def post(client: TestClient, service: str, body: Any, **kwargs: Any) -> Any:
    """Return the response to a call, JSON as we write it."""
    headers = {"content-type": "application/json", **kwargs.pop("headers", {})}
    content = body if isinstance(body, bytes) else codec.encode(body)
    return client.post(f"/cds-services/{service}", content=content, headers=headers, **kwargs)


def cards(client: TestClient, service: str, body: Any) -> list[dict[str, Any]]:
    """Return the cards of a call that must succeed, checked against the schema of the response."""
    answer = post(client, service, body)
    assert answer.status_code == 200, answer.text
    validator("response").validate(answer.json())
    found: list[dict[str, Any]] = answer.json()["cards"]
    return found


def record(name: str) -> PatientRecord:
    """Return a sample patient's record."""
    return from_bundle(bundle(name))


def logged(records: Iterable[logging.LogRecord]) -> str:
    """Return all that the project's log records carry, whether or not it would be written."""
    own = (record for record in records if record.name.startswith("fhir_cds"))
    return "\n".join(f"{record.getMessage()} {vars(record)}" for record in own)
