"""The CDS Hooks service under load, all logic evaluated, beside peers that answer with a fixed card.

    python -m benchmarks.hooks.run [--seconds N] [--fastify NODE_MODULES_PARENT] [--healthchain PYTHON]

Each service runs as a process of its own on this machine; the same caller sends the same requests to each, one after
the other. CPU time per request is that of the service's process (user and system, from /proc): on shared cores it
says more than wall clock.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from fhir_cds.fhir import codec

ROOT = Path(__file__).parents[2]
PATIENT = ROOT / "tests" / "patients" / "metachronous-leiomyosarcoma.json"
SERVICE = "sarcoma-liver-metastases"
INSTANCE = "3f0b8a8e-5d0e-4a63-9c38-7f5d2f2b7c11"
SIZES = (40_000, 150_000)
CONNECTIONS = (1, 8)
TICK = os.sysconf("SC_CLK_TCK")
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Measured:
    """One row: requests answered, seconds, CPU seconds of the service, and the times of each request."""

    count: int
    seconds: float
    cpu: float
    times: Sequence[float]

    def row(self) -> str:
        """Return the row as text."""
        ordered = sorted(self.times)
        p50, p99 = (ordered[int(len(ordered) * share)] * 1000 for share in (0.5, 0.99))
        rate = self.count / self.seconds
        return (
            f"{rate:8.0f}/s  p50 {p50:7.2f} ms  p99 {p99:7.2f} ms  CPU {self.cpu / self.count * 1000:6.2f} ms/request"
        )


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each row")
    parser.add_argument("--fastify", type=Path, help="folder in whose node_modules Fastify is")
    parser.add_argument("--healthchain", type=Path, help="Python of an environment with HealthChain")
    options = parser.parse_args()
    here = Path(__file__).parent
    services = [("fhir_cds, evaluating", ours)]
    if options.fastify:
        services.append(
            (
                "Fastify, fixed card",
                lambda: peer(["node", str(here / "peer_fastify.mjs"), str(options.fastify.resolve())]),
            )
        )
    if options.healthchain:
        services.append(
            ("HealthChain, fixed card", lambda: peer([str(options.healthchain), str(here / "peer_healthchain.py")]))
        )
    for name, start in services:
        with start() as (process, url):
            print(name)
            for size in SIZES:
                body = request(size)
                for connections in CONNECTIONS:
                    asyncio.run(load(url, body, connections, 0.5, process.pid))
                    measured = asyncio.run(load(url, body, connections, options.seconds, process.pid))
                    print(f"  {len(body) / 1000:4.0f} kB, {connections} connections  {measured.row()}")
    return 0


def request(size: int) -> bytes:
    """Return a call of about `size` bytes: the sample patient, padded with laboratory results."""
    resources = [entry["resource"] for entry in codec.decode(PATIENT.read_bytes())["entry"]]
    patient = next(item for item in resources if item["resourceType"] == "Patient")
    entry = codec.decode((ROOT / "hooks" / f"{SERVICE}.json").read_bytes())

    def encoded(padding: int) -> bytes:
        everything = [*resources, *(laboratory(number, patient["id"]) for number in range(padding))]
        prefetch: Json = {}
        for key, query in entry["prefetch"].items():
            kind = query.partition("?")[0].partition("/")[0]
            found = [{"resource": item} for item in everything if item["resourceType"] == kind]
            searchset = {"resourceType": "Bundle", "type": "searchset", "entry": found}
            prefetch[key] = searchset if "?" in query else patient
        context = {"userId": "Practitioner/1", "patientId": patient["id"]}
        return codec.encode(
            {"hook": "patient-view", "hookInstance": INSTANCE, "context": context, "prefetch": prefetch}
        )

    base, one = len(encoded(0)), len(encoded(1))
    return encoded(max(0, (size - base) // (one - base)))


def laboratory(number: int, patient: str) -> Json:
    """Return a result that has nothing to do with the guideline."""
    coding = {"system": "http://loinc.org", "code": "718-7", "display": "Hemoglobin [Mass/volume] in Blood"}
    category = {"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}
    return {
        "resourceType": "Observation",
        "id": f"laboratory-{number}",
        "status": "final",
        "category": [{"coding": [category]}],
        "code": {"coding": [coding], "text": "Haemoglobin"},
        "subject": {"reference": f"Patient/{patient}"},
        "effectiveDateTime": f"2025-{number % 12 + 1:02}-01T08:30:00+01:00",
        "valueQuantity": {"value": 13.2, "unit": "g/dL", "system": "http://unitsofmeasure.org", "code": "g/dL"},
    }


@contextmanager
def ours() -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Run the service and give its process and address."""
    with tempfile.TemporaryDirectory(prefix="fhir-cds-bench-") as folder:
        environment = os.environ | {
            "FHIR_CDS_FEEDBACK_URL": f"sqlite:///{folder}/f.sqlite3",
            "FHIR_CDS_RATE_PER_MINUTE": "1000000000",
            "FHIR_CDS_LOG_LEVEL": "warning",
        }
        command = [sys.executable, "-m", "fhir_cds.cli.main", "serve", "--port", "0"]
        with running(command, environment) as (process, line):
            address = next(word for word in line.split() if word.startswith("http"))
            yield process, f"{address}/cds-services/{SERVICE}"


@contextmanager
def peer(command: list[str]) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Run a peer and give its process and the address it prints."""
    with running(command, dict(os.environ)) as (process, line):
        yield process, line.strip()


@contextmanager
def running(command: list[str], environment: dict[str, str]) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Run a command and give its process and the first line it prints."""
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    try:
        line = process.stdout.readline().decode()
        time.sleep(1)
        yield process, line
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


async def load(url: str, body: bytes, connections: int, seconds: float, pid: int) -> Measured:
    """Send the body over and over on several connections; raises when an answer is not 200."""
    times: list[float] = []
    headers = {"Content-Type": "application/json"}
    stop = time.perf_counter() + seconds

    async def one(session: aiohttp.ClientSession) -> None:
        while time.perf_counter() < stop:
            started = time.perf_counter()
            async with session.post(url, data=body, headers=headers) as answer:
                await answer.read()
                if answer.status != 200:
                    raise RuntimeError(f"{url} answered {answer.status}")
            times.append(time.perf_counter() - started)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=connections)) as session:
        cpu, begun = cpu_seconds(pid), time.perf_counter()
        await asyncio.gather(*(one(session) for _ in range(connections)))
        return Measured(len(times), time.perf_counter() - begun, cpu_seconds(pid) - cpu, times)


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


if __name__ == "__main__":
    sys.exit(main())
