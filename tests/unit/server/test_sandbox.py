"""The sandbox endpoint: read, search, pages, and what it does not offer."""

from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from fhir_cds.errors import InputError
from fhir_cds.fhir import codec
from fhir_cds.server.sandbox import Store, application


def observation(number: int, patient: str = "a") -> dict[str, Any]:
    """Return an observation of a patient."""
    return {
        "resourceType": "Observation",
        "id": f"o{number}",
        "status": "final",
        "category": [{"coding": [{"system": "https://e.org/cat", "code": "exam"}]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": f"{number}-0"}]},
        "effectiveDateTime": f"2025-0{number}-01",
        "subject": {"reference": f"Patient/{patient}"},
    }


def bundle(patient: str, *resources: dict[str, Any]) -> dict[str, Any]:
    """Return a patient's Bundle."""
    listed = [{"resourceType": "Patient", "id": patient, "identifier": [{"system": "https://e.org", "value": "7"}]}]
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": r} for r in [*listed, *resources]]}


@pytest.fixture
def client() -> TestClient:
    """Return a client of a sandbox with two patients."""
    store = Store(
        {"anna": bundle("a", *(observation(n) for n in range(1, 6))), "ben": bundle("b", observation(9, "b"))}
    )
    assert store.patients == {"anna": "a", "ben": "b"}
    return TestClient(application(store), base_url="http://localhost", raise_server_exceptions=False)


def test_it_names_itself_by_the_path_it_is_mounted_at() -> None:
    """Full URLs and next links stay below its base."""
    inner = application(Store({"anna": bundle("a", observation(1), observation(2))}))
    client = TestClient(Starlette(routes=[Mount("/sandbox/fhir", inner)]), base_url="http://localhost")
    first = client.get("/sandbox/fhir/Observation?patient=a&_count=1").json()
    assert first["entry"][0]["fullUrl"] == "http://localhost/sandbox/fhir/Observation/o1"
    assert client.get(first["link"][0]["url"]).json()["entry"][0]["resource"]["id"] == "o2"


def test_an_appointment_is_found_by_who_takes_part() -> None:
    """It has no subject: its participants say whose it is."""
    actors = [{"actor": {"reference": name}, "status": "accepted"} for name in ("Practitioner/d", "Patient/a")]
    booked = {"resourceType": "Appointment", "id": "x", "status": "booked", "participant": actors}
    nobody = {"resourceType": "Appointment", "id": "y", "status": "booked", "participant": actors[:1]}
    store = Store({"anna": bundle("a", booked, nobody), "ben": bundle("b")})
    assert [item["id"] for item in store.search("Appointment", [("patient", "a")])] == ["x"]
    assert store.search("Appointment", [("patient", "b")]) == []


def found(client: TestClient, query: str) -> list[str]:
    """Return the ids that a search gives."""
    answer = client.get(query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/fhir+json")
    return [entry["resource"]["id"] for entry in answer.json().get("entry", [])]


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("/Observation?patient=a&code=http://loinc.org|2-0", ["o2"]),
        ("/Observation?patient=Patient/a&code=2-0,3-0", ["o2", "o3"]),
        ("/Observation?patient=a&code=https://e.org|2-0", []),
        ("/Observation?subject=Patient/b", ["o9"]),
        ("/Observation?patient=c", []),
        ("/Observation?patient=a&date=ge2025-04", ["o4", "o5"]),
        ("/Observation?patient=a&date=lt2025-02-01&category=exam", ["o1"]),
        ("/Observation?patient=a&date=2025-03&status=final", ["o3"]),
        ("/Patient?_id=a,b", ["a", "b"]),
        ("/Patient?identifier=https://e.org|7", ["a", "b"]),
        ("/Condition?patient=a", []),
    ],
)
def test_search(client: TestClient, query: str, ids: list[str]) -> None:
    """Search by patient, token and date."""
    assert found(client, query) == ids


def test_pages_follow(client: TestClient) -> None:
    """A page that is not the last has a next link, which keeps the query."""
    first = client.get("/Observation?patient=a&_count=2").json()
    assert first["total"] == 5
    second = client.get(first["link"][0]["url"]).json()
    last = client.get(second["link"][0]["url"]).json()
    ids = [entry["resource"]["id"] for page in (first, second, last) for entry in page["entry"]]
    assert ids == ["o1", "o2", "o3", "o4", "o5"]
    assert "link" not in last


def test_post_search(client: TestClient) -> None:
    """A search may be posted as a form."""
    answer = client.post("/Observation/_search", data={"patient": "b"})
    assert [entry["resource"]["id"] for entry in answer.json()["entry"]] == ["o9"]


def test_read(client: TestClient) -> None:
    """A resource is read by type and id; one that is not there is 404 with an OperationOutcome."""
    assert client.get("/Patient/a").json()["id"] == "a"
    missing = client.get("/Patient/x")
    assert missing.status_code == 404
    assert missing.json()["issue"][0]["code"] == "not-found"


@pytest.mark.parametrize("query", ["/Observation?colour=red", "/Observation?_count=many", "/Observation?code:in=x"])
def test_what_is_not_offered_is_said(client: TestClient, query: str) -> None:
    """A parameter that is not offered is refused, not ignored."""
    assert client.get(query).status_code == 400


def test_nothing_is_taken_in(client: TestClient) -> None:
    """Writes are not offered."""
    assert client.put("/Patient/a", json={}).status_code == 405
    assert client.post("/Patient", json={}).status_code == 405


def test_metadata(client: TestClient) -> None:
    """The CapabilityStatement lists the types."""
    statement = client.get("/metadata").json()
    assert [item["type"] for item in statement["rest"][0]["resource"]] == ["Observation", "Patient"]


def test_ids_taken_by_another_patient_are_renamed() -> None:
    """Two Bundles that use the same ids keep their own resources, references included."""
    order = {"resourceType": "Flag", "id": "f", "subject": {"reference": "Patient/b"}}
    order |= {"detail": {"reference": "Observation/o1"}}
    store = Store({"anna": bundle("a", observation(1)), "ben": bundle("b", observation(1, "b"), order)})
    assert set(store.by_type["Observation"]) == {"o1", "ben-o1"}
    assert store.by_type["Flag"]["f"]["detail"] == {"reference": "Observation/ben-o1"}
    assert [resource["id"] for resource in store.search("Observation", [("patient", "b")])] == ["ben-o1"]


def test_load_from_a_folder(tmp_path: Path) -> None:
    """Each file is a patient under its name; an empty folder is an error."""
    with pytest.raises(InputError):
        Store.load(tmp_path)
    (tmp_path / "anna.json").write_bytes(codec.encode(bundle("a")))
    assert Store.load(tmp_path).patients == {"anna": "a"}
