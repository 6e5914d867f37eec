"""The same plans on a real HAPI FHIR server: `$apply` there and here, for every case and every sample patient.

How they are compared stands in `agreement.py`. Every case goes with its call; one case of each folder, and some sample
patients, are stored as well and read by HAPI from its database.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import agreement
import pytest
from peer import Server

from fhir_cds.authoring import cases
from fhir_cds.authoring.check_server import roots
from fhir_cds.fhir import codec
from fhir_cds.server.state import Loaded

pytestmark = pytest.mark.hapi

ROOT = agreement.ROOT
SAMPLES = sorted((ROOT / "tests" / "patients").glob("*.json"))
CASES = cases.find(ROOT)
ONE_OF_EACH = list({path.parent: path for path in CASES}.values())
STORED = SAMPLES[:: len(SAMPLES) // 4]


def comparable(resource: Mapping[str, Any]) -> dict[str, Any]:
    """Return a resource without what the server adds to its meta; HAPI keeps profiles and tags as sets."""
    meta = resource.get("meta", {})
    return {**resource, "meta": {name: sorted(meta[name], key=str) for name in ("profile", "tag") if name in meta}}


def test_content_is_there_unchanged(published: Server, content: Loaded) -> None:
    """Every resource comes back from HAPI as it was sent, found by its canonical."""
    for resource in content.knowledge.registry:
        kind = resource["resourceType"]
        stored = published.get(f"{kind}/{resource['id']}")
        assert codec.canonical(comparable(stored)) == codec.canonical(comparable(resource))
        if "url" in resource:
            assert len(published.get(f"{kind}?url={resource['url']}&version={resource['version']}")["entry"]) == 1


@pytest.mark.parametrize("moved", [True, False], ids=["moved", "unmoved"])
@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_sample_patient(published: Server, content: Loaded, path: Path, *, moved: bool) -> None:
    """Every pathway, with all its nested plans, gives the same on HAPI and here; also for a record months old."""
    patient = agreement.sample(path, agreement.days_to(published.today()) if moved else 0)
    assert agreement.of_plans(published, content, roots(content.engine), patient) == {}


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_stored_sample_patient(published: Server, content: Loaded, path: Path) -> None:
    """The longest pathway gives the same when HAPI reads the record from its database."""
    patient = agreement.sample(path, agreement.days_to(published.today()))
    stored = agreement.stored(published, patient, "s.")
    assert agreement.compare(published, content, agreement.PATHWAY, stored, sent=False) == ()


def test_cases(published: Server, content: Loaded) -> None:
    """Every plan that a case names gives the same on HAPI and here, for all cases."""
    answers = list(agreement.of_cases(published, content, CASES))
    assert [answer for answer in answers if answer.differences] == [], agreement.figure(answers)
    assert {answer.case for answer in answers} == {agreement.name_of(path) for path in CASES}


def test_stored_cases(published: Server, content: Loaded) -> None:
    """The same for one case of each folder, the record read by HAPI from its database."""
    answers = list(agreement.of_cases(published, content, ONE_OF_EACH, sent=False))
    assert [answer for answer in answers if answer.differences] == [], agreement.figure(answers)
    assert {answer.case for answer in answers} == {agreement.name_of(path) for path in ONE_OF_EACH}
