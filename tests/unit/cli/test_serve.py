"""How the service listens."""

import asyncio
import socket

from fhir_cds.cli.serve import bind


async def test_small_answers_are_sent_at_once() -> None:
    """A connection to the service's socket does not hold small packets back (Nagle's algorithm is off)."""
    seen: asyncio.Queue[int] = asyncio.Queue()

    async def accept(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await seen.put(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()
        await writer.wait_closed()

    bound = bind("127.0.0.1", 0)
    server = await asyncio.start_server(accept, sock=bound)
    _, writer = await asyncio.open_connection(*bound.getsockname()[:2])
    assert await asyncio.wait_for(seen.get(), 5) == 1
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()
