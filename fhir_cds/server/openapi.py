"""The service's interface as an OpenAPI 3.1 document, made from the same models that check the messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from pydantic.json_schema import models_json_schema

from fhir_cds import __version__
from fhir_cds.cards.discovery import Offer
from fhir_cds.cards.messages import Discovery, Feedback, Request, Response
from fhir_cds.server.content_api import TYPES

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
_ERRORS: Final = {
    "400": "What was sent is wrong; the issue says what and where.",
    "403": "Not allowed.",
    "404": "There is nothing under this id.",
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
    _, schemas = models_json_schema(
        [(Request, "validation"), (Feedback, "validation"), (Response, "serialization"), (Discovery, "serialization")],
        by_alias=True,
        ref_template="#/components/schemas/{model}",
    )
    components = {**schemas.get("$defs", {}), "Resource": _RESOURCE, "OperationOutcome": _ISSUES}
    services = sorted({offer.service.id for offer in offers})
    return {
        "openapi": "3.1.0",
        "info": {"title": "fhir_cds", "version": __version__, "license": {"name": "Apache-2.0"}},
        "servers": [{"url": base.rstrip("/")}],
        "paths": _paths(services),
        "components": {
            "schemas": components,
            "securitySchemes": {"jwt": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
        "security": [{"jwt": []}, {}],
    }


def _paths(services: Sequence[str]) -> dict[str, Any]:
    """Return every path with its operations."""
    service = _parameter("service", {"type": "string", "enum": list(services)} if services else {"type": "string"})
    kind = _parameter("type", {"type": "string", "enum": list(TYPES)})
    logical = _parameter("id", {"type": "string", "pattern": "^[A-Za-z0-9\\-.]{1,64}$"})
    applied = _operation("apply", "Apply a PlanDefinition (R4)", 200, "Resource", body="Resource")
    return {
        "/cds-services": {"get": _operation("discovery", "The services offered", 200, "Discovery")},
        "/cds-services/{service}": {
            "parameters": [service],
            "post": _operation("call", "Ask a service", 200, "Response", body="Request"),
        },
        "/cds-services/{service}/feedback": {
            "parameters": [service],
            "post": _operation("feedback", "Tell what became of cards", 200, None, body="Feedback"),
        },
        "/fhir/metadata": {"get": _operation("metadata", "CapabilityStatement", 200, "Resource")},
        "/fhir/{type}": {"parameters": [kind], "get": _operation("search", "Search the content", 200, "Resource")},
        "/fhir/{type}/{id}": {"parameters": [kind, logical], "get": _operation("read", "Read", 200, "Resource")},
        "/fhir/PlanDefinition/$apply": {"post": {**applied, "operationId": "applyType"}},
        "/fhir/PlanDefinition/{id}/$apply": {"parameters": [logical], "post": applied},
        "/health": {"get": _operation("health", "Alive", 200, None)},
        "/ready": {"get": _operation("ready", "Able to answer", 200, None)},
        "/metrics": {"get": _operation("metrics", "Counters in Prometheus text format", 200, None)},
    }


def _operation(name: str, summary: str, status: int, schema: str | None, *, body: str | None = None) -> dict[str, Any]:
    """Return one operation with its success, its errors and the bare 401."""
    success: dict[str, Any] = {"description": summary}
    if schema:
        success["content"] = _content(schema)
    errors = {code: {"description": text, "content": _content("OperationOutcome")} for code, text in _ERRORS.items()}
    operation: dict[str, Any] = {
        "operationId": name,
        "summary": summary,
        "responses": {str(status): success, "401": {"description": "Not authenticated"}, **errors},
    }
    return {**operation, "requestBody": {"required": True, "content": _content(body)}} if body else operation


def _content(schema: str) -> dict[str, Any]:
    """Return the JSON media types of a schema."""
    reference = {"schema": {"$ref": f"#/components/schemas/{schema}"}}
    return {"application/json": reference, "application/fhir+json": reference}


def _parameter(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Return a path parameter."""
    return {"name": name, "in": "path", "required": True, "schema": schema}
