"""The OpenAPI document against real calls and answers: what EHRs send meets it, and what we answer does."""

from collections.abc import Callable
from typing import Any

import ehr
import jsonschema
import pytest
from starlette.testclient import TestClient

FOLLOW_UP = "sarcoma-follow-up"
LIVER = "sarcoma-liver-metastases"
NAMES = sorted(path.stem for path in ehr.PATIENTS.glob("*.json"))
Validator = Callable[[str], jsonschema.Draft202012Validator]


@pytest.fixture
def schema(client: TestClient) -> Validator:
    """Return a function that gives the validator of one schema of the document."""
    document = client.get("/openapi.json").json()

    def of(name: str) -> jsonschema.Draft202012Validator:
        rule = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        return jsonschema.Draft202012Validator(rule)

    return of


@pytest.mark.parametrize("name", NAMES)
def test_calls_and_answers_meet_the_document(client: TestClient, schema: Validator, name: str) -> None:
    """Each sample patient's calls of patient-view, and the cards that come, are as described."""
    for service in (FOLLOW_UP, LIVER):
        call = ehr.request(client, name, service)
        schema("Call-patient-view").validate(call)
        schema("Response").validate(ehr.post(client, service, call).json())


def test_other_documents_meet_it(client: TestClient, schema: Validator) -> None:
    """Discovery, an error and feedback are as described."""
    schema("Discovery").validate(client.get("/cds-services").json())
    call = ehr.request(client, "after-resection-one-overdue", FOLLOW_UP)
    (card,) = ehr.cards(client, FOLLOW_UP, call)
    item = {"card": card["uuid"], "outcome": "accepted", "outcomeTimestamp": "2026-01-31T00:00:00Z"}
    taken = {"acceptedSuggestions": [{"id": card["suggestions"][0]["uuid"]}]}
    schema("Feedback").validate({"feedback": [item | taken]})
    refused = ehr.post(client, FOLLOW_UP, call | {"hook": "order-sign"})
    assert refused.status_code == 400
    schema("OperationOutcome").validate(refused.json())


@pytest.mark.parametrize(
    "change",
    [
        {"indicator": "hard-stop"},
        {"summary": "x" * 140},
        {"summary": None},
        {"source": {}},
        {"selectionBehavior": "one"},
        {"uuid": 1},
        {"detail": ""},
        {"links": [{"label": "l", "url": "https://e.org", "type": "other"}]},
        {"suggestions": [{"uuid": "u"}]},
        {"overrideReasons": [{"code": "c"}]},
    ],
    ids=str,
)
def test_what_the_standard_forbids_the_document_forbids(
    client: TestClient, schema: Validator, change: dict[str, Any]
) -> None:
    """A card that breaks a rule of the standard does not meet the document."""
    call = ehr.request(client, "after-resection-one-overdue", FOLLOW_UP)
    (card,) = ehr.cards(client, FOLLOW_UP, call)
    assert schema("Response").is_valid({"cards": [card]})
    assert not schema("Response").is_valid({"cards": [card | change]})


def test_calls_of_other_hooks_meet_it(client: TestClient, schema: Validator) -> None:
    """A call of each hook that is offered, with the context that the standard names, is as described."""
    subject = {"reference": "Patient/ada"}
    order = {"resourceType": "ServiceRequest", "id": "o", "status": "draft", "intent": "order", "subject": subject}
    held = {
        "draftOrders": order,
        "appointments": {"resourceType": "Appointment", "id": "a", "status": "proposed", "participant": []},
        "conditions": {"resourceType": "Condition", "id": "c", "subject": subject},
    }
    bundles = {
        name: {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": item}]}
        for name, item in held.items()
    }
    context = {"userId": "Practitioner/d", "patientId": "ada", "encounterId": "e"}
    members = {
        "encounter-start": context,
        "order-select": context | {"selections": ["ServiceRequest/o"], "draftOrders": bundles["draftOrders"]},
        "order-sign": context | {"draftOrders": bundles["draftOrders"]},
        "appointment-book": context | {"appointments": bundles["appointments"]},
        "problem-list-item-create": context | {"conditions": bundles["conditions"]},
    }
    offered = {(entry["hook"], entry["id"]) for entry in client.get("/cds-services").json()["services"]}
    assert members.keys() | {"patient-view"} == {hook for hook, _ in offered}
    for hook, service in sorted(offered - {("patient-view", FOLLOW_UP), ("patient-view", LIVER)}):
        call = ehr.request(client, "metachronous-leiomyosarcoma", service, hook=hook, context=members[hook])
        schema(f"Call-{hook}").validate(call)
        schema("Response").validate(ehr.post(client, service, call).json())
        for needed in members[hook].keys() - {"encounterId"}:
            cut = {key: value for key, value in members[hook].items() if key != needed}
            assert not schema(f"Call-{hook}").is_valid(call | {"context": cut})
