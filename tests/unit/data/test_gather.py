"""One patient by prefetch, by a FHIR server, by both: the same record, or a plain statement of what is missing."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from fhir_cds.data.client import Connections
from fhir_cds.data.gather import gather, gather_subject, subject_of
from fhir_cds.data.guard import Guard
from fhir_cds.errors import FhirServerError, InputError, MissingDataError, NotFoundError

from .conftest import FAST, PATIENT, Reply, Script, condition, searchset

TEMPLATES = {
    "patient": "Patient/{{context.patientId}}",
    "conditions": "Condition?patient={{context.patientId}}",
    "observations": "Observation?patient={{context.patientId}}&category=laboratory",
}
CONTEXT = {"patientId": "1", "userId": "Practitioner/d"}
OBSERVATIONS = "Observation?patient=1&category=laboratory"
OUTCOME = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "timeout"}]}


def observation(number: int) -> dict[str, Any]:
    """Return an Observation coded by an alias of a code system."""
    return {
        "resourceType": "Observation",
        "id": f"o{number}",
        "subject": {"reference": "Patient/1"},
        "code": {"coding": [{"system": "urn:oid:1.2", "code": "x"}]},
    }


ALIASES = {"urn:oid:1.2": "http://example.org/system"}
SENT = {
    "patient": PATIENT,
    "conditions": searchset(condition(2), condition(1)),
    "observations": searchset(observation(1)),
}


def serve(script: Script) -> None:
    """Put the whole patient on the server: pages, absolute references, another order than in prefetch."""
    absolute = condition(2, f"{script.base}/Patient/1")
    script.on("Patient/1", PATIENT)
    script.on("Condition?patient=1", searchset(condition(1), link=f"{script.base}/Condition?patient=1&p=2"))
    script.on("Condition?patient=1&p=2", searchset(absolute))
    script.on(OBSERVATIONS, searchset(observation(1)))


async def test_same_record_by_every_route(script: Script, connections: Connections) -> None:
    """Prefetch alone, server alone, any mixture, batch, and the subject by itself: equal records."""
    serve(script)
    expected = await gather(TEMPLATES, CONTEXT, SENT, systems=ALIASES)
    assert [item["id"] for item in expected.resources] == ["c1", "c2", "o1", "1"]
    assert expected.resources[2]["code"]["coding"][0]["system"] == "http://example.org/system"
    access: dict[str, Any] = {"connections": connections, "fhir_server": script.base, "token": "t", "systems": ALIASES}
    for keys in (set(), {"patient"}, {"conditions"}, {"observations", "patient"}, set(SENT)):
        sent = {key: value for key, value in SENT.items() if key in keys}
        assert await gather(TEMPLATES, CONTEXT, sent or None, **access) == expected
    queries = [("conditions", "Condition?patient={id}"), ("observations", OBSERVATIONS.replace("=1", "={id}"))]
    assert await gather_subject(connections, script.base, "Patient/1", queries, systems=ALIASES) == expected
    assert await gather_subject(connections, script.base, "1", queries[::-1], systems=ALIASES) == expected


async def test_batch_gives_the_same_record(script: Script) -> None:
    """Reading all keys in one batch gives the same record as reading them one by one."""
    serve(script)
    expected = await gather(TEMPLATES, CONTEXT, SENT)
    entries = [
        {"response": {"status": "200"}, "resource": PATIENT},
        {"response": {"status": "200"}, "resource": searchset(condition(1), condition(2))},
        {"response": {"status": "200"}, "resource": searchset(observation(1))},
    ]
    script.on("", {"resourceType": "Bundle", "type": "batch-response", "entry": entries})
    async with Connections(Guard(loopback=True), replace(FAST, batch=True)) as connections:
        found = await gather(TEMPLATES, CONTEXT, None, connections=connections, fhir_server=script.base)
        assert found == expected
        assert [path for _, path, _, _ in script.seen] == [""]
        script.on("", Reply(status=500))
        with pytest.raises(MissingDataError, match="answered 500"):
            await gather(TEMPLATES, CONTEXT, None, connections=connections, fhir_server=script.base)


async def test_complete_prefetch_asks_nothing(script: Script, connections: Connections) -> None:
    """With all keys there, null and empty ones too, the server is not called."""
    sent = {"patient": PATIENT, "conditions": None, "observations": searchset()}
    record = await gather(TEMPLATES, CONTEXT, sent, connections=connections, fhir_server=script.base)
    assert record.resources == (PATIENT,)
    assert record.gaps == ()
    assert script.seen == []


async def test_paged_prefetch_is_followed(script: Script, connections: Connections) -> None:
    """The pages after the first are read with the token, and joined."""
    serve(script)
    link = f"{script.base}/Condition?patient=1&p=2"
    sent = {**SENT, "conditions": searchset(condition(1), link=link)}
    record = await gather(TEMPLATES, CONTEXT, sent, connections=connections, fhir_server=script.base, token="t")
    assert [item["id"] for item in record.resources] == ["c1", "c2", "o1", "1"]
    assert script.seen == [("GET", "Condition?patient=1&p=2", "Bearer t", "")]


async def test_paged_prefetch_elsewhere(script: Script, other: Script, connections: Connections) -> None:
    """A next link to another server is not followed, and the key counts as missing."""
    sent = {**SENT, "conditions": searchset(condition(1), link=f"{other.base}/Condition?p=2")}
    with pytest.raises(MissingDataError, match=r"conditions: .*leads away"):
        await gather(TEMPLATES, CONTEXT, sent, connections=connections, fhir_server=script.base, token="t")
    assert other.seen == []


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("absent", "conditions: the client did not send it; no fhirServer"),
        (OUTCOME, "conditions: the client tried to read it and failed .timeout."),
        (searchset(condition(1), OUTCOME), "conditions: the client could read only a part of it"),
        (searchset(condition(1), link="https://x.example.org/2"), "conditions: the client sent the first page only"),
    ],
)
async def test_needed_data_missing(value: Any, reason: str) -> None:
    """Without a server, what is not complete is a 412 that names the key; optional keys become gaps."""
    sent = {key: item for key, item in SENT.items() if key != "conditions"}
    if value != "absent":
        sent["conditions"] = value
    with pytest.raises(MissingDataError, match=reason) as caught:
        await gather(TEMPLATES, CONTEXT, sent)
    assert caught.value.status == 412
    assert caught.value.where == "prefetch.conditions"
    record = await gather(TEMPLATES, CONTEXT, sent, optional={"conditions"})
    assert [gap.key for gap in record.gaps] == ["conditions"]


async def test_failed_keys_are_not_asked_again(script: Script, connections: Connections) -> None:
    """What the client could not read is not read by us: it said so."""
    sent = {**SENT, "conditions": OUTCOME}
    with pytest.raises(MissingDataError):
        await gather(TEMPLATES, CONTEXT, sent, connections=connections, fhir_server=script.base)
    assert script.seen == []


async def test_all_missing_keys_are_named() -> None:
    """The error names every key that is needed and missing, in order."""
    with pytest.raises(MissingDataError) as caught:
        await gather(TEMPLATES, CONTEXT)
    assert [key for key in TEMPLATES if f"{key}: " in caught.value.message] == list(TEMPLATES)


async def test_no_patient() -> None:
    """A Patient that the client looked for and does not have is missing data, not an empty record."""
    with pytest.raises(MissingDataError, match="no Patient"):
        await gather(TEMPLATES, CONTEXT, {**SENT, "patient": None})


async def test_patient_is_asked_for_even_without_template(script: Script, connections: Connections) -> None:
    """A service that publishes no Patient template still gets the Patient from the server."""
    serve(script)
    record = await gather({}, CONTEXT, None, connections=connections, fhir_server=script.base)
    assert record.patient == PATIENT
    with pytest.raises(MissingDataError, match="patient: the client did not send it"):
        await gather({}, CONTEXT, {})


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (Reply(status=401), "answered 401: it did not accept the authorisation"),
        (Reply(status=404), "answered 404"),
        (Reply(status=500), "answered 500"),
        (Reply(b"<html>"), "not JSON"),
        (Reply(silent=True), "did not answer"),
        (Reply(searchset(condition(1), OUTCOME)), "the server reports an error"),
    ],
)
async def test_server_faults(
    script: Script, connections: Connections, hasty: Connections, reply: Reply, message: str
) -> None:
    """A fault on a needed key is a 412 naming it; on an optional one a gap, and the rest is there."""
    serve(script)
    script.on("Condition?patient=1", reply)
    access: dict[str, Any] = {"connections": hasty if reply.silent else connections, "fhir_server": script.base}
    with pytest.raises(MissingDataError, match=message) as caught:
        await gather(TEMPLATES, CONTEXT, None, **access)
    assert caught.value.where == "prefetch.conditions"
    record = await gather(TEMPLATES, CONTEXT, None, optional={"conditions"}, **access)
    assert [gap.key for gap in record.gaps] == ["conditions"]
    assert message in record.gaps[0].reason
    assert [item["id"] for item in record.resources if item["resourceType"] == "Observation"] == ["o1"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (condition(1), "the server answered with something else"),
        ({"resourceType": "Patient", "id": "no id"}, "the server answered wrongly: not a FHIR id"),
        ({"id": "1"}, "no FHIR resource"),
        (OUTCOME, "the server answered with something else"),
    ],
)
async def test_wrong_resource_for_a_read(
    script: Script, connections: Connections, body: dict[str, Any], message: str
) -> None:
    """A read that gives another resource, or none, is missing data that says so."""
    serve(script)
    script.on("Patient/1", body)
    with pytest.raises(MissingDataError, match=message):
        await gather(TEMPLATES, CONTEXT, None, connections=connections, fhir_server=script.base)


async def test_loose_forms_are_logged_by_key(caplog: pytest.LogCaptureFixture) -> None:
    """A single resource for a search, a Bundle for a read, keys nobody asked for: taken, and logged without data."""
    sent = {**SENT, "patient": searchset(PATIENT), "conditions": condition(1), "zz": None}
    with caplog.at_level("INFO", logger="fhir_cds.data.gather"):
        record = await gather(TEMPLATES, CONTEXT, sent)
    assert len(record.resources) == 3
    assert [entry.getMessage() for entry in caplog.records] == [
        "prefetch holds 1 keys that were not asked for",
        "prefetch keys of another form than asked for: patient, conditions",
    ]


async def test_budget_over_all_keys(script: Script) -> None:
    """Reading stops when the time for the patient is used up, whatever the single calls take."""
    serve(script)
    for query in ("Patient/1", "Condition?patient=1", OBSERVATIONS):
        script.on(query, Reply(script.replies[query][0].body, delay=0.2))
    limits = replace(FAST, parallel=1, total_seconds=0.3)
    async with Connections(Guard(loopback=True), limits) as connections:
        with pytest.raises(MissingDataError, match=r"did not answer|used up"):
            await gather(TEMPLATES, CONTEXT, None, connections=connections, fhir_server=script.base)


async def test_keys_are_read_in_parallel(script: Script, connections: Connections) -> None:
    """Three answers come when the last of the three is asked for, and not before."""
    serve(script)
    script.on("Condition?patient=1", searchset(condition(1)))
    barrier = asyncio.Barrier(3)
    for query in ("Patient/1", "Condition?patient=1", OBSERVATIONS):
        script.on(query, Reply(script.replies[query][0].body, after=barrier))
    record = await gather(TEMPLATES, CONTEXT, None, connections=connections, fhir_server=script.base)
    assert len(record.resources) == 3


@pytest.mark.parametrize("value", [condition(1, "Patient/2"), searchset(condition(1, "Patient/2"))])
async def test_wrong_patient_in_prefetch(value: Any) -> None:
    """Another patient's data in prefetch are refused with 400, naming the key."""
    with pytest.raises(InputError, match="another patient") as caught:
        await gather(TEMPLATES, CONTEXT, {**SENT, "conditions": value})
    assert caught.value.status == 400
    assert caught.value.where == "prefetch.conditions.Condition.subject"


