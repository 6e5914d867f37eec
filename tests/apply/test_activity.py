"""ActivityDefinition/$apply: the 15 kinds (apply.md DF-08)."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
from fhir.resources.R4B.servicerequest import ServiceRequest

from fhir_cds.fhir import codec
from fhir_cds.reasoning import assemble
from fhir_cds.reasoning.apply import apply_activity
from fhir_cds.reasoning.kinds import KINDS
from fhir_cds.reasoning.session import Context

from .support import BASE, NOW, FakeRecord, activity, engine

CONTEXT = Context(encounter="Encounter/e", practitioner="Practitioner/d", organization="Organization/o")
FULL: dict[str, Any] = {
    "title": "Title",
    "description": "Description",
    "code": {"text": "code"},
    "priority": "urgent",
    "doNotPerform": True,
    "timingPeriod": {"start": "2026-02-01", "end": "2026-02-28"},
    "location": {"reference": "Location/l"},
    "participant": [{"type": "practitioner", "role": {"text": "surgeon"}}, {"type": "device", "role": {"text": "r"}}],
    "quantity": {"value": 2},
    "bodySite": [{"text": "liver"}],
    "profile": "http://example.org/profile",
}


def realised(kind: str, context: Context = CONTEXT, **more: Any) -> dict[str, Any]:
    made, issues = apply_activity(engine(activity(kind=kind, **more)), "scan", FakeRecord(), NOW, context)
    assert issues == ()
    assert made is not None
    return made


def valid(made: dict[str, Any]) -> dict[str, Any]:
    kind = made["resourceType"]
    getattr(import_module(f"fhir.resources.R4B.{kind.lower()}"), kind).model_validate(codec.decode(codec.encode(made)))
    return made


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("content", [{}, FULL], ids=["bare", "full"])
def test_df_08_every_kind_is_valid_r4(kind: str, content: dict[str, Any]) -> None:
    """DF-08: each of the 15 kinds gives a valid resource, bare or with everything an ActivityDefinition can say."""
    made = realised(kind, **content)
    model = getattr(import_module(f"fhir.resources.R4B.{kind.lower()}"), kind)
    model.model_validate_json(codec.encode(made))
    assert made["resourceType"] == kind
    canonical = f"{BASE}/ActivityDefinition/scan|1"
    found = made.get("instantiatesCanonical") or made.get("instantiatesUri") or made["extension"][0]["valueCanonical"]
    assert found in (canonical, [canonical])


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"SupplyRequest"}))
def test_df_08_every_kind_is_about_the_patient(kind: str) -> None:
    """DF-08: the patient is named; R4's SupplyRequest has no place for it."""
    assert b'"Patient/p"' in codec.encode(realised(kind))


def test_df_08_service_request() -> None:
    """DF-08: all that a ServiceRequest can keep of an ActivityDefinition, in its place."""
    made = realised("ServiceRequest", **FULL)
    assert (
        made.items()
        >= {
            "status": "draft",
            "intent": "proposal",
            "priority": "urgent",
            "doNotPerform": True,
            "code": {"text": "code"},
            "subject": {"reference": "Patient/p"},
            "encounter": {"reference": "Encounter/e"},
            "occurrencePeriod": FULL["timingPeriod"],
            "authoredOn": NOW,
            "requester": {"reference": "Practitioner/d"},
            "performer": [{"reference": "Practitioner/d"}],
            "performerType": {"text": "r"},
            "locationReference": [{"reference": "Location/l"}],
            "bodySite": [{"text": "liver"}],
            "quantityQuantity": {"value": 2},
            "meta": {"profile": ["http://example.org/profile"]},
        }.items()
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"timingDateTime": "2026-02-01"}, {"occurrenceDateTime": "2026-02-01"}),
        ({"timingPeriod": {"start": "2026-02-01"}}, {"occurrencePeriod": {"start": "2026-02-01"}}),
        ({"timingTiming": {"repeat": {"count": 2}}}, {"occurrenceTiming": {"repeat": {"count": 2}}}),
        (
            {"timingDuration": {"value": 6, "code": "mo"}},
            {"occurrenceTiming": {"repeat": {"boundsDuration": {"value": 6, "code": "mo"}}}},
        ),
        ({"timingAge": {"value": 65, "code": "a"}}, {"occurrenceDateTime": "2025-05-31"}),
    ],
)
def test_df_08_timing_is_the_occurrence(given: dict[str, Any], expected: dict[str, Any]) -> None:
    """DF-08: every timing[x] has its occurrence[x]; an age is counted from the day of birth."""
    assert expected.items() <= realised("ServiceRequest", **given).items()


