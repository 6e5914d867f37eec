"""`$apply` over HTTP: PlanDefinition (R4 result and `$r5.apply`) and ActivityDefinition, by id or by canonical."""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from fhir_cds.errors import InputError, operation_outcome
from fhir_cds.fhir import bundle
from fhir_cds.followup import result
from fhir_cds.followup.result import Result
from fhir_cds.reasoning import assemble
from fhir_cds.reasoning.apply import apply_activity, begin
from fhir_cds.reasoning.outcome import Json
from fhir_cds.server import operations
from fhir_cds.server.errors import FHIR_JSON, json_response
from fhir_cds.server.gate import enter
from fhir_cds.server.invocation import Invocation, invocation
from fhir_cds.server.operations import Operation
from fhir_cds.server.parameters import given
from fhir_cds.server.state import Loaded, loaded, state
from fhir_cds.server.structure import check_definition
from fhir_cds.server.subjects import records


async def apply(request: Request) -> Response:
    """Answer `PlanDefinition[/id]/$apply`: a CarePlan, for several subjects a Bundle of them."""
    results = await _applied(request, operations.APPLY)
    plans = [one.careplan() for one in results]
    return json_response(plans[0] if len(plans) == 1 else bundle.collection(plans), media_type=FHIR_JSON)


async def apply_r5(request: Request) -> Response:
    """Answer `PlanDefinition[/id]/$r5.apply`: Parameters with one Bundle per subject."""
    return json_response(result.parameters(await _applied(request, operations.APPLY_R5)), media_type=FHIR_JSON)


async def apply_one_activity(request: Request) -> Response:
    """Answer `ActivityDefinition[/id]/$apply`: the request it makes, or an OperationOutcome when it makes none."""
    await enter(request)
    asked = invocation(await given(request, operations.APPLY_ACTIVITY))
    service, content = state(request), loaded(request)
    definition = _definition(request, content, asked, "ActivityDefinition")
    (record,) = await records(service, content, asked, definition, limit=1)
    now = asked.now or service.now()
    made, issues = await asyncio.to_thread(apply_activity, content.engine, definition, record, now, asked.context)
    issues = (*asked.remarks(), *issues)
    if made is None:
        return json_response(operation_outcome(*issues), status=422, media_type=FHIR_JSON)
    return json_response(assemble.with_issues(made, issues), media_type=FHIR_JSON)


async def _applied(request: Request, operation: Operation) -> list[Result]:
    """Return the plan of a call applied to each subject, with its dates."""
    await enter(request)
    asked = invocation(await given(request, operation))
    service, content = state(request), loaded(request)
    definition = _definition(request, content, asked, "PlanDefinition")
    now = asked.now or service.now()
    found = await records(service, content, asked, definition)

    def work() -> list[Result]:
        sessions = [begin(content.engine, record, now, asked.context) for record in found]
        return [
            result.result(session, definition, start=asked.start, until=asked.until, remarks=asked.remarks())
            for session in sessions
        ]

    return await asyncio.to_thread(work)


def _definition(request: Request, content: Loaded, asked: Invocation, kind: str) -> Json:
    """Return the definition: that of the address, else that of the parameters; never both (IN-01).

    Raises InputError for none or two, NotFoundError for one that is not in the content.
    """
    name = request.path_params.get("id")
    if name is not None and asked.definition is not None:
        raise InputError("the address names the definition already", where="Parameters.parameter")
    found = name or asked.definition
    if found is None:
        raise InputError("name the definition: its id in the address, or the parameter url or canonical", where="url")
    if isinstance(found, dict):
        check_definition(found, kind)
        return found
    engine = content.engine
    return engine.plan(found) if kind == "PlanDefinition" else engine.activity(found)


HANDLERS: Final = (
    (operations.APPLY, apply),
    (operations.APPLY_R5, apply_r5),
    (operations.APPLY_ACTIVITY, apply_one_activity),
)