async def test_wrong_patient_resource() -> None:
    """A Patient that is not the one of the context is refused."""
    with pytest.raises(InputError, match="not the one asked for"):
        await gather(TEMPLATES, {"patientId": "2"}, {"patient": PATIENT, "conditions": None, "observations": None})


async def test_wrong_patient_from_the_server(script: Script, connections: Connections) -> None:
    """Another patient's data from the server are its fault, and never evaluated."""
    serve(script)
    script.on("Condition?patient=1", searchset(condition(1, "Patient/2")))
    with pytest.raises(FhirServerError, match="another patient"):
        await gather(TEMPLATES, CONTEXT, None, connections=connections, fhir_server=script.base)


async def test_server_must_be_allowed(script: Script) -> None:
    """A fhirServer that the guard does not know is refused before any call."""
    async with Connections(Guard()) as connections:
        with pytest.raises(InputError) as caught:
            await gather(TEMPLATES, CONTEXT, None, connections=connections, fhir_server=script.base)
    assert caught.value.where == "fhirServer"
    assert script.seen == []


async def test_token_without_server() -> None:
    """An access token without fhirServer is invalid (F1)."""
    with pytest.raises(InputError, match="needs fhirServer"):
        await gather(TEMPLATES, CONTEXT, SENT, token="t")


