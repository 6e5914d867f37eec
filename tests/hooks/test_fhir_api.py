"""The FHIR API beside CDS Hooks: `$apply`, the content, health, metrics, OpenAPI."""

from typing import Any

import ehr
import jsonschema
import pytest
from starlette.testclient import TestClient

from fhir_cds.fhir import codec

PATIENT = "after-resection-one-overdue"
PLAN = "ibero2025-strategy-follow-up"
URL = f"https://fhir-cds.github.io/sarcoma/PlanDefinition/{PLAN}"


def parameters(*more: dict[str, Any], data: bool = True) -> dict[str, Any]:
    """Return Parameters about the sample patient."""
    document = ehr.bundle(PATIENT)
    listed = [{"name": "subject", "valueString": f"Patient/{ehr.patient_id(document)}"}]
    listed += [{"name": "data", "resource": document}] if data else []
    return {"resourceType": "Parameters", "parameter": [*listed, *more]}


def post(client: TestClient, path: str, body: Any) -> Any:
    """Return the answer to a FHIR body."""
    return client.post(path, content=codec.encode(body), headers={"content-type": "application/fhir+json"})


def test_apply_by_id_and_by_canonical(client: TestClient) -> None:
    """The same CarePlan whether the plan is named by id, url or canonical."""
    by_id = post(client, f"/fhir/PlanDefinition/{PLAN}/$apply", parameters())
    assert by_id.status_code == 200, by_id.text
    assert by_id.headers["content-type"] == "application/fhir+json; charset=utf-8"
    plan = by_id.json()
    assert plan["resourceType"] == "CarePlan"
    assert any("occurrencePeriod" in resource for resource in plan["contained"])
    url = {"name": "url", "valueUri": URL}
    version = {"name": "version", "valueString": "0.1.0"}
    canonical = {"name": "canonical", "valueCanonical": f"{URL}|0.1.0"}
    for more in ((url,), (url, version), (canonical,)):
        assert post(client, "/fhir/PlanDefinition/$apply", parameters(*more)).json() == plan


def test_apply_r5(client: TestClient) -> None:
    """`$r5.apply` gives Parameters with one Bundle per subject."""
    answer = post(client, f"/fhir/PlanDefinition/{PLAN}/$r5.apply", parameters()).json()
    assert answer["resourceType"] == "Parameters"
    assert answer["parameter"][0]["resource"]["resourceType"] == "Bundle"


def test_apply_from_a_server(client: TestClient, fhir_server: str) -> None:
    """With dataEndpoint the data are read from there; GET with a query string is the same call."""
    expected = post(client, f"/fhir/PlanDefinition/{PLAN}/$apply", parameters()).json()
    endpoint = {"name": "dataEndpoint", "valueString": fhir_server}
    posted = post(client, f"/fhir/PlanDefinition/{PLAN}/$apply", parameters(endpoint, data=False))
    assert posted.json() == expected
    subject = expected["subject"]["reference"]
    query = {"subject": subject, "dataEndpoint": fhir_server}
    assert client.get(f"/fhir/PlanDefinition/{PLAN}/$apply", params=query).json() == expected


def test_apply_as_of_another_day(client: TestClient) -> None:
    """evaluationDateTime is the instant of evaluation."""
    path = f"/fhir/PlanDefinition/{PLAN}/$apply"
    later = post(client, path, parameters({"name": "evaluationDateTime", "valueDateTime": "2027-01-31"}))
    overdue = [plan["activity"] for plan in (post(client, path, parameters()).json(), later.json())]
    counts = [str(activities).count("'overdue'") for activities in overdue]
    assert counts[1] > counts[0] > 0


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/fhir/PlanDefinition/nothing/$apply", parameters(), 404),
        ("/fhir/PlanDefinition/$apply", parameters(), 400),
        ("/fhir/PlanDefinition/$apply", parameters({"name": "url", "valueUri": "https://e.org/none"}), 404),
        (f"/fhir/PlanDefinition/{PLAN}/$apply", parameters({"name": "url", "valueUri": URL}), 400),
        (f"/fhir/PlanDefinition/{PLAN}/$apply", {"resourceType": "Parameters"}, 400),
        (f"/fhir/PlanDefinition/{PLAN}/$apply", parameters(data=False), 412),
        (f"/fhir/PlanDefinition/{PLAN}/$apply", {"resourceType": "Bundle"}, 400),
        (f"/fhir/PlanDefinition/{PLAN}/$apply", parameters({"name": "evaluationDateTime", "valueDateTime": "x"}), 400),
        ("/fhir/ActivityDefinition/nothing/$apply", parameters(data=False), 404),
    ],
)
def test_wrong_apply(client: TestClient, path: str, body: Any, status: int) -> None:
    """Each fault has its status and an OperationOutcome that says what and where."""
    answer = post(client, path, body)
    assert answer.status_code == status, answer.text
    assert answer.json()["resourceType"] == "OperationOutcome"
    assert answer.json()["issue"][0]["diagnostics"]


