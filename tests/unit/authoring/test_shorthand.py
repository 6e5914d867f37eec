"""Facts in shorthand become FHIR; what cannot be meant is refused with its place."""

from decimal import Decimal

import pytest

from fhir_cds.authoring import shorthand, strict_yaml
from fhir_cds.authoring.lint.resources import faults
from fhir_cds.authoring.shorthand import Words
from fhir_cds.errors import InputError

WORDS = Words.of(
    {
        "systems": {"TOY": "http://toy"},
        "systems_of": {"Condition.clinicalStatus": "http://clinical"},
        "extensions": {"Condition.histology": "http://histology"},
        "defaults": {
            "Condition": {"clinicalStatus": "active", "subject": "@patient"},
            "Observation": {"status": "final"},
        },
    }
)


def one(text: str) -> dict:
    """The last resource of some facts."""
    return shorthand.resources(strict_yaml.loads(text, "x"), WORDS, "case")[-1]


@pytest.mark.parametrize(
    ("fact", "element", "value"),
    [
        ("Condition: {code: TOY#a}", "code", {"coding": [{"system": "http://toy", "code": "a"}]}),
        (
            "Condition: {code: TOY#a Some words}",
            "code",
            {"coding": [{"system": "http://toy", "code": "a", "display": "Some words"}]},
        ),
        ("Condition: {code: 'http://x/y#b'}", "code", {"coding": [{"system": "http://x/y", "code": "b"}]}),
        (
            "Condition: {code: [TOY#a, TOY#b]}",
            "code",
            {"coding": [{"system": "http://toy", "code": "a"}, {"system": "http://toy", "code": "b"}]},
        ),
        ("Condition: {code: lump}", "code", {"text": "lump"}),
        ("Condition: {bodySite: TOY#a}", "bodySite", [{"coding": [{"system": "http://toy", "code": "a"}]}]),
        (
            "ImagingStudy: {procedureCode: TOY#a}",
            "procedureCode",
            [{"coding": [{"system": "http://toy", "code": "a"}]}],
        ),
        ("Observation: {bodySite: TOY#a}", "bodySite", {"coding": [{"system": "http://toy", "code": "a"}]}),
        (
            "Condition: {clinicalStatus: resolved}",
            "clinicalStatus",
            {"coding": [{"system": "http://clinical", "code": "resolved"}]},
        ),
        ("Condition: {onset: 2021}", "onsetDateTime", "2021"),
        ("Condition: {onset: 2021-03}", "onsetDateTime", "2021-03"),
        ("Condition: {onset: 54 a}", "onsetAge", {"value": 54, "unit": "a", "system": shorthand.UCUM, "code": "a"}),
        ("Procedure: {performed: 2021-03-01..}", "performedPeriod", {"start": "2021-03-01"}),
        ("Observation: {effective: 2021-03-01T10:00:00Z}", "effectiveDateTime", "2021-03-01T10:00:00Z"),
        ("Observation: {value: 5}", "valueInteger", 5),
        ("Observation: {value: true}", "valueBoolean", True),
        ("Observation: {value: no}", "valueString", "no"),
        (
            "Observation: {value: 4.20 cm}",
            "valueQuantity",
            {"value": Decimal("4.20"), "unit": "cm", "system": shorthand.UCUM, "code": "cm"},
        ),
        (
            "Observation: {value: '< 3 mm'}",
            "valueQuantity",
            {"value": 3, "comparator": "<", "unit": "mm", "system": shorthand.UCUM, "code": "mm"},
        ),
        (
            "Observation: {value: 2 cm..3 cm}",
            "valueRange",
            {"low": shorthand.quantity("2 cm"), "high": shorthand.quantity("3 cm")},
        ),
        ("Observation: {focus: Condition/c}", "focus", [{"reference": "Condition/c"}]),
        ("Observation: {valueSampledData: {dimensions: 1}}", "valueSampledData", {"dimensions": 1}),
        (
            "Observation: {component: [{code: TOY#a, value: 1}]}",
            "component",
            [{"code": {"coding": [{"system": "http://toy", "code": "a"}]}, "valueInteger": 1}],
        ),
        (
            "Condition: {histology: TOY#a}",
            "extension",
            [{"url": "http://histology", "valueCodeableConcept": {"coding": [{"system": "http://toy", "code": "a"}]}}],
        ),
        ("MedicationStatement: {medication: aspirin}", "medicationCodeableConcept", {"text": "aspirin"}),
        ("MedicationStatement: {medication: Medication/m}", "medicationReference", {"reference": "Medication/m"}),
        ("ImagingStudy: {modality: TOY#MR}", "modality", [{"system": "http://toy", "code": "MR"}]),
    ],
)
def test_values(fact: str, element: str, value: object) -> None:
    """Each form of a value becomes the data type that the element holds."""
    assert one(f"- {fact}")[element] == value


