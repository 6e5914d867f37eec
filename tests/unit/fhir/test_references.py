"""References, ids, and what Bundles hold."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any

import pytest

from fhir_cds.errors import InputError
from fhir_cds.fhir import bundle, codec, ids, issues, reference
from fhir_cds.fhir.reference import Reference
from fhir_cds.fhir.rewrite import MAX_DEPTH, Rewriter


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Patient/1", Reference("Patient", "1")),
        ("Patient/a_b.c-d/_history/2", Reference("Patient", "a_b.c-d", "2")),
        (
            "https://h.example.org:8443/a/fhir/Patient/1",
            Reference("Patient", "1", None, "https://h.example.org:8443/a/fhir"),
        ),
        ("urn:uuid:0", None),
        ("#p", None),
        ("1", None),
        ("patient/1", None),
        ("Patient/", None),
        ("Patient/" + "x" * 65, None),
        ("Patient?identifier=1", None),
        ("ftp://h/Patient/1", None),
        (None, None),
        (7, None),
    ],
)
def test_parse(text: Any, expected: Reference | None) -> None:
    """RESTful references are taken apart; everything else is None."""
    assert reference.parse(text) == expected


def test_normalise() -> None:
    """Only references to known servers become local once a server is known."""
    absolute = "https://a.example.org/fhir/Patient/1/_history/2"
    assert reference.normalise(absolute) == "Patient/1"
    assert reference.normalise(absolute, {"https://a.example.org/fhir"}) == "Patient/1"
    assert reference.normalise(absolute, {"https://b.example.org/fhir"}) == absolute
    assert reference.normalise("urn:uuid:1") == "urn:uuid:1"


def test_making_references() -> None:
    """A resource goes by type and id; an id alone gets the type that is meant."""
    patient = {"resourceType": "Patient", "id": "1"}
    assert reference.with_type("1", "Patient") == reference.with_type("Patient/1", "Patient") == reference.of(patient)


def test_stable_ids() -> None:
    """Ids depend on their parts, and on where one part ends."""
    assert ids.stable_uuid("a", "b") == ids.stable_uuid("a", "b")
    assert ids.stable_uuid("a", "b") != ids.stable_uuid("ab")
    assert uuid.UUID(ids.stable_uuid("a")).version == 5
    assert ids.content_uuid({"a": 1, "b": 2}) == ids.content_uuid({"b": 2, "a": 1})
    assert [ids.is_id(item) for item in ("a", "A-1.b_c", "", "a b", "x" * 65, 1, "a\n")] == [
        True,
        True,
        False,
        False,
        False,
        False,
        False,
    ]


def test_rewrite_leaves_what_is_in_form() -> None:
    """Nothing to change gives the same object; a change gives a copy and leaves the input alone."""
    resource = {"resourceType": "Flag", "subject": {"reference": "Patient/1"}}
    assert Rewriter({"urn:uuid:1": "Patient/1"}).apply(resource) is resource
    urn = {"resourceType": "Flag", "subject": {"reference": "urn:uuid:1"}}
    assert Rewriter({"urn:uuid:1": "Patient/1"}).apply(urn)["subject"] == {"reference": "Patient/1"}
    assert urn["subject"] == {"reference": "urn:uuid:1"}


def test_rewrite_keeps_primitive_extensions() -> None:
    """Lists with null beside `_given` keep their nulls."""
    name = {"given": ["A", None], "_given": [None, {"extension": [{"url": "u", "valueCode": "x"}]}]}
    resource = {"resourceType": "Patient", "name": [name], "link": [{"other": {"reference": "urn:uuid:1"}}]}
    assert Rewriter().apply(resource)["name"] == [name]


def test_rewrite_depth() -> None:
    """The depth limit is where it says."""
    value: Any = {"x": 1}
    for _ in range(MAX_DEPTH - 1):
        value = {"x": value}
    assert Rewriter().apply(value) is value
    with pytest.raises(InputError, match="nested deeper"):
        Rewriter().apply({"x": value})


def test_bundle_parts() -> None:
    """Resources, issues, next link and servers are told apart; entries without resource are passed over."""
    held = bundle.read(
        {
            "resourceType": "Bundle",
            "type": "searchset",
            "link": [{"relation": "self", "url": "s"}, {"relation": "next", "url": "n"}],
            "entry": [
                {"fullUrl": "https://a.example.org/fhir/Flag/1", "resource": {"resourceType": "Flag", "id": "1"}},
                {"resource": {"resourceType": "OperationOutcome", "issue": [{"severity": "warning", "code": "x"}]}},
                {"fullUrl": "https://a.example.org/fhir/Flag/2", "resource": {"resourceType": "Flag"}},
                {"response": {"status": "204"}},
            ],
        }
    )
    assert [item["id"] for item in held.resources] == ["1", "2"]
    assert [item["severity"] for item in held.issues] == ["warning"]
    assert held.next == "n"
    assert held.bases == {"https://a.example.org/fhir"}


def test_making_bundles() -> None:
    """Bundles we make can be read again; empty ones have no empty list."""
    flags = [{"resourceType": "Flag", "id": str(number)} for number in range(3)]
    assert bundle.read(bundle.collection(flags)).resources == tuple(flags)
    made = bundle.searchset(flags, "https://a.example.org/fhir", total=9)
    assert (made["total"], made["entry"][0]["fullUrl"]) == (9, "https://a.example.org/fhir/Flag/0")
    assert bundle.read(made).resources == tuple(flags)
    assert "entry" not in bundle.collection([])
    assert "entry" not in bundle.searchset([], "https://a.example.org/fhir")


def test_issues() -> None:
    """Unknown severities count as errors; codes that are not FHIR's are not repeated."""
    told = [{"severity": "warning", "code": "timeout"}, {"code": "Jane Doe"}, {"severity": "fatal", "code": "login"}]
    assert [item.get("severity") for item in issues.grave(told)] == [None, "fatal"]
    assert issues.codes(told) == "login, timeout"
    assert issues.codes([]) == "no known code"
    assert issues.outcome([])["issue"][0]["severity"] == "information"
    assert bundle.issues_of({"issue": []})[0]["severity"] == "error"


