"""The same plans on a real HAPI FHIR server: `$apply` there and here, for every sample patient and the cases.

HAPI evaluates at its own today. So each record is moved in time by as many days as lie between the day it was written
for and the server's today, and both engines see the moved record as of today; the samples also run unmoved.
What is compared, and what is not, stands in `fhir_cds.authoring.parity`.
"""

import os
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from peer import Server

from fhir_cds.authoring import cases, parity, runner
from fhir_cds.data.record import from_resources
from fhir_cds.fhir import bundle, codec
from fhir_cds.reasoning import assemble
from fhir_cds.reasoning.apply import apply_plan
from fhir_cds.server.state import Loaded

pytestmark = pytest.mark.hapi

ROOT = Path(__file__).parents[2]
SAMPLES = sorted((ROOT / "tests" / "patients").glob("*.json"))
SAMPLE_DAY = date(2026, 1, 31)
FOLDERS = sorted({path.parent for path in cases.find(ROOT)})
PATHWAYS = ("ibero2025-pathway", "ccsf2025-pathway")
LIMIT = None if os.environ.get("FHIR_CDS_HAPI_CASES") == "all" else 1
"""Cases compared in each folder: one, or all of them (over half an hour) with FHIR_CDS_HAPI_CASES=all."""


def compare(server: Server, content: Loaded, plan: str, resources: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return where HAPI and we differ on a plan, for a patient whose resources the server holds."""
    listed = [dict(item) for item in resources]
    subject = next(f"Patient/{item['id']}" for item in listed if item["resourceType"] == "Patient")
    reply = server.apply(plan, subject)
    record = from_resources(listed, systems=content.systems)
    ours = assemble.careplan(apply_plan(content.engine, plan, record, reply.today.isoformat()))
    return parity.differences(parity.normal_form(ours), parity.normal_form(reply.body))


def today(server: Server) -> date:
    """Return the day of the server's clock."""
    return server.call("GET", "metadata").today


def test_content_is_there_unchanged(published: Server, content: Loaded) -> None:
    """Every resource comes back from HAPI as it was sent, found by its canonical."""
    for resource in content.knowledge.registry:
        kind = resource["resourceType"]
        stored = published.get(f"{kind}/{resource['id']}")
        stored["meta"] = {name: value for name, value in stored["meta"].items() if name in {"profile", "tag"}}
        assert codec.canonical({**stored, "meta": stored["meta"]}) == codec.canonical({"meta": {}, **resource})
        if "url" in resource:
            assert len(published.get(f"{kind}?url={resource['url']}&version={resource['version']}")["entry"]) == 1


@pytest.mark.parametrize("moved", [True, False], ids=["moved", "unmoved"])
@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_sample_patient(published: Server, content: Loaded, path: Path, *, moved: bool) -> None:
    """Both pathways, with all their nested plans, give the same on HAPI and here."""
    held = bundle.read(codec.decode(path.read_bytes())).resources
    days = (today(published) - SAMPLE_DAY).days if moved else 0
    resources = parity.renamed([parity.shifted(item, days) for item in held], "m." if moved else "u.")
    published.put(resources)
    assert {plan: compare(published, content, plan, resources) for plan in PATHWAYS} == {plan: [] for plan in PATHWAYS}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_cases(published: Server, content: Loaded, folder: Path) -> None:
    """The cases of a folder (`LIMIT`) give the same on HAPI and here; in a story, every plan that it names."""
    words = cases.words(ROOT)
    found = {}
    for number, path in enumerate(cases.find(ROOT, [folder.name])[:LIMIT]):
        case = cases.load(path, words)
        days = (today(published) - date.fromisoformat(case.now[:10])).days
        held = runner.record(content.engine, case).resources
        resources = parity.renamed([parity.shifted(item, days) for item in held], f"{folder.name}.{number}.")
        published.put(resources)
        for plan in case.expect.outcomes:
            found[case.id, plan] = compare(published, content, plan, resources)
    assert {key: text for key, text in found.items() if text} == {}
    assert found
