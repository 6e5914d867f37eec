"""`$apply` without a server: HAPI's clinical reasoning library in a Java program of ours, and our engine here."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fhir_cds.authoring.publish import ordered
from fhir_cds.data.record import from_resources
from fhir_cds.fhir import codec
from fhir_cds.reasoning import assemble
from fhir_cds.reasoning.apply import apply_plan
from fhir_cds.server.state import Loaded

HARNESS = Path(__file__).parent / "java" / "InProcess.java"


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds: the first call of a process, p50 and p95 of later ones, and CPU time per call."""

    first: float
    p50: float
    p95: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Question:
    """A plan for a patient (`Patient/id` in `resources`), as of a day."""

    plan: str
    subject: str
    resources: Sequence[Any]
    day: str


def compiled(class_path: str, folder: str) -> str:
    """Compile the Java program into a folder; return the class path to run it with."""
    command = ["javac", "-nowarn", "-proc:none", "-d", folder, "-cp", class_path, str(HARNESS)]
    subprocess.run(command, check=True, capture_output=True)
    return f"{folder}{os.pathsep}{class_path}"


def of_java(class_path: str, content: Loaded, asked: Question, count: int, warm_up: int) -> tuple[Times, Any]:
    """Return the times of HAPI's library in a process of its own, and its answer.

    Its first call translates or reads all libraries that the plan needs; the Java machine itself runs already.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "content.json").write_bytes(codec.encode(collected(ordered(content.knowledge.registry))))
        (folder / "patient.json").write_bytes(codec.encode(collected(asked.resources)))
        files = [str(folder / name) for name in ("content.json", "patient.json")]
        command = ["java", "-Duser.timezone=UTC", "-cp", class_path, "InProcess", *files]
        command += [asked.plan, asked.subject, str(warm_up), str(count), str(folder / "answer.json")]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
        return Times(*map(float, printed.split())), codec.decode((folder / "answer.json").read_bytes())


def of_ours(content: Loaded, asked: Question, count: int) -> tuple[Times, Any]:
    """Return the times of our engine in this process, and its answer; each call reads and indexes the record anew.

    Nothing is warmed up: the content is compiled when it is loaded, and `first` is the first call after that.
    """

    def call() -> tuple[float, Any]:
        started = time.perf_counter()
        record = from_resources([dict(item) for item in asked.resources], systems=content.systems)
        answer = assemble.careplan(apply_plan(content.engine, asked.plan, record, asked.day))
        return (time.perf_counter() - started) * 1000, answer

    first, answer = call()
    used = time.process_time()
    times = sorted(call()[0] for _ in range(count))
    cpu = (time.process_time() - used) * 1000 / count
    return Times(first, statistics.median(times), times[int(0.95 * len(times))], cpu), answer


def collected(resources: Sequence[Any]) -> dict[str, Any]:
    """Return a collection Bundle."""
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": item} for item in resources]}
