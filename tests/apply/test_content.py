"""The content as it stands, applied to the sample patients: the forms other tools rely on, and the invariants."""

from __future__ import annotations

import threading
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.careplan import CarePlan
from fhir.resources.R4B.library import Library

from fhir_cds.data.prefetch import type_of
from fhir_cds.data.record import PatientRecord, read
from fhir_cds.fhir import codec
from fhir_cds.followup import careplan as followup_careplan
from fhir_cds.followup.schedule import schedule, schedules
from fhir_cds.knowledge.load import load
from fhir_cds.reasoning import assemble, r5
from fhir_cds.reasoning.apply import apply_plan
from fhir_cds.reasoning.engine import Engine, natural
from fhir_cds.reasoning.outcomes import outcomes
from fhir_cds.reasoning.requirements import data_requirements, types_read
from fhir_cds.terminology.local import aliases

ROOT = Path(__file__).parents[2]
PATIENTS = sorted((ROOT / "tests" / "patients").glob("*.json"))
NOW = "2026-01-31"
IN_THE_RANGE = ("liver-recurrence-fifteen-months", "9.1")
"""Unknown, and nothing is missing: the source leaves the range open (A04)."""


@lru_cache
def engine() -> Engine:
    return Engine.load(load([ROOT]))


def patient(name: str) -> PatientRecord:
    path = ROOT / "tests" / "patients" / f"{name}.json"
    return read(path.read_bytes(), systems=aliases(engine().registry))


@pytest.mark.parametrize("path", PATIENTS, ids=lambda path: path.stem)
def test_every_recommendation_answers_for_every_patient(path: Path) -> None:
    """Every recommendation known, in order, in the form that scripts rely on; none fails; unknown names its facts."""
    items = outcomes(engine(), patient(path.stem), NOW)
    assert len(items) == len(engine().recommendations)
    keys = [(item["source"], natural(item["number"])) for item in items]
    assert keys == sorted(keys)
    for item in items:
        assert list(item) == ["source", "number", "plan", "outcome", "missing", "because"]
        assert item["outcome"] in {"applicable", "not-applicable", "unknown"}, item["number"]
        asked = item["outcome"] == "unknown" and (path.stem, item["number"]) != IN_THE_RANGE
        assert bool(item["missing"]) == asked, item["number"]
        assert item["because"][0].keys() == {"define", "value", "resources"}
    codec.encode(items)


@pytest.mark.parametrize("path", PATIENTS, ids=lambda path: path.stem)
def test_results_are_valid_r4_and_repeatable(path: Path) -> None:
    """The pathway's CarePlan (nested and merged), its R5 form and the dated follow-up validate; bytes repeat."""
    record = patient(path.stem)
    plans = [plan["id"] for plan in engine().registry.by_type("PlanDefinition") if plan["id"].endswith("-pathway")]
    for plan in plans:
        made = [codec.encode(_all(plan, record)) for _ in range(2)]
        assert made[0] == made[1]
        nested, merged, bundle, *dated = _all(plan, record)
        for careplan in (nested, merged, *dated):
            CarePlan.model_validate_json(codec.encode(careplan))
            _resolves(careplan)
        Bundle.model_validate_json(codec.encode(bundle))


def _all(plan: str, record: PatientRecord) -> list[dict[str, Any]]:
    applied = apply_plan(engine(), plan, record, NOW)
    dated = [followup_careplan.careplan(found) for found in schedules(engine(), record, NOW)]
    return [assemble.careplan(applied), assemble.careplan(applied, merge_nested=True), r5.bundle(applied), *dated]


def _resolves(careplan: dict[str, Any]) -> None:
    """Every local reference leads to one contained resource, every contained resource is referred to."""
    ids = [resource["id"] for resource in careplan.get("contained", ())]
    assert len(set(ids)) == len(ids)
    found = set(_references(careplan))
    assert {name for name in found if name.startswith("#")} == {f"#{name}" for name in ids}


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["reference"]] if isinstance(value.get("reference"), str) else []
        return own + [found for item in value.values() for found in _references(item)]
    return [found for item in value for found in _references(item)] if isinstance(value, list) else []


def test_after_resection_one_visit_is_overdue() -> None:
    """The sample patient after resection: first visit done, the second overdue, the rest ahead."""
    items = schedule(engine(), patient("after-resection-one-overdue"), NOW)
    statuses = [item["status"] for item in items if item["source"] == "ibero2025:13.1"]
    assert statuses[:3] == ["completed", "overdue", "scheduled"]
    assert statuses.count("overdue") == 1


def test_a_missing_count_is_named() -> None:
    """The sample patient without a lesion count: 1.1 is unknown, and the count is missing."""
    items = outcomes(engine(), patient("lesion-count-missing"), NOW)
    found = next(item for item in items if (item["source"], item["number"]) == ("ibero2025", "1.1"))
    assert (found["outcome"], found["missing"]) == ("unknown", ["metastasis_count"])


def test_threads_share_one_engine() -> None:
    """Four threads with different patients get what each gets alone."""
    names = [path.stem for path in PATIENTS[:4]]
    alone = {name: codec.encode(outcomes(engine(), patient(name), NOW)) for name in names}
    together: dict[str, bytes] = {}

    def work(name: str) -> None:
        for _ in range(3):
            together[name] = codec.encode(outcomes(engine(), patient(name), NOW))

    threads = [threading.Thread(target=work, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


def test_statuses_follow_now() -> None:
    """Invariant 3: what is due depends on the `now` that is passed in alone."""
    record = patient("after-resection-one-overdue")
    early = schedule(engine(), record, "2025-06-01")
    late = schedule(engine(), record, "2030-06-01")
    assert {item["status"] for item in early} == {"scheduled"}
    assert [item["status"] for item in late].count("overdue") > 5


def test_io_03_data_requirements() -> None:
    """IO-03: what a pathway reads, each once: types, with the value sets of the content; a valid Library."""
    plan = next(p["id"] for p in engine().registry.by_type("PlanDefinition") if p["id"].endswith("-pathway"))
    made = data_requirements(engine(), plan)
    Library.model_validate_json(codec.encode(made))
    assert codec.encode(made) == codec.encode(data_requirements(engine(), engine().plan(plan)))
    wanted = made["dataRequirement"]
    assert len({codec.canonical(item) for item in wanted}) == len(wanted) > 20
    assert {"Condition", "Observation", "Procedure", "Patient"} <= {item["type"] for item in wanted}
    named = [f["valueSet"] for item in wanted for f in item.get("codeFilter", ()) if "valueSet" in f]
    assert named
    assert all(engine().registry.find(canonical, "ValueSet") for canonical in named)


def test_ch_04_prefetch_asks_for_what_the_logic_reads() -> None:
    """CH-04: a service's prefetch has the types that its plans' logic reads, the patient, the answers; no more."""
    services = load([ROOT]).services
    assert services
    for service in services:
        asked = {str(type_of(query)) for query in service.prefetch.values()}
        plans = [engine().plan(canonical) for canonical in service.plans]
        read = {kind for plan in plans for kind in types_read(engine(), plan)} | {"Patient", "QuestionnaireResponse"}
        assert asked == read, service.id
