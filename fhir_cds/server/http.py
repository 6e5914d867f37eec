"""Reading a request: media type, size limit, JSON; and what every answer carries."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.types import Scope

from fhir_cds.errors import InputError
from fhir_cds.fhir import codec
from fhir_cds.server.errors import FHIR_JSON, JSON, HttpError

FORM: Final = "application/x-www-form-urlencoded"
FIELDS: Final = 100
FORM_LIMIT: Final = 100_000
_PLAIN: Final = ("", "identity")
_ACCEPTED: Final = frozenset({JSON, FHIR_JSON, "text/json", "application/json+fhir"})


def header(scope: Scope, name: bytes) -> str:
    """Return the first header of a name (in lower case), "" without one."""
    for own, value in scope["headers"]:
        if own == name:
            return str(value, "latin-1")
    return ""


async def read_json(request: Request, limit: int) -> Any:
    """Return the JSON body of a request.

    Raises HttpError 415 for another media type or a coded body, 413 beyond `limit` bytes (before reading it all), and
    InputError for what is not JSON.
    """
    kind = header(request.scope, b"content-type").partition(";")[0].strip().lower()
    if kind not in _ACCEPTED:
        raise HttpError(415, f"send {JSON} or {FHIR_JSON}", where="Content-Type")
    if header(request.scope, b"content-encoding").lower() not in _PLAIN:
        raise HttpError(415, "send the body uncompressed", where="Content-Encoding")
    return codec.decode(await read_body(request, limit), where="body")


async def read_form(request: Request, limit: int) -> list[tuple[str, str]]:
    """Return the fields of an `application/x-www-form-urlencoded` body; raises HttpError 415 or 413, InputError."""
    kind = header(request.scope, b"content-type").partition(";")[0].strip().lower()
    if kind != FORM:
        raise HttpError(415, f"send {FORM}", where="Content-Type")
    try:
        text = (await read_body(request, limit)).decode("utf-8")
        return parse_qsl(text, keep_blank_values=True, max_num_fields=FIELDS, strict_parsing=bool(text))
    except ValueError:
        raise InputError("not a form in UTF-8", where="body") from None


async def read_body(request: Request, limit: int) -> bytes:
    """Return the body of a request; raises HttpError 413 as soon as it is known to be larger than `limit` bytes."""
    announced = header(request.scope, b"content-length")
    if announced.isascii() and announced.isdigit() and int(announced) > limit:
        raise _too_large(limit)
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise HttpError(400, "the caller went away before the body was complete", where="body")
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunk if len(chunks) == 1 else b"".join(chunks)


def _too_large(limit: int) -> HttpError:
    """Return the error of a body over the limit; the connection is closed, the rest of the body is not read."""
    return HttpError(413, f"the body is larger than {limit} bytes", where="body", headers={"Connection": "close"})
