"""The service's interface as an OpenAPI 3.1 document, made from the same models that check the messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import msgspec
from pydantic.json_schema import models_json_schema

from fhir_cds import __version__
from fhir_cds.cards.contexts import HOOKS, ID, ContextField
from fhir_cds.cards.discovery import Offer
from fhir_cds.cards.messages import Feedback, Request
from fhir_cds.cards.outgoing import Discovery, Response
from fhir_cds.server.content_api import TYPES
from fhir_cds.server.operations import OPERATIONS, Operation
from fhir_cds.server.search import SEARCH

_RESOURCE: Final = {
    "type": "object",
    "required": ["resourceType"],
    "properties": {"resourceType": {"type": "string"}},
}
_ISSUES: Final = {
    "type": "object",
    "required": ["resourceType", "issue"],
    "properties": {
        "resourceType": {"const": "OperationOutcome"},
        "issue": {"type": "array", "minItems": 1, "items": {"type": "object", "required": ["severity", "code"]}},
    },
}
_PARAMETERS: Final = {
    "type": "object",
    "required": ["resourceType"],
    "properties": {
        "resourceType": {"const": "Parameters"},
        "parameter": {
            "type": "array",
            "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}},
        },
    },
}
_BUNDLE: Final = {
    "type": "object",
    "required": ["resourceType"],
    "properties": {
        "resourceType": {"const": "Bundle"},
        "entry": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["resource"],
                "properties": {"resource": {"$ref": "#/components/schemas/Resource"}},
            },
        },
    },
}
_ID: Final = {"type": "string", "pattern": f"^{ID.pattern}$"}
_REFERENCE: Final = {"type": "string", "pattern": r"^[A-Z][A-Za-z]+/[A-Za-z0-9\-._]{1,64}$"}


def _wrapped(name: str) -> dict[str, Any]:
    """Return the schema of a resource that may stand in `{"resource": …}`, as older samples send it."""
    reference = {"$ref": f"#/components/schemas/{name}"}
    return {"anyOf": [reference, {"type": "object", "required": ["resource"], "properties": {"resource": reference}}]}


def _listed(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a list for which one item may stand."""
    return {"anyOf": [{"type": "array", "items": schema}, schema]}


_CONTEXT: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "reference": _REFERENCE,
        "references": _listed(_REFERENCE),
        "resource": _wrapped("Resource"),
        "resources": _listed(_wrapped("Resource")),
        "bundle": _wrapped("Bundle"),
    }
)
"""Kind of a context member → its schema, with what is tolerated (an id's and a user's depend on the types allowed)."""

_SIMPLE: Final = frozenset(["boolean", "canonical", "code", "date", "dateTime", "Endpoint", "integer", "string", "uri"])
"""Types of parameters that fit into a query string (an Endpoint by its URL)."""
_NAMING: Final = frozenset({"url", "version", "canonical", "valueSetVersion"})
"""Parameters that name the definition, where the address does not."""

_ERRORS: Final = {
    "400": "What was sent is wrong; the issue says what and where.",
    "403": "Not allowed.",
    "404": "There is nothing under this id.",
    "405": "The address does not take this method; see Allow.",
    "406": "Only JSON of FHIR 4.0 is offered.",
    "412": "Needed data were not sent and cannot be read; the issue names the key.",
    "413": "The body is too large.",
    "415": "The body is not JSON.",
    "422": "The content cannot be processed.",
    "429": "Too many calls; see Retry-After.",
    "500": "The service failed; nothing was decided.",
    "502": "A FHIR server answered wrongly.",
    "503": "Not possible now; try again.",
}


