"""`$apply` over HTTP: PlanDefinition (R4 result and `$r5.apply`) and ActivityDefinition, by id or by canonical."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fhir_cds.data.gather import gather_subject
from fhir_cds.data.prefetch import queries
from fhir_cds.data.record import PatientRecord, from_bundle, from_resources
from fhir_cds.errors import InputError, MissingDataError, operation_outcome
from fhir_cds.fhir import bundle
from fhir_cds.followup.careplan import with_schedules
from fhir_cds.followup.schedule import Schedule, schedules_in
from fhir_cds.reasoning import assemble, r5
from fhir_cds.reasoning.apply import apply_activity, apply_in, begin
from fhir_cds.reasoning.outcome import Applied
from fhir_cds.server.errors import FHIR_JSON, HttpError, json_response
from fhir_cds.server.gate import enter
from fhir_cds.server.http import read_json
from fhir_cds.server.invocation import Invocation, from_body, from_query
from fhir_cds.server.state import Loaded, State, loaded, state
from fhir_cds.server.structure import check_definition

Resource = dict[str, Any]
Result = tuple[Applied, tuple[Schedule, ...]]


async def apply(request: Request) -> Response:
    """Answer `PlanDefinition[/id]/$apply`: a CarePlan, for several subjects a Bundle of them."""
    results, invocation = await _applied(request)
    merge = invocation.context.merge_nested
    plans = [with_schedules(assemble.careplan(one, merge_nested=merge), schedules) for one, schedules in results]
    return json_response(plans[0] if len(plans) == 1 else bundle.collection(plans), media_type=FHIR_JSON)


async def apply_r5(request: Request) -> Response:
    """Answer `PlanDefinition[/id]/$r5.apply`: Parameters with one Bundle per subject."""
    results, invocation = await _applied(request)
    merge = invocation.context.merge_nested
    answer = r5.parameters([one for one, _ in results], merge_nested=merge)
    return json_response(answer, media_type=FHIR_JSON)


async def apply_one_activity(request: Request) -> Response:
    """Answer `ActivityDefinition[/id]/$apply`: the request it makes, or an OperationOutcome when it makes none."""
    await enter(request)
    invocation = await _invocation(request)
    service, content = state(request), loaded(request)
    definition = _definition(request, invocation)
    if isinstance(definition, str):
        content.engine.activity(definition)
    (record,) = await _records(service, content, invocation, limit=1)
    now = invocation.now or service.now()
    made, issues = await asyncio.to_thread(apply_activity, content.engine, definition, record, now, invocation.context)
    return json_response(made or operation_outcome(*issues), status=200 if made else 422, media_type=FHIR_JSON)


async def _applied(request: Request) -> tuple[list[Result], Invocation]:
    """Return the plan of a call applied to each subject, with the schedules in it."""
    await enter(request)
    invocation = await _invocation(request)
    service, content = state(request), loaded(request)
    definition = _definition(request, invocation)
    if isinstance(definition, str):
        content.engine.plan(definition)
    now = invocation.now or service.now()
    records = await _records(service, content, invocation)

    def work() -> list[Result]:
        sessions = [begin(content.engine, record, now, invocation.context) for record in records]
        plans = [(session, apply_in(session, definition)) for session in sessions]
        return [(applied, schedules_in(session, applied)) for session, applied in plans]

    return await asyncio.to_thread(work), invocation


async def _invocation(request: Request) -> Invocation:
    """Return what a call asks, from its body or its query string."""
    if request.method == "GET":
        return from_query(request.query_params.multi_items())
    return from_body(await read_json(request, state(request).settings.body_limit_bytes))


def _definition(request: Request, invocation: Invocation) -> str | Resource:
    """Return the definition: that of the address, else that of the parameters; never both (IN-01)."""
    named = request.path_params.get("id")
    if named is not None and invocation.definition is not None:
        raise InputError("the address names the definition already", where="Parameters.parameter")
    found = named or invocation.definition
    if isinstance(found, dict):
        check_definition(found)
    if found is None:
        raise InputError("name the definition: its id in the address, or the parameter url or canonical", where="url")
    return found


async def _records(service: State, content: Loaded, invocation: Invocation, *, limit: int = 20) -> list[PatientRecord]:
    """Return the records of the subjects: from the data given, else from the data server named."""
    if not invocation.subjects:
        raise InputError("say about whom: Patient/id", where="subject")
    if len(invocation.subjects) > limit:
        raise HttpError(422, f"at most {limit} subjects in one call", where="subject")
    if invocation.data is not None or invocation.prefetch:
        if len(invocation.subjects) > 1:
            raise InputError("data given goes with one subject", where="subject")
        return [_given(invocation, invocation.subjects[0], content.systems)]
    if invocation.endpoint is None:
        raise MissingDataError("no data: give data, prefetchData or dataEndpoint", where="data")
    wanted = queries(content.knowledge.services)
    return [
        await gather_subject(service.connections, invocation.endpoint, subject, wanted, systems=content.systems)
        for subject in invocation.subjects
    ]


def _given(invocation: Invocation, subject: str, systems: Mapping[str, str]) -> PatientRecord:
    """Return the record in the call's own data."""
    if invocation.data is not None:
        return from_bundle(invocation.data, subject=subject, systems=systems, where="data")
    resources = [
        resource
        for key, value in invocation.prefetch.items()
        if value is not None
        for resource in bundle.read(value, where=f"prefetchData.{key}", systems=systems).resources
    ]
    return from_resources(resources, subject=subject, systems=systems, where="prefetchData")


ROUTES: Final = tuple(
    Route(f"/fhir/{kind}{place}/{operation}", handler, methods=["GET", "POST"])
    for kind, operation, handler in (
        ("PlanDefinition", "$apply", apply),
        ("PlanDefinition", "$r5.apply", apply_r5),
        ("ActivityDefinition", "$apply", apply_one_activity),
    )
    for place in ("", "/{id}")
)
