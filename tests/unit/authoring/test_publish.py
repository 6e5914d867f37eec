"""Publishing to a server in memory: what is created, updated, left alone, refused and held back."""

import re
from collections.abc import Mapping
from typing import Any

import pytest

from fhir_cds.authoring.publish import Change, different, ordered, publish
from fhir_cds.authoring.remote import Answer, connect
from fhir_cds.errors import FhirServerError, InputError

BASE = "http://example.org/fhir"


class Memory:
    """A FHIR server that keeps what it is given; `refuse` maps `Type/id` to the status of its refusal."""

    def __init__(self, *held: dict[str, Any]) -> None:
        self.base = BASE
        self.held = {f"{item['resourceType']}/{item['id']}": item for item in held}
        self.refuse: dict[str, int] = {}
        self.writes: list[str] = []

    async def find(self, kind: str, **query: str) -> list[dict[str, Any]]:
        """Return what a search by url or name finds."""
        ((name, values),) = query.items()
        wanted = {re.sub(r"\\(.)", r"\1", value) for value in re.split(r"(?<!\\),", values)}
        return [item for item in self.held.values() if item["resourceType"] == kind and item.get(name) in wanted]

    async def call(self, method: str, path: str, body: Any = None, *, query: Mapping[str, str] | None = None) -> Answer:
        """Answer a read by id, an update by id, and a conditional update."""
        if method == "GET":
            return Answer(200 if path in self.held else 404, self.held.get(path))
        place = path
        if query:
            found = await self.find(path, **{name: value for name, value in query.items() if name != "version"})
            found = [item for item in found if query.get("version") in {None, item.get("version")}]
            place = f"{path}/{found[0]['id']}" if found else f"{path}/{len(self.held) + 1}"
        if place in self.refuse:
            issue = {"severity": "error", "code": "business-rule", "diagnostics": "no such thing here"}
            return Answer(self.refuse[place], {"resourceType": "OperationOutcome", "issue": [issue]})
        status = 200 if place in self.held else 201
        self.held[place] = {**body, "id": place.partition("/")[2], "meta": {"versionId": "1", **body.get("meta", {})}}
        self.writes.append(place)
        return Answer(status, self.held[place])


def definition(kind: str, name: str, **elements: Any) -> dict[str, Any]:
    """Return a resource with a canonical."""
    return {"resourceType": kind, "id": name, "url": f"{BASE}/{kind}/{name}", "version": "1.0.0", **elements}


VALUES = definition("ValueSet", "v")
LOGIC = definition("Library", "l", relatedArtifact=[{"resource": VALUES["url"]}])
PLAN = definition("PlanDefinition", "b", library=[f"{LOGIC['url']}|1.0.0"])
PATHWAY = definition("PlanDefinition", "a", action=[{"definitionCanonical": PLAN["url"]}])
NAMES = {"resourceType": "NamingSystem", "id": "n", "name": "N"}
EVERYTHING = (PATHWAY, PLAN, LOGIC, VALUES, NAMES)


async def test_first_run_creates_all_in_order_and_the_second_nothing() -> None:
    """What is named comes before what names it; a second run writes nothing."""
    server = Memory()
    steps = await publish(server, EVERYTHING)
    assert server.writes == ["NamingSystem/n", "ValueSet/v", "Library/l", "PlanDefinition/b", "PlanDefinition/a"]
    assert {step.change for step in steps} == {Change.CREATED}
    again = await publish(server, EVERYTHING)
    assert {step.change for step in again} == {Change.UNCHANGED}
    assert len(server.writes) == len(EVERYTHING)


async def test_a_dry_run_tells_and_does_not_write() -> None:
    """A dry run says what a run would do."""
    server = Memory({**PLAN, "title": "old"})
    steps = await publish(server, [PLAN, VALUES], dry_run=True)
    assert [(step.change, step.detail) for step in steps] == [(Change.CREATED, ""), (Change.UPDATED, "title")]
    assert server.writes == []


async def test_an_update_goes_to_where_the_canonical_is() -> None:
    """A resource under another id is updated there, and its version change is told."""
    server = Memory({**PLAN, "id": "77", "version": "0.9.0"})
    (step,) = await publish(server, [PLAN])
    assert (step.change, step.place, step.detail) == (Change.UPDATED, "PlanDefinition/77", "0.9.0 to 1.0.0: version")
    assert list(server.held) == ["PlanDefinition/77"]


