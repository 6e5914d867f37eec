"""docs/guide/ehr-client.md: its two files are run as they stand; only the port is another."""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import ehr
import pytest

from fhir_cds.server.store import Store

PAGE = (ehr.ROOT / "docs" / "guide" / "ehr-client.md").read_text(encoding="utf-8")
SERVE = "from fhir_cds.cli.main import main; main()"
PATIENCE = 180


def block(language: str) -> str:
    """Return the one code block of a language in the page."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


@pytest.fixture
def port() -> str:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.fixture
def folder(tmp_path: Path, port: str) -> Path:
    """Return a folder with the two files, beside the sample patients as in a checkout."""
    (tmp_path / "cds.toml").write_text(block("toml"))
    (tmp_path / "client.py").write_text(block("python").replace(":8080", f":{port}"))
    (tmp_path / "tests").symlink_to(ehr.ROOT / "tests")
    return tmp_path


def client(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the client of the page."""
    command = [sys.executable, "client.py", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False)


def wait_for(url: str) -> None:
    """Wait until something answers."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            urllib.request.urlopen(url, timeout=PATIENCE).close()
        except OSError:
            assert time.monotonic() < end
            time.sleep(0.05)
        else:
            return


@pytest.fixture
def service(folder: Path, port: str) -> Iterator[subprocess.Popen[bytes]]:
    """Serve with the settings of the page, once the client has made its keys."""
    first = client(folder)
    assert first.returncode != 0
    assert "start the service" in first.stderr
    command = [sys.executable, "-c", SERVE, "serve", "--config", "cds.toml", "--port", port]
    environment = os.environ | {"PYTHONPATH": str(ehr.ROOT), "FHIR_CDS_CONTENT": str(ehr.ROOT)}
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    assert b"this machine only" in process.stdout.readline()
    wait_for(f"http://127.0.0.1:{port}/health")
    yield process
    process.terminate()
    process.wait(timeout=PATIENCE)
    process.stdout.close()


def test_the_client_of_the_page(service: subprocess.Popen[bytes], folder: Path) -> None:
    """It prints cards, and its feedback is in the store."""
    ran = client(folder)
    assert ran.returncode == 0, ran.stderr
    assert "Follow-up after resection of liver metastases" in ran.stdout
    assert "told the service: accepted" in ran.stdout
    service.terminate()  # answers are kept in batches; what is queued is written at the end
    service.wait(timeout=PATIENCE)
    store = Store(f"sqlite:///{folder}/fhir-cds-feedback.sqlite3")
    counts = {count.recommendation: count for count in store.counts()}
    store.close()
    assert counts["ibero2025:13.1"].accepted == 1


def test_a_client_that_is_not_registered(service: subprocess.Popen[bytes], folder: Path) -> None:
    """With a key that the operator does not have, it says 401 and shows no cards."""
    (folder / "key.json").unlink()
    (folder / "jwks.json").rename(folder / "registered.json")
    client(folder)
    (folder / "registered.json").rename(folder / "jwks.json")
    ran = client(folder)
    assert ran.returncode != 0
    assert "GET /cds-services: 401" in ran.stderr
    assert ran.stdout == ""