def test_defaults_ids_and_subject() -> None:
    """A fact gets its defaults, an id by type and place, and the patient as subject; null leaves a default out."""
    facts = strict_yaml.loads(
        "- Patient: {id: p}\n- Condition: {}\n- Condition: {id: condition-2}\n- Condition: {clinicalStatus: null}", "x"
    )
    patient, first, second, third = shorthand.resources(facts, WORDS, "case")
    assert patient == {"resourceType": "Patient", "id": "p"}
    assert first["subject"] == {"reference": "Patient/p"}
    assert [first["id"], second["id"], third["id"]] == ["condition-1", "condition-2", "condition-3"]
    assert "clinicalStatus" not in third


def test_ids_already_taken_are_left_alone() -> None:
    """Facts added to a patient do not replace that patient's facts by accident."""
    made = shorthand.resources([{"Condition": {}}], WORDS, "case", "p", {"Condition/condition-1"})
    assert made[0]["id"] == "condition-2"


def test_without_patient_there_is_one_of_whom_nothing_is_known() -> None:
    """A case may leave the patient out."""
    assert shorthand.resources([], WORDS, "case") == [{"resourceType": "Patient", "id": "patient-1"}]


@pytest.mark.parametrize(
    ("fact", "message"),
    [
        ("Cancer: {}", "Cancer is no resource type"),
        ("Observation: {value: 4.2}", "a decimal needs a unit"),
        ("Observation: {code: NOPE#a}", "the prefix NOPE is not in"),
        ("Observation: {subject: somebody}", "a reference is written Type/id"),
        ("Observation: {code: [TOY#a, words]}", "a concept is one or more"),
        ("Observation: [1]", "elements are expected"),
        ("Appointment: {serviceType: TOY#a}", "no shorthand for codes"),
        ("Appointment: {serviceType: [TOY#a]}", "no shorthand for codes"),
    ],
)
def test_refusals(fact: str, message: str) -> None:
    """What cannot be meant is refused, with the number of the fact."""
    with pytest.raises(InputError, match=message) as caught:
        one(f"- {fact}")
    assert "facts[0]" in str(caught.value.where)


def test_two_patients_are_refused() -> None:
    """A case is about one patient."""
    with pytest.raises(InputError, match="more than one Patient"):
        one("- Patient: {}\n- Patient: {}")


def test_shorthand_resources_are_valid_r4() -> None:
    """What shorthand writes is FHIR, by the R4B classes."""
    made = one("- Observation: {code: TOY#a, value: 4.2 cm, effective: 2021-03, interpretation: TOY#h}")
    assert list(faults(made)) == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: no", {"a": "no"}),
        ("a: yes", {"a": "yes"}),
        ("a: true", {"a": True}),
        ("a: 2024-05-31", {"a": "2024-05-31"}),
        ("a: 010", {"a": "010"}),
        ("a: 1.10", {"a": Decimal("1.10")}),
        ("a: 3", {"a": 3}),
        ("a:", {"a": None}),
        ("a: 1e3", {"a": "1e3"}),
        ("a: 12:30", {"a": "12:30"}),
    ],
)
def test_yaml_is_read_strictly(text: str, value: object) -> None:
    """Plain scalars mean what they look like."""
    read = strict_yaml.loads(text, "x")
    assert read == value
    assert type(read["a"]) is type(value["a"])  # type: ignore[index]


@pytest.mark.parametrize(
    ("text", "message"), [("a: 1\na: 2", "given twice"), ("a: [", "x:"), ("1: a", "a key must be text")]
)
def test_yaml_faults_are_placed(text: str, message: str) -> None:
    """A repeated key, broken YAML, a key that is a number: refused with file and line."""
    with pytest.raises(InputError) as caught:
        strict_yaml.loads(text, "x")
    assert message in str(caught.value)
