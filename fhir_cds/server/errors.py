"""Every error as a response, in one place: the status, and an OperationOutcome that names what and where.

An error is never answered with cards: what could not be evaluated must not look like "nothing to say".
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from fhir_cds.errors import FhirCdsError, operation_outcome
from fhir_cds.fhir import codec

JSON: Final = "application/json"
FHIR_JSON: Final = "application/fhir+json"
FHIR_JSON_UTF_8: Final = f"{FHIR_JSON}; charset=utf-8"
_CODES: Final = {
    400: "invalid",
    403: "forbidden",
    404: "not-found",
    405: "not-supported",
    406: "not-supported",
    408: "timeout",
    413: "too-long",
    415: "not-supported",
    422: "processing",
    429: "throttled",
}
_TEXTS: Final = {
    404: "there is nothing at this address",
    405: "this address does not take the method; see the Allow header",
    406: "only JSON is offered: application/json or application/fhir+json",
}

log: Final = logging.getLogger("fhir_cds.server")


class HttpError(FhirCdsError):
    """An error of the HTTP call itself, with its own status (413, 415, 429, 503) and headers."""

    def __init__(
        self, http_status: int, message: str, *, where: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message, where=where)
        self.http_status = http_status
        self.headers = headers or {}

    def issue(self) -> dict[str, object]:
        """Return the issue with the code that belongs to the status."""
        return {**super().issue(), "code": _CODES.get(self.http_status, "transient")}


def json_response(
    content: object, *, status: int = 200, media_type: str = JSON, headers: dict[str, str] | None = None
) -> Response:
    """Return a JSON response; decimals keep their digits. FHIR wants the charset said (R4 §3.1.0.1.9)."""
    kind = FHIR_JSON_UTF_8 if media_type == FHIR_JSON else media_type
    return Response(codec.encode(content), status, headers, kind)


def media_type(request: Request) -> str:
    """Return the media type an answer goes out as: FHIR's on the FHIR API or when it is asked for, else plain JSON."""
    fhir = "/fhir" in request.url.path or FHIR_JSON in request.headers.get("accept", "")
    return FHIR_JSON if fhir else JSON


async def handle_known(request: Request, error: Exception) -> Response:
    """Answer an error of the tree with its status and an OperationOutcome; who is not known gets a bare 401."""
    if not isinstance(error, FhirCdsError):
        return await handle_unknown(request, error)
    if error.status == HTTPStatus.UNAUTHORIZED:
        return Response(status_code=HTTPStatus.UNAUTHORIZED, headers={"WWW-Authenticate": "Bearer"})
    status = error.http_status if isinstance(error, HttpError) else error.status
    headers = error.headers if isinstance(error, HttpError) else None
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("request failed", extra={"status": status, "error": type(error).__name__})
    return json_response(operation_outcome(error), status=status, media_type=media_type(request), headers=headers)


async def handle_http(request: Request, error: Exception) -> Response:
    """Answer an error of the HTTP layer (no such address, wrong method) in the same form."""
    if not isinstance(error, HTTPException):
        return await handle_unknown(request, error)
    text = _TEXTS.get(error.status_code) or error.detail
    if error.status_code == HTTPStatus.NOT_FOUND and request.url.path.endswith("/"):
        text = f"{text}; no address has a final slash"
    issue = {"severity": "error", "code": _CODES.get(error.status_code, "processing"), "diagnostics": text}
    headers = dict(error.headers) if error.headers else None
    return json_response(
        operation_outcome(issue), status=error.status_code, media_type=media_type(request), headers=headers
    )


async def handle_unknown(request: Request, error: Exception) -> Response:
    """Answer a fault of ours: 500, an OperationOutcome without details, the type of the error in the log."""
    log.error("unexpected fault", extra={"error": type(error).__name__, "place": _place(error)})
    issue = {"severity": "fatal", "code": "exception", "diagnostics": "the service failed; nothing was decided"}
    return json_response(operation_outcome(issue), status=500, media_type=media_type(request))


def _place(error: BaseException) -> str:
    """Return module and line where an error was raised: a place, never a value."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "unknown"
    return f"{trace.tb_frame.f_globals.get('__name__', '?')}:{trace.tb_lineno}"


HANDLERS: Final = {FhirCdsError: handle_known, HTTPException: handle_http, Exception: handle_unknown}
"""For Starlette's `exception_handlers`."""