def test_activity_apply(client: TestClient) -> None:
    """An ActivityDefinition gives its request."""
    activity = next(iter(client.get("/fhir/ActivityDefinition?_count=1").json()["entry"]))["resource"]["id"]
    answer = post(client, f"/fhir/ActivityDefinition/{activity}/$apply", parameters())
    assert answer.status_code == 200, answer.text
    assert answer.json()["subject"]["reference"].startswith("Patient/")


def test_metadata(client: TestClient) -> None:
    """The CapabilityStatement names version, types and operations."""
    statement = client.get("/fhir/metadata").json()
    assert statement["fhirVersion"] == "4.0.1"
    plan = next(item for item in statement["rest"][0]["resource"] if item["type"] == "PlanDefinition")
    assert {operation["name"] for operation in plan["operation"]} == {
        "apply",
        "r5.apply",
        "data-requirements",
        "package",
    }


def test_read_and_etag(client: TestClient) -> None:
    """A resource is read by id, and is 304 for who has it."""
    answer = client.get(f"/fhir/PlanDefinition/{PLAN}")
    assert answer.json()["url"] == URL
    again = client.get(f"/fhir/PlanDefinition/{PLAN}", headers={"if-none-match": answer.headers["etag"]})
    assert again.status_code == 304
    assert client.get("/fhir/PlanDefinition/nothing").status_code == 404
    assert client.get("/fhir/Patient/x").status_code == 404


@pytest.mark.parametrize(
    ("query", "count"),
    [
        (f"url={URL}", 1),
        (f"url={URL}&version=0.1.0", 1),
        (f"url={URL}&version=9", 0),
        ("identifier=https://fhir-cds.github.io/sarcoma/recommendation|ibero2025:13.1", 1),
        ("title:contains=FOLLOW-UP AFTER&status=active&type=workflow-definition", 1),
        ("_id=ibero2025-1-1,ibero2025-1-2", 2),
        ("name=nothing", 0),
    ],
)
def test_search(client: TestClient, query: str, count: int) -> None:
    """The canonical resources are found by their metadata."""
    answer = client.get(f"/fhir/PlanDefinition?{query}").json()
    assert answer["total"] == count
    assert len(answer.get("entry", [])) == count


def test_search_pages_and_summaries(client: TestClient) -> None:
    """Pages follow each other to the end; summaries are marked as subsets."""
    total = client.get("/fhir/PlanDefinition?_summary=count").json()["total"]
    found: list[str] = []
    url = "/fhir/PlanDefinition?_count=30&_summary=true"
    while url:
        page = client.get(url).json()
        found += [entry["resource"]["id"] for entry in page["entry"]]
        assert all("action" not in entry["resource"] for entry in page["entry"])
        assert all(entry["resource"]["meta"]["tag"] for entry in page["entry"])
        url = next((link["url"] for link in page["link"] if link["relation"] == "next"), "")
    assert len(found) == len(set(found)) == total
    form = {"content-type": "application/x-www-form-urlencoded"}
    posted = client.post("/fhir/PlanDefinition/_search", content=b"_id=ibero2025-1-1&_elements=title", headers=form)
    assert posted.json()["entry"][0]["resource"].keys() == {"resourceType", "id", "meta", "title", "status"}


@pytest.mark.parametrize("query", ["colour=red", "_count=x", "_offset=-1"])
def test_search_refuses_what_it_does_not_offer(client: TestClient, query: str) -> None:
    """A parameter that is not offered is 400, not ignored."""
    assert client.get(f"/fhir/PlanDefinition?{query}").status_code == 400


def test_health_ready_metrics(client: TestClient) -> None:
    """The process is alive, the service ready, the calls counted."""
    assert client.get("/health").json()["status"] == "ok"
    ready = client.get("/ready").json()
    assert ready["recommendations"] > 30
    assert 'route="/health",status="200"' in client.get("/metrics").text


def test_openapi_describes_every_route(client: TestClient) -> None:
    """Each route and method stands in the OpenAPI document, and its schemas accept what the service sends."""
    document = client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    called = {offer.service.id for offer in client.app.state.fhir_cds.loaded.offers}  # type: ignore[attr-defined]
    routes = {
        (route.path.replace("{kind}", "{type}"), method.lower())
        for route in client.app.routes  # type: ignore[attr-defined]
        for method in route.methods - {"HEAD"}
    }
    routes -= {("/cds-services/{service}", "post"), ("/fhir/{type}/_search", "get")}
    routes |= {(f"/cds-services/{name}", "post") for name in called}
    assert routes == {
        (path, method) for path, item in document["paths"].items() for method in set(item) - {"parameters"}
    }
    schema = {"$ref": "#/components/schemas/Response", "components": document["components"]}
    call = ehr.request(client, PATIENT, "sarcoma-follow-up")
    answer = ehr.post(client, "sarcoma-follow-up", call).json()
    jsonschema.Draft202012Validator(schema).validate(answer)
