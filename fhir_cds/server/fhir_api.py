"""The FHIR API as a whole: its routes, and the CapabilityStatement made of the same tables."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fhir_cds import __version__
from fhir_cds.errors import InputError
from fhir_cds.server import apply_api, content_api, evaluate_api, forms_api, plan_api, terminology_api
from fhir_cds.server.content_api import TYPES, base_url
from fhir_cds.server.errors import FHIR_JSON, json_response
from fhir_cds.server.negotiate import fhir
from fhir_cds.server.operations import OPERATIONS
from fhir_cds.server.search import offered
from fhir_cds.server.state import loaded

Resource = dict[str, Any]

_OPERATED: Final = sorted({one.type for one in OPERATIONS if one.type} - set(TYPES))
_MODES: Final = ("full", "normative", "terminology")
_HANDLERS: Final = (
    *apply_api.HANDLERS,
    *plan_api.HANDLERS,
    *evaluate_api.HANDLERS,
    *terminology_api.HANDLERS,
    *forms_api.HANDLERS,
)


async def metadata(request: Request) -> Response:
    """Answer `GET /fhir/metadata`: the CapabilityStatement, or with `mode=terminology` the TerminologyCapabilities."""
    base, date = base_url(request), loaded(request).started.isoformat(timespec="seconds")
    mode = request.query_params.get("mode", "full")
    if mode not in _MODES:
        raise InputError(f"one of {', '.join(_MODES)} is expected", where="mode")
    if mode != "terminology":
        return json_response(capability(base, date), media_type=FHIR_JSON)
    systems = loaded(request).knowledge.registry.by_type("CodeSystem")
    return json_response(terminology([str(system["url"]) for system in systems], base, date), media_type=FHIR_JSON)


def capability(base: str, date: str) -> Resource:
    """Return the CapabilityStatement of the server at `base` (`…/fhir`), as of when its content was loaded."""
    rest: Resource = {
        "mode": "server",
        "security": {
            "cors": True,
            "description": "Reading the content is open; operations on patients' data need the bearer token of a "
            "configured issuer unless the server runs in development mode",
        },
        "resource": [*(_resource(kind, base) for kind in TYPES), *(_operated(kind, base) for kind in _OPERATED)],
    }
    on_server = [_operation(one.id, one.code, base) for one in OPERATIONS if one.type is None]
    return {
        **_head("CapabilityStatement", "Guideline content, $apply and CDS Hooks", base, date),
        "rest": [{**rest, "operation": on_server}],
    }


def _head(kind: str, text: str, base: str, date: str) -> Resource:
    """Return what both statements begin with."""
    head: Resource = {
        "resourceType": kind,
        "url": f"{base}/metadata",
        "version": __version__,
        "name": "FhirCds",
        "status": "active",
        "date": date,
        "kind": "instance",
        "software": {"name": "fhir_cds", "version": __version__},
        "implementation": {"description": text, "url": base},
    }
    if kind == "CapabilityStatement":
        head |= {"fhirVersion": "4.0.1", "format": ["json", FHIR_JSON]}
    return head


def _resource(kind: str, base: str) -> Resource:
    """Return what the server does with one type."""
    made: Resource = {
        "type": kind,
        "interaction": [{"code": "read"}, {"code": "search-type"}],
        "versioning": "no-version",
        "conditionalRead": "full-support",
        "searchParam": [{"name": name, "type": parameter.type} for name, parameter in offered(kind).items()],
    }
    operations = [_operation(one.id, one.code, base) for one in OPERATIONS if one.type == kind]
    return {**made, "operation": operations} if operations else made


def _operated(kind: str, base: str) -> Resource:
    """Return what the server does with a type of which it holds none."""
    return {"type": kind, "operation": [_operation(one.id, one.code, base) for one in OPERATIONS if one.type == kind]}


def _operation(identifier: str, code: str, base: str) -> Resource:
    """Return the entry of an operation."""
    return {"name": code, "definition": f"{base}/OperationDefinition/{identifier}"}


def terminology(systems: list[str], base: str, date: str) -> Resource:
    """Return the TerminologyCapabilities: the code systems held whole, and what can be asked."""
    return {
        **_head("TerminologyCapabilities", "Value sets and code systems of the content", base, date),
        "codeSystem": [{"uri": uri} for uri in systems],
        "expansion": {
            "hierarchical": False,
            "paging": True,
            "incomplete": False,
            "parameter": [{"name": "filter"}, {"name": "offset"}, {"name": "count"}],
        },
        "codeSearch": "explicit",
        "validateCode": {"translations": False},
    }


ROUTES: Final = (
    *(
        Route(f"/fhir{path}", fhir(handler), methods=["GET", "POST"])
        for operation, handler in _HANDLERS
        for path in operation.paths()
    ),
    Route("/fhir/metadata", fhir(metadata)),
    Route("/fhir/{kind}", fhir(content_api.search)),
    Route("/fhir/{kind}/_search", fhir(content_api.search), methods=["POST", "GET"]),
    Route("/fhir/{kind}/{id}", fhir(content_api.read)),
)
