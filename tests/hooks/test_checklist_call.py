"""CDS Hooks checklist: the call (Q)."""

import uuid
from collections.abc import Callable
from typing import Any

import ehr
import pytest
from starlette.testclient import TestClient

SERVICE = "sarcoma-liver-metastases"
PATIENT = "metachronous-leiomyosarcoma"


@pytest.mark.parametrize("member", ["hook", "hookInstance", "context"])
def test_q1_mandatory_members(client: TestClient, member: str) -> None:
    """A body without hook, hookInstance or context is 400."""
    answer = ehr.post(client, SERVICE, ehr.request(client, PATIENT, SERVICE) | {member: None})
    assert answer.status_code == 400
    assert member in answer.text


def test_q2_hook_instance_is_a_uuid(client: TestClient) -> None:
    """hookInstance must be a UUID."""
    call = ehr.request(client, PATIENT, SERVICE)
    assert ehr.post(client, SERVICE, call | {"hookInstance": "1"}).status_code == 400
    assert ehr.post(client, SERVICE, call | {"hookInstance": str(uuid.uuid4())}).status_code == 200


def test_q3_hook_not_offered(client: TestClient) -> None:
    """A hook that the service does not answer is 400, however good its context."""
    answer = ehr.post(client, SERVICE, ehr.request(client, PATIENT, SERVICE) | {"hook": "encounter-discharge"})
    assert answer.status_code == 400
    assert answer.json()["issue"][0]["expression"] == ["hook"]


def test_q4_context_is_checked(client: TestClient) -> None:
    """The context is checked against the hook's table; `Patient/x` is tolerated as patientId."""
    call = ehr.request(client, PATIENT, SERVICE)
    context = call["context"]
    prefixed = context | {"patientId": f"Patient/{context['patientId']}"}
    assert ehr.cards(client, SERVICE, call | {"context": prefixed}) == ehr.cards(client, SERVICE, call)
    assert ehr.post(client, SERVICE, call | {"context": context | {"userId": "somebody"}}).status_code == 400


def test_q5_resources_in_context_are_r4(client: TestClient) -> None:
    """What is no R4 resource in the context is 400."""
    call = ehr.request(client, PATIENT, "sarcoma-new-metastasis", hook="problem-list-item-create")
    entry = [{"resource": {"resourceType": "NoSuchType", "id": "x"}}]
    call["context"]["conditions"] = {"resourceType": "Bundle", "type": "collection", "entry": entry}
    assert ehr.post(client, "sarcoma-new-metastasis", call).status_code == 400


def test_q6_extensions_are_tolerated(client: TestClient) -> None:
    """Unknown members and extensions at any level change nothing."""
    call = ehr.request(client, PATIENT, SERVICE)
    extended = call | {"extension": {"org.example": {"a": 1}}, "somethingNew": True}
    extended["prefetch"] = call["prefetch"] | {"extension": {"org.example": 1}}
    lent = {"access_token": "t", "token_type": "Bearer", "expires_in": 1, "scope": "patient/*.rs", "subject": "c"}
    extended |= {"fhirServer": "http://127.0.0.1:9/fhir", "fhirAuthorization": lent | {"extension": {}, "patient": "p"}}
    extended["context"] = call["context"] | {"extension": {"org.example": 1}, "other": [1]}
    assert ehr.cards(client, SERVICE, extended) == ehr.cards(client, SERVICE, call)


def test_q7_nothing_to_say(client: TestClient) -> None:
    """A patient to whom nothing applies gets 200 with an empty list."""
    answer = ehr.post(client, SERVICE, ehr.request(client, "no-cancer", SERVICE))
    assert (answer.status_code, answer.json()) == (200, {"cards": []})


def test_q8_data_that_cannot_be_had(client: TestClient) -> None:
    """Needed data that cannot be had is 412."""
    assert ehr.post(client, SERVICE, ehr.request(client, PATIENT, SERVICE, prefetch=None)).status_code == 412


def test_q9_other_statuses(client: TestClient) -> None:
    """404, 405 and 415 where they belong (413, 429, 500: see the other files)."""
    assert ehr.post(client, "nothing", {}).status_code == 404
    assert client.delete(f"/cds-services/{SERVICE}").status_code == 405
    assert ehr.post(client, SERVICE, b"x", headers={"content-type": "text/plain"}).status_code == 415


def test_q10_errors_are_operation_outcomes(client: TestClient) -> None:
    """Every error carries an OperationOutcome, as FHIR JSON when asked for."""
    call = ehr.request(client, PATIENT, SERVICE)
    wrong: dict[int, Callable[[dict[str, str]], Any]] = {
        400: lambda headers: ehr.post(client, SERVICE, b"{", headers=headers),
        404: lambda headers: ehr.post(client, "nothing", {}, headers=headers),
        405: lambda headers: client.delete(f"/cds-services/{SERVICE}", headers=headers),
        412: lambda headers: ehr.post(client, SERVICE, call | {"prefetch": {}}, headers=headers),
        413: lambda headers: ehr.post(client, SERVICE, b"x" * 8_000_001, headers=headers),
        415: lambda headers: ehr.post(client, SERVICE, b"x", headers=headers | {"content-type": "text/plain"}),
    }
    for status, ask in wrong.items():
        for accept, kind in (
            ("*/*", "application/json"),
            ("application/fhir+json", "application/fhir+json; charset=utf-8"),
        ):
            answer = ask({"accept": accept})
            assert (answer.status_code, answer.headers["content-type"]) == (status, kind)
            assert answer.json()["resourceType"] == "OperationOutcome"
            assert answer.json()["issue"][0]["severity"] == "error"