def test_rewriting_several_is_rewriting_each() -> None:
    """One look at all of them finds whatever would change one, wherever it stands."""
    system = "urn:alias"
    plain = {"resourceType": "Flag", "id": "1", "subject": {"reference": "Patient/1"}}
    cases: list[dict[str, Any]] = [
        plain,
        {**plain, "subject": {"reference": "https://ehr.example.org/fhir/Patient/1"}},
        {**plain, "subject": {"reference": "Patient/1/_history/2"}},
        {**plain, "subject": {"reference": "#p"}},
        {**plain, "code": {"coding": [{"system": system, "code": "c"}]}},
        {**plain, "code": {"text": '"reference":"urn:uuid:1"'}},
        {**plain, "code": {"text": f'"system":"{system}"', "coding": [{"system": system}]}},
        {**plain, 'x"system': system, "code": {"coding": [{"system": system}]}},
        {**plain, "subject": {"reference": "urn:uuid:1\\"}, "value": Decimal("1.10")},
        {**plain, "subject": {"reference": 'urn:uuid:"1"'}, "value": Decimal("1E+3")},
        {**plain, "x": [{"reference": f"urn:uuid:{number}"} for number in range(20)]},
    ]
    targets = {"#p": "Patient/1", 'urn:uuid:"1"': "Patient/1", "urn:uuid:1\\": "Patient/1", "urn:uuid:5": "Patient/5"}
    odd = {**targets, "Patient/1": "Patient/7"}
    for rewriter in (Rewriter(known, {system: 'https://e.org/"preferred"'}) for known in (targets, odd)):
        for case in cases:
            listed = [plain, case, plain]
            each = [rewriter.apply(item) for item in listed]
            assert codec.encode(rewriter.apply_all(listed, ["a", "b", "c"])) == codec.encode(each)
    assert rewriter.apply_all([plain], ["a"])[0] is plain
    assert rewriter.apply_all([], []) == []
    deep: Any = "x"
    for _ in range(MAX_DEPTH):
        deep = {"x": deep}
    with pytest.raises(InputError, match=r"b: nested deeper"):
        rewriter.apply_all([plain, {"resourceType": "Flag", "x": deep}], ["a", "b"])


@pytest.mark.parametrize("number", range(50))
def test_stable_ids_are_uuids_of_version_5(number: int) -> None:
    """The id is the UUIDv5 of the parts joined, as the standard library makes it."""
    parts = ("plan", "Übersicht", f"Patient/{number}")
    assert ids.stable_uuid(*parts) == str(uuid.uuid5(ids.NAMESPACE, "\x1f".join(parts)))
