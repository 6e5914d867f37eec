"""One patient's record: what is accepted, what it becomes, what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_cds.data.record import Gap, from_bundle, from_ndjson, from_resources, normalised, read
from fhir_cds.errors import InputError
from fhir_cds.fhir import codec

PATIENT = {"resourceType": "Patient", "id": "p", "identifier": [{"system": "urn:x", "value": "7"}]}


def flag(identifier: str = "f", **more: Any) -> dict[str, Any]:
    """Return a Flag of the patient."""
    return {"resourceType": "Flag", "id": identifier, "subject": {"reference": "Patient/p"}, **more}


def bundle(*resources: dict[str, Any], kind: str = "collection") -> dict[str, Any]:
    """Return a Bundle."""
    return {"resourceType": "Bundle", "type": kind, "entry": [{"resource": item} for item in resources]}


@pytest.mark.parametrize("kind", ["collection", "searchset", "transaction", "batch", "document"])
def test_bundle(kind: str) -> None:
    """All kinds of Bundle that carry a record give the same record."""
    record = from_bundle(bundle(flag("z"), PATIENT, flag("a"), kind=kind))
    assert record.subject == "Patient/p"
    assert record.patient == PATIENT
    assert [f"{item['resourceType']}/{item['id']}" for item in record.resources] == ["Flag/a", "Flag/z", "Patient/p"]


def test_every_way_in_gives_the_same_record() -> None:
    """Bundle, NDJSON, a list, and any order of resources: one record."""
    items = [PATIENT, flag("a"), flag("b")]
    expected = from_bundle(bundle(*items))
    lines = b"\n".join(codec.encode(item) for item in reversed(items))
    assert from_ndjson(lines) == expected
    assert from_resources(items[::-1]) == expected
    assert read(lines) == expected
    assert read(codec.encode(bundle(*items))) == expected
    assert read(codec.encode_pretty(bundle(*items))) == expected


def test_lone_patient() -> None:
    """A Patient alone is a record too, on one line or many."""
    assert read(codec.encode(PATIENT)) == read(codec.encode_pretty(PATIENT)) == from_resources([PATIENT])


def test_transaction_with_urn_references() -> None:
    """A transaction's urn:uuid references become Type/id; entries without id take the uuid."""
    document = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {"fullUrl": "urn:uuid:aa", "resource": {"resourceType": "Patient"}, "request": {"method": "POST"}},
            {
                "fullUrl": "urn:uuid:bb",
                "resource": {"resourceType": "Condition", "subject": {"reference": "urn:uuid:aa"}},
                "request": {"method": "POST"},
            },
            {"request": {"method": "DELETE", "url": "Condition/old"}},
        ],
    }
    record = from_bundle(document)
    assert record.subject == "Patient/aa"
    assert record.resources[0] == {"resourceType": "Condition", "id": "bb", "subject": {"reference": "Patient/aa"}}


def test_absolute_and_versioned_references() -> None:
    """References into the same server become local; those to another server stay what they are."""
    document = bundle(
        flag(
            subject={"reference": "https://a.example.org/fhir/Patient/p/_history/3"},
            author={"reference": "https://b.example.org/fhir/Practitioner/d"},
        ),
    )
    document["entry"].append({"fullUrl": "https://a.example.org/fhir/Patient/p", "resource": PATIENT})
    record = from_bundle(document)
    assert record.resources[0]["subject"] == {"reference": "Patient/p"}
    assert record.resources[0]["author"] == {"reference": "https://b.example.org/fhir/Practitioner/d"}


def test_same_id_on_another_server_is_another_patient() -> None:
    """Patient/p of another server is not this Patient/p."""
    document = bundle(flag(subject={"reference": "https://b.example.org/fhir/Patient/p"}))
    document["entry"].append({"fullUrl": "https://a.example.org/fhir/Patient/p", "resource": PATIENT})
    with pytest.raises(InputError, match="another patient"):
        from_bundle(document)


