"""`fhir-cds publish` as these tests run it: the command line, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peer import Server

from fhir_cds.fhir import codec

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "fhir_cds.cli.main", "publish", "--to")


@dataclass(frozen=True, slots=True)
class Publication:
    """How the content came to the server: how far a run was when killed, and the reports of the two runs after it."""

    when_killed: int
    second: dict[str, Any]
    third: dict[str, Any]


def started(server: Server) -> subprocess.Popen[bytes]:
    """Return a run that has just begun."""
    return subprocess.Popen([*COMMAND, server.base], cwd=ROOT, stdout=subprocess.DEVNULL)


def publish(server: Server) -> dict[str, Any]:
    """Return the report of a whole run."""
    done = subprocess.run([*COMMAND, server.base, "--json"], cwd=ROOT, capture_output=True, check=True)
    report: dict[str, Any] = codec.decode(done.stdout)
    return report


def held(server: Server) -> int:
    """Return how many value sets the server has: they are published about half-way."""
    total: int = server.get("ValueSet?_summary=count")["total"]
    return total
