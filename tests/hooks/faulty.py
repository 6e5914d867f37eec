"""A FHIR server that misbehaves in one chosen way."""

import asyncio
from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


def _bundle(request: Request, **members: Any) -> Response:
    """Return an empty searchset, or the Patient."""
    if request.path_params["kind"] == "Patient":
        return JSONResponse({"resourceType": "Patient", "id": request.path_params["id"]})
    return JSONResponse({"resourceType": "Bundle", "type": "searchset", **members})


async def _slow(request: Request) -> Response:
    """Answer nothing for as long as the caller waits."""
    while not await request.is_disconnected():
        await asyncio.sleep(0.02)
    return _bundle(request)


async def _endless(request: Request) -> Response:
    """Answer with pages that never end."""
    number = int(request.query_params.get("page", "0")) + 1
    link = [{"relation": "next", "url": f"{request.url.include_query_params(page=number)}"}]
    entry = {"resource": {"resourceType": "Condition", "id": f"c{number}"}}
    return _bundle(request, link=link, entry=[entry])


async def _other_patient(request: Request) -> Response:
    """Answer with another patient's data."""
    kind = request.path_params["kind"]
    resource = {"resourceType": kind, "id": "x", "subject": {"reference": "Patient/somebody-else"}}
    return _bundle(request, entry=[{"resource": resource}])


async def _redirect(_request: Request) -> Response:
    """Send the caller elsewhere."""
    return Response(status_code=302, headers={"location": "http://evil.example.org/"})


def _answer(status: int, body: bytes = b"", **headers: str) -> Callable[[Request], Any]:
    """Return a handler with one fixed answer."""

    async def handler(_request: Request) -> Response:
        return Response(body, status, headers, "application/fhir+json")

    return handler


SLOW = "slow"
EXPIRES = "token expires half-way"
FAULTS: dict[str, Callable[[Request], Any]] = {
    "401": _answer(401),
    "404": _answer(404, b'{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-found"}]}'),
    "429": _answer(429, **{"retry-after": "60"}),
    "500": _answer(500, b"Planted trace"),
    "garbage": _answer(200, b"<html>Planted</html>"),
    "truncated": _answer(200, b'{"resourceType": "Bun'),
    "not a bundle": _answer(200, b"[1]"),
    SLOW: _slow,
    "endless pages": _endless,
    "other patient": _other_patient,
    "redirect": _redirect,
    EXPIRES: _answer(401),
}


def patience(fault: str) -> dict[str, float]:
    """Return the settings of a client of the server: it waits long, however slow this machine is, save where it waits
    for an answer that never comes."""
    return dict.fromkeys(("fhir_timeout_seconds", "budget_seconds"), 0.3 if fault == SLOW else 50)


def _expiring(good: int) -> Callable[[Request], Any]:
    """Return a handler that accepts the token for some reads, then no more."""
    left = [good]

    async def handler(request: Request) -> Response:
        left[0] -= 1
        return _bundle(request) if left[0] >= 0 else Response(status_code=401)

    return handler


def application(fault: str) -> Starlette:
    """Return the server with a fault."""
    handler = _expiring(3) if fault == EXPIRES else FAULTS[fault]
    return Starlette(routes=[Route("/fhir/{kind}", handler), Route("/fhir/{kind}/{id}", handler)])