def test_contained_resources_stand_on_their_own() -> None:
    """A contained resource is found as Type/outer.inner, and the reference follows."""
    request = {
        "resourceType": "MedicationRequest",
        "id": "m",
        "subject": {"reference": "Patient/p"},
        "medicationReference": {"reference": "#drug"},
        "contained": [{"resourceType": "Medication", "id": "drug", "code": {"text": "x"}}],
    }
    record = from_resources([PATIENT, request])
    assert record.resources[0] == {"resourceType": "Medication", "id": "m.drug", "code": {"text": "x"}}
    assert record.resources[1]["medicationReference"] == {"reference": "Medication/m.drug"}
    assert request["medicationReference"] == {"reference": "#drug"}


def test_contained_patient_is_not_trusted() -> None:
    """A resource about a contained Patient cannot be told to be this patient's."""
    odd = flag(subject={"reference": "#other"}, contained=[{"resourceType": "Patient", "id": "other"}])
    with pytest.raises(InputError, match="another patient"):
        from_resources([PATIENT, odd])


def test_code_systems_by_their_preferred_uri() -> None:
    """Alias URIs are replaced where codes are, without touching the input."""
    coded = flag(code={"coding": [{"system": "urn:oid:1.2", "code": "c"}]})
    record = from_resources([PATIENT, coded], systems={"urn:oid:1.2": "http://example.org/system"})
    assert record.resources[0]["code"]["coding"][0]["system"] == "http://example.org/system"
    assert coded["code"]["coding"][0]["system"] == "urn:oid:1.2"


def test_unchanged_resources_are_not_copied() -> None:
    """A resource that is in form already is the very object that came in."""
    item = flag()
    assert normalised([item])[0] is item


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ({"versionId": "9"}, {"versionId": "10"}),
        ({"lastUpdated": "2026-01-01T12:00:00Z"}, {"lastUpdated": "2026-01-01T12:00:00+00:00", "versionId": "2"}),
        ({"lastUpdated": "2026-01-01T23:30:00+02:00"}, {"lastUpdated": "2026-01-01T22:00:00Z"}),
        (
            {"lastUpdated": "2026-06-01T00:00:00Z", "tag": [{"code": "SUBSETTED"}]},
            {"lastUpdated": "2020-01-01T00:00:00Z"},
        ),
        ({}, {"lastUpdated": "2020-01-01T00:00:00Z"}),
    ],
)
def test_newest_version_counts(older: dict[str, Any], newer: dict[str, Any]) -> None:
    """Of several versions of one resource the newest whole one is kept, whatever the order."""
    first, second = flag(status="old", meta=older), flag(status="new", meta=newer)
    for pair in ([first, second], [second, first]):
        assert from_resources([PATIENT, *pair]).resources[0]["status"] == "new"


def test_same_resource_twice() -> None:
    """The same resource from two searches is one; tags may differ."""
    twice = [PATIENT, flag(meta={"profile": ["b"]}), flag(meta={"profile": ["a"]}), flag(meta={"profile": ["a"]})]
    assert len(from_resources(twice).resources) == 2
    assert from_resources(twice) == from_resources(twice[::-1])


