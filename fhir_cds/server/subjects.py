"""Whose record a call is about, and where its data come from (apply.md IN-03, IN-04, IN-08, IN-09).

What the call brings (`data` or `prefetchData`) goes first; `dataEndpoint` gives what is not in it. This server holds no
patient data, so there is nothing between the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from fhir_cds.data import prefetch, record
from fhir_cds.data.answers import answered
from fhir_cds.data.gather import gather_subject, subject_of
from fhir_cds.data.record import PatientRecord
from fhir_cds.errors import FhirServerError, InputError, MissingDataError
from fhir_cds.fhir import bundle, reference
from fhir_cds.reasoning import requirements
from fhir_cds.reasoning.outcome import Json
from fhir_cds.server.errors import HttpError
from fhir_cds.server.invocation import Invocation
from fhir_cds.server.state import Loaded, State

Resource = dict[str, Any]

MOST: Final = 20


async def records(
    service: State, content: Loaded, invocation: Invocation, definition: Json, *, limit: int = MOST
) -> list[PatientRecord]:
    """Return the record of each subject, with what `definition` reads and what was answered in questionnaires.

    Raises InputError for no subject, one that is not a Patient, or data of another patient; HttpError 422 for too many;
    MissingDataError when there are no data, FhirServerError when the endpoint does not give them.
    """
    subjects = [subject_of(subject, "subject") for subject in invocation.subjects]
    if not subjects:
        raise InputError("say about whom: Patient/id", where="subject")
    if len(subjects) > limit:
        raise HttpError(422, f"at most {limit} subject{'s' if limit > 1 else ''} in one call", where="subject")
    place = "data" if invocation.data is not None else "prefetchData"
    brought = _brought(invocation, content) if invocation.data is not None or invocation.prefetch else None
    if invocation.endpoint is None:
        if brought is None:
            raise MissingDataError("no data: give data, prefetchData or dataEndpoint", where="data")
        held = [record.assemble([(place, own)], subject=name) for name, own in _by_subject(brought, subjects)]
        return [answered(one, content.forms) for one in held]
    wanted = _queries(content, invocation, definition)
    found = []
    for name, own in _by_subject(brought or [], subjects):
        patient = next((item for item in own if reference.of(item) == name), None)
        try:
            read = await gather_subject(
                service.connections, invocation.endpoint, name, wanted, systems=content.systems, known=patient
            )
        except FhirServerError as error:
            raise FhirServerError(error.message, where="dataEndpoint", http_status=error.http_status) from None
        known = {reference.of(item) for item in own}
        rest = [item for item in read.resources if reference.of(item) not in known]
        joined = record.assemble([(place, own), ("dataEndpoint", rest)], subject=name, gaps=read.gaps)
        found.append(answered(joined, content.forms))
    return found


def _by_subject(resources: list[Resource], subjects: Sequence[str]) -> list[tuple[str, list[Resource]]]:
    """Return each subject with the resources that are not another subject's."""
    return [(name, record.without(resources, [other for other in subjects if other != name])) for name in subjects]


def _brought(invocation: Invocation, content: Loaded) -> list[Resource]:
    """Return the resources that the call brings, normalised."""
    if invocation.data is not None:
        return list(record.whole(invocation.data, systems=content.systems, where="data"))
    listed = [
        resource
        for key, item in invocation.prefetch.items()
        if item.data is not None
        for resource in _bundle(item.data, f"prefetchData.{key}", content)
    ]
    return list(bundle.merge(listed, "prefetchData"))


def _bundle(data: Resource, where: str, content: Loaded) -> list[Resource]:
    """Return the resources of a Bundle, or the one resource that stands in its place."""
    if data.get("resourceType") == "Bundle":
        return list(record.whole(data, systems=content.systems, where=where))
    return record.normalised([data], systems=content.systems, where=where)


def _queries(content: Loaded, invocation: Invocation, definition: Json) -> list[tuple[str, str]]:
    """Return what to read of a patient: the services' queries, what else the definition reads, less what came."""
    asked = list(prefetch.queries(content.knowledge.services))
    covered = {prefetch.type_of(query) for _, query in asked}
    asked += requirements.queries(content.engine, definition, covered)
    keys = set(invocation.prefetch)
    types = {item.type for item in invocation.prefetch.values() if item.type}
    return [(key, query) for key, query in asked if key not in keys and prefetch.type_of(query) not in types]
