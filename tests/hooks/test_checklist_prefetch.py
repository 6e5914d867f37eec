"""CDS Hooks checklist: the states of a prefetch key (PF) and FHIR access (F)."""

import logging
from collections.abc import Callable
from typing import Any

import ehr
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

SERVICE = "sarcoma-liver-metastases"
PATIENT = "metachronous-leiomyosarcoma"
OUTCOME = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "processing"}]}
SECRET = "Planted-token"


def body(client: TestClient, **changes: Any) -> dict[str, Any]:
    """Return a good call with changes."""
    return ehr.request(client, PATIENT, SERVICE, **changes)


def with_key(client: TestClient, key: str, value: Any) -> dict[str, Any]:
    """Return a good call with one prefetch key replaced."""
    changed = body(client)
    changed["prefetch"][key] = value
    return changed


class Recording:
    """A FHIR server that notes what it is asked and with which Authorization."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self.application = Starlette(routes=[Route("/fhir/{kind}", self.search), Route("/fhir/{kind}/{id}", self.read)])

    async def search(self, request: Request) -> Response:
        """Answer a search with nothing."""
        self.asked.append((request.path_params["kind"], request.headers.get("authorization")))
        return JSONResponse({"resourceType": "Bundle", "type": "searchset"})

    async def read(self, request: Request) -> Response:
        """Answer a read with a bare resource."""
        self.asked.append((request.path_params["kind"], request.headers.get("authorization")))
        return JSONResponse({"resourceType": request.path_params["kind"], "id": request.path_params["id"]})


@pytest.fixture
def recording(serve: Callable[[Starlette], str]) -> tuple[Recording, str]:
    """Return a recording server and its base URL."""
    server = Recording()
    return server, f"{serve(server.application)}/fhir"


def test_pf1_absent_is_read_or_refused(client: TestClient, recording: tuple[Recording, str]) -> None:
    """An absent key is read from the server; without one, 412."""
    changed = body(client)
    del changed["prefetch"]["conditions"]
    assert ehr.post(client, SERVICE, changed).status_code == 412
    server, address = recording
    assert ehr.post(client, SERVICE, changed | {"fhirServer": address}).status_code == 200
    assert [kind for kind, _ in server.asked] == ["Condition"]


@pytest.mark.parametrize("absent", [None, "encounters"])
@pytest.mark.parametrize("value", [None, {"resourceType": "Bundle", "type": "searchset", "total": 0}])
def test_pf2_null_is_known_empty(
    client: TestClient, recording: tuple[Recording, str], value: Any, absent: str | None
) -> None:
    """Null and an empty Bundle mean that there is nothing: no query, no 412, also where another key is read."""
    server, address = recording
    changed = with_key(client, "procedures", value) | {"fhirServer": address}
    if absent is not None:
        del changed["prefetch"][absent]
    assert ehr.post(client, SERVICE, changed).status_code == 200
    assert [kind for kind, _ in server.asked] == ([] if absent is None else ["Encounter"])


test_pf3_empty_bundle_is_known_empty = test_pf2_null_is_known_empty


def test_pf4_operation_outcome_is_not_repeated(client: TestClient, recording: tuple[Recording, str]) -> None:
    """A key that the client failed to read is not asked again: required 412, optional a gap on the card."""
    server, address = recording
    required = with_key(client, "conditions", OUTCOME) | {"fhirServer": address}
    assert ehr.post(client, SERVICE, required).status_code == 412
    found = ehr.cards(client, SERVICE, with_key(client, "encounters", OUTCOME) | {"fhirServer": address})
    assert all("encounters" in card["detail"] for card in found)
    assert server.asked == []


def test_pf5_outcome_in_a_bundle_means_partial(client: TestClient) -> None:
    """A Bundle with an error among its entries is not complete."""
    changed = body(client)
    changed["prefetch"]["conditions"]["entry"].append({"search": {"mode": "outcome"}, "resource": OUTCOME})
    assert ehr.post(client, SERVICE, changed).status_code == 412


def test_pf6_pages_are_followed_or_incomplete(client: TestClient, fhir_server: str) -> None:
    """A first page is completed through its next link; without a server it is not taken for all."""
    whole = body(client)
    identifier = whole["context"]["patientId"]
    first = sorted(whole["prefetch"]["conditions"]["entry"], key=lambda entry: entry["resource"]["id"])[:1]
    link = [{"relation": "next", "url": f"{fhir_server}/Condition?patient={identifier}&_count=1&_offset=1"}]
    paged = {"resourceType": "Bundle", "type": "searchset", "entry": first, "link": link}
    changed = with_key(client, "conditions", paged)
    assert ehr.post(client, SERVICE, changed).status_code == 412
    found = ehr.cards(client, SERVICE, changed | {"fhirServer": fhir_server})
    assert found == ehr.cards(client, SERVICE, whole)


def test_pf7_unasked_keys_are_ignored(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    """A key that nobody asked for changes nothing; the log says how many there were."""
    plain = ehr.cards(client, SERVICE, body(client))
    with caplog.at_level(logging.INFO, "fhir_cds"):
        assert ehr.cards(client, SERVICE, with_key(client, "extra", {"anything": 1})) == plain
    assert any(getattr(record, "unasked", 0) == 1 for record in caplog.records)


def test_pf8_wrong_patient_is_refused(client: TestClient) -> None:
    """Another patient's data or another type is 400 and never evaluated."""
    other = {"resourceType": "Condition", "id": "x", "subject": {"reference": "Patient/other"}}
    assert ehr.post(client, SERVICE, with_key(client, "conditions", other)).status_code == 400
    assert ehr.post(client, SERVICE, with_key(client, "conditions", {"resourceType": "Flag"})).status_code == 400


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize(
    ("actors", "status"),
    [
        (("Patient/other",), 400),
        (("Practitioner/d", "https://ehr.example.org/fhir/Patient/other"), 400),
        (("Patient/ada",), 200),
        (("Patient/other", "Patient/ada"), 200),
        (("Practitioner/d",), 200),
    ],
)
def test_pf8_an_appointment_of_another_patient(
    client: TestClient, actors: tuple[str, ...], status: int, *, listed: bool
) -> None:
    """Whose an appointment is say those who take part in it: without the patient, another's is refused."""
    participant = [{"actor": {"reference": actor}, "status": "accepted"} for actor in actors]
    one = {"resourceType": "Appointment", "id": "a", "status": "booked", "participant": participant}
    bundle = {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": one}]}
    call = with_key(client, "appointments", bundle if listed else one)
    assert call["context"]["patientId"] == "ada"
    assert ehr.post(client, SERVICE, call).status_code == status


def test_pf9_single_for_search_and_reverse(client: TestClient) -> None:
    """One resource where a search was asked, and a Bundle where one was, are accepted."""
    whole = body(client)
    patient = whole["prefetch"]["patient"]
    listed = {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": patient}]}
    assert ehr.cards(client, SERVICE, with_key(client, "patient", listed)) == ehr.cards(client, SERVICE, whole)
    single = whole["prefetch"]["conditions"]["entry"][0]["resource"]
    assert ehr.post(client, SERVICE, with_key(client, "conditions", single)).status_code == 200


def token(**changes: Any) -> dict[str, Any]:
    """Return a fhirAuthorization with changes."""
    base = {"access_token": SECRET, "token_type": "Bearer", "expires_in": 300, "scope": "patient/*.rs", "subject": "c"}
    return base | changes


@pytest.mark.parametrize("member", ["access_token", "token_type", "expires_in", "scope", "subject"])
def test_f2_mandatory_members(client: TestClient, recording: tuple[Recording, str], member: str) -> None:
    """fhirAuthorization without one of its mandatory members is refused."""
    cut = {name: value for name, value in token().items() if name != member}
    changed = body(client, fhirServer=recording[1], fhirAuthorization=cut)
    answer = ehr.post(client, SERVICE, changed)
    assert answer.status_code == 400
    assert member in answer.text


def test_f3_every_read_carries_the_bearer(client: TestClient, recording: tuple[Recording, str]) -> None:
    """Each read of the client's server carries the token."""
    server, address = recording
    ehr.post(client, SERVICE, body(client, prefetch={}, fhirServer=address, fhirAuthorization=token()))
    assert len(server.asked) > 5
    assert {sent for _, sent in server.asked} == {f"Bearer {SECRET}"}


def test_f4_token_is_never_logged(
    client: TestClient, recording: tuple[Recording, str], caplog: pytest.LogCaptureFixture
) -> None:
    """Neither answer nor log holds the token, whether the call succeeds or not."""
    with caplog.at_level(logging.DEBUG):
        good = body(client, prefetch={}, fhirServer=recording[1], fhirAuthorization=token())
        bad = good | {"fhirServer": "http://127.0.0.1:9/fhir"}
        answers = [ehr.post(client, SERVICE, good), ehr.post(client, SERVICE, bad)]
    assert SECRET not in caplog.text + ehr.logged(caplog.records)
    assert not any(SECRET in answer.text for answer in answers)


def test_f5_https_beyond_this_machine(make_client: Callable[..., TestClient]) -> None:
    """Plain http to another machine is refused, in development mode too, and though it is on the list."""
    server = "http://ehr.example.org/fhir"
    client = make_client(fhir_servers=(server,))
    answer = ehr.post(client, SERVICE, body(client, prefetch={}, fhirServer=server))
    assert (answer.status_code, "https" in answer.text) == (400, True)


@pytest.mark.parametrize("scope", ["patient/Condition.rs user/*.cruds", "patient/*.read launch"])
def test_f6_both_scope_syntaxes(client: TestClient, recording: tuple[Recording, str], scope: str) -> None:
    """SMART v1 and v2 scopes are accepted."""
    changed = body(client, fhirServer=recording[1], fhirAuthorization=token(scope=scope))
    assert ehr.post(client, SERVICE, changed).status_code == 200


@pytest.mark.parametrize(
    "address",
    ["https://evil.example.org/fhir", "https://10.0.0.1/fhir", "https://[fe80::1]/fhir", "https://user@e.org/fhir"],
)
def test_f7_only_listed_servers(client: TestClient, address: str) -> None:
    """A server that is not on the list, or a private address, is refused before any call."""
    assert ehr.post(client, SERVICE, body(client, prefetch={}, fhirServer=address)).status_code == 400


@pytest.mark.parametrize("lacking", ["encounters", None])
def test_f7_a_server_that_is_not_needed(client: TestClient, lacking: str | None) -> None:
    """A server that is not on the list is no fault of a call that brings all its data, only of one that needs it."""
    call = body(client, fhirServer="https://unlisted.example.org/fhir", fhirAuthorization=token())
    if lacking is None:
        assert ehr.cards(client, SERVICE, call) == ehr.cards(client, SERVICE, body(client))
    else:
        del call["prefetch"][lacking]
        answer = ehr.post(client, SERVICE, call)
        assert (answer.status_code, "fhirServer" in answer.text) == (400, True)


def test_f8_by_prefetch_alone(client: TestClient) -> None:
    """Prefetch alone is enough; that the server alone is too is shown with P9."""
    assert ehr.cards(client, SERVICE, body(client))
