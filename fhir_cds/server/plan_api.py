"""`PlanDefinition/$data-requirements` and `$package`: what a plan reads, and all it needs (CRMI; apply.md IO-03)."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from fhir_cds.errors import InputError
from fhir_cds.fhir import bundle
from fhir_cds.reasoning import dependencies, requirements
from fhir_cds.server import operations
from fhir_cds.server.errors import FHIR_JSON, json_response
from fhir_cds.server.operations import Operation
from fhir_cds.server.parameters import given
from fhir_cds.server.state import Loaded, loaded

Resource = dict[str, Any]


async def data_requirements(request: Request) -> Response:
    """Answer `PlanDefinition[/id]/$data-requirements`: a Library."""
    content, plan = await _plan(request, operations.DATA_REQUIREMENTS)
    made = await asyncio.to_thread(requirements.data_requirements, content.engine, plan)
    return json_response(made, media_type=FHIR_JSON)


async def package(request: Request) -> Response:
    """Answer `PlanDefinition[/id]/$package`: a transaction Bundle of the plan and all it names."""
    content, plan = await _plan(request, operations.PACKAGE)
    found = await asyncio.to_thread(dependencies.closure, content.knowledge.registry, plan)
    return json_response(bundle.transaction(found), media_type=FHIR_JSON)


async def _plan(request: Request, operation: Operation) -> tuple[Loaded, Resource]:
    """Return the content and the plan that a call names; raises InputError, NotFoundError."""
    asked = await given(request, operation)
    content = loaded(request)
    name, url, canonical = request.path_params.get("id"), asked.text("url"), asked.text("canonical")
    if sum(text is not None for text in (name, url, canonical)) != 1:
        raise InputError("name one plan: its id in the address, or the parameter url or canonical", where="url")
    version = asked.text("version")
    full = f"{url}|{version}" if url and version else name or url or canonical
    return content, dict(content.engine.plan(str(full)))


HANDLERS: Final = ((operations.DATA_REQUIREMENTS, data_requirements), (operations.PACKAGE, package))