async def test_a_taken_id_is_not_overwritten() -> None:
    """Another resource under our id stays; ours gets an id of the server's choice."""
    other = {**definition("PlanDefinition", "b"), "url": "http://example.com/other"}
    server = Memory(other)
    (step,) = await publish(server, [PLAN])
    assert step.change is Change.CREATED
    assert step.place != "PlanDefinition/b"
    assert server.held["PlanDefinition/b"] == other


async def test_a_refusal_holds_back_what_needs_it() -> None:
    """A refused library is told in the server's words; the plans that need it are not written, the rest is."""
    server = Memory()
    server.refuse = {"Library/l": 422, "Library/2": 422}
    steps = {step.resource["id"]: step for step in await publish(server, [PATHWAY, PLAN, LOGIC, VALUES])}
    assert steps["l"].change is Change.REFUSED
    assert steps["l"].detail == "422: no such thing here"
    assert [steps[name].change for name in ("v", "b", "a")] == [Change.CREATED, Change.HELD_BACK, Change.HELD_BACK]
    assert LOGIC["url"] in steps["b"].detail
    assert server.writes == ["ValueSet/v"]


async def test_two_with_one_canonical_are_refused() -> None:
    """Where a canonical is there twice, no guess is made; with one of our version, that one is meant."""
    server = Memory({**PLAN, "id": "1", "version": "0.1"}, {**PLAN, "id": "2", "version": "0.2"})
    (step,) = await publish(server, [PLAN])
    assert (step.change, step.detail) == (Change.REFUSED, "the server has it 2 times (versions 0.1, 0.2)")
    server = Memory({**PLAN, "id": "1", "version": "0.1"}, {**PLAN, "id": "2", "title": "old"})
    (step,) = await publish(server, [PLAN])
    assert (step.change, step.place) == (Change.UPDATED, "PlanDefinition/2")


async def test_without_the_right_to_write_it_stops() -> None:
    """The first 403 ends the run with the server's words."""
    server = Memory()
    server.refuse = {"ValueSet/v": 403}
    with pytest.raises(FhirServerError, match="lets nobody write here: 403: no such thing here") as caught:
        await publish(server, [VALUES, LOGIC])
    assert caught.value.http_status == 403


def test_what_servers_add_is_no_difference() -> None:
    """Version, time and source of meta, the tags of a check, and generated snapshots are no content."""
    stored = {**PLAN, "id": "9", "meta": {"versionId": "3", "lastUpdated": "2026-01-31T00:00:00Z", "source": "#x"}}
    assert different(PLAN, stored) == ""
    tagged = {**stored, "meta": {"tag": [{"system": "urn:fhir-cds:check-server", "code": "check"}]}}
    assert different(PLAN, tagged) == ""
    profile = definition("StructureDefinition", "s")
    assert different(profile, {**profile, "snapshot": {"element": []}}) == ""
    assert different({**profile, "snapshot": {}}, {**profile, "snapshot": {"element": []}}) == "snapshot"


def test_a_circle_of_names_still_has_an_order() -> None:
    """Plans that name each other are listed once each."""
    one = definition("PlanDefinition", "x", action=[{"definitionCanonical": f"{BASE}/PlanDefinition/y"}])
    two = definition("PlanDefinition", "y", action=[{"definitionCanonical": f"{BASE}/PlanDefinition/x"}])
    assert {item["id"] for item in ordered([one, two])} == {"x", "y"}


@pytest.mark.parametrize(
    ("url", "token", "message"),
    [
        ("http://example.org/fhir", "secret", "a token is not sent over plain http"),
        ("https://example.org/fhir", "two words", "not a bearer token"),
        ("https://user:pw@example.org/fhir", None, "no user"),
        ("ftp://example.org", None, "base URL"),
    ],
)
async def test_addresses_and_tokens_that_are_not_used(url: str, token: str | None, message: str) -> None:
    """A token goes over https only; what is no base URL is refused before any call."""
    with pytest.raises(InputError, match=message):
        async with connect(url, token):
            pass


async def test_nobody_there() -> None:
    """A server that cannot be reached is an error that names it."""
    async with connect("http://127.0.0.1:9/fhir") as remote:
        with pytest.raises(FhirServerError, match="cannot be reached"):
            await remote.call("GET", "metadata", tries=1)
