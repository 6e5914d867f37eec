"""The server that carries our service, evaluating nothing: reads the body, answers with one fixed card as bytes."""

import socket

import uvicorn
from starlette.types import Receive, Scope, Send

from fhir_cds.cli.serve import server_options
from fhir_cds.fhir import codec

CARD = {"summary": "fixed", "indicator": "info", "source": {"label": "peer"}, "detail": "x" * 2000}
BODY = codec.encode({"cards": [CARD]})
HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a call with the fixed card, once its body is there."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body", False):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})


bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
bound.bind(("127.0.0.1", 0))
print(f"http://127.0.0.1:{bound.getsockname()[1]}/fixed", flush=True)
uvicorn.Server(uvicorn.Config(app, **{**server_options(), "lifespan": "off"})).run(sockets=[bound])
