"""`fhir-cds serve` as processes: starts, reloads its content, and stops in order, with one worker and with several."""

import asyncio
import contextlib
import itertools
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path
from typing import Any

import ehr
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from fhir_cds.fhir import codec

SERVE = "from fhir_cds.cli.main import main; main()"
PATIENCE = 180
"""Seconds that a test waits for what must come, on however slow a machine; it goes on as soon as it has come."""


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a content folder with one service and one plan that says nothing."""
    from serve_small import ENTRY, PLAN

    for name, document in (("plandefinitions/PlanDefinition-p.json", PLAN), ("hooks/svc.json", ENTRY)):
        file = tmp_path / "content" / name
        file.parent.mkdir(parents=True)
        file.write_bytes(codec.encode_pretty(document))
    return tmp_path / "content"


Started = tuple[subprocess.Popen[bytes], str]
Start = Callable[..., Started]


@pytest.fixture
def start(folder: Path, tmp_path: Path) -> Iterator[Start]:
    """Return a function that starts a service with some flags and gives process and address."""
    running: list[subprocess.Popen[bytes]] = []

    def run(*flags: str) -> Started:
        environment = os.environ | {
            "PYTHONPATH": str(ehr.ROOT),
            "FHIR_CDS_FEEDBACK_URL": f"sqlite:///{tmp_path}/f.sqlite3",
            "FHIR_CDS_RATE_PER_MINUTE": "1000000",
        }
        command = [sys.executable, "-c", SERVE, "serve", "--content", str(folder), *flags]
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen(
                command, env=environment, stdout=subprocess.PIPE, stderr=log, start_new_session=True
            )
        running.append(process)
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline().decode())
        assert found is not None
        until(lambda: listens(process, found[0]))
        return process, found[0]

    yield run
    for process in running:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its workers too
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def listens(process: subprocess.Popen[bytes], url: str) -> bool:
    """Say whether a service takes connections; it must not have ended."""
    assert process.poll() is None
    try:
        return status(f"{url}/health") == 200
    except urllib.error.URLError:
        return False


@pytest.fixture
def process(start: Start) -> Started:
    """Return a running service with one worker and its address."""
    return start("--port", "0")


def free_port() -> str:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def services(url: str) -> list[str]:
    """Return the ids of the services offered; a connection that a retiring worker closes is opened once more."""

    def ask() -> list[str]:
        with urllib.request.urlopen(f"{url}/cds-services", timeout=PATIENCE) as answer:
            return [service["id"] for service in codec.decode(answer.read())["services"]]

    try:
        return ask()
    except (ConnectionError, HTTPException):
        return ask()


def wait_for(url: str, expected: list[str]) -> None:
    """Wait until the services are as expected."""
    until(lambda: services(url) == expected)


def test_reload_and_stop(process: Started, folder: Path, tmp_path: Path) -> None:
    """SIGHUP brings new content in; broken content is logged and changes nothing; SIGTERM ends it in order."""
    running, url = process
    assert services(url) == ["svc"]
    second = codec.decode((folder / "hooks" / "svc.json").read_bytes()) | {"id": "another"}
    (folder / "hooks" / "another.json").write_bytes(codec.encode_pretty(second))
    running.send_signal(signal.SIGHUP)
    wait_for(url, ["another", "svc"])
    (folder / "hooks" / "broken.json").write_text("{")
    running.send_signal(signal.SIGHUP)
    log = tmp_path / "log"
    until(lambda: "content was not reloaded" in log.read_text())
    assert services(url) == ["another", "svc"]
    running.send_signal(signal.SIGTERM)
    assert running.wait(timeout=PATIENCE) in {0, -signal.SIGTERM}


@pytest.mark.parametrize("flags", [("--port", "0"), ("--port", "8099", "--workers", "2")])
def test_content_that_does_not_load(folder: Path, flags: tuple[str, ...]) -> None:
    """A service does not start on content that it cannot use: exit code 2, one line with the file."""
    shutil.rmtree(folder / "plandefinitions")
    command = [sys.executable, "-c", SERVE, "serve", *flags, "--content", str(folder)]
    environment = os.environ | {"PYTHONPATH": str(ehr.ROOT)}
    ended = subprocess.run(command, env=environment, capture_output=True, timeout=PATIENCE, check=False)
    assert ended.returncode == 2
    assert b"hooks/svc.json" in ended.stderr


def add_service(folder: Path, name: str) -> None:
    """Write one more service into a content folder."""
    entry = codec.decode((folder / "hooks" / "svc.json").read_bytes()) | {"id": name}
    (folder / "hooks" / f"{name}.json").write_bytes(codec.encode_pretty(entry))


def service_call(url: str) -> urllib.request.Request:
    """Return a call of the service `svc` for a patient of whom nothing more is known."""
    call = {"hook": "patient-view", "hookInstance": ehr.INSTANCE}
    call |= {"context": {"userId": "Practitioner/d", "patientId": "p"}}
    call |= {"prefetch": {"patient": {"resourceType": "Patient", "id": "p"}}}
    return urllib.request.Request(f"{url}/cds-services/svc", codec.encode(call), {"Content-Type": "application/json"})


def status(asked: str | urllib.request.Request) -> int:
    """Return the status of a GET, or of a call."""
    return answer_of(asked)[0]


def answer_of(call: str | urllib.request.Request) -> tuple[int, str]:
    """Return status and body of a call."""
    try:
        with urllib.request.urlopen(call, timeout=PATIENCE) as answer:
            return int(answer.status), answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


class Knocking:
    """A client that asks for discovery and calls a service in turn; a connection closed on it, it opens once more."""

    def __init__(self, url: str) -> None:
        self._asked = itertools.cycle((f"{url}/cds-services", service_call(url)))
        self._stop = threading.Event()
        self.statuses: list[int] = []
        self.faults: list[str] = []
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Knocking":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.statuses.append(self._once())
            except (OSError, HTTPException) as error:
                self.faults.append(repr(error))
            time.sleep(0.005)

    def _once(self) -> int:
        asked = next(self._asked)
        try:
            return status(asked)
        except (OSError, HTTPException):
            return status(asked)


def test_no_call_is_lost_while_content_is_loaded(process: Started, folder: Path) -> None:
    """A client that calls without pause during three reloads gets an answer every time."""
    running, url = process
    names = ["svc"]
    with Knocking(url) as client:
        for name in ("svc-a", "svc-b", "svc-c"):
            add_service(folder, name)
            names.append(name)
            running.send_signal(signal.SIGHUP)
            wait_for(url, names)
    assert client.faults == []
    assert set(client.statuses) == {200}


def test_several_workers(start: Start, folder: Path, tmp_path: Path) -> None:
    """SIGHUP to the parent replaces worker by worker, calls go on; broken content leaves the old; SIGTERM ends all."""
    running, url = start("--port", free_port(), "--workers", "2")
    until(lambda: len(workers(running.pid)) == 2)
    before = workers(running.pid)
    with Knocking(url) as client:
        add_service(folder, "svc-a")
        running.send_signal(signal.SIGHUP)
        until(lambda: not before & workers(running.pid))
        assert services(url) == ["svc", "svc-a"]
    assert client.faults == []
    assert set(client.statuses) == {200}
    (folder / "hooks" / "broken.json").write_text("{")
    running.send_signal(signal.SIGHUP)
    log = tmp_path / "log"
    until(lambda: "not ready in time" in log.read_text())
    assert '"place":"hooks/broken.json"' in log.read_text()
    assert "Traceback" not in log.read_text()
    assert {tuple(services(url)) for _ in range(10)} == {("svc", "svc-a")}
    running.send_signal(signal.SIGTERM)
    assert running.wait(timeout=PATIENCE) in {0, -signal.SIGTERM}
    with pytest.raises(urllib.error.URLError, match="refused"):
        services(url)


def workers(parent: int) -> set[int]:
    """Return the ids of the child processes that are workers; another child is Python's own resource tracker."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return {int(pid) for pid in children if "spawn_main" in command_of(pid)}


