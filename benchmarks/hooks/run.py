"""The CDS Hooks service under load, all logic evaluated, beside peers that answer with a fixed card.

    python -m benchmarks.hooks.run [--seconds N] [--repeat N] [--fastify NODE_MODULES_PARENT] [--healthchain PYTHON]
    python -m benchmarks.hooks.run --soak MINUTES

Each service runs as a process of its own on this machine; the same caller sends calls of the same sizes to each in
turn, round by round. No two calls are alike (see `calls`). CPU time per call is that of the service's process (user and
system, from /proc): on shared cores it says more than wall clock. Of the rounds the one with the least CPU is shown.
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
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import aiohttp

from benchmarks.hooks.calls import PATIENTS, ROOT, SERVICE, calls

ONE: Final = ("metachronous-leiomyosarcoma",)
SIZES: Final = (40_000, 150_000)
CONNECTIONS: Final = (1, 8)
TICK: Final = os.sysconf("SC_CLK_TCK")
PAGE: Final = os.sysconf("SC_PAGE_SIZE")
SOAK_STEP: Final = 30.0
OURS: Final = "fhir_cds, evaluating"


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent: the calls' patients, their size in bytes, on how many connections."""

    patients: tuple[str, ...]
    size: int
    connections: int

    def __str__(self) -> str:
        """Return size and connections, and the patients where they are several."""
        several = f", {len(self.patients)} patients in turn" if len(self.patients) > 1 else ""
        return f"{self.size // 1000:4} kB, {self.connections} connections{several}"


@dataclass(frozen=True, slots=True)
class Measured:
    """One row: requests answered, seconds, CPU seconds of the service, and the times of each request."""

    seconds: float
    cpu: float
    times: Sequence[float]

    @property
    def rate(self) -> float:
        """Calls answered in a second."""
        return len(self.times) / self.seconds

    @property
    def cost(self) -> float:
        """CPU milliseconds for one call."""
        return self.cpu / len(self.times) * 1000

    def __str__(self) -> str:
        """Return the row as text."""
        ordered = sorted(self.times)
        p50, p99 = (ordered[int(len(ordered) * share)] * 1000 for share in (0.5, 0.99))
        return f"{self.rate:8.0f}/s  p50 {p50:7.2f} ms  p99 {p99:7.2f} ms  CPU {self.cost:6.2f} ms/call"


def main() -> int:
    """Measure and print."""
    options = arguments()
    if options.soak:
        with ours() as (process, url):
            asyncio.run(soak(url, process.pid, options.soak * 60))
        return 0
    here = Path(__file__).parent
    commands = {}
    if options.fastify:
        node = ["node", str(here / "peer_fastify.mjs"), str(options.fastify.resolve())]
        commands["Fastify, fixed card"] = node
    if options.healthchain:
        commands["HealthChain, fixed card"] = [str(options.healthchain), str(here / "peer_healthchain.py")]
    samples = tuple(sorted(path.stem for path in PATIENTS.glob("*.json")))
    loads = [Load(ONE, size, connections) for size in SIZES for connections in CONNECTIONS]
    loads.append(Load(samples, SIZES[0], 1))
    with ExitStack() as stack:
        running = {OURS: stack.enter_context(ours())}
        running |= {name: stack.enter_context(peer(command)) for name, command in commands.items()}
        found = measure(running, loads, options.repeat, options.seconds)
    for name in running:
        print(name)
        for one in loads:
            print(f"  {one}  {found[name, one]}")
    for name in commands:
        print(f"ours to {name}")
        for one in loads:
            cost = found[OURS, one].cost / found[name, one].cost
            rate = found[OURS, one].rate / found[name, one].rate
            print(f"  {one}  CPU per call {cost:5.2f} times, calls per second {rate:5.2f} times")
    return 0


