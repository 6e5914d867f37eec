"""Whatever is wrong with a call: the right status, an OperationOutcome that says what and where, and never cards."""

from collections.abc import Callable
from typing import Any

import ehr
import faulty
import pytest
from starlette.testclient import TestClient

from fhir_cds.fhir import codec

SERVICE = "sarcoma-liver-metastases"
PATIENT = "metachronous-leiomyosarcoma"


def refused(answer: Any, status: int) -> str:
    """Return what an error says, after checking its form."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body["resourceType"] == "OperationOutcome"
    assert "cards" not in body
    issue = body["issue"][0]
    assert issue["severity"] in {"error", "fatal"}
    assert issue["code"]
    return str(issue["diagnostics"])


def body(client: TestClient, **changes: Any) -> dict[str, Any]:
    """Return a good call with changes."""
    return ehr.request(client, PATIENT, SERVICE, **changes)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b'{"hook": "x"', b"NaN", b"[" * 100_000])
def test_not_json(client: TestClient, data: bytes) -> None:
    """A body that is not JSON says where it stops being JSON."""
    assert "body" in refused(ehr.post(client, SERVICE, data), 400)


@pytest.mark.parametrize("data", [b"[]", b"null", b'"text"', b"1"])
def test_not_an_object(client: TestClient, data: bytes) -> None:
    """A JSON value that is not an object is refused."""
    refused(ehr.post(client, SERVICE, data), 400)


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"hook": "order-sign", "prefetch": {}}, "hook"),
        ({"hookInstance": "7"}, "hookInstance"),
        ({"context": {"patientId": "1"}}, "context.userId"),
        ({"context": {"userId": "Practitioner/1"}}, "context.patientId"),
        ({"context": {"userId": "Device/1", "patientId": "1"}}, "context.userId"),
        ({"prefetch": []}, "prefetch"),
        ({"fhirServer": "ftp://x"}, "fhirServer"),
        ({"fhirServer": "http://169.254.169.254/latest", "prefetch": {}}, "fhirServer"),
        ({"fhirServer": "https://ehr.example.org/fhir", "prefetch": {}}, "fhirServer"),
    ],
)
def test_wrong_members(client: TestClient, changes: dict[str, Any], place: str) -> None:
    """A wrong member is named: wrong hook, wrong context, a FHIR server that may not be called."""
    changed = body(client) | changes
    assert place in refused(ehr.post(client, SERVICE, changed), 400)


def test_unknown_service(client: TestClient) -> None:
    """An unknown service is 404."""
    refused(ehr.post(client, "nothing", body(client)), 404)


def test_wrong_method_and_address(client: TestClient) -> None:
    """Other methods are 405 with Allow, other addresses 404, both with an OperationOutcome."""
    answer = client.get(f"/cds-services/{SERVICE}")
    refused(answer, 405)
    assert answer.headers["allow"] == "POST"
    refused(client.get("/nothing"), 404)


@pytest.mark.parametrize("path", ["/cds-services/", f"/cds-services/{SERVICE}/", "/fhir/PlanDefinition/"])
def test_a_final_slash_is_another_address(client: TestClient, path: str) -> None:
    """Nobody is sent elsewhere with a token and a record: behind a proxy that would be plain http, at any Host."""
    headers = {"host": "localhost", "content-type": "application/json"}
    for answer in (client.get(path, headers=headers), client.post(path, content=b"{}", headers=headers)):
        assert "final slash" in refused(answer, 404)


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "multipart/form-data", ""])
def test_wrong_media_type(client: TestClient, kind: str) -> None:
    """Anything but JSON is 415."""
    refused(ehr.post(client, SERVICE, body(client), headers={"content-type": kind}), 415)


def test_compressed_body(client: TestClient) -> None:
    """A coded body is 415 rather than garbage."""
    refused(ehr.post(client, SERVICE, body(client), headers={"content-encoding": "gzip"}), 415)


def test_too_large(make_client: Callable[..., TestClient]) -> None:
    """A body over the limit is 413, whether its length is announced or not."""
    small = make_client(body_limit_bytes=1_000)
    refused(ehr.post(small, SERVICE, b"x" * 1_001), 413)
    headers = {"content-type": "application/json"}
    answer = small.post(f"/cds-services/{SERVICE}", content=iter([b"x" * 600, b"x" * 600]), headers=headers)
    refused(answer, 413)


def test_missing_prefetch_without_server(client: TestClient) -> None:
    """Needed data that nobody can give is 412, and the key is named."""
    changed = body(client)
    del changed["prefetch"]["conditions"]
    assert "conditions" in refused(ehr.post(client, SERVICE, changed), 412)


def test_no_prefetch_at_all(client: TestClient) -> None:
    """Without prefetch and server every needed key is named."""
    text = refused(ehr.post(client, SERVICE, body(client, prefetch=None)), 412)
    assert all(key in text for key in ("patient", "conditions", "procedures"))


def test_patient_missing(client: TestClient) -> None:
    """A patient who is not there is 412."""
    changed = body(client)
    changed["prefetch"]["patient"] = None
    assert ehr.post(client, SERVICE, changed).status_code in {400, 412}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("conditions", {"resourceType": "Observation", "id": "o", "subject": {"reference": "Patient/x"}}),
        ("conditions", "text"),
        ("conditions", []),
        ("conditions", {"resourceType": "Condition", "id": "o", "subject": {"reference": "Patient/somebody-else"}}),
        ("conditions", {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": {"id": "x"}}]}),
        ("conditions", {"resourceType": "Bundle", "type": "searchset", "entry": [1]}),
        ("conditions", {"resourceType": "Bundle", "type": "message"}),
        ("patient", {"resourceType": "Patient", "id": "somebody-else"}),
    ],
)
def test_wrong_or_strange_data(client: TestClient, key: str, value: Any) -> None:
    """Data of another type or another patient is refused, never evaluated."""
    changed = body(client)
    changed["prefetch"][key] = value
    refused(ehr.post(client, SERVICE, changed), 400)


def test_two_patients(client: TestClient) -> None:
    """Two patients in one call are refused."""
    changed = body(client)
    extra = {"resourceType": "Patient", "id": "second"}
    patient = changed["prefetch"]["patient"]
    entries = [{"resource": patient}, {"resource": extra}]
    changed["prefetch"]["patient"] = {"resourceType": "Bundle", "type": "searchset", "entry": entries}
    refused(ehr.post(client, SERVICE, changed), 400)


@pytest.mark.parametrize("fault", faulty.FAULTS)
def test_server_faults(make_client: Callable[..., TestClient], serve: Callable[[Any], str], fault: str) -> None:
    """A FHIR server that refuses, fails, babbles or hangs gives 412 (502 for another patient's data)."""
    client = make_client(**faulty.patience(fault))
    address = serve(faulty.application(fault))
    answer = ehr.post(client, SERVICE, body(client, prefetch={}, fhirServer=f"{address}/fhir"))
    text = refused(answer, 502 if fault == "other patient" else 412)
    assert "Planted" not in answer.text
    assert "somebody-else" not in answer.text
    assert text


@pytest.mark.parametrize("fault", [name for name in faulty.FAULTS if name not in {"other patient", faulty.EXPIRES}])
def test_server_faults_of_optional_data(
    make_client: Callable[..., TestClient], serve: Callable[[Any], str], fault: str
) -> None:
    """Where only optional data are left to read, the same faults leave a gap that every card names."""
    client = make_client(**faulty.patience(fault))
    changed = body(client, fhirServer=f"{serve(faulty.application(fault))}/fhir")
    del changed["prefetch"]["encounters"]
    found = ehr.cards(client, SERVICE, changed)
    assert found
    assert all("encounters" in card["detail"] and "Planted" not in card["detail"] for card in found)


def test_nobody_answers(client: TestClient) -> None:
    """A server that refuses connections is 412."""
    answer = ehr.post(client, SERVICE, body(client, prefetch={}, fhirServer="http://127.0.0.1:9/fhir"))
    refused(answer, 412)


def test_f1_token_without_server(client: TestClient) -> None:
    """fhirAuthorization without fhirServer is a wrong request."""
    token = {"access_token": "Planted", "token_type": "Bearer", "expires_in": 300, "scope": "patient/*.rs"}
    answer = ehr.post(client, SERVICE, body(client, fhirAuthorization={**token, "subject": "c"}))
    assert "fhirServer" in refused(answer, 400)
    assert "Planted" not in answer.text


def test_optional_gap_is_said(client: TestClient) -> None:
    """Optional data that cannot be had does not stop the answer; every card says what is lacking."""
    changed = body(client)
    del changed["prefetch"]["encounters"]
    found = ehr.cards(client, SERVICE, changed)
    assert found
    assert all("encounters" in card["detail"] for card in found)


def test_q11_a_broken_engine_is_not_silence(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault inside is 500 with an OperationOutcome, not an empty list of cards; its text stays inside."""
    call = body(client)

    def broken(*_args: Any) -> None:
        raise RuntimeError("Planted")

    monkeypatch.setattr("fhir_cds.server.cds_hooks.advise", broken)
    answer = ehr.post(client, SERVICE, call)
    refused(answer, 500)
    assert "Planted" not in answer.text


def test_calls_are_counted_by_route_and_status(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call counts under the template of its route, whatever its answer and whichever service it names."""
    call = body(client)
    ehr.post(client, SERVICE, call)
    ehr.post(client, "planted-id", call)
    ehr.post(client, SERVICE, {})
    client.get(f"/cds-services/{SERVICE}")

    def broken(*_args: Any) -> None:
        raise RuntimeError("Planted")

    monkeypatch.setattr("fhir_cds.server.cds_hooks.advise", broken)
    ehr.post(client, SERVICE, call)
    counted = client.get("/metrics").text
    for status in (200, 404, 400, 405, 500):
        assert f'fhir_cds_calls_total{{route="/cds-services/{{service}}",status="{status}"}}' in counted
    assert "planted" not in counted.lower()


def test_a_fault_does_not_reach_the_server_beneath(
    make_client: Callable[..., TestClient], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The text of an unexpected error, which may hold patient data, is not passed on to be logged; CORS still holds."""
    origin = "https://ehr.example.org"
    client = make_client(cors_origins=(origin,))

    def broken(*_args: Any) -> None:
        raise RuntimeError("Planted")

    call = body(client)
    monkeypatch.setattr("fhir_cds.server.cds_hooks.advise", broken)
    strict = TestClient(client.app, base_url="http://localhost")
    answer = ehr.post(strict, SERVICE, call, headers={"origin": origin})
    refused(answer, 500)
    assert answer.headers["access-control-allow-origin"] == origin
    assert "RuntimeError" in str([vars(record) for record in caplog.records])
    assert "Planted" not in caplog.text
    assert "Planted" not in ehr.logged(caplog.records)


@pytest.mark.parametrize("day", ["9999-12-31", "9999-06", "9999"])
def test_a_date_at_the_end_of_time(client: TestClient, day: str) -> None:
    """A day that stands for "unknown" in some records leaves no visit to be dated: that is said, and nothing fails."""
    service = "sarcoma-follow-up"
    call = codec.encode(ehr.request(client, "after-resection-one-overdue", service))
    found = ehr.cards(client, service, call.replace(b"2025-05-06", day.encode()))
    assert found
    assert any("years 1 to 9999" in card["detail"] for card in found)
    assert not any("| Visit |" in card["detail"] for card in found)
