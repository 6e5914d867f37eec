"""The address of an issuer's keys over real HTTP: whole, not elsewhere, in time, not without end."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from joserfc.jwk import ECKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from fhir_cds.errors import FhirServerError
from fhir_cds.fhir import codec
from fhir_cds.server import keys

KEYS = codec.encode({"keys": [ECKey.generate_key("P-384", {"kid": str(n)}).as_dict(private=False) for n in range(3)]})


async def in_pieces(_request: Request) -> Response:
    """Send the keys in three pieces, as a busy server or a proxy does."""

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(KEYS), len(KEYS) // 3 + 1):
            yield KEYS[start : start + len(KEYS) // 3 + 1]
            await asyncio.sleep(0.05)

    return StreamingResponse(pieces())


async def endless(request: Request) -> Response:
    """Send for as long as the reader listens."""

    async def pieces() -> AsyncIterator[bytes]:
        while not await request.is_disconnected():
            yield b" " * 65_536

    return StreamingResponse(pieces())


async def elsewhere(_request: Request) -> Response:
    """Send the reader to another address, which has the keys."""
    return RedirectResponse("/pieces")


async def broken(_request: Request) -> Response:
    """Fail, with the keys in the body."""
    return Response(KEYS, 500)


async def silent(request: Request) -> Response:
    """Answer nothing for as long as the reader waits."""
    while not await request.is_disconnected():
        await asyncio.sleep(0.02)
    return Response(KEYS)


@pytest.fixture
def address(serve: Callable[[Starlette], str]) -> str:
    """Return the base URL of a server with one address for each behaviour."""
    behaviours = {"pieces": in_pieces, "endless": endless, "elsewhere": elsewhere, "broken": broken, "silent": silent}
    return serve(Starlette(routes=[Route(f"/{name}", handler) for name, handler in behaviours.items()]))


async def test_keys_that_come_in_pieces_are_read_whole(address: str) -> None:
    """All keys of the set are there, however it was cut on the way."""
    assert sorted(keys.parse(await keys.download(f"{address}/pieces"))) == ["0", "1", "2"]


@pytest.mark.parametrize("behaviour", ["endless", "elsewhere", "broken", "silent", "nothing"])
async def test_what_is_no_answer(address: str, behaviour: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too much, a redirect, an error, silence or no such address: an error that says so, and no wait without end."""
    monkeypatch.setattr(keys, "TIMEOUT_SECONDS", 0.5 if behaviour == "silent" else 60)
    async with asyncio.timeout(120):
        with pytest.raises(FhirServerError, match="key address"):
            await keys.download(f"{address}/{behaviour}")
