"""The short way to a record: where it gives one it is gather's, and whatever gather refuses it leaves to gather."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from decimal import Decimal
from typing import Any

import pytest

from fhir_cds.data.gather import gather
from fhir_cds.data.usual import Usual
from fhir_cds.errors import FhirCdsError, InputError
from fhir_cds.fhir import codec

from .conftest import PATIENT, condition, searchset

TEMPLATES = {
    "patient": "Patient/{{context.patientId}}",
    "conditions": "Condition?patient={{context.patientId}}",
    "observations": "Observation?patient={{context.patientId}}&category=laboratory",
}
CONTEXT = {"patientId": "1", "userId": "Practitioner/d"}
SYSTEMS = {"urn:oid:1.2": "http://example.org/system"}
OBSERVATION = {
    "resourceType": "Observation",
    "id": "o1",
    "subject": {"reference": "Patient/1"},
    "encounter": {"reference": "Encounter/e"},
    "code": {"coding": [{"system": "http://loinc.org", "code": "x"}]},
}
SENT = {
    "patient": PATIENT,
    "conditions": searchset(condition(2), condition(1)),
    "observations": searchset(OBSERVATION),
}
VALUES = (None, 7, True, "x", "Patient/2", "urn:oid:1.2", "http://x.example.org/fhir/Patient/1", "#a", "Bundle", [], {})
NO = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "timeout"}]}
ENTRIES = (
    condition(1),
    condition(1) | {"code": {"text": "another"}},
    condition(3, "Patient/2"),
    condition(3) | {"contained": [{"resourceType": "Medication", "id": "m"}]},
    condition(3) | {"subject": {"identifier": {"system": "s", "value": "v"}}},
    condition(3) | {"subject": {"reference": "Group/1"}},
    {"resourceType": "Condition", "subject": {"reference": "Patient/1"}},
    {"resourceType": "Condition", "id": "c3", "patient": {"reference": "Patient/1"}},
    {"resourceType": "Encounter", "id": "e"},
    {"resourceType": "Patient", "id": "1"},
    {"resourceType": "Patient", "id": "2"},
    NO,
)


def deep(levels: int) -> dict[str, Any]:
    """Return a Condition that nests so many levels deep."""
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"extension": [value]}
    return condition(3) | value


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value inside a JSON value."""
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*path, key)
        yield from places(item, (*path, key))


def changed(path: tuple[Any, ...], change: Callable[[Any, Any], None]) -> dict[str, Any]:
    """Return the prefetch with a change at one place."""
    sent = deepcopy(SENT)
    node: Any = sent
    for step in path[:-1]:
        node = node[step]
    change(node, path[-1])
    return sent


def variants() -> Iterator[Any]:
    """Yield prefetches of which one thing is out of the ordinary: every value dropped, retyped; entries added."""
    yield from (None, [], {}, {**SENT, "other": None}, {**SENT, "conditions": condition(1)}, {**SENT, "conditions": NO})
    yield {**SENT, "patient": searchset(PATIENT)}
    yield {**SENT, "conditions": {**searchset(condition(1)), "type": "history"}}
    yield {**SENT, "conditions": {**searchset(condition(1)), "type": "collection"}}
    for path in places(SENT):
        yield changed(path, lambda node, key: node.pop(key))
        for value in VALUES:
            yield changed(path, lambda node, key, value=value: node.__setitem__(key, value))
    for resource in (*ENTRIES, deep(30), deep(60)):
        for entry in ({"resource": resource}, {"resource": resource, "fullUrl": "urn:uuid:0c3a"}):
            yield changed(("conditions", "entry"), lambda node, key, entry=entry: node[key].append(entry))
    for link in ([{"relation": "next", "url": "http://x.example.org/2"}], [{"relation": "self", "url": "x"}], [], None):
        yield {**SENT, "conditions": {**SENT["conditions"], "link": link}}


async def outcome(sent: Any, usual: Usual | None) -> Any:
    """Return the record of a prefetch, or what was raised."""
    try:
        return await gather(TEMPLATES, CONTEXT, deepcopy(sent), optional={"conditions"}, systems=SYSTEMS, usual=usual)
    except FhirCdsError as error:
        return type(error), error.status, error.message, error.where
    except Exception as error:  # what gather does not expect it must not expect either way
        return type(error)


async def test_the_short_way_is_gathers_way() -> None:
    """Whatever is changed in a prefetch: with the short way comes what comes without."""
    usual, short = Usual(TEMPLATES, SYSTEMS), 0
    for sent in (SENT, *variants()):
        assert await outcome(sent, usual) == await outcome(sent, None), sent
        short += usual.record(sent, "Patient/1") is not None
    assert 50 < short < 500


async def test_the_short_way_takes_what_clients_send() -> None:
    """A full prefetch, and one with keys that are null or empty, are usual."""
    usual = Usual(TEMPLATES, SYSTEMS)
    for sent in (SENT, {**SENT, "conditions": None}, {**SENT, "observations": searchset()}):
        assert usual.record(sent, "Patient/1") == await gather(TEMPLATES, CONTEXT, sent)


@pytest.mark.parametrize(
    "change",
    [
        {"subject": {"reference": "urn:uuid:1"}},
        {"encounter": {"reference": "https://x.example.org/Encounter/1"}},
        {"encounter": {"reference": "Encounter/1/_history/2"}},
        {"contained": []},
        deep(60),
    ],
)
def test_what_has_to_be_rewritten_is_not_usual(change: dict[str, Any]) -> None:
    """References that are not local, contained resources and depth go the long way."""
    sent = {**SENT, "conditions": searchset(condition(3) | change)}
    assert Usual(TEMPLATES, SYSTEMS).record(sent, "Patient/1") is None


async def test_aliases_of_code_systems_are_usual() -> None:
    """Codes under another name of their system come under the preferred one, decimals and all else as they were."""
    coded = {"code": {"coding": [{"system": "urn:oid:1.2", "code": "x"}], "text": 'urn:oid:1.2 "system":"urn:oid:1.2"'}}
    sent = {**SENT, "observations": searchset(OBSERVATION | coded | {"valueQuantity": {"value": Decimal("1.10")}})}
    before = codec.encode(sent)
    found = Usual(TEMPLATES, SYSTEMS).record(sent, "Patient/1")
    assert found == await gather(TEMPLATES, CONTEXT, sent, systems=SYSTEMS)
    assert found is not None
    assert found.resources[2]["code"]["coding"][0]["system"] == "http://example.org/system"
    assert found.resources[2]["code"]["text"] == coded["code"]["text"]
    assert codec.encode(found.resources[2]).count(b"1.10") == 1
    assert codec.encode(sent) == before


def test_input_is_not_changed() -> None:
    """The short way leaves what was sent as it was."""
    before = codec.encode(SENT)
    Usual(TEMPLATES, SYSTEMS).record(SENT, "Patient/1")
    assert codec.encode(SENT) == before


async def test_two_patients_are_not_usual() -> None:
    """A search that gives a second Patient is refused, the short way or not."""
    templates = {"patients": "Patient?_id={{context.patientId}}"}
    sent = {"patients": searchset(PATIENT, {"resourceType": "Patient", "id": "2"})}
    with pytest.raises(InputError, match="2 Patients"):
        await gather(templates, CONTEXT, sent, usual=Usual(templates))