def document(offers: Sequence[Offer], base: str) -> dict[str, Any]:
    """Return the OpenAPI document of a service with these offers at a base URL."""
    _, incoming = models_json_schema(
        [(Request, "validation"), (Feedback, "validation")],
        by_alias=True,
        ref_template="#/components/schemas/{model}",
    )
    _, outgoing = msgspec.json.schema_components([Response, Discovery], ref_template="#/components/schemas/{name}")
    hooks = sorted({offer.service.hook for offer in offers})
    components = {
        **incoming.get("$defs", {}),
        **outgoing,
        **{_call_name(hook): _call(hook) for hook in hooks},
        "Bundle": _BUNDLE,
        "OperationOutcome": _ISSUES,
        "Parameters": _PARAMETERS,
        "Resource": _RESOURCE,
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "fhir_cds", "version": __version__, "license": {"name": "Apache-2.0"}},
        "servers": [{"url": base.rstrip("/")}],
        "paths": _paths(offers),
        "components": {
            "schemas": components,
            "securitySchemes": {"jwt": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
        "security": [{"jwt": []}, {}],
    }


def _paths(offers: Sequence[Offer]) -> dict[str, Any]:
    """Return every path with its operations."""
    services = sorted({offer.service.id for offer in offers})
    calls = {name: sorted(_call_name(o.service.hook) for o in offers if o.service.id == name) for name in services}
    named = _parameter("service", {"type": "string", "enum": services} if services else {"type": "string"})
    return {
        "/cds-services": {"get": _operation("discovery", "The services offered", 200, "Discovery")},
        **{
            f"/cds-services/{name}": {"post": _operation(f"call-{name}", "Ask the service", 200, "Response", *hooks)}
            for name, hooks in calls.items()
        },
        "/cds-services/{service}/feedback": {
            "parameters": [named],
            "post": _operation("feedback", "Tell what became of cards", 200, None, "Feedback"),
        },
        **_fhir_paths(),
        "/health": {"get": _open("health", "Alive", "application/json")},
        "/ready": {"get": _open("ready", "Able to answer; 503 otherwise", "application/json")},
        "/metrics": {"get": _open("metrics", "Counters in Prometheus text format", "text/plain")},
        "/openapi.json": {"get": _open("openapi", "This document", "application/json")},
    }


def _fhir_paths() -> dict[str, Any]:
    """Return the paths of the FHIR API: the content, and `$apply`."""
    kind = _parameter("type", {"type": "string", "enum": list(TYPES)})
    logical = _parameter("id", _ID)
    asked = [_parameter(name, {"type": "string"}, place="query") for name in SEARCH]
    found: dict[str, Any] = {
        "/fhir/metadata": {"get": _operation("metadata", "CapabilityStatement", 200, "Resource")},
        "/fhir/{type}": {
            "parameters": [kind],
            "get": {**_operation("search", "Search the content", 200, "Bundle"), "parameters": asked},
        },
        "/fhir/{type}/_search": {
            "parameters": [kind],
            "post": {
                **_operation("searchForm", "Search the content", 200, "Bundle"),
                "requestBody": {"content": {"application/x-www-form-urlencoded": {"schema": _form()}}},
            },
        },
        "/fhir/{type}/{id}": {"parameters": [kind, logical], "get": _operation("read", "Read", 200, "Resource")},
    }
    for operation in OPERATIONS:
        for path in operation.paths():
            described = _described(operation, path)
            found[f"/fhir{path}"] = {"parameters": [logical], **described} if "{id}" in path else described
    return found


def _described(operation: Operation, path: str) -> dict[str, Any]:
    """Return the two ways of an operation: simple parameters in the query, or a Parameters resource."""
    left_out = _NAMING if "{id}" in path else frozenset()
    query = [
        _parameter(parameter.name, {"type": "string"}, place="query")
        for parameter in operation.parameters
        if parameter.type in _SIMPLE and parameter.name not in left_out
    ]
    name = operation.id if "{id}" in path else f"{operation.id}-by-url"
    return {
        "get": {**_operation(f"{name}-get", operation.title, 200, "Resource"), "parameters": query},
        "post": _operation(name, operation.title, 200, "Resource", "Parameters"),
    }


def _form() -> dict[str, Any]:
    """Return the schema of a search sent as a form."""
    return {"type": "object", "properties": {name: {"type": "string"} for name in SEARCH}}


def _call_name(hook: str) -> str:
    """Return the name of the schema of a call on a hook."""
    return f"Call-{hook}"


def _call(hook: str) -> dict[str, Any]:
    """Return the schema of a call on a hook: the request, with the context that the hook's table asks for."""
    fields = HOOKS.get(hook, ())
    context = {
        "type": "object",
        "required": [field.name for field in fields if field.required and not field.aliases],
        "properties": {field.name: _member(field) for field in fields},
    }
    return {
        "allOf": [{"$ref": "#/components/schemas/Request"}],
        "type": "object",
        "required": ["hook", "context"],
        "properties": {"hook": {"const": hook}, "context": context},
    }


def _member(field: ContextField) -> dict[str, Any]:
    """Return the schema of one member of a context."""
    types = f"({'|'.join(field.types)})/"
    if field.kind == "user":
        schema: dict[str, Any] = {"type": "string", "pattern": f"^{types}{ID.pattern}$"}
    elif field.kind == "id":
        schema = {"type": "string", "pattern": f"^({types})?{ID.pattern}$"}
    else:
        schema = _CONTEXT[field.kind]
    return schema if field.required else {"anyOf": [schema, {"type": "null"}]}


def _operation(name: str, summary: str, status: int, schema: str | None, *bodies: str) -> dict[str, Any]:
    """Return one operation with its success, its errors and the bare 401; `bodies` are the schemas of its body."""
    success: dict[str, Any] = {"description": summary}
    if schema:
        success["content"] = _content(schema)
    errors = {code: {"description": text, "content": _content("OperationOutcome")} for code, text in _ERRORS.items()}
    operation: dict[str, Any] = {
        "operationId": name,
        "summary": summary,
        "responses": {str(status): success, "401": {"description": "Not authenticated"}, **errors},
    }
    return {**operation, "requestBody": {"required": True, "content": _content(*bodies)}} if bodies else operation


def _open(name: str, summary: str, media_type: str) -> dict[str, Any]:
    """Return an operation that asks for no token: it tells nothing of patients."""
    success = {"description": summary, "content": {media_type: {}}}
    failure = {"description": _ERRORS["503"], "content": _content("OperationOutcome")}
    return {
        "operationId": name,
        "summary": summary,
        "security": [],
        "responses": {"200": success, "405": failure, "503": failure},
    }


def _content(*schemas: str) -> dict[str, Any]:
    """Return the JSON media types of a body that meets one of the schemas."""
    listed = [{"$ref": f"#/components/schemas/{name}"} for name in schemas]
    schema = listed[0] if len(listed) == 1 else {"oneOf": listed}
    return {"application/json": {"schema": schema}, "application/fhir+json": {"schema": schema}}


def _parameter(name: str, schema: Mapping[str, Any], *, place: str = "path") -> dict[str, Any]:
    """Return a parameter of the path (mandatory) or the query."""
    return {"name": name, "in": place, "required": place == "path", "schema": dict(schema)}
