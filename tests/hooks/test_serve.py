"""`fhir-cds serve` as a process: starts, reloads its content, and stops in order."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import ehr
import pytest

from fhir_cds.fhir import codec

SERVE = "from fhir_cds.cli.main import main; main()"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a content folder with one service and one plan that says nothing."""
    from serve_small import ENTRY, PLAN

    for name, document in (("plandefinitions/PlanDefinition-p.json", PLAN), ("hooks/svc.json", ENTRY)):
        file = tmp_path / "content" / name
        file.parent.mkdir(parents=True)
        file.write_bytes(codec.encode_pretty(document))
    return tmp_path / "content"


@pytest.fixture
def process(folder: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Return a running service and its address."""
    environment = os.environ | {
        "PYTHONPATH": str(ehr.ROOT),
        "FHIR_CDS_FEEDBACK_URL": f"sqlite:///{tmp_path}/f.sqlite3",
    }
    command = [sys.executable, "-c", SERVE, "serve", "--port", "0", "--content", str(folder)]
    with (tmp_path / "log").open("wb") as log:
        running = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log)
    assert running.stdout is not None
    found = re.search(r"http://\S+", running.stdout.readline().decode())
    assert found is not None
    for _ in range(200):
        try:
            urllib.request.urlopen(f"{found[0]}/health", timeout=1).close()
            break
        except OSError:
            time.sleep(0.05)
    yield running, found[0]
    running.kill()
    running.wait()
    running.stdout.close()


def services(url: str) -> list[str]:
    """Return the ids of the services offered."""
    with urllib.request.urlopen(f"{url}/cds-services", timeout=5) as answer:
        return [service["id"] for service in codec.decode(answer.read())["services"]]


def wait_for(url: str, expected: list[str]) -> None:
    """Wait until the services are as expected."""
    for _ in range(100):
        if services(url) == expected:
            return
        time.sleep(0.05)
    assert services(url) == expected


def test_reload_and_stop(process: tuple[subprocess.Popen[bytes], str], folder: Path, tmp_path: Path) -> None:
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
    for _ in range(100):
        if "not reloaded" in log.read_text():
            break
        time.sleep(0.05)
    assert "content was not reloaded" in log.read_text()
    assert services(url) == ["another", "svc"]
    running.send_signal(signal.SIGTERM)
    assert running.wait(timeout=10) in {0, -signal.SIGTERM}


def test_content_that_does_not_load(folder: Path) -> None:
    """A service does not start on content that it cannot use: exit code 2, one line with the file."""
    shutil.rmtree(folder / "plandefinitions")
    command = [sys.executable, "-c", SERVE, "serve", "--port", "0", "--content", str(folder)]
    environment = os.environ | {"PYTHONPATH": str(ehr.ROOT)}
    ended = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert b"hooks/svc.json" in ended.stderr
