"""Starts the real HAPI FHIR R4 server of this folder for a test session and ends it after.

The jars are resolved by Maven once and kept in a cache folder keyed by the project's own files; the server listens on
a free loopback port. `python tests/hapi/hapi_server.py` starts one by hand and prints its base URL; with `--build` it
only resolves the jars and compiles.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
MAIN = "org.fhircds.hapi.Application"
START_SECONDS = 900
OPTIONS = ("-Xmx2g", "-XX:+UseSerialGC", "-Duser.timezone=UTC")
BRIEF = ("-Xmx1g", "-XX:TieredStopAtLevel=1")


def missing_tools() -> str | None:
    """Say in one line what is missing to run the server, or None when it can run."""
    absent = [tool for tool in ("java", "javac", "mvn") if shutil.which(tool) is None]
    return f"HAPI round trip left out: {', '.join(absent)} not found" if absent else None


def build() -> str:
    """Return the class path of the server; compile it and resolve its jars when this has not been done before."""
    import fcntl  # not on Windows, where no HAPI test runs

    sources = sorted((HERE / "src").rglob("*.*"))
    digest = hashlib.sha256(b"".join(p.read_bytes() for p in (HERE / "pom.xml", *sources))).hexdigest()[:16]
    default = Path(tempfile.gettempdir()) / f"fhir-cds-hapi-{os.getuid()}"
    cache = Path(os.environ.get("FHIR_CDS_HAPI_CACHE", default)) / digest
    cache.mkdir(parents=True, exist_ok=True)
    ready = cache / "classpath.txt"
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another process of these tests may be at it
        if not ready.exists():
            _build(cache, sources, ready)
    return ready.read_text()


def _build(cache: Path, sources: list[Path], ready: Path) -> None:
    """Resolve the jars and compile into a folder; write the class path when all is there."""
    classes = cache / "classes"
    classes.mkdir(exist_ok=True)
    jars = cache / "jars.txt"
    goal = "org.apache.maven.plugins:maven-dependency-plugin:3.9.0:build-classpath"
    _run(["mvn", "-q", "-B", "-f", str(HERE / "pom.xml"), goal, f"-Dmdep.outputFile={jars}"])
    java = [str(p) for p in sources if p.suffix == ".java"]
    _run(["javac", "-nowarn", "-proc:none", "-d", str(classes), "-cp", jars.read_text(), *java])
    for resource in (HERE / "src/main/resources").iterdir():
        shutil.copy(resource, classes)
    ready.write_text(f"{classes}{os.pathsep}{jars.read_text()}")


@contextlib.contextmanager
def running() -> Iterator[str]:
    """Start a server as `started`, unless `FHIR_CDS_HAPI_URL` names one that runs: that is used and left running."""
    if url := os.environ.get("FHIR_CDS_HAPI_URL"):
        yield url
        return
    with started() as url:
        yield url


@contextlib.contextmanager
def started(*options: str) -> Iterator[str]:
    """Start an empty server, yield its FHIR base URL (`http://127.0.0.1:<port>/fhir`), end it.

    `options` are further ones of Java; `BRIEF` makes a server that does little start with half the work.
    It holds the other end of our pipe, so it ends with this process however that ends.
    """
    class_path = build()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    base = f"http://127.0.0.1:{port}/fhir"
    command = [
        "java",
        *OPTIONS,
        *options,
        "-cp",
        class_path,
        MAIN,
        "--server.address=127.0.0.1",
        f"--server.port={port}",
    ]
    command.append("--until-input-ends")
    with tempfile.NamedTemporaryFile("w+", suffix=".log") as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT)
        try:
            _wait(process, f"{base}/metadata", Path(log.name))
            yield base
        finally:
            process.kill()  # it has nothing to keep: its database is in memory
            process.wait()
            if process.stdin:
                process.stdin.close()


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Wait until the server answers; raise with the end of its log when it does not."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise RuntimeError(f"HAPI did not start: {log.read_text()[-3000:]}")


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {(done.stdout + done.stderr)[-3000:]}")


def main() -> None:
    """Run a server until interrupted or terminated, or only make it ready to run."""
    if reason := missing_tools():
        sys.exit(reason)
    if "--build" in sys.argv[1:]:
        build()
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with running() as base:
        sys.stdout.write(f"{base}\n")
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                time.sleep(3600)


if __name__ == "__main__":
    main()
