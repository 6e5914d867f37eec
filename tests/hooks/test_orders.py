"""Draft orders against the guidelines: they reach the logic as a parameter and are never kept."""

from typing import Any

import ehr
import pytest
from starlette.testclient import TestClient

SERVICE = "sarcoma-order-check"
PATIENT = "retroperitoneal"
SARCOMA = {"system": "http://snomed.info/sct", "code": "722229001", "display": "Primary sarcoma of retroperitoneum"}
ASPIRATION = {"system": "http://snomed.info/sct", "code": "257759008", "display": "Fine needle aspiration"}
ACTIVE = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "active"}]}
SUBJECT = {"reference": f"Patient/{PATIENT}"}


def order(coding: dict[str, str] = ASPIRATION, **changes: Any) -> dict[str, Any]:
    """Return a draft order."""
    base = {"resourceType": "ServiceRequest", "id": "draft-1", "status": "draft", "intent": "order"}
    return base | {"subject": SUBJECT, "code": {"coding": [coding]}} | changes


def call(client: TestClient, hook: str, *orders: dict[str, Any]) -> dict[str, Any]:
    """Return a call with draft orders for a patient with sarcoma of the retroperitoneum."""
    condition = {"resourceType": "Condition", "id": "c", "subject": SUBJECT, "clinicalStatus": ACTIVE}
    condition |= {"code": {"coding": [SARCOMA]}, "onsetDateTime": "2026-01-02"}
    drafts = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": item} for item in orders]}
    document = {"entry": [{"resource": {"resourceType": "Patient", "id": PATIENT}}, {"resource": condition}]}
    context = {"userId": "Practitioner/d", "patientId": PATIENT, "draftOrders": drafts}
    if hook == "order-select":
        context["selections"] = [f"ServiceRequest/{item['id']}" for item in orders]
    prefetch = ehr.prefetch(document, ehr.templates(client, SERVICE, hook))
    return {"hook": hook, "hookInstance": ehr.INSTANCE, "context": context, "prefetch": prefetch}


@pytest.mark.parametrize("hook", ["order-select", "order-sign"])
def test_an_order_against_the_guideline(client: TestClient, hook: str) -> None:
    """CH-06: a draft order that the guideline advises against is said, on both hooks."""
    found = ehr.cards(client, SERVICE, call(client, hook, order()))
    assert any("aspiration" in card["detail"].lower() for card in found)


def test_no_orders_no_card(client: TestClient) -> None:
    """Without draft orders there is nothing to check."""
    assert ehr.cards(client, SERVICE, call(client, "order-sign")) == []


def test_another_order(client: TestClient) -> None:
    """An order that no guideline speaks about raises nothing."""
    other = order({"system": "http://loinc.org", "code": "24323-8"})
    assert ehr.cards(client, SERVICE, call(client, "order-sign", other)) == []


def test_orders_of_another_patient(client: TestClient) -> None:
    """Draft orders of somebody else are refused."""
    other = order(subject={"reference": "Patient/somebody-else"})
    assert ehr.post(client, SERVICE, call(client, "order-sign", other)).status_code == 400


def test_selections_must_be_drafts(client: TestClient) -> None:
    """A selection that is not among the drafts is refused."""
    body = call(client, "order-select", order())
    body["context"]["selections"] = ["ServiceRequest/other"]
    assert ehr.post(client, SERVICE, body).status_code == 400
