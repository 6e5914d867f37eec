"""`Library/$evaluate` and `$cql`: values of defines, by name, for one patient. No other CQL is run."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from fhir_cds.errors import InputError, NotFoundError
from fhir_cds.knowledge.registry import canonical_of
from fhir_cds.reasoning import values
from fhir_cds.reasoning.apply import begin
from fhir_cds.reasoning.expressions import NAME, Define
from fhir_cds.reasoning.outcome import Json
from fhir_cds.server import operations
from fhir_cds.server.errors import FHIR_JSON, json_response
from fhir_cds.server.gate import enter
from fhir_cds.server.invocation import Invocation, invocation
from fhir_cds.server.parameters import Given, any_value, given
from fhir_cds.server.state import Loaded, loaded, state
from fhir_cds.server.subjects import records

Resource = dict[str, Any]


async def evaluate(request: Request) -> Response:
    """Answer `Library[/id]/$evaluate`: a parameter for each define asked for, else for all of the library."""
    await enter(request)
    asked_for = await given(request, operations.EVALUATE)
    asked = invocation(asked_for)
    library = _library(request, loaded(request), asked)
    known = values.defines(loaded(request).engine, library)
    wanted = [Define(known[0].library, name) for name in asked_for.texts("expression")]
    for define in wanted:
        if define not in known:
            raise NotFoundError(f'there is no define "{define.name}" in {define.library}', where="expression")
    named = [(define.name, define) for define in wanted or known]
    return await _answer(request, asked, library, named)


async def cql(request: Request) -> Response:
    """Answer `$cql`: the parameter `return`, for a define named by its library and name."""
    await enter(request)
    asked_for = await given(request, operations.CQL)
    content = loaded(request)
    text = asked_for.text("expression")
    if text is None:
        raise InputError("name a define: Library.Define", where="expression")
    libraries = _scope(asked_for, content)
    expression = {"language": min(NAME), "expression": text}
    meaning = content.engine.meaning(expression, {"library": [canonical_of(item) for item in libraries]})
    if not isinstance(meaning, Define) or meaning not in content.engine.graph:
        raise NotFoundError("there is no such define; other CQL is not run", where="expression")
    library = next(item for item in libraries if item.get("name") == meaning.library)
    return await _answer(request, invocation(asked_for), library, [("return", meaning)])


async def _answer(request: Request, asked: Invocation, library: Json, named: Sequence[tuple[str, Define]]) -> Response:
    """Return the values of defines, each under its name."""
    service, content = state(request), loaded(request)
    (record,) = await records(service, content, asked, library, limit=1)

    def work() -> list[Resource]:
        session = begin(content.engine, record, asked.now or service.now(), asked.context)
        return [parameter for name, define in named for parameter in values.evaluated(session, define, name)]

    made = {"resourceType": "Parameters", "parameter": await asyncio.to_thread(work)}
    return json_response(made, media_type=FHIR_JSON)


def _library(request: Request, content: Loaded, asked: Invocation) -> Resource:
    """Return the Library of a call: that of the address, else that of the parameters; never both."""
    name = request.path_params.get("id")
    if name is not None and asked.definition is not None:
        raise InputError("the address names the library already", where="Parameters.parameter")
    found = name or asked.definition
    if not isinstance(found, str):
        raise InputError("name the library: its id in the address, or the parameter url or canonical", where="url")
    return content.knowledge.registry.get("Library", found)


def _scope(asked_for: Given, content: Loaded) -> list[Resource]:
    """Return the libraries in which a name is looked up: those given, else all of the content."""
    registry = content.knowledge.registry
    named = [any_value(parts.get("url", {})) for parts in asked_for.parts("library")]
    if not named:
        return list(registry.by_type("Library"))
    return [registry.get("Library", str(canonical)) for canonical in named]


HANDLERS: Final = ((operations.EVALUATE, evaluate), (operations.CQL, cql))
