"""The guideline content over FHIR: CapabilityStatement, read and search of the canonical resources (R4 §3.1.0)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fhir_cds import __version__
from fhir_cds.errors import InputError, NotFoundError
from fhir_cds.fhir import bundle, codec
from fhir_cds.knowledge.registry import Registry
from fhir_cds.server.errors import FHIR_JSON, json_response
from fhir_cds.server.http import FORM_LIMIT, read_form
from fhir_cds.server.state import loaded

Resource = dict[str, Any]

TYPES: Final = ("ActivityDefinition", "CodeSystem", "Library", "PlanDefinition", "Questionnaire", "ValueSet")
PAGE: Final = 50
LARGEST_PAGE: Final = 500
SUMMARY: Final = frozenset(
    {
        "resourceType",
        "id",
        "meta",
        "url",
        "version",
        "name",
        "title",
        "status",
        "experimental",
        "type",
        "date",
        "publisher",
        "description",
        "topic",
        "identifier",
        "useContext",
        "jurisdiction",
        "subjectCodeableConcept",
    }
)
_CONTROL: Final = frozenset({"_count", "_offset", "_summary", "_elements", "_format", "_total", "_pretty"})


def _text(element: str) -> Callable[[Resource, str], bool]:
    """Return a string search: the value starts with the text, whatever its case."""
    return lambda resource, asked: str(resource.get(element, "")).casefold().startswith(asked.casefold())


def _exact(element: str) -> Callable[[Resource, str], bool]:
    """Return a search for the whole value."""
    return lambda resource, asked: resource.get(element) == asked


def _contains(element: str) -> Callable[[Resource, str], bool]:
    """Return a search for the text anywhere in the value, whatever its case."""
    return lambda resource, asked: asked.casefold() in str(resource.get(element, "")).casefold()


def _coded(element: str, inner: str | None = None) -> Callable[[Resource, str], bool]:
    """Return a token search in CodeableConcepts: `system|code` or `code`."""

    def meets(resource: Resource, asked: str) -> bool:
        system, bar, code = asked.rpartition("|")
        found = resource.get(element, [])
        concepts = [item.get(inner, {}) if inner else item for item in (found if isinstance(found, list) else [found])]
        codings = [coding for concept in concepts for coding in concept.get("coding", [concept])]
        return any(item.get("code") == code and (not bar or item.get("system", "") == system) for item in codings)

    return meets


def _identified(resource: Resource, asked: str) -> bool:
    """Say whether an identifier is `system|value` or `value`."""
    system, bar, value = asked.rpartition("|")
    return any(
        item.get("value") == value and (not bar or item.get("system", "") == system)
        for item in resource.get("identifier", [])
    )


SEARCH: Final[Mapping[str, tuple[str, Callable[[Resource, str], bool]]]] = MappingProxyType(
    {
        "_id": ("token", _exact("id")),
        "url": ("uri", lambda resource, asked: resource.get("url") == asked.partition("|")[0]),
        "version": ("token", _exact("version")),
        "name": ("string", _text("name")),
        "title": ("string", _text("title")),
        "title:contains": ("string", _contains("title")),
        "name:contains": ("string", _contains("name")),
        "status": ("token", _exact("status")),
        "publisher": ("string", _text("publisher")),
        "description": ("string", _contains("description")),
        "identifier": ("token", _identified),
        "topic": ("token", _coded("topic")),
        "type": ("token", _coded("type")),
        "context": ("token", _coded("useContext", "valueCodeableConcept")),
    }
)
"""Search parameters of every type: FHIR type and test."""


async def metadata(request: Request) -> Response:
    """Answer `GET /fhir/metadata`."""
    return json_response(capability(str(request.base_url), loaded(request).started), media_type=FHIR_JSON)


async def read(request: Request) -> Response:
    """Answer `GET /fhir/{type}/{id}`, with an ETag; 304 when the caller has it already."""
    kind = _type(request.path_params["kind"])
    resource = loaded(request).knowledge.registry.by_id(kind, request.path_params["id"])
    body = codec.encode(resource)
    etag = f'W/"{hashlib.sha256(body).hexdigest()[:16]}"'
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers={"ETag": etag})
    return Response(body, headers={"ETag": etag}, media_type=FHIR_JSON)


async def search(request: Request) -> Response:
    """Answer `GET /fhir/{type}?…` and `POST /fhir/{type}/_search` with one page of matches."""
    pairs = list(request.query_params.multi_items())
    if request.method == "POST":
        pairs += await read_form(request, FORM_LIMIT)
    kind = _type(request.path_params["kind"])
    found = matches(loaded(request).knowledge.registry, kind, pairs)
    given = dict(pairs)
    size = min(_whole(given.get("_count"), PAGE, "_count"), LARGEST_PAGE)
    offset = _whole(given.get("_offset"), 0, "_offset")
    base = f"{str(request.base_url).rstrip('/')}/fhir"
    page = [_elements(resource, given) for resource in found[offset : offset + size]]
    answer = bundle.searchset(page, base, len(found))
    here = [(name, value) for name, value in pairs if name != "_offset"]
    answer["link"] = [{"relation": "self", "url": f"{base}/{kind}?{urlencode([*here, ('_offset', str(offset))])}"}]
    if size and offset + size < len(found):
        url = f"{base}/{kind}?{urlencode([*here, ('_offset', str(offset + size))])}"
        answer["link"].append({"relation": "next", "url": url})
    if given.get("_summary") == "count":
        answer = {"resourceType": "Bundle", "type": "searchset", "total": len(found)}
    return json_response(answer, media_type=FHIR_JSON)


def matches(registry: Registry, kind: str, pairs: Iterable[tuple[str, str]]) -> list[Resource]:
    """Return the resources of a type that meet all parameters (commas mean or).

    Raises InputError for a parameter that is not offered: to ignore it would widen the answer unnoticed.
    """
    found = list(registry.by_type(kind))
    for name, value in pairs:
        if name in _CONTROL:
            continue
        if name not in SEARCH:
            raise InputError(f"not offered; offered are {', '.join(SEARCH)}", where=name)
        meets = SEARCH[name][1]
        found = [resource for resource in found if any(meets(resource, choice) for choice in value.split(","))]
    return found


def capability(base: str, date: str) -> Resource:
    """Return the CapabilityStatement of this service."""
    params = [{"name": name, "type": kind} for name, (kind, _) in SEARCH.items() if ":" not in name]
    apply_operation = {"name": "apply", "definition": "http://hl7.org/fhir/OperationDefinition/PlanDefinition-apply"}
    r5_operation = {
        "name": "r5.apply",
        "definition": "http://hl7.org/fhir/5.0/OperationDefinition/PlanDefinition-apply",
    }
    activity = {"name": "apply", "definition": "http://hl7.org/fhir/OperationDefinition/ActivityDefinition-apply"}
    operations = {"PlanDefinition": [apply_operation, r5_operation], "ActivityDefinition": [activity]}
    resources: list[Resource] = []
    for kind in TYPES:
        entry: Resource = {"type": kind, "interaction": [{"code": "read"}, {"code": "search-type"}]}
        entry |= {"searchParam": params}
        resources.append({**entry, "operation": operations[kind]} if kind in operations else entry)
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": date,
        "kind": "instance",
        "software": {"name": "fhir_cds", "version": __version__},
        "implementation": {"description": "Guideline content, $apply and CDS Hooks", "url": f"{base.rstrip('/')}/fhir"},
        "fhirVersion": "4.0.1",
        "format": ["json", FHIR_JSON],
        "rest": [{"mode": "server", "resource": resources}],
    }


ROUTES: Final = (
    Route("/fhir/metadata", metadata),
    Route("/fhir/{kind}", search),
    Route("/fhir/{kind}/_search", search, methods=["POST", "GET"]),
    Route("/fhir/{kind}/{id}", read),
)


def _type(kind: str) -> str:
    """Return a type that is served; raises NotFoundError."""
    if kind not in TYPES:
        raise NotFoundError(f"this server holds {', '.join(TYPES)}", where=kind)
    return kind


def _whole(text: str | None, default: int, where: str) -> int:
    """Return a count or offset; raises InputError."""
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InputError("must be a whole number", where=where)
    return int(text)


def _elements(resource: Resource, given: Mapping[str, str]) -> Resource:
    """Return a resource cut to its summary or to the elements asked for, marked as a subset where it was cut."""
    if given.get("_summary") == "true":
        kept = SUMMARY
    elif given.get("_elements"):
        kept = frozenset({"resourceType", "id", "meta", *given["_elements"].split(",")})
    else:
        return resource
    cut = {key: value for key, value in resource.items() if key in kept}
    tag = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}
    meta = cut.get("meta", {})
    return {**cut, "meta": {**meta, "tag": [*meta.get("tag", []), tag]}}
