"""`$apply` of the same plan and patient by HAPI and by us, in one run: in process, and over HTTP.

In process: HAPI's clinical reasoning library in a Java program (java/InProcess.java), with content and patient in its
memory repository, and our engine. Over HTTP: a HAPI JPA server (H2 in memory) that holds content and patients, which is
its own way, and is also sent the record with the call (`data`); our service, which is sent the record, and also
reads it from that HAPI server (`dataEndpoint`).

Milliseconds: the first call of all (cold), p50 and p95 of the calls after the warm-up, CPU time of the process that
answers per call; then how many times the first row of the block is slower. Differences in the answers are told.
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
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import product
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "hapi"))

import agreement  # noqa: E402
import hapi_server  # noqa: E402
import publishing  # noqa: E402
from agreement import Patient  # noqa: E402
from peer import Reply, Server  # noqa: E402

from benchmarks.apply import in_process  # noqa: E402
from benchmarks.apply.in_process import Question, Times  # noqa: E402
from fhir_cds.authoring import parity  # noqa: E402
from fhir_cds.fhir import codec  # noqa: E402
from fhir_cds.server import state  # noqa: E402
from fhir_cds.server.state import Loaded  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")
PLANS = ("ibero2025-1-1", "ibero2025-strategy-follow-up", "ibero2025-pathway")
PATIENTS = ("after-resection-one-overdue",)
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


def ways(hapi: Server, ours: Server, plan: str, patient: Patient) -> dict[str, tuple[Server, Callable[[], Any]]]:
    """Return the ways to ask over HTTP: name -> (server, a call that gives the CarePlan)."""
    path = f"PlanDefinition/{plan}/$apply"
    endpoint = {"name": "dataEndpoint", "resource": {"resourceType": "Endpoint", "address": hapi.base}}
    about = {"name": "subject", "valueString": patient.subject}
    read = {"resourceType": "Parameters", "parameter": [about, endpoint]}
    return {
        PEER: (hapi, lambda: good(hapi.apply(plan, patient.subject))),
        PEER_SENT: (hapi, lambda: good(hapi.apply(plan, patient.subject, patient.resources))),
        OURS: (ours, lambda: good(ours.apply(plan, patient.subject, patient.resources))),
        OURS_READING: (ours, lambda: good(ours.call("POST", path, read))),
    }


def good(reply: Reply) -> Any:
    """Return the body of a reply that is a success."""
    if reply.status != 200:
        raise RuntimeError(f"{reply.status}: {codec.encode(reply.body)[:300].decode()}")
    return reply.body


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    answer = call()
    return (time.perf_counter() - started) * 1000, answer


def measure(server: Server, call: Callable[[], Any], count: int, warm_up: int) -> tuple[Times, Any]:
    """Return the times of a call, and what it gave first."""
    first, answer = timed(call)
    for _ in range(warm_up):
        call()
    used = cpu_seconds(server.base)
    times = sorted(timed(call)[0] for _ in range(count))
    cpu = (cpu_seconds(server.base) - used) * 1000 / count
    return Times(first, statistics.median(times), times[int(0.95 * len(times))], cpu), answer


def over_http(hapi: Server, count: int, warm_up: int) -> None:
    """Measure and print what goes over HTTP."""
    publishing.publish(hapi)
    patients = {name: agreement.stored(hapi, sample(name, hapi.today()), "b.") for name in PATIENTS}
    with service() as ours:
        for plan, (name, patient) in product(PLANS, patients.items()):
            rows = Rows(plan, name)
            for way, (server, call) in ways(hapi, ours, plan, patient).items():
                rows.add(way, *measure(server, call, count, warm_up))


def in_process_rows(class_path: str, content: Loaded, count: int, warm_up: int) -> None:
    """Measure and print what needs no server."""
    now = datetime.now(UTC).date()
    with tempfile.TemporaryDirectory() as folder:
        class_path = in_process.compiled(class_path, folder)
        for plan, name in product(PLANS, PATIENTS):
            patient, rows = sample(name, now), Rows(plan, name)
            asked = Question(plan, patient.subject, patient.resources, now.isoformat())
            rows.add("HAPI's library", *in_process.of_java(class_path, content, asked, count, warm_up))
            rows.add("our engine", *in_process.of_ours(content, asked, count))


def sample(name: str, today: date) -> Patient:
    """Return a sample patient as of a day."""
    return agreement.sample(ROOT / "tests" / "patients" / f"{name}.json", agreement.days_to(today))


@dataclass(slots=True)
class Rows:
    """The rows of one plan and patient; the first of them is what the others are compared with."""

    plan: str
    patient: str
    peer: tuple[Times, Any] | None = None

    def add(self, way: str, times: Times, careplan: Any) -> None:
        """Print a row: times, how many times the first row's they are, and whether the answer is another."""
        self.peer = self.peer or (times, careplan)
        theirs = self.peer[0]
        form, reference = parity.normal_form(careplan), parity.normal_form(self.peer[1])
        other = len(parity.differences(form, reference))
        ratios = (theirs.p50 / times.p50, theirs.cpu / times.cpu if times.cpu else float("nan"))
        told = f"   {other} differences" if other else ""
        print(
            f"{self.plan:<29}{self.patient:<30}{way:<25}{times.first:>10.1f}{times.p50:>9.2f}{times.p95:>9.2f}"
            f"{times.cpu:>9.2f}{ratios[0]:>8.1f}{ratios[1]:>8.1f}{told}",
            flush=True,
        )


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=50, help="calls measured per row")
    parser.add_argument("--warm-up", type=int, default=50, help="calls before that")
    options = parser.parse_args()
    if reason := hapi_server.missing_tools():
        sys.exit(reason)
    content = state.load((ROOT,), lambda: datetime.now(UTC))
    columns = ("first", "p50", "p95", "CPU", "x p50", "x CPU")
    print(f"{'plan':<29}{'patient':<30}{'way':<25}{columns[0]:>10}" + "".join(f"{c:>9}" for c in columns[1:4]), end="")
    print("".join(f"{c:>8}" for c in columns[4:]))
    in_process_rows(hapi_server.build(), content, options.count, options.warm_up)
    with hapi_server.running() as base:
        over_http(Server(base), options.count, options.warm_up)


if __name__ == "__main__":
    main()
