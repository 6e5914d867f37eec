"""One patient's record from prefetch, from a FHIR server, or from both: the same record whichever way.

    record = await gather(
        {"conditions": "Condition?patient={{context.patientId}}"}, {"patientId": "1"}, prefetch,
        connections=connections, fhir_server="https://ehr.example.org/fhir", token="…")

Prefetch is used as far as it goes (`prefetch.RULES`); what it lacks is read from the server, in parallel, within the
time budget. What is needed and cannot be had is a MissingDataError naming the keys; what is optional and cannot be had
is a gap of the record.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

from fhir_cds.data import prefetch as received
from fhir_cds.data.client import Connections, FhirClient, Found, authorization_of, queries_of
from fhir_cds.data.guard import normal_base
from fhir_cds.data.prefetch import Answer, State
from fhir_cds.data.record import Gap, PatientRecord, Resource, assemble, normalised
from fhir_cds.data.usual import Usual
from fhir_cds.errors import FhirServerError, InputError, MissingDataError, NotFoundError
from fhir_cds.fhir import ids, reference

PATIENT_KEY: Final = "patient"
_PATIENT: Final = "Patient/{{context.patientId}}"

_SERVER: Final = "FHIR server"
_LOG: Final = logging.getLogger(__name__)


class Part(NamedTuple):
    """What one key gave: its resources, where they came from; why they are not all, and the HTTP status, if not."""

    key: str
    place: str
    resources: tuple[Resource, ...] = ()
    lacking: str | None = None
    status: int | None = None


async def gather(
    templates: Mapping[str, str],
    context: Mapping[str, Any],
    prefetch: Any = None,
    *,
    connections: Connections | None = None,
    fhir_server: str | None = None,
    token: str | None = None,
    optional: Collection[str] = (),
    systems: Mapping[str, str] | None = None,
    usual: Usual | None = None,
) -> PatientRecord:
    """Return the record of the patient in `context` (`patientId`), with what the templates ask for.

    `templates` are key -> FHIR query (CDS Hooks prefetch templates), `prefetch` what the client sent, `fhir_server` and
    `token` its FHIR access, `connections` the pool to reach it by (None: prefetch only). `optional` keys may be
    missing. The Patient is asked for even where no template does. A server from which nothing has to be read is not
    called, and need not be one that may be. `usual`, of the same templates and systems, is a shorter way to the same
    record.
    Raises MissingDataError naming the keys that could not be had; InputError for wrong or another patient's data, a
    server that must not be called or is no URL, a token without server.
    """
    if token is not None and fhir_server is None:
        raise InputError("fhirAuthorization needs fhirServer", where="fhirServer")
    subject = subject_of(context.get("patientId"), "context.patientId")
    authorization = authorization_of(token)
    if fhir_server is not None:
        normal_base(fhir_server)
    if usual is not None and (record := usual.record(prefetch, subject)) is not None:
        return record
    wanted = _with_patient(templates)
    bases = (fhir_server.rstrip("/"),) if fhir_server else ()
    found = received.answers(wanted, prefetch, systems=systems, bases=bases)
    unasked = received.unasked(wanted, prefetch)
    if unasked:
        _LOG.info("prefetch holds %d keys that were not asked for", len(unasked))
    loose = [answer.key for answer in found if answer.state in {State.SINGLE, State.LISTED}]
    if loose:
        _LOG.info("prefetch keys of another form than asked for: %s", ", ".join(loose))
    parts = [_from_prefetch(answer) for answer in found]
    ask = [answer for answer in found if answer.rule.ask]
    if ask and connections is not None and fhir_server is not None:
        client = connections.client(fhir_server, authorization=authorization)
        queries = {answer.key: received.fill(wanted[answer.key], context) for answer in ask}
        filled = {key: query for key, query in queries.items() if query is not None}
        read = {p.key: p for p in await _read(client, [a for a in ask if a.key in filled], filled, systems)}
        parts = [_joined(part, read.get(part.key)) for part in parts]
    elif fhir_server is None:
        parts = [part._replace(lacking=f"{part.lacking}; no fhirServer") if part.lacking else part for part in parts]
    return _record(parts, subject, frozenset(optional))


async def gather_subject(
    connections: Connections,
    base_url: str,
    subject: str,
    queries: Sequence[tuple[str, str]],
    *,
    token: str | None = None,
    systems: Mapping[str, str] | None = None,
    known: Resource | None = None,
) -> PatientRecord:
    """Return the record of `Patient/id` on a FHIR server; `queries` are (key, `Condition?patient={id}`).

    The Patient is read besides, unless it is `known`. Raises NotFoundError when the server has no such patient,
    FhirServerError naming the keys that could not be read and why, InputError for a subject that is not `Patient/id`.
    """
    patient = subject_of(subject, "subject")
    identifier = patient.partition("/")[2]
    table = {key: query.replace("{id}", identifier) for key, query in queries_of(queries).items()}
    wanted = _without_patient(table) if known is not None else _with_patient(table)
    client = connections.client(base_url, authorization=authorization_of(token))
    filled = {key: received.fill(query, {"patientId": identifier}) or query for key, query in wanted.items()}
    absent = [Answer(key, State.ABSENT) for key in filled]
    parts = await _read(client, absent, filled, systems)
    for part in parts:
        if part.status in {404, 410} and filled[part.key] == patient:
            raise NotFoundError("the FHIR server has no such patient", where="subject")
    if known is not None:
        parts.insert(0, Part(PATIENT_KEY, "known", (known,)))
    try:
        return _record(parts, patient, frozenset())
    except MissingDataError as error:
        failed = next((part.status for part in parts if part.lacking is not None), None)
        raise FhirServerError(error.message, where=_SERVER, http_status=failed) from None


def subject_of(value: object, where: str) -> str:
    """Return `Patient/id` for a bare id or a reference to a Patient; raises InputError naming `where`."""
    if isinstance(value, str):
        text = reference.with_type(value, "Patient")
        kind, _, identifier = text.partition("/")
        if kind == "Patient" and ids.is_id(identifier):
            return text
    raise InputError("Patient/id is expected", where=where)


def _without_patient(templates: Mapping[str, str]) -> dict[str, str]:
    return {key: query for key, query in templates.items() if received.type_of(query) != "Patient"}


def _with_patient(templates: Mapping[str, str]) -> dict[str, str]:
    reads = [query for query in templates.values() if received.type_of(query) == "Patient"]
    if reads:
        return dict(templates)
    key = PATIENT_KEY if PATIENT_KEY not in templates else f"{PATIENT_KEY}-resource"
    return {key: _PATIENT, **templates}


def _from_prefetch(answer: Answer) -> Part:
    lacking = None if answer.rule.complete else answer.reason or answer.rule.meaning
    return Part(answer.key, f"{received.WHERE}.{answer.key}", answer.resources, lacking)


def _joined(sent: Part, read: Part | None) -> Part:
    return sent if read is None else read._replace(resources=(*sent.resources, *read.resources))


async def _read(
    client: FhirClient, asked: Sequence[Answer], queries: Mapping[str, str], systems: Mapping[str, str] | None
) -> list[Part]:
    """Return what the server gives for each key; a fault of one key leaves the others alone."""
    if client.limits.batch and len(asked) > 1 and all(answer.next is None for answer in asked):
        return await _read_batch(client, asked, queries, systems)
    turn = asyncio.Semaphore(client.limits.parallel)

    async def one(answer: Answer) -> Part:
        async with turn:
            query = queries[answer.key]
            try:
                if answer.next is not None:
                    return _part(answer.key, query, await client.follow(answer.next, query), client, systems)
                if received.is_read(query):
                    found = Found((await client.read(query),))
                else:
                    found = await client.search(query)
                return _part(answer.key, query, found, client, systems)
            except FhirServerError as error:
                return _failed(answer.key, error)

    return list(await asyncio.gather(*(one(answer) for answer in asked)))


async def _read_batch(
    client: FhirClient, asked: Sequence[Answer], queries: Mapping[str, str], systems: Mapping[str, str] | None
) -> list[Part]:
    try:
        answers = await client.batch([queries[answer.key] for answer in asked])
    except FhirServerError as error:
        return [_failed(answer.key, error) for answer in asked]
    return [
        _failed(answer.key, found)
        if isinstance(found, FhirServerError)
        else _part(answer.key, queries[answer.key], found, client, systems)
        for answer, found in zip(asked, answers, strict=True)
    ]


def _part(key: str, query: str, found: Found, client: FhirClient, systems: Mapping[str, str] | None) -> Part:
    place = f"{_SERVER}, {key}"
    kinds = {resource["resourceType"] for resource in found.resources}
    asked = received.type_of(query)
    if received.is_read(query) and kinds != {asked}:
        return Part(key, place, lacking="the server answered with something else")
    try:
        listed = normalised(found.resources, systems=systems, bases=(client.url,), where=place)
    except InputError as error:
        return Part(key, place, lacking=f"the server answered wrongly: {error.message}")
    return Part(key, place, tuple(listed), found.incomplete)


def _failed(key: str, error: FhirServerError) -> Part:
    return Part(key, f"{_SERVER}, {key}", lacking=str(error), status=error.http_status)


def _record(parts: Sequence[Part], subject: str, optional: frozenset[str]) -> PatientRecord:
    lacking = [part for part in parts if part.lacking is not None]
    needed = [part for part in lacking if part.key not in optional]
    if needed:
        told = "; ".join(f"{part.key}: {part.lacking}" for part in needed)
        raise MissingDataError(f"needed data cannot be had: {told}", where=f"{received.WHERE}.{needed[0].key}")
    if not any(resource["resourceType"] == "Patient" for part in parts for resource in part.resources):
        raise MissingDataError("needed data cannot be had: there is no Patient", where=received.WHERE)
    sources = [(part.place, part.resources) for part in parts]
    gaps = [Gap(part.key, part.lacking) for part in lacking if part.lacking]
    try:
        return assemble(sources, subject=subject, gaps=gaps)
    except InputError as error:
        if (error.where or "").startswith(_SERVER):
            raise FhirServerError(error.message, where=error.where) from None
        raise
