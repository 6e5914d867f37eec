"""Real requests, broken in many ways: never a 5xx, never a hang, never an invalid answer. The seed is fixed."""

import copy
import random
from collections.abc import Callable
from typing import Any

import ehr
import pytest
from starlette.testclient import TestClient

from fhir_cds.fhir import codec

SERVICE = "sarcoma-liver-metastases"
STRANGE: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    10**30,
    "",
    "x",
    "\u0000\U0001f600",
    "2026-13-45",
    [],
    {},
    [None],
    [[[]]],
    {"resourceType": "Patient", "id": "somebody-else"},
    {"resourceType": "Bundle"},
    {"reference": "Patient/somebody-else"},
    {"coding": "x"},
    {"coding": [{"system": 1, "code": []}]},
)
PATIENT = {"resourceType": "Patient", "id": "p"}
ALLOWED = {200, 400, 412}
FAILED = "fhir_cds_failed_outcomes_total"


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every member and element below a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = []
    for key, inner in items:
        found += [(*path, key), *places(inner, (*path, key))]
    return found


def broken(document: Any, choice: random.Random) -> Any:
    """Return a copy with one to three places dropped, replaced, duplicated or wrapped."""
    result = copy.deepcopy(document)
    for _ in range(choice.randint(1, 3)):
        listed = places(result)
        if not listed:
            break
        path = choice.choice(listed)
        parent = result
        for key in path[:-1]:
            parent = parent[key]
        kind = choice.choice(("drop", "replace", "replace", "duplicate", "wrap"))
        value = parent[path[-1]]
        if kind == "drop":
            del parent[path[-1]]
        elif kind == "replace":
            parent[path[-1]] = copy.deepcopy(choice.choice(STRANGE))
        elif kind == "wrap":
            parent[path[-1]] = [value] if choice.random() < 0.5 else {"value": value}
        elif isinstance(parent, list):
            parent.append(copy.deepcopy(value))
        else:
            parent[f"{path[-1]}x"] = copy.deepcopy(value)
    return result


def failed(client: TestClient) -> float:
    """Return how many recommendations have failed to be evaluated so far."""
    (line,) = (line for line in client.get("/metrics").text.splitlines() if line.startswith(f"{FAILED} "))
    return float(line.split()[1])


def call_of(client: TestClient, name: str, service: str, hook: str) -> dict[str, Any]:
    """Return a sample patient's call of a hook; the conditions of the record are what a context carries."""
    record = ehr.bundle(name)
    subject = {"reference": f"Patient/{ehr.patient_id(record)}"}
    order = {"resourceType": "ServiceRequest", "id": "o", "status": "draft", "intent": "order", "subject": subject}
    order |= {"code": {"coding": [{"system": "http://snomed.info/sct", "code": "174431000"}]}}
    visit = {"resourceType": "Appointment", "id": "a", "status": "proposed", "start": "2026-02-10T09:00:00Z"}
    visit |= {"serviceType": [{"coding": [{"system": "http://snomed.info/sct", "code": "5880005"}]}]}
    visit |= {"participant": [{"actor": subject, "status": "accepted"}]}
    conditions = [entry for entry in record["entry"] if entry["resource"]["resourceType"] == "Condition"]
    carried = {
        "order-select": {"selections": ["ServiceRequest/o"], "draftOrders": [{"resource": order}]},
        "order-sign": {"draftOrders": [{"resource": order}]},
        "appointment-book": {"appointments": [{"resource": visit}]},
        "problem-list-item-create": {"conditions": conditions},
    }
    call = ehr.request(client, name, service, hook=hook)
    for member, value in carried.get(hook, {}).items():
        bundle = {"resourceType": "Bundle", "type": "collection", "entry": value}
        call["context"][member] = value if member == "selections" else bundle
    return call


@pytest.mark.parametrize("seed", range(14))
def test_broken_requests(client: TestClient, seed: int) -> None:
    """Whatever is broken, the answer is cards that are valid, or an error that says what is wrong.

    An empty list of cards comes only where no recommendation failed. Every service is called on every hook that it has.
    """
    offered = [(entry["id"], entry["hook"]) for entry in client.get("/cds-services").json()["services"]]
    service, hook = offered[seed % len(offered)]
    choice = random.Random(seed)  # noqa: S311
    name = choice.choice([path.stem for path in sorted(ehr.PATIENTS.glob("*.json"))])
    call = call_of(client, name, service, hook)
    assert ehr.post(client, service, call).status_code == 200
    schema = ehr.validator("response")
    for _ in range(30):
        before = failed(client)
        answer = ehr.post(client, service, codec.encode(broken(call, choice)))
        assert answer.status_code in ALLOWED, answer.text
        if answer.status_code == 200:
            schema.validate(answer.json())
            assert answer.json()["cards"] or failed(client) == before
        else:
            assert answer.json()["issue"][0]["diagnostics"]


