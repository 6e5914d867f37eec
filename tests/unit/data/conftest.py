"""A FHIR server that does what its script says, on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from fhir_cds.data.client import Connections
from fhir_cds.data.guard import Guard
from fhir_cds.data.transport import Limits
from fhir_cds.fhir import codec

FAST = Limits(call_seconds=50, total_seconds=50, retries=2, first_wait=0.01, pages=5, answer_bytes=200_000)
"""Waits hardly before it asks again, yet long for an answer: it comes, however slow this machine is."""

HASTY = replace(FAST, call_seconds=2.0)
"""For answers that never come."""


@dataclass
class Reply:
    """One scripted answer: late, cut short, never, or when as many others are asked for as the barrier has parties."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    cut: bool = False
    silent: bool = False
    after: asyncio.Barrier | None = None


@dataclass
class Script:
    """Answers by `path?query` below the base; the last one of a list repeats. Keeps what was asked."""

    base: str = ""
    replies: dict[str, list[Reply]] = field(default_factory=dict)
    seen: list[tuple[str, str, str | None, str]] = field(default_factory=list)
    server: TestServer | None = None

    def on(self, query: str, *replies: Any) -> None:
        """Set the answers to a query."""
        self.replies[query] = [reply if isinstance(reply, Reply) else Reply(reply) for reply in replies]

    def asked(self, query: str) -> int:
        """Return how often a query was asked."""
        return sum(1 for _, path, _, _ in self.seen if path == query)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        path = request.path_qs.removeprefix("/fhir").lstrip("/")
        body = await request.text()
        self.seen.append((request.method, path, request.headers.get("Authorization"), body))
        queue = self.replies.get(path)
        if not queue:
            return web.Response(status=404, text="")
        reply = queue.pop(0) if len(queue) > 1 else queue[0]
        if reply.delay:
            await asyncio.sleep(reply.delay)
        if reply.after:
            await reply.after.wait()
        while reply.silent and request.transport is not None:
            await asyncio.sleep(0.02)
        raw = reply.body if isinstance(reply.body, bytes) else b"" if reply.body is None else codec.encode(reply.body)
        if reply.cut:
            response = web.StreamResponse(status=reply.status, headers={"Content-Length": str(len(raw) + 100)})
            await response.prepare(request)
            await response.write(raw)
            assert request.transport is not None
            request.transport.close()
            return response
        return web.Response(status=reply.status, body=raw, headers=reply.headers, content_type="application/fhir+json")


async def _started(script: Script) -> TestServer:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", script.handle)
    server = TestServer(app)
    await server.start_server()
    script.server = server
    script.base = str(server.make_url("/fhir"))
    return server


@pytest.fixture
async def script() -> AsyncIterator[Script]:
    """Return the script of a running server."""
    made = Script()
    server = await _started(made)
    yield made
    await server.close()


@pytest.fixture
async def other() -> AsyncIterator[Script]:
    """Return the script of a second running server: another host, as far as URLs go."""
    made = Script()
    server = await _started(made)
    yield made
    await server.close()


@pytest.fixture
async def connections() -> AsyncIterator[Connections]:
    """Return connections to servers of this machine, with short limits."""
    async with Connections(Guard(loopback=True), FAST) as made:
        yield made


@pytest.fixture
async def hasty() -> AsyncIterator[Connections]:
    """Return connections that do not wait long for one answer."""
    async with Connections(Guard(loopback=True), HASTY) as made:
        yield made


def searchset(*resources: dict[str, Any], link: str | None = None) -> dict[str, Any]:
    """Return a searchset Bundle."""
    bundle: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset"}
    if resources:
        bundle["entry"] = [{"resource": item, "search": {"mode": "match"}} for item in resources]
    if link:
        bundle["link"] = [{"relation": "next", "url": link}]
    return bundle


PATIENT = {"resourceType": "Patient", "id": "1", "birthDate": "1960-02-29"}


def condition(number: int, patient: str = "Patient/1") -> dict[str, Any]:
    """Return a Condition of a patient."""
    return {"resourceType": "Condition", "id": f"c{number}", "subject": {"reference": patient}}
