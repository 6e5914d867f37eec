"""`fhir-cds serve`: the CDS Hooks and FHIR service."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer
import uvicorn
from starlette.applications import Starlette
from uvicorn.config import STARTUP_FAILURE

from fhir_cds.cli import options
from fhir_cds.errors import FhirCdsError, InputError
from fhir_cds.knowledge.load import content_roots
from fhir_cds.server import state
from fhir_cds.server.app import create_app, reload
from fhir_cds.server.logs import configure
from fhir_cds.server.protocol import Protocol
from fhir_cds.server.settings import PREFIX, Settings
from fhir_cds.server.settings import load as load_settings
from fhir_cds.server.state import Loaded

FACTORY: Final = "fhir_cds.cli.serve:worker_app"
CONFIG_VARIABLE: Final = "WORKER_CONFIG_FILE"
GRACE_SECONDS: Final = 20
START_SECONDS: Final = 60
"""How long a worker may take to load the content before it counts as hung."""


log: Final = logging.getLogger("fhir_cds.server")


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(serve)


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on [127.0.0.1].")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on [8080].")] = None,
    content: Annotated[list[Path] | None, typer.Option(help="Content folder; repeatable.")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file of settings.")] = None,
    workers: Annotated[int | None, typer.Option(help="Server processes [1].")] = None,
) -> None:
    """Serve CDS Hooks, $apply and the content over HTTP until stopped; SIGHUP loads the content again."""
    settings = load_settings(config, host=host, port=port, content=tuple(content) if content else None, workers=workers)
    configure(settings.log_level)
    if settings.workers > 1:
        _serve_many(settings, config)
        return
    app = application(settings)
    bound = bind(settings.host, settings.port)
    typer.echo(banner(settings, url_of(bound)))
    server = uvicorn.Server(uvicorn.Config(app, **server_options()))
    with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
        runner.run(_serve(server, app, settings, bound))


def application(settings: Settings) -> Starlette:
    """Return the service with the content that the settings name; raises ContentError or InputError."""
    loaded = state.load(content_roots(settings.content, os.environ), state.utc_now)
    app = create_app(loaded, settings)
    state.settle()
    return app


def load(content: Sequence[Path] | None) -> Loaded:
    """Return the content of the folders given, else of FHIR_CDS_CONTENT, else the built-in one, with its service."""
    return state.load(options.roots(content), state.utc_now)


def worker_app() -> Starlette:
    """Return the service of one worker process; one that cannot start says why in one line and ends."""
    config = os.environ.get(CONFIG_VARIABLE)
    settings = load_settings(Path(config) if config else None)
    configure(settings.log_level)
    try:
        return application(settings)
    except FhirCdsError as error:
        log.critical("a worker cannot start", extra={"error": error.message, "place": error.where})
        sys.exit(STARTUP_FAILURE)


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket; raises InputError when the address is taken or not ours.

    The protocol is named because asyncio sends small answers at once (TCP_NODELAY) only on sockets that name it: else
    each answer waits up to 40 ms for the client's acknowledgement.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise InputError(f"cannot listen on {host} port {port}: {error.strerror}", where="--port") from None
    return bound


def url_of(bound: socket.socket) -> str:
    """Return the base URL of a listening socket."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def banner(settings: Settings, url: str) -> str:
    """Return what is said at the start."""
    callers = "tokens of the issuers" if settings.issuers else "no authentication"
    mode = f"development mode: {callers}, this machine only" if settings.development else "production mode"
    return "\n".join(
        (
            f"fhir_cds on {url} ({mode})",
            f"  discovery    {url}/cds-services",
            f"  FHIR         {url}/fhir/metadata",
            f"  health       {url}/health",
        )
    )


async def _serve(server: uvicorn.Server, app: Starlette, settings: Settings, bound: socket.socket) -> None:
    """Serve until stopped; a hang-up signal loads the content again."""
    loop = asyncio.get_running_loop()
    tasks: set[asyncio.Task[None]] = set()

    def renew() -> None:
        task = loop.create_task(reload(app, content_roots(settings.content, os.environ)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    if hasattr(signal, "SIGHUP"):
        loop.add_signal_handler(signal.SIGHUP, renew)
    await server.serve(sockets=[bound])


@asynccontextmanager
async def running(server: uvicorn.Server, bound: socket.socket) -> AsyncIterator[None]:
    """Run a server while the body runs, then shut it down in order."""
    task = asyncio.create_task(server.serve(sockets=[bound]))
    while not server.started and not task.done():
        await asyncio.sleep(0.01)
    try:
        yield
    finally:
        server.should_exit = True
        await task


def server_options() -> dict[str, Any]:
    """Return how uvicorn runs: no access log (it would show addresses), peers as they are, a bounded shutdown.

    Its own log lines go where `configure` sends them.
    """
    return {
        "http": Protocol,
        "ws": "none",
        "log_config": None,
        "access_log": False,
        "proxy_headers": False,
        "log_level": "warning",
        "server_header": False,
        "timeout_graceful_shutdown": GRACE_SECONDS,
        "timeout_keep_alive": 30,
        "timeout_worker_healthcheck": START_SECONDS,
    }


def _serve_many(settings: Settings, config: Path | None) -> None:
    """Serve with several processes; each reads the same file, and finds the flags in its environment."""
    if settings.port == 0:
        raise InputError("several workers need a port of their own, not 0", where="--port")
    flags = {
        "HOST": settings.host,
        "WORKERS": str(settings.workers),
        "CONTENT": os.pathsep.join(map(str, settings.content)),
    }
    os.environ.update({f"{PREFIX}{name}": value for name, value in flags.items() if value})
    if config is not None:
        os.environ[CONFIG_VARIABLE] = str(config)
    state.load(content_roots(settings.content, os.environ), state.utc_now)  # a fault is told once, here
    typer.echo(banner(settings, f"http://{settings.host}:{settings.port}"))
    uvicorn.run(
        FACTORY, factory=True, host=settings.host, port=settings.port, workers=settings.workers, **server_options()
    )