def arguments() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each row of a round")
    parser.add_argument("--repeat", type=int, default=3, help="rounds")
    parser.add_argument("--fastify", type=Path, help="folder in whose node_modules Fastify is")
    parser.add_argument("--healthchain", type=Path, help="Python of an environment with HealthChain")
    parser.add_argument("--soak", type=float, help="minutes of steady load with the process's memory printed")
    return parser.parse_args()


Service = tuple["subprocess.Popen[bytes]", str]


def measure(
    running: dict[str, Service], loads: Sequence[Load], repeat: int, seconds: float
) -> dict[tuple[str, Load], Measured]:
    """Return for each service and load the round with the least CPU per call."""
    found: dict[tuple[str, Load], Measured] = {}
    for number in range(repeat):
        for one in loads:
            for name, (process, url) in running.items():
                if number == 0:
                    asyncio.run(load(url, one, seconds / 4, process.pid))
                measured = asyncio.run(load(url, one, seconds, process.pid))
                before = found.get((name, one))
                if before is None or measured.cost < before.cost:
                    found[name, one] = measured
    return found


async def soak(url: str, pid: int, seconds: float) -> None:
    """Send calls of all sample patients on eight connections and print memory, speed and times as they go."""
    samples = tuple(sorted(path.stem for path in PATIENTS.glob("*.json")))
    begun = time.perf_counter()
    while (elapsed := time.perf_counter() - begun) < seconds:
        print(f"{elapsed / 60:5.1f} min  memory {memory(pid) / 1e6:6.1f} MB", end="  ", flush=True)
        print(await load(url, Load(samples, SIZES[0], CONNECTIONS[-1]), min(SOAK_STEP, seconds - elapsed), pid))
    print(f"{seconds / 60:5.1f} min  memory {memory(pid) / 1e6:6.1f} MB")


@contextmanager
def ours() -> Iterator[Service]:
    """Run the service and give its process and address."""
    with tempfile.TemporaryDirectory(prefix="fhir-cds-bench-") as folder:
        environment = os.environ | {
            "FHIR_CDS_FEEDBACK_URL": f"sqlite:///{folder}/f.sqlite3",
            "FHIR_CDS_RATE_PER_MINUTE": "1000000000",
            "FHIR_CDS_LOG_LEVEL": "warning",
        }
        command = [sys.executable, "-m", "fhir_cds.cli.main", "serve", "--port", "0"]
        with started(command, environment) as (process, line):
            address = next(word for word in line.split() if word.startswith("http"))
            yield process, f"{address}/cds-services/{SERVICE}"


@contextmanager
def peer(command: list[str]) -> Iterator[Service]:
    """Run a peer and give its process and the address it prints."""
    with started(command, dict(os.environ)) as (process, line):
        yield process, line.strip()


@contextmanager
def started(command: list[str], environment: dict[str, str]) -> Iterator[Service]:
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


async def load(url: str, what: Load, seconds: float, pid: int) -> Measured:
    """Send calls on several connections for some time; raises when an answer is not 200."""
    times: list[float] = []
    headers = {"Content-Type": "application/json"}
    bodies = calls(what.patients, what.size, datetime.now(UTC).date())
    next(bodies)
    stop = time.perf_counter() + seconds

    async def one(session: aiohttp.ClientSession) -> None:
        while time.perf_counter() < stop:
            body = next(bodies)
            begun = time.perf_counter()
            async with session.post(url, data=body, headers=headers) as answer:
                await answer.read()
                if answer.status != 200:
                    raise RuntimeError(f"{url} answered {answer.status}")
            times.append(time.perf_counter() - begun)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=what.connections)) as session:
        cpu, begun = cpu_seconds(pid), time.perf_counter()
        await asyncio.gather(*(one(session) for _ in range(what.connections)))
        return Measured(time.perf_counter() - begun, cpu_seconds(pid) - cpu, times)


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def memory(pid: int) -> int:
    """Return the bytes of a process that are in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE


if __name__ == "__main__":
    sys.exit(main())
