"""Below the rim nothing reads a clock, the network, the environment or chance."""

from pathlib import Path

import pytest

from .sources import MODULES, imports, name, uses

RIM = ("server/", "cli/", "authoring/check_server.py", "authoring/remote.py")
"""Where the outside world begins: the service, the commands, and the tools that try our content on a live server."""

CLIENT = ("data/client.py", "data/transport.py", "data/guard.py", "data/gather.py", "data/prefetch.py")
"""The modules that talk to FHIR servers: network and deadlines, no wall clock."""

TOOLS = ("authoring/",)
"""The authors' tools start Node.js and worker processes."""

NETWORK = {"socket", "ssl", "http", "urllib.request", "requests", "aiohttp", "httpx", "fhirpy", "starlette", "uvicorn"}
CHANCE = {"random", "secrets"}
PROCESSES = {"subprocess", "multiprocessing", "concurrent"}
CLOCK = {
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
    "datetime.datetime.now",
    "datetime.date.today",
    "time.time",
    "time.time_ns",
    "time.localtime",
    "time.gmtime",
}
TIMERS = {"time.monotonic", "time.perf_counter", "time.process_time", "time.sleep"}
ENVIRONMENT = {"os.environ", "os.getenv", "os.environb"}
IDENTITY = {"uuid.uuid1", "uuid.uuid4", "os.urandom", "uuid4", "uuid1"}

BELOW = [path for path in MODULES if not name(path).startswith(RIM)]


def imported(path: Path) -> set[str]:
    """Top-level names of everything a module imports, and their full names."""
    return {part for _, module in imports(path) for part in (module.split(".")[0], module.rpartition(".")[0], module)}


@pytest.mark.parametrize("path", BELOW, ids=name)
def test_no_clock_environment_or_chance(path: Path) -> None:
    """`now` is an argument; the same input gives the same bytes."""
    forbidden = CLOCK | ENVIRONMENT | IDENTITY
    if not name(path).startswith(CLIENT):
        forbidden = forbidden | TIMERS
    assert [(line, used) for line, used in uses(path) if used in forbidden] == []
    assert imported(path) & (CHANCE | {"os.environ", "os.getenv", "uuid.uuid4"}) == set()


@pytest.mark.parametrize("path", [p for p in BELOW if not name(p).startswith(CLIENT)], ids=name)
def test_no_network(path: Path) -> None:
    """Patient data is read, and calls go out, through the client in `data` alone."""
    assert imported(path) & NETWORK == set()


@pytest.mark.parametrize("path", [p for p in BELOW if not name(p).startswith((*CLIENT, *TOOLS))], ids=name)
def test_no_processes(path: Path) -> None:
    """Nothing but the authors' tools starts another program."""
    assert imported(path) & PROCESSES == set()


def test_no_printing_below_the_rim() -> None:
    """Only the commands write to the terminal."""
    printers = {"sys.stdout", "sys.stderr", "typer.echo"}
    said = {name(path) for path in BELOW for _, used in uses(path) if used in printers}
    assert said == {"cql/supported.py"}  # run as a program, it prints the table of what the engine supports
