"""The guideline content over FHIR: read and search of the canonical resources (R4 §3.1.0)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from fhir_cds.errors import NotFoundError, operation_outcome
from fhir_cds.fhir import bundle, codec, issues
from fhir_cds.server.errors import FHIR_JSON, json_response
from fhir_cds.server.http import FORM_LIMIT, read_form
from fhir_cds.server.operation_definitions import definition
from fhir_cds.server.operations import OPERATIONS
from fhir_cds.server.search import LARGEST_PAGE, PAGE, SUMMARY, cut, matches, ordered, whole
from fhir_cds.server.state import Loaded, loaded, state

Resource = dict[str, Any]

TYPES: Final = tuple(sorted(SUMMARY))
_OPERATION: Final = "OperationDefinition"


def base_url(request: Request) -> str:
    """Return the address of the FHIR API as callers see it."""
    return f"{(state(request).settings.public_url or str(request.base_url)).rstrip('/')}/fhir"


def held(content: Loaded, kind: str, base: str) -> list[Resource]:
    """Return all resources of a type; raises NotFoundError for a type that is not served."""
    if kind not in TYPES:
        raise NotFoundError(f"this server holds {', '.join(TYPES)}", where=kind)
    if kind == _OPERATION:
        return [definition(one, base, content.started.date().isoformat()) for one in OPERATIONS]
    return list(content.knowledge.registry.by_type(kind))


async def read(request: Request) -> Response:
    """Answer `GET /fhir/{type}/{id}`, with ETag and Last-Modified; 304 when the caller has it already."""
    kind, name, content = request.path_params["kind"], request.path_params["id"], loaded(request)
    if kind not in TYPES or kind == _OPERATION:
        found = [item for item in held(content, kind, base_url(request)) if item["id"] == name]
        if not found:
            raise NotFoundError("not on this server", where=f"{kind}/{name}")
        resource = found[0]
    else:
        resource = content.knowledge.registry.by_id(kind, name)
    body = codec.encode(cut(resource, dict(request.query_params)))
    etag = f'W/"{hashlib.sha256(body).hexdigest()[:16]}"'
    headers = {"ETag": etag, "Last-Modified": format_datetime(content.started, usegmt=True)}
    if unchanged(request, etag, content.started):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=FHIR_JSON)


def unchanged(request: Request, etag: str, modified: datetime) -> bool:
    """Say whether the caller's copy is good: by If-None-Match, else by If-Modified-Since (RFC 9110 §13.2.2)."""
    tags = request.headers.get("if-none-match")
    if tags is not None:
        plain = etag.removeprefix("W/")
        return any(tag.strip().removeprefix("W/") in {plain, "*"} for tag in tags.split(","))
    since = request.headers.get("if-modified-since")
    try:
        return since is not None and modified.replace(microsecond=0) <= parsedate_to_datetime(since)
    except (ValueError, TypeError):  # an unreadable date is no condition
        return False


async def search(request: Request) -> Response:
    """Answer `GET /fhir/{type}?…` and `POST /fhir/{type}/_search` with one page of matches."""
    pairs = list(request.query_params.multi_items())
    if request.method == "POST":
        pairs += await read_form(request, FORM_LIMIT)
    kind, base, given = request.path_params["kind"], base_url(request), dict(pairs)
    lenient = "handling=lenient" in request.headers.get("prefer", "")
    found, passed = matches(held(loaded(request), kind, base), kind, pairs, lenient=lenient)
    size = min(whole(given.get("_count"), PAGE, "_count"), LARGEST_PAGE)
    offset = whole(given.get("_offset"), 0, "_offset")
    if given.get("_summary") == "count" or size == 0:
        return json_response({"resourceType": "Bundle", "type": "searchset", "total": len(found)}, media_type=FHIR_JSON)
    page = [cut(resource, given) for resource in ordered(found, given.get("_sort"))[offset : offset + size]]
    answer = bundle.searchset(page, base, len(found))
    if passed:
        answer["entry"] = [*answer.get("entry", ()), _passed_over(passed)]
    answer["link"] = list(_links(f"{base}/{kind}", pairs, passed, (offset, size, len(found))))
    return json_response(answer, media_type=FHIR_JSON)


def _passed_over(names: list[str]) -> Resource:
    """Return the entry that says which parameters a lenient search did without."""
    told = [issues.issue("warning", "not-supported", "this search parameter was passed over", name) for name in names]
    return {"resource": operation_outcome(*told), "search": {"mode": "outcome"}}


def _links(
    address: str, pairs: Iterable[tuple[str, str]], passed: list[str], page: tuple[int, int, int]
) -> Iterable[Resource]:
    """Yield the links of a page: itself as it was understood, and its neighbours."""
    offset, size, total = page
    here = [(name, value) for name, value in pairs if name != "_offset" and name not in passed]
    places = {"self": offset, "first": 0}
    if offset > 0:
        places["previous"] = max(0, offset - size)
    if offset + size < total:
        places["next"] = offset + size
    for relation, at in places.items():
        yield {"relation": relation, "url": f"{address}?{urlencode([*here, ('_offset', str(at))])}"}
