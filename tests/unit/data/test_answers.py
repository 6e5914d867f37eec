"""Responses to questionnaires as part of the record: what counts, what it becomes, what is a gap."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from fhir_cds.data.answers import answered
from fhir_cds.data.forms import Forms
from fhir_cds.data.record import Gap, from_resources
from fhir_cds.errors import ContentError
from fhir_cds.knowledge.registry import Registry

SDC = "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-"
BASE = "http://hl7.org/fhir/StructureDefinition/"
URL = "http://example.org/Questionnaire/q"
CODE = {"system": "http://example.org/codes", "code": "temperature"}


def start(definition: str) -> dict[str, Any]:
    return {"url": f"{SDC}definitionExtract", "extension": [{"url": "definition", "valueCanonical": definition}]}


def fixed(path: str, **value: Any) -> dict[str, Any]:
    parts = [{"url": "definition", "valueUri": path}, {"url": "fixed-value", **value}]
    return {"url": f"{SDC}definitionExtractValue", "extension": parts}


EXTRACT = {"url": f"{SDC}observationExtract", "valueBoolean": True}
CELSIUS = {"system": "http://unitsofmeasure.org", "code": "Cel", "display": "°C"}
UNIT = {"url": f"{BASE}questionnaire-unit", "valueCoding": CELSIUS}
PROCEDURE = f"{BASE}Procedure"
PROFILE = "http://example.org/StructureDefinition/my-procedure"
QUESTIONS = [
    {"linkId": "temperature", "type": "decimal", "code": [CODE], "extension": [EXTRACT, UNIT]},
    {"linkId": "choice", "type": "choice", "code": [CODE], "extension": [EXTRACT]},
    {"linkId": "day", "type": "date", "code": [CODE], "extension": [EXTRACT]},
    {"linkId": "note", "type": "text", "code": [CODE]},
    {
        "linkId": "operation",
        "type": "group",
        "repeats": True,
        "extension": [start(PROCEDURE), fixed(f"{PROCEDURE}#Procedure.status", valueCode="completed")],
        "item": [
            {"linkId": "which", "type": "choice", "definition": f"{PROCEDURE}#Procedure.code.coding"},
            {"linkId": "on", "type": "date", "definition": f"{PROCEDURE}#Procedure.performed[x]"},
            {"linkId": "known", "type": "date", "readOnly": True},
        ],
    },
    {
        "linkId": "profiled",
        "type": "choice",
        "extension": [start(PROFILE)],
        "definition": f"{PROFILE}#Procedure.status",
    },
    {
        "linkId": "panel",
        "type": "group",
        "extension": [start(f"{BASE}Observation"), fixed(f"{BASE}Observation#Observation.status", valueCode="final")],
        "item": [
            {
                "linkId": "part",
                "type": "group",
                "repeats": True,
                "definition": f"{BASE}Observation#Observation.component",
                "extension": [
                    fixed(f"{BASE}Observation#Observation.component.code", valueCodeableConcept={"coding": [CODE]})
                ],
                "item": [
                    {
                        "linkId": "value",
                        "type": "integer",
                        "definition": f"{BASE}Observation#Observation.component.value[x]",
                    }
                ],
            }
        ],
    },
]


def forms(items: Any = QUESTIONS) -> Forms:
    questionnaire = {"resourceType": "Questionnaire", "id": "q", "url": URL, "version": "2", "item": items}
    return Forms.of(Registry.of([("q.json", questionnaire)]))


def response(*items: dict[str, Any], **elements: Any) -> dict[str, Any]:
    return {
        "resourceType": "QuestionnaireResponse",
        "id": "r",
        "status": "completed",
        "questionnaire": f"{URL}|2",
        "subject": {"reference": "Patient/p"},
        "authored": "2026-01-20T09:00:00Z",
        "author": {"reference": "Practitioner/d"},
        "item": list(items),
        **elements,
    }


def said(link: str, **value: Any) -> dict[str, Any]:
    return {"linkId": link, "answer": [value]}


def read(*resources: dict[str, Any]) -> tuple[list[dict[str, Any]], tuple[Gap, ...]]:
    """Return what the responses added to the record, and the gaps."""
    plain = from_resources([{"resourceType": "Patient", "id": "p"}, *resources])
    held = answered(plain, forms())
    return [item for item in held.resources if item not in plain.resources], held.gaps


FEVER = said("temperature", valueDecimal=Decimal("38.5"))


def test_an_observation() -> None:
    """An answer becomes an Observation of the day it was authored, by its author, derived from the response."""
    (made,), gaps = read(response(FEVER))
    assert gaps == ()
    assert made == {
        "resourceType": "Observation",
        "id": "r.1",
        "meta": {"source": "QuestionnaireResponse/r"},
        "status": "final",
        "code": {"coding": [CODE]},
        "subject": {"reference": "Patient/p"},
        "effectiveDateTime": "2026-01-20T09:00:00Z",
        "performer": [{"reference": "Practitioner/d"}],
        "derivedFrom": [{"reference": "QuestionnaireResponse/r"}],
        "valueQuantity": {
            "value": Decimal("38.5"),
            "unit": "°C",
            "system": "http://unitsofmeasure.org",
            "code": "Cel",
        },
    }


@pytest.mark.parametrize(
    ("item", "value"),
    [
        (said("choice", valueCoding=CODE), {"valueCodeableConcept": {"coding": [CODE]}}),
        (said("day", valueDate="2026-01"), {"valueDateTime": "2026-01"}),
    ],
)
def test_values_that_an_observation_can_hold(item: dict[str, Any], value: dict[str, Any]) -> None:
    """A coding becomes a concept, a day a dateTime of the same precision."""
    (made,), _ = read(response(item))
    assert {key: made[key] for key in made if key.startswith("value")} == value


def test_what_is_not_marked_becomes_nothing() -> None:
    """A code alone is no sign to extract, and neither is an item that is shown only."""
    shown = {"linkId": "operation", "item": [said("known", valueDate="2026-01-02")]}
    assert read(response(said("note", valueString="x"), shown)) == ([], ())


@pytest.mark.parametrize("status", ["in-progress", "entered-in-error", "stopped"])
def test_responses_that_do_not_count(status: str) -> None:
    """Only a completed or amended response says something."""
    assert read(response(FEVER, status=status)) == ([], ())
    assert len(read(response(FEVER, status="amended"))[0]) == 1


def test_a_resource_by_definition() -> None:
    """Each time a group is answered gives one resource: what is fixed, and what was answered."""
    first = {"linkId": "operation", "item": [said("which", valueCoding=CODE), said("on", valueDate="2025-05-06")]}
    second = {"linkId": "operation", "item": [said("on", valueDate="2025")]}
    made, gaps = read(response(first, second, {"linkId": "operation", "item": []}))
    assert gaps == ()
    common = {
        "resourceType": "Procedure",
        "meta": {"source": "QuestionnaireResponse/r"},
        "status": "completed",
        "subject": {"reference": "Patient/p"},
    }
    assert made == [
        {**common, "id": "r.1", "code": {"coding": [CODE]}, "performedDateTime": "2025-05-06"},
        {**common, "id": "r.2", "performedDateTime": "2025"},
    ]


def test_a_profile_and_a_code() -> None:
    """A profile is claimed; a coding goes as its code into an element that holds one."""
    (made,), _ = read(response(said("profiled", valueCoding={"system": "http://x", "code": "not-done"})))
    assert made["meta"]["profile"] == [PROFILE]
    assert made["status"] == "not-done"


def test_parts_of_a_resource() -> None:
    """A group that stands for a part fills a new one each time."""
    parts = [{"linkId": "part", "item": [said("value", valueInteger=number)]} for number in (1, 2)]
    (made,), _ = read(response({"linkId": "panel", "item": parts}))
    assert made["component"] == [{"code": {"coding": [CODE]}, "valueInteger": number} for number in (1, 2)]
    assert made["effectiveDateTime"] == "2026-01-20T09:00:00Z"


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (said("temperature", valueString="38"), "temperature has an answer that is no decimal"),
        (said("unheard-of", valueString="38"), "unheard-of is no item of the questionnaire"),
        (
            {
                "linkId": "operation",
                "item": [{"linkId": "on", "answer": [{"valueDate": "2025"}, {"valueDate": "2024"}]}],
            },
            "on has several answers for one element",
        ),
    ],
)
def test_what_cannot_be_read_is_a_gap(item: dict[str, Any], reason: str) -> None:
    """An answer that does not fit is told by its item, never by what it says; the others are read."""
    made, gaps = read(response(item, FEVER))
    assert [gap.reason for gap in gaps] == [f"QuestionnaireResponse/r: {reason}"]
    assert any(resource["resourceType"] == "Observation" for resource in made)


def test_another_version_is_a_gap_and_another_form_is_none() -> None:
    """Answers to another version are not guessed at; answers to a form that is not ours are not ours to read."""
    made, (gap,) = read(response(FEVER, questionnaire=f"{URL}|1"))
    assert made == []
    assert gap.reason == "QuestionnaireResponse/r answers another version of the questionnaire"
    assert read(response(FEVER, questionnaire="http://example.org/Questionnaire/other")) == ([], ())
    assert len(read(response(FEVER, questionnaire=URL))[0]) == 1


@pytest.mark.parametrize(
    "trace",
    [
        {"derivedFrom": [{"reference": "QuestionnaireResponse/r"}]},
        {"meta": {"source": "QuestionnaireResponse/r#abc"}},
    ],
)
def test_what_the_record_holds_already_is_not_made_again(trace: dict[str, Any]) -> None:
    """A record that keeps what was extracted from a response says it once."""
    kept = {"resourceType": "Observation", "id": "o", "status": "final", "subject": {"reference": "Patient/p"}, **trace}
    assert read(response(FEVER), kept) == ([], ())


@pytest.mark.parametrize(
    ("item", "fault"),
    [
        ({"linkId": "a", "type": "decimal", "extension": [EXTRACT]}, "observationExtract needs a code"),
        ({"linkId": "a", "type": "reference", "code": [CODE], "extension": [EXTRACT]}, "of type reference"),
        ({"linkId": "a", "type": "date", "extension": [start(PROFILE)]}, "what type of resource"),
        (
            {
                "linkId": "a",
                "type": "date",
                "extension": [start(PROCEDURE)],
                "definition": f"{PROFILE}#Procedure.status",
            },
            "no resource of",
        ),
        ({"linkId": "a", "type": "date", "extension": [start(PROCEDURE)], "definition": "x#y"}, "names no element"),
        (
            {
                "linkId": "a",
                "type": "date",
                "extension": [
                    {"url": f"{SDC}definitionExtract", "extension": [{"url": "fullUrl", "valueString": "%x"}]}
                ],
            },
            "no expression",
        ),
        (
            {
                "linkId": "a",
                "type": "date",
                "extension": [
                    start(PROCEDURE),
                    {
                        "url": f"{SDC}definitionExtractValue",
                        "extension": [{"url": "expression", "valueExpression": {"expression": "now()"}}],
                    },
                ],
            },
            "no expression",
        ),
    ],
)
def test_a_form_that_cannot_be_read(item: dict[str, Any], fault: str) -> None:
    """What cannot be extracted as written is refused when the content is loaded."""
    with pytest.raises(ContentError, match=fault):
        forms([item])