def command_of(pid: str) -> str:
    """Return the command of a process, nothing when it has just ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def test_a_call_under_way_is_finished(process: Started, serve: Callable[[Starlette], str]) -> None:
    """SIGTERM while a call waits for the FHIR server: that call gets its answer, then the process ends."""
    running, url = process
    asked = threading.Event()

    async def read(request: Request) -> Response:
        asked.set()
        await asyncio.sleep(1)
        return JSONResponse({"resourceType": "Patient", "id": request.path_params["id"]})

    fhir = serve(Starlette(routes=[Route("/fhir/Patient/{id}", read)]))
    call = {"hook": "patient-view", "hookInstance": ehr.INSTANCE, "fhirServer": f"{fhir}/fhir"}
    data = codec.encode(call | {"context": {"userId": "Practitioner/d", "patientId": "p"}})
    request = urllib.request.Request(f"{url}/cds-services/svc", data, {"Content-Type": "application/json"})

    def send() -> Any:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return codec.decode(answer.read())

    with ThreadPoolExecutor() as pool:
        answer = pool.submit(send)
        assert asked.wait(timeout=PATIENCE)
        running.send_signal(signal.SIGTERM)
        assert answer.result(timeout=PATIENCE) == {"cards": []}
    assert running.wait(timeout=PATIENCE) in {0, -signal.SIGTERM}


def test_ready_says_when_the_store_takes_nothing(process: Started, tmp_path: Path) -> None:
    """/ready is 503 while nothing can be stored, /health stays 200; both are well when it can be again."""
    _, url = process
    assert status(f"{url}/ready") == 200
    other = sqlite3.connect(tmp_path / "f.sqlite3", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert (status(f"{url}/ready"), status(f"{url}/health")) == (503, 200)
    other.execute("ROLLBACK")
    other.close()
    assert status(f"{url}/ready") == 200


def test_ready_says_when_the_file_of_the_store_is_gone(process: Started, tmp_path: Path) -> None:
    """/ready is 503 and feedback is not acknowledged once the file is deleted, though its handle still takes writes."""
    _, url = process
    assert status(f"{url}/ready") == 200
    (tmp_path / "f.sqlite3").unlink()
    code, text = answer_of(f"{url}/ready")
    assert (code, "removed or replaced" in text) == (503, True)
    item = {"card": "c", "outcome": "overridden", "outcomeTimestamp": "2026-01-31T12:00:00Z"}
    call = urllib.request.Request(
        f"{url}/cds-services/svc/feedback", codec.encode({"feedback": [item]}), {"Content-Type": "application/json"}
    )
    assert answer_of(call)[0] == 503