def test_undecidable_versions_are_refused() -> None:
    """Two contents of one id with nothing to tell which is newer are an error, not a guess."""
    with pytest.raises(InputError, match="nothing says which is newer"):
        from_resources([PATIENT, flag(status="active"), flag(status="inactive")])


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"resourceType": "Patient", "id": "p"}, "a FHIR Bundle is expected, this is a Patient"),
        ([], "a JSON array"),
        ("text", "a JSON string"),
        (None, "null"),
        ({"resourceType": "Bundle"}, "type"),
        ({"resourceType": "Bundle", "type": "history"}, "type"),
        ({"resourceType": "Bundle", "type": "collection", "entry": {}}, "list of entries"),
        ({"resourceType": "Bundle", "type": "collection", "entry": [7]}, "must be an object"),
        (bundle(), "holds no Patient"),
        (bundle(flag()), "holds no Patient"),
        (bundle(PATIENT, {"resourceType": "Patient", "id": "q"}), "holds 2 Patients"),
        (bundle(PATIENT, {"resourceType": "Sorcery", "id": "q"}), "not a type of FHIR R4"),
        (bundle(PATIENT, {"id": "q"}), "not a type of FHIR R4"),
        (bundle(PATIENT, flag("no spaces")), "not a FHIR id"),
        (bundle(PATIENT, flag(subject={"reference": "Patient/q"})), "another patient"),
        (bundle(PATIENT, flag(subject={"reference": "Patient?identifier=7"})), "another patient"),
        (bundle(PATIENT, flag(subject={"identifier": {"system": "urn:x", "value": "8"}})), "another patient"),
        (
            bundle(PATIENT, {"resourceType": "OperationOutcome", "issue": [{"severity": "fatal"}]}),
            "error of its source",
        ),
        ({**bundle(PATIENT), "link": [{"relation": "next", "url": "x"}]}, "more pages"),
    ],
)
def test_wrong_bundles_are_refused(document: Any, message: str) -> None:
    """Each wrong document is an InputError that says what and where."""
    with pytest.raises(InputError, match=message) as caught:
        from_bundle(document)
    assert (caught.value.where or "").startswith("Bundle")


def test_subject_by_identifier() -> None:
    """A subject named by the patient's own identifier is the patient."""
    known = flag(subject={"identifier": {"system": "urn:x", "value": "7"}})
    assert len(from_resources([PATIENT, known]).resources) == 2


def test_resources_about_things_are_left_out() -> None:
    """An Observation of a device or a group is not the patient's; a Practitioner has no subject and stays."""
    thing = {"resourceType": "Observation", "id": "o", "subject": {"reference": "Device/d"}}
    doctor = {"resourceType": "Practitioner", "id": "d"}
    assert [item["resourceType"] for item in from_resources([PATIENT, thing, doctor]).resources] == [
        "Patient",
        "Practitioner",
    ]


def test_the_patient_asked_for() -> None:
    """A record of another patient than asked for is refused."""
    assert from_bundle(bundle(PATIENT), subject="Patient/p").subject == "Patient/p"
    with pytest.raises(InputError, match="not the one asked for"):
        from_bundle(bundle(PATIENT), subject="Patient/q")


def test_deep_nesting_is_refused() -> None:
    """A resource nested without end is an error, not a crash."""
    deep: Any = {"url": "x"}
    for _ in range(5000):
        deep = {"extension": [deep]}
    with pytest.raises(InputError, match="nested deeper"):
        from_resources([PATIENT, flag(extension=[deep])])


def test_ndjson_names_the_line() -> None:
    """A fault in NDJSON names its line."""
    with pytest.raises(InputError) as caught:
        from_ndjson(codec.encode(PATIENT) + b'\n\n{"resourceType": }', where="p.ndjson")
    assert caught.value.where == "p.ndjson line 3"
    with pytest.raises(InputError) as caught:
        from_ndjson(codec.encode(PATIENT) + b'\n{"resourceType": "X"}', where="p.ndjson")
    assert caught.value.where == "p.ndjson line 2.resourceType"


def test_resources_without_id_get_one_from_their_content() -> None:
    """The same content gets the same id on every run."""
    bare = {"resourceType": "Flag", "subject": {"reference": "Patient/p"}}
    first, second = (from_resources([PATIENT, bare]).resources[0]["id"] for _ in range(2))
    assert first == second
    assert len(first) == 36


def test_gaps_are_kept() -> None:
    """What could not be had stays with the record."""
    assert from_resources([PATIENT], gaps=[Gap("k", "why")]).gaps == (("k", "why"),)


def test_messages_hold_no_patient_data() -> None:
    """Ids and values of the patient do not show in an error."""
    with pytest.raises(InputError) as caught:
        from_bundle(bundle(PATIENT, flag(subject={"reference": "Patient/jane-doe"})))
    assert str(caught.value) == "Bundle.Flag.subject: belongs to another patient than the record's"
