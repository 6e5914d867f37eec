"""`check-server` on a server in memory: one that does all right, and each way in which one does not."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fhir_cds.authoring.check_server import STAGES, Check, Finding, Sample
from fhir_cds.authoring.publish import TAG_SYSTEM
from fhir_cds.authoring.remote import Answer, Remote
from fhir_cds.data.record import from_resources
from fhir_cds.errors import FhirServerError
from fhir_cds.reasoning import assemble
from fhir_cds.reasoning.apply import apply_plan
from fhir_cds.server import state
from fhir_cds.server.state import Loaded

BASE = "http://example.org/fhir"
TODAY = "2026-01-31"
STATEMENT = {
    "resourceType": "CapabilityStatement",
    "fhirVersion": "4.0.1",
    "software": {"name": "Memory", "version": "1"},
    "rest": [{"resource": [{"type": "PlanDefinition", "operation": [{"name": "apply"}]}]}],
}
FEVER = Sample(
    "fever",
    (
        {"resourceType": "Patient", "id": "p"},
        {
            "resourceType": "Observation",
            "id": "o",
            "status": "final",
            "code": {"coding": [{"system": "https://fhir-cds.github.io/toy/CodeSystem/toy", "code": "temperature"}]},
            "subject": {"reference": "Patient/p"},
            "effectiveDateTime": "2026-01-31T08:00:00Z",
            "valueQuantity": {"value": 39, "unit": "Cel", "system": "http://unitsofmeasure.org", "code": "Cel"},
        },
    ),
)


class Memory:
    """A FHIR server that keeps what it is given and applies plans as we do; `fault` may answer in its place.

    As HAPI does, it keeps the tags of a place over updates and deletions, until they are taken off.
    """

    def __init__(self, content: Loaded) -> None:
        self.base = BASE
        self.content = content
        self.held: dict[str, dict[str, Any]] = {}
        self.tags: dict[str, list[dict[str, str]]] = {}
        self.calls: list[str] = []
        self.fault: Callable[[str, str], Answer | None] = lambda method, path: None

    retag = Remote.retag

    async def find(self, kind: str, **query: str) -> list[dict[str, Any]]:
        """Return what a search by tag, url or name finds."""
        answer = self._faulty("GET", kind)
        if answer is not None:
            raise FhirServerError(f"refused a search: {answer.why}")
        return [item for item in self.held.values() if item["resourceType"] == kind and _matches(item, query)]

    async def call(self, method: str, path: str, body: Any = None, *, query: Mapping[str, str] | None = None) -> Answer:
        """Answer what a check asks for."""
        answer = self._faulty(method, path)
        if answer is not None:
            return answer
        if path == "metadata":
            return Answer(200, STATEMENT, {"Date": "Sat, 31 Jan 2026 09:00:00 GMT"})
        if method == "DELETE":
            return Answer(200 if self.held.pop(path, None) else 404, None)
        if path.endswith("$apply"):
            return Answer(200, self._applied(path.split("/")[1]), {"Date": "Sat, 31 Jan 2026 09:00:00 GMT"})
        if method == "GET":
            return Answer(200 if path in self.held else 404, self.held.get(path))
        place, _, operation = path.partition("/$")
        if operation:
            tags = body["parameter"][0]["valueMeta"]["tag"]
            kept = [tag for tag in self.tags.get(place, []) if tag not in tags]
            self._keep(place, self.held[place], kept + tags * (operation == "meta-add"))
            return Answer(200, None)
        entries = [(entry["request"]["url"], entry["resource"]) for entry in body["entry"]] if not path else []
        for place, resource in entries or [(f"{body['resourceType']}/{body['id']}", body)]:
            new = [tag for tag in resource.get("meta", {}).get("tag", ()) if tag not in self.tags.get(place, [])]
            self._keep(place, resource, self.tags.get(place, []) + new)
        return Answer(200, body)

    def _keep(self, place: str, resource: Mapping[str, Any], tags: list[dict[str, str]]) -> None:
        self.tags[place] = tags
        self.held[place] = {**resource, "meta": {**resource.get("meta", {}), "tag": tags}}

    def _faulty(self, method: str, path: str) -> Answer | None:
        self.calls.append(f"{method} {path}")
        return self.fault(method, path)

    def _applied(self, plan: str) -> Any:
        people = [item for item in self.held.values() if item["resourceType"] in {"Patient", "Observation"}]
        return assemble.careplan(apply_plan(self.content.engine, plan, from_resources(people), TODAY))


def _matches(item: Mapping[str, Any], query: Mapping[str, str]) -> bool:
    tags = {f"{tag['system']}|{tag['code']}" for tag in item.get("meta", {}).get("tag", ())}
    wanted = {name: value for name, value in query.items() if name != "_lastUpdated"}
    if "_lastUpdated" in query:
        return False  # all that this server holds is of this run
    return all(
        tags & {value} if name == "_tag" else item.get(name) in value.split(",") for name, value in wanted.items()
    )


def issue(status: int, text: str) -> Answer:
    """Return a refusal with an OperationOutcome."""
    told = {"severity": "error", "code": "processing", "diagnostics": text}
    return Answer(status, {"resourceType": "OperationOutcome", "issue": [told]})


@pytest.fixture
def server(toy: Path) -> Memory:
    """Return an empty server beside the toy guideline."""
    return Memory(state.load((toy,), lambda: datetime(2026, 1, 31, tzinfo=UTC)))


async def checked(server: Memory, cards: list[str] | None = None) -> dict[str, Finding]:
    """Return what a check finds, by name."""
    check = Check(server, server.content.engine, server.content.systems, "run1")

    async def drive(sample: Sample) -> list[str]:
        return cards or []

    findings = await check.everything([FEVER], ["toy-1"], drive)
    assert check.stage <= STAGES
    return {finding.name: finding for finding in findings}


async def test_a_server_that_does_all_right(server: Memory) -> None:
    """Everything is as it should be, a real answer was compared, and nothing stays behind."""
    found = await checked(server)
    assert [finding for finding in found.values() if finding.ok is not True] == []
    assert found["$apply"].text == "1 of 1 answers agree with ours"
    assert found["content"].text.startswith(f"{len(server.content.engine.registry)} published")
    assert server.held == {}


async def test_all_that_is_written_is_tagged(server: Memory) -> None:
    """What a run that is killed leaves behind can be found by its tag."""
    seen: dict[str, dict[str, Any]] = {}

    def keep(method: str, path: str) -> None:
        seen.update({place: item for place, item in server.held.items() if place not in seen})

    server.fault = keep
    await checked(server)
    assert {item["resourceType"] for item in seen.values()} >= {"Patient", "Observation", "PlanDefinition", "Library"}
    for item in seen.values():
        assert {"system": TAG_SYSTEM, "code": "check"} in item["meta"]["tag"]


async def test_what_is_published_after_a_check_is_no_leftover(server: Memory) -> None:
    """A server that keeps tags over a deletion must not give ours to content that is published there later."""
    await checked(server)
    plan = server.content.engine.plan("toy-1")
    await server.call("PUT", "PlanDefinition/toy-1", plan)
    assert [tag for tag in server.held["PlanDefinition/toy-1"]["meta"]["tag"] if tag["system"] == TAG_SYSTEM] == []


async def test_no_write_access(server: Memory) -> None:
    """A refused record is told in the server's words, and nothing more is tried."""
    server.fault = lambda method, path: issue(403, "read only here") if method == "POST" else None
    found = await checked(server)
    assert found["write access"].ok is False
    assert "the server does not take fever: 403: read only here" in found["write access"].text
    assert set(found) == {"capability", "clinical reasoning", "earlier runs", "write access", "clean-up"}