async def test_unfillable_template(script: Script, connections: Connections) -> None:
    """A template with a token that this request has no value for is not asked; it is a gap or a 412."""
    serve(script)
    templates = {**TEMPLATES, "visit": "Encounter/{{context.encounterId}}"}
    access: dict[str, Any] = {"connections": connections, "fhir_server": script.base}
    with pytest.raises(MissingDataError, match="visit"):
        await gather(templates, CONTEXT, None, **access)
    record = await gather(templates, CONTEXT, None, optional={"visit"}, **access)
    assert [gap.key for gap in record.gaps] == ["visit"]


async def test_unknown_subject_on_the_server(script: Script, connections: Connections) -> None:
    """A patient the server does not have is not found; other faults name the key."""
    script.on("Condition?patient=1", searchset())
    with pytest.raises(NotFoundError, match="no such patient"):
        await gather_subject(connections, script.base, "Patient/1", [("c", "Condition?patient={id}")])
    script.on("Patient/1", Reply(status=401))
    with pytest.raises(FhirServerError, match=r"patient: .*401") as failed:
        await gather_subject(connections, script.base, "Patient/1", [("c", "Condition?patient={id}")])
    assert failed.value.http_status == 401


async def test_a_known_patient_is_not_read(script: Script, connections: Connections) -> None:
    """A server that holds only the conditions is enough where the caller has the Patient."""
    script.on("Condition?patient=1", searchset())
    queries = [("p", "Patient/{id}"), ("c", "Condition?patient={id}")]
    known = {"resourceType": "Patient", "id": "1", "gender": "female"}
    record = await gather_subject(connections, script.base, "Patient/1", queries, known=known)
    assert [resource["gender"] for resource in record.resources] == ["female"]


@pytest.mark.parametrize("value", ["", "Group/1", "Patient/", "Patient/a b", "a?b", None, 7])
def test_subject_must_be_a_patient(value: object) -> None:
    """Only a bare id or Patient/id is a subject."""
    with pytest.raises(InputError, match="Patient/id"):
        subject_of(value, "subject")
