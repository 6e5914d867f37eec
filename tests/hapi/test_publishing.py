"""Content on its way into a real HAPI FHIR server: publish, transaction Bundle, FHIR package, check-server."""

import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import hapi_server
import pytest
from peer import Server
from publishing import ROOT, Publication, publish

from fhir_cds.authoring.check_server import roots
from fhir_cds.fhir import codec
from fhir_cds.server.state import Loaded

pytestmark = pytest.mark.hapi

TYPES = "CodeSystem,NamingSystem,ValueSet,StructureDefinition,Library,ActivityDefinition,Questionnaire,PlanDefinition"


def versions(server: Server) -> dict[str, str]:
    """Return the version of every plan and library on the server."""
    found = {}
    for kind in ("PlanDefinition", "Library"):
        for entry in server.get(f"{kind}?_elements=url&_count=500").get("entry", ()):
            resource = entry["resource"]
            found[f"{kind}/{resource['id']}"] = resource["meta"]["versionId"]
    return found


def test_a_killed_run_is_completed_by_the_next(publication: Publication, content: Loaded) -> None:
    """After the kill some is there and some is not; the next run does the rest, and a third has nothing to do."""
    everything = len(content.knowledge.registry)
    counts = publication.second["counts"]
    assert counts["refused"] == counts["held back"] == counts["updated"] == 0
    assert counts["created"] + counts["unchanged"] == everything
    assert counts["unchanged"] >= publication.when_killed
    assert publication.third["counts"]["unchanged"] == everything


def test_what_changed_is_updated_and_told(published: Server, content: Loaded) -> None:
    """A resource that is changed on the server is put right, with its place and what differed; nothing else is."""
    plan = content.engine.registry.by_type("PlanDefinition")[0]
    assert published.call("PUT", f"PlanDefinition/{plan['id']}", {**plan, "title": "Another"}).status == 200
    (step,) = [step for step in publish(published)["steps"] if step["change"] != "unchanged"]
    name = f"PlanDefinition/{plan['id']}"
    assert step == {"resource": name, "change": "updated", "place": name, "detail": "title"}
    assert published.get(name)["title"] == plan["title"]


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that `fhir-cds package` has written."""
    out = tmp_path_factory.mktemp("package")
    command = [sys.executable, "-m", "fhir_cds.cli.main", "package", "--out", str(out)]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return out


def test_transaction_bundle(published: Server, packed: Path) -> None:
    """The packaged Bundle is a transaction that HAPI takes; it changes nothing on a server that has the content."""
    before = versions(published)
    (file,) = packed.glob("*.bundle.json")
    reply = published.call("POST", "", codec.decode(file.read_bytes()))
    assert reply.status == 200, reply.body
    assert {entry["response"]["status"][:3] for entry in reply.body["entry"]} == {"200"}
    assert versions(published) == before


@pytest.fixture
def empty() -> Iterator[Server]:
    """Return a server of its own: HAPI counts as installed only what was not there."""
    with hapi_server.started(*hapi_server.BRIEF) as base:
        yield Server(base)


def test_package_installs(empty: Server, packed: Path, content: Loaded) -> None:
    """HAPI's package installer takes the FHIR package: every resource of it, none refused."""
    (file,) = packed.glob("*.tgz")
    name, _, version = file.stem.rpartition("-")
    url = f"{empty.base.removesuffix('/fhir')}/packages?name={name}&version={version}&types={TYPES}"
    request = urllib.request.Request(url, file.read_bytes(), {"Content-Type": "application/octet-stream"})
    with urllib.request.urlopen(request, timeout=600) as answer:
        outcome = codec.decode(answer.read())
    counted: dict[str, int] = {}
    for resource in content.knowledge.registry:
        counted[resource["resourceType"]] = counted.get(resource["resourceType"], 0) + 1
    assert outcome["resourcesInstalled"] == counted


def test_check_server(published: Server, content: Loaded) -> None:
    """The check finds nothing wrong with HAPI, and leaves nothing behind."""
    command = [sys.executable, "-m", "fhir_cds.cli.main", "check-server", published.base, "--json", "--patients", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    report = codec.decode(done.stdout)
    assert [check for check in report["checks"] if check["ok"] is not True] == []
    assert done.returncode == 0
    applied = next(check["text"] for check in report["checks"] if check["check"] == "$apply")
    assert applied.startswith(f"{len(roots(content.engine))} of {len(roots(content.engine))} ")
    for kind in ("Patient", "Condition", "Observation", "PlanDefinition"):
        assert not published.get(f"{kind}?_tag=urn:fhir-cds:check-server%7Ccheck").get("entry")


def test_check_server_without_writing(published: Server) -> None:
    """With --read-only it says what it sees and did not try to write."""
    command = [sys.executable, "-m", "fhir_cds.cli.main", "check-server", published.base, "--json", "--read-only"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    checks = {check["check"]: check["ok"] for check in codec.decode(done.stdout)["checks"]}
    assert checks == {"capability": True, "clinical reasoning": True, "content": True, "writing": None}
    assert done.returncode == 0
