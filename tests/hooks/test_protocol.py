"""What comes as bytes: heads that never end, upgrades that nobody offers, bodies in pieces, several calls at once."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any

import ehr
import pytest
import uvicorn
from starlette.testclient import TestClient

from fhir_cds.cli.serve import server_options
from fhir_cds.server.protocol import HEAD_LIMIT

SERVICE = "sarcoma-liver-metastases"
PATIENT = "metachronous-leiomyosarcoma"


@pytest.fixture
def port(client: TestClient) -> Iterator[int]:
    """Return the port at which the service listens, run as `fhir-cds serve` runs it."""
    server = uvicorn.Server(uvicorn.Config(client.app, lifespan="off", **server_options()))  # type: ignore[arg-type]
    with closing(socket.socket()) as bound:
        bound.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield int(bound.getsockname()[1])
        server.should_exit = server.force_exit = True
        thread.join(timeout=10)


Exchange = Callable[..., list[tuple[int, bytes]]]


@pytest.fixture
def exchange(port: int) -> Exchange:
    """Return a function that sends pieces of bytes and gives the (status, body) of each answer."""

    def send(*pieces: bytes, answers: int = 1) -> list[tuple[int, bytes]]:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as line:
            for piece in pieces:
                line.sendall(piece)
            with line.makefile("rb") as file:
                return [answer(file) for _ in range(answers)]

    return send


def answer(file: Any) -> tuple[int, bytes]:
    """Read one answer of a connection."""
    status = int(file.readline().split()[1])
    length = 0
    while (line := file.readline().strip()) != b"":
        name, _, value = line.partition(b":")
        length = int(value) if name.lower() == b"content-length" else length
    return status, file.read(length)


def head(*more: str, length: int | None = None) -> bytes:
    """Return the head of a call of the service."""
    lines = [f"POST /cds-services/{SERVICE} HTTP/1.1", "Host: localhost", "Content-Type: application/json", *more]
    lines += [f"Content-Length: {length}"] if length is not None else []
    return "\r\n".join([*lines, "", ""]).encode()


@pytest.fixture
def body(client: TestClient) -> bytes:
    """Return the body of a call."""
    return ehr.codec.encode(ehr.request(client, PATIENT, SERVICE))


@pytest.fixture
def cards(client: TestClient, body: bytes) -> list[Any]:
    """Return the cards of that call."""
    return ehr.cards(client, SERVICE, body)


UPGRADE = ("Connection: Upgrade, HTTP2-Settings", "UPGRADE: h2c", "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAA")
"""As Java's HttpClient sends it by default over plain http."""


def test_an_upgrade_is_passed_over(exchange: Exchange, body: bytes, cards: list[Any]) -> None:
    """A client that would rather speak HTTP/2 is answered in HTTP/1.1 (RFC 9110 §7.8), and its body is read."""
    ((status, content),) = exchange(head(*UPGRADE, length=len(body)) + body)
    assert (status, json.loads(content)["cards"]) == (200, cards)


@pytest.mark.parametrize("pieces", [1, 7])
def test_chunks_and_keep_alive(exchange: Exchange, body: bytes, cards: list[Any], pieces: int) -> None:
    """Bodies of unknown length, in chunks and in pieces of the network, one after the other on one connection."""
    size = -(-len(body) // pieces)
    chunks = [body[at : at + size] for at in range(0, len(body), size)]
    coded = [f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n" for chunk in chunks]
    call = [head("Transfer-Encoding: chunked"), *coded, b"0\r\n\r\n"]
    for status, content in exchange(*call, *call, answers=2):
        assert (status, json.loads(content)["cards"]) == (200, cards)


def test_calls_in_one_packet(exchange: Exchange, body: bytes, cards: list[Any]) -> None:
    """Calls that are sent without waiting are answered in their order."""
    call = head(length=len(body)) + body
    wrong = head(length=2) + b"[]"
    answers = exchange(call + wrong + call, answers=3)
    assert [status for status, _ in answers] == [200, 400, 200]
    assert json.loads(answers[2][1])["cards"] == cards


def test_a_long_head_is_taken(exchange: Exchange, body: bytes) -> None:
    """A head of the size that proxies let through is taken, in whatever pieces."""
    long = head(f"X-Long: {'a' * 16_000}", length=len(body))
    ((status, _),) = exchange(long[:9_000], long[9_000:], body)
    assert status == 200


def test_a_head_without_end_is_cut_off(port: int) -> None:
    """A head that goes on and on is refused after some bytes: it does not fill the memory."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as line:
        line.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Long: ")
        sent = 0
        with suppress(ConnectionError):
            while sent < 100 * HEAD_LIMIT:
                line.sendall(b"a" * HEAD_LIMIT)
                sent += HEAD_LIMIT
    assert sent < 100 * HEAD_LIMIT
