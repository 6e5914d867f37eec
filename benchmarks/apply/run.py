"""`$apply` of the same plan and patient on a real HAPI FHIR server and on our service, over HTTP, in one run.

Both get the content first: HAPI by `fhir-cds publish`, ours from the checkout. HAPI holds the patients in its database
(H2 in memory), which is its own way; ours gets the record with the call (`data`), and is also measured reading it from
that HAPI server (`dataEndpoint`). Where HAPI takes `data`, it is measured so too. Answers are compared before timing.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "hapi"))

import hapi_server  # noqa: E402
from peer import Server  # noqa: E402

from fhir_cds.authoring import parity  # noqa: E402
from fhir_cds.fhir import bundle, codec  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")
PLANS = ("ibero2025-1-1", "ibero2025-strategy-follow-up", "ibero2025-strategy-imaging", "ibero2025-pathway")
PATIENTS = ("after-resection-one-overdue", "metachronous-leiomyosarcoma")
PEER, OURS, OURS_READING = "HAPI", "ours, data sent", "ours, reading from HAPI"
PEER_SENT = "HAPI, data sent"


@contextmanager
def service() -> Iterator[Server]:
    """Run our service; yield its FHIR address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as scratch:
        environment = {
            **os.environ,
            "FHIR_CDS_FEEDBACK_URL": f"sqlite:///{scratch}/feedback.sqlite3",
            "FHIR_CDS_RATE_PER_MINUTE": "1000000",
            "FHIR_CDS_FHIR_TIMEOUT_SECONDS": "60",
            "FHIR_CDS_BUDGET_SECONDS": "120",
        }
        command = [sys.executable, "-m", "fhir_cds.cli.main", "serve", "--port", str(port)]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
        try:
            base = f"http://127.0.0.1:{port}"
            while process.poll() is None and not answers(f"{base}/health"):
                time.sleep(0.1)
            yield Server(f"{base}/fhir")
        finally:
            process.terminate()
            process.wait()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):  # noqa: S310  # an address of this machine, made here
            return True
    except (urllib.error.URLError, OSError):
        return False


def cpu_seconds(base: str) -> float:
    """Return the CPU time used so far by the process that listens on a port of this machine (Linux)."""
    port = base.rsplit(":", 1)[1].partition("/")[0]
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            arguments = (stat.parent / "cmdline").read_bytes().split(b"\0")
            if port.encode() in arguments or f"--server.port={port}".encode() in arguments:
                fields = stat.read_text().rpartition(")")[2].split()
                return (int(fields[11]) + int(fields[12])) / TICKS
        except OSError:
            continue
    return float("nan")


def ways(hapi: Server, ours: Server, plan: str, document: Any) -> dict[str, tuple[Server, Callable[[], Any]]]:
    """Return the ways to ask: name -> (server, a call that gives the CarePlan)."""
    subject = next(f"Patient/{item['id']}" for item in bundle.read(document).resources if is_patient(item))
    path = f"PlanDefinition/{plan}/$apply"
    about = {"name": "subject", "valueString": subject}
    data = {"name": "data", "resource": {**document, "type": "collection"}}
    address = {"resourceType": "Endpoint", "address": hapi.base}
    endpoint = {"name": "dataEndpoint", "resource": address}
    only = {"name": "useServerData", "valueBoolean": False}
    sent = {"resourceType": "Parameters", "parameter": [about, data, only]}
    read = {"resourceType": "Parameters", "parameter": [about, endpoint]}
    return {
        PEER: (hapi, lambda: checked(hapi, "GET", f"{path}?subject={subject}")),
        PEER_SENT: (hapi, lambda: checked(hapi, "POST", path, sent)),
        OURS: (ours, lambda: checked(ours, "POST", path, sent)),
        OURS_READING: (ours, lambda: checked(ours, "POST", path, read)),
    }


def is_patient(resource: Any) -> bool:
    return bool(resource["resourceType"] == "Patient")


def checked(server: Server, method: str, path: str, body: Any = None) -> Any:
    reply = server.call(method, path, body)
    if reply.status != 200:
        raise RuntimeError(f"{reply.status}: {codec.encode(reply.body)[:300].decode()}")
    return reply.body


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    answer = call()
    return (time.perf_counter() - started) * 1000, answer


def measure(server: Server, call: Callable[[], Any], count: int) -> tuple[float, float, float]:
    """Return p50 and p95 in milliseconds, and CPU milliseconds of the server per call."""
    used = cpu_seconds(server.base)
    times = sorted(timed(call)[0] for _ in range(count))
    cpu = (cpu_seconds(server.base) - used) * 1000 / count
    return statistics.median(times), times[min(len(times) - 1, int(0.95 * len(times)))], cpu


def run(hapi: Server, count: int, warm_up: int) -> None:
    """Measure and print."""
    command = [sys.executable, "-m", "fhir_cds.cli.main", "publish", "--to", hapi.base]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    documents = {name: codec.decode((ROOT / "tests" / "patients" / f"{name}.json").read_bytes()) for name in PATIENTS}
    for document in documents.values():
        hapi.put(bundle.read(document).resources)
    with service() as ours:
        print(
            f"{'plan':<30}{'patient':<30}{'way':<26}{'first':>9}{'p50':>9}{'p95':>9}{'CPU':>9}   HAPI/this (p50, CPU)"
        )
        for plan in PLANS:
            for name, document in documents.items():
                row(plan, name, ways(hapi, ours, plan, document), count, warm_up)


def row(plan: str, name: str, asked: dict[str, tuple[Server, Callable[[], Any]]], count: int, warm_up: int) -> None:
    peer: tuple[float, float, float] | None = None
    theirs: Any = None
    for way, (server, call) in asked.items():
        try:
            first, careplan = timed(call)
        except RuntimeError as error:
            print(f"{plan:<30}{name:<30}{way:<26}{error}")
            continue
        form = parity.normal_form(careplan)
        theirs = theirs or form
        differing = parity.differences(form, theirs)
        for _ in range(warm_up):
            call()
        p50, p95, cpu = measure(server, call, count)
        peer = peer or (p50, p95, cpu)
        ratio = f"{peer[0] / p50:6.0f} {peer[2] / cpu if cpu else float('nan'):6.0f}"
        told = f"   {len(differing)} differences" if differing else ""
        print(
            f"{plan:<30}{name:<30}{way:<26}{first:>9.1f}{p50:>9.1f}{p95:>9.1f}{cpu:>9.1f}   {ratio}{told}", flush=True
        )


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=30, help="calls measured per row")
    parser.add_argument("--warm-up", type=int, default=10, help="calls before that")
    options = parser.parse_args()
    if reason := hapi_server.missing_tools():
        sys.exit(reason)
    with hapi_server.running() as base:
        run(Server(base), options.count, options.warm_up)


if __name__ == "__main__":
    main()