@pytest.mark.parametrize("depth", [100, 900, 50_000])
def test_deep_nesting(client: TestClient, depth: int) -> None:
    """Deep nesting inside a resource is an answer or a refusal, not a crash."""
    call = ehr.request(client, "metachronous-leiomyosarcoma", SERVICE)
    data = codec.encode(call).replace(b'"prefetch":{', b'"prefetch":{"deep":' + b"[" * depth + b"]" * depth + b",", 1)
    assert ehr.post(client, SERVICE, data).status_code in ALLOWED
    nested = b'{"resourceType":"Condition","id":"d","extension":' + b'[{"extension":' * depth + b"[]" + b"}]" * depth
    data = codec.encode(call).replace(b'"entry":[', b'"entry":[{"resource":' + nested + b"}},", 1)
    assert ehr.post(client, SERVICE, data).status_code in ALLOWED


def test_twenty_megabytes(make_client: Callable[..., TestClient]) -> None:
    """20 MB are refused before they are read; where the limit allows them they are evaluated, and nothing is lost."""
    client = make_client()
    call = ehr.request(client, "metachronous-leiomyosarcoma", SERVICE)
    expected = ehr.cards(client, SERVICE, call)
    subject = {"reference": f"Patient/{call['context']['patientId']}"}
    code = {"coding": [{"system": "http://loinc.org", "code": "0-0", "display": "x" * 900}]}
    other = {"resourceType": "Observation", "status": "final", "subject": subject, "code": code}
    entries = [{"resource": other | {"id": f"large-{number}"}} for number in range(18_000)]
    call["prefetch"]["observations"].setdefault("entry", []).extend(entries)
    data = codec.encode(call)
    assert len(data) > 19_000_000
    assert ehr.post(client, SERVICE, data).status_code == 413
    large = make_client(body_limit_bytes=40_000_000)
    assert ehr.cards(large, SERVICE, data) == expected


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-32-be", "latin-1", "cp1252", "utf-7"])
def test_wrong_encodings(client: TestClient, encoding: str) -> None:
    """JSON in another encoding than UTF-8 is refused, or the same where the bytes are."""
    text = codec.encode(ehr.request(client, "no-cancer", SERVICE)).decode().replace("Patient", "Patiént", 1)
    assert ehr.post(client, SERVICE, text.encode(encoding)).status_code == 400


@pytest.mark.parametrize("seed", range(3))
def test_broken_apply_calls(client: TestClient, seed: int) -> None:
    """`$apply`, with an inline plan too, and feedback give an answer or say what is wrong."""
    choice = random.Random(seed)  # noqa: S311
    plan = client.get("/fhir/PlanDefinition/ibero2025-strategy-follow-up").json()
    patient = {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": PATIENT}]}
    parts = [{"name": "key", "valueString": "k"}, {"name": "data", "resource": patient}]
    listed = [
        {"name": "subject", "valueString": "Patient/p"},
        {"name": "planDefinition", "resource": plan},
        {"name": "prefetchData", "part": parts},
        {"name": "userLanguage", "valueCodeableConcept": {"coding": [{"code": "de"}]}},
        {"name": "evaluationDateTime", "valueDateTime": "2026-01-31"},
        {"name": "parameters", "resource": {"resourceType": "Parameters", "parameter": [{"name": "A", "part": []}]}},
    ]
    apply_call = {"resourceType": "Parameters", "parameter": listed}
    reason = {"reason": {"code": "c", "system": "https://e.org"}}
    item = {"card": "c", "outcome": "overridden", "outcomeTimestamp": "2026-01-31T00:00:00Z", "overrideReason": reason}
    headers = {"content-type": "application/json"}
    for path, call in (
        ("/fhir/PlanDefinition/$apply", apply_call),
        ("/fhir/PlanDefinition/$r5.apply", apply_call),
        (f"/cds-services/{SERVICE}/feedback", {"feedback": [item]}),
    ):
        assert client.post(path, content=codec.encode(call), headers=headers).status_code == 200
        for _ in range(30):
            answer = client.post(path, content=codec.encode(broken(call, choice)), headers=headers)
            assert answer.status_code in {*ALLOWED, 404}, answer.text