async def test_another_form_of_our_content_is_left_alone(server: Memory) -> None:
    """What is there under our canonical with other content is a finding, and stays as it is."""
    plan = {**server.content.engine.plan("toy-1"), "title": "Another"}
    server.held["PlanDefinition/toy-1"] = plan
    found = await checked(server)
    assert found["content"].ok is False
    assert found["content"].details == ("PlanDefinition/toy-1: title",)
    assert server.held == {"PlanDefinition/toy-1": plan}


async def test_clinical_reasoning_is_off(server: Memory) -> None:
    """Each plan that cannot be applied is named with the server's answer."""
    server.fault = lambda method, path: issue(404, "unknown operation") if path.endswith("$apply") else None
    found = await checked(server)
    assert found["$apply"].ok is False
    assert found["$apply"].details == ("toy-1, fever: 404: unknown operation",)


async def test_another_answer_is_told(server: Memory) -> None:
    """An action that is not in the server's answer is named."""
    empty = {"resourceType": "CarePlan", "status": "draft", "intent": "proposal", "subject": {"reference": "Patient/p"}}
    server.fault = lambda method, path: Answer(200, empty) if path.endswith("$apply") else None
    found = await checked(server)
    assert found["$apply"].ok is False
    assert any("theirs has not /toy-1" in text for text in found["$apply"].details)


async def test_other_cards_are_told(server: Memory) -> None:
    """What the drive of our CDS service found is in the report."""
    found = await checked(server, ["toy-fever: other cards than from prefetch"])
    assert found["CDS service"].ok is False
    assert found["CDS service"].details == ("fever: toy-fever: other cards than from prefetch",)


async def test_down_in_the_middle(server: Memory) -> None:
    """A server that goes away is a finding, and so is all that could not be deleted; a later run deletes it."""
    down = False

    def fault(method: str, path: str) -> None:
        nonlocal down
        down = down or path.endswith("$apply")
        if down:
            raise FhirServerError("cannot be reached (ClientConnectorError)", where=BASE)

    server.fault = fault
    found = await checked(server)
    assert found["server"].ok is False
    assert "cannot be reached" in found["server"].text
    assert found["clean-up"].ok is False
    assert f"delete what carries the tag {TAG_SYSTEM}|run1" in found["clean-up"].text
    assert server.held
    assert {"Patient", "Observation", "PlanDefinition"} <= {
        text.partition(":")[0] for text in found["clean-up"].details
    }


async def test_a_refused_delete_is_told(server: Memory) -> None:
    """What the server does not let go is named."""
    server.fault = lambda method, path: issue(405, "no delete") if method == "DELETE" else None
    found = await checked(server)
    assert found["clean-up"].ok is False
    assert any("no delete" in text for text in found["clean-up"].details)
    assert {"system": TAG_SYSTEM, "code": "run1"} in server.held["PlanDefinition/toy-1"]["meta"]["tag"]
