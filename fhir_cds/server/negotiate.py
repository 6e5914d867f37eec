"""Media types of the FHIR API (R4 §3.1.0.1.9 and .11): JSON only, in UTF-8, FHIR 4.0; `_format` goes before Accept."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from fhir_cds.server.errors import FHIR_JSON, JSON, HttpError

Handler = Callable[[Request], Awaitable[Response]]

CHARSET: Final = "; charset=utf-8"
_JSON: Final = {
    FHIR_JSON: FHIR_JSON,
    JSON: JSON,
    "json": FHIR_JSON,
    "text/json": JSON,
    "application/json+fhir": FHIR_JSON,
}
_ANY: Final = frozenset({"*/*", "application/*", "*"})
_VERSIONS: Final = ("4.0", "4.0.1")


def fhir(handler: Handler) -> Handler:
    """Return a handler that refuses what is not JSON of R4 (406, 415) and answers in the type asked for, as UTF-8."""

    async def negotiated(request: Request) -> Response:
        wanted = accepted(request.query_params.get("_format"), request.headers.get("accept", ""))
        _check_sent(request.headers.get("content-type", ""))
        response = await handler(request)
        if response.body:
            response.headers["content-type"] = wanted + CHARSET
        return response

    return negotiated


def accepted(form: str | None, accept: str) -> str:
    """Return the media type to answer in; raises HttpError 406 when the caller takes neither JSON nor R4.

    >>> accepted("json", "text/html"), accepted(None, "application/xml, application/json;q=0.5")
    ('application/fhir+json', 'application/json')
    """
    if form is not None:  # in a query string the plus of application/fhir+json comes as a space
        wanted = [_media(form.replace(" ", "+"))]
    else:
        wanted = [_media(part) for part in accept.split(",") if part.strip()] or [("*/*", {})]
        wanted = sorted(wanted, key=lambda item: -_quality(item[1]))
    for kind, parameters in wanted:
        known = FHIR_JSON if kind in _ANY else _JSON.get(kind)
        version = parameters.get("fhirversion")
        if known is not None and _quality(parameters) > 0 and version in {None, *_VERSIONS}:
            return known
    text = f"only JSON of FHIR 4.0 is offered: {FHIR_JSON} or {JSON}"
    raise HttpError(406, text, where="_format" if form is not None else "Accept")


def _check_sent(content_type: str) -> None:
    """Raise HttpError 415 for a body in another charset or FHIR version."""
    _, parameters = _media(content_type)
    if parameters.get("charset", "utf-8").lower() not in {"utf-8", "utf8"}:
        raise HttpError(415, "send UTF-8", where="Content-Type")
    if parameters.get("fhirversion", "4.0") not in _VERSIONS:
        raise HttpError(415, "send resources of FHIR 4.0", where="Content-Type")


def _media(text: str) -> tuple[str, dict[str, str]]:
    """Return a media type in lower case, and its parameters."""
    kind, *listed = text.split(";")
    pairs = (re.split(r"\s*=\s*", item.strip(), maxsplit=1) for item in listed if "=" in item)
    return kind.strip().lower(), {name.lower(): value.strip('"') for name, value in pairs}


def _quality(parameters: Mapping[str, str]) -> float:
    try:
        return float(parameters.get("q", "1"))
    except ValueError:
        return 0.0