def test_df_08_an_age_without_day_of_birth() -> None:
    """DF-08, ER-04: no date is made up; an issue says why there is none."""
    made = engine(activity(timingAge={"value": 65, "code": "a"}))
    record = FakeRecord(resources=({"resourceType": "Patient", "id": "p", "birthDate": "1960"},))
    resource, issues = apply_activity(made, "scan", record, NOW)
    assert not any(key.startswith("occurrence") for key in resource)
    assert "day of birth" in issues[0]["diagnostics"]


def test_df_08_medication_request() -> None:
    """DF-08: product, dosage, quantity and timing of a medication."""
    made = realised(
        "MedicationRequest",
        productCodeableConcept={"text": "drug"},
        dosage=[{"text": "daily"}],
        quantity={"value": 28},
        timingTiming={"repeat": {"frequency": 1}},
    )
    assert made["medicationCodeableConcept"] == {"text": "drug"}
    assert made["dosageInstruction"] == [{"timing": {"repeat": {"frequency": 1}}, "text": "daily"}]
    assert made["dispenseRequest"] == {"quantity": {"value": 28}}


def test_df_08_what_is_not_known_says_so() -> None:
    """DF-08: elements R4 requires and nobody knows have a data-absent-reason, none is made up."""
    made = realised("MedicationRequest", context=Context())
    assert made["medicationCodeableConcept"]["extension"][0]["valueCode"] == "unknown"
    assert "requester" not in made


@pytest.mark.parametrize(("kind", "says"), [("Patient", '"Patient" is no request'), (None, "no kind")])
def test_df_08_other_kinds_are_an_issue(kind: str | None, says: str) -> None:
    """DF-08, ER-01: a kind that is no request, or none, is an issue, not an exception."""
    definition = activity(kind=kind)
    if kind is None:
        del definition["kind"]
    made, issues = apply_activity(engine(definition), "scan", FakeRecord(), NOW)
    assert made is None
    assert says in issues[0]["diagnostics"]


def test_df_08_transform_is_said() -> None:
    """DF-08: a StructureMap is not carried out, and the result says so."""
    made, issues = apply_activity(engine(activity(transform="http://example.org/map")), "scan", FakeRecord(), NOW)
    assert made is not None
    assert issues[0]["code"] == "not-supported"
    shown = assemble.with_issues(made, issues)
    ServiceRequest.model_validate_json(codec.encode(shown))
    assert shown["extension"][-1]["valueReference"]["reference"] == f"#{shown['contained'][0]['id']}"


def test_in_05_organization_as_requester() -> None:
    """IN-05: the practitioner asks where known, else the organization."""
    assert realised("Task", context=Context(organization="Organization/o"))["requester"] == {
        "reference": "Organization/o"
    }


@pytest.mark.parametrize(
    ("kind", "place", "name"),
    [("CommunicationRequest", "payload", "contentAttachment"), ("Task", "input", "valueAttachment")],
)
def test_df_08_documentation_goes_with_the_request(kind: str, place: str, name: str) -> None:
    """DF-08: documentation and justification reach a message or a task as attachments; other artifacts do not."""
    listed = [
        {"type": "documentation", "url": "http://example.org/a", "display": "A"},
        {"type": "justification", "document": {"url": "http://example.org/b.pdf", "contentType": "application/pdf"}},
        {"type": "citation", "citation": "C", "url": "http://example.org/c"},
        {"type": "documentation", "citation": "no address"},
    ]
    made = valid(realised(kind, code={"text": "read"}, relatedArtifact=listed))
    assert [item[name] for item in made[place] if name in item] == [
        {"url": "http://example.org/a", "title": "A"},
        {"url": "http://example.org/b.pdf", "contentType": "application/pdf"},
    ]


def test_df_08_a_questionnaire_to_collect_with() -> None:
    """DF-08: cpg-collectWith gives the task its questionnaire, by canonical and, where it is here, as its focus."""
    url = "http://example.org/Questionnaire/q"
    collect = [{"url": "http://hl7.org/fhir/uv/cpg/StructureDefinition/cpg-collectWith", "valueCanonical": url}]
    form = {"resourceType": "Questionnaire", "id": "q", "url": url, "status": "active"}
    task = activity(kind="Task", extension=collect)
    made = [apply_activity(engine(task, *more), "scan", FakeRecord(), NOW)[0] for more in ([], [form])]
    alone, with_form = (valid(one or {}) for one in made)
    assert alone["input"][0]["valueCanonical"] == url
    assert alone["input"][0]["type"]["coding"][0]["code"] == "collect-information"
    assert "focus" not in alone
    assert with_form["focus"] == {"reference": "Questionnaire/q"}
