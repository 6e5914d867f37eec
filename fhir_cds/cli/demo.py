"""`fhir-cds demo`: the main job in one command: service, sandbox with sample patients, one call as an EHR makes it."""

from __future__ import annotations

import asyncio
import tempfile
import time
import uuid
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import aiohttp
import typer
import uvicorn
from rich.console import Console

from fhir_cds.cli import options
from fhir_cds.cli.card_text import show_answer, show_patient
from fhir_cds.cli.serve import bind, load, running, server_options, url_of
from fhir_cds.data.prefetch import fill
from fhir_cds.errors import FhirServerError, InputError
from fhir_cds.fhir import codec
from fhir_cds.server.app import create_app
from fhir_cds.server.errors import JSON
from fhir_cds.server.sandbox import Store
from fhir_cds.server.settings import Settings
from fhir_cds.server.state import Clock, utc_now

SAMPLE: Final = "after-resection-one-overdue"
SAMPLE_DAY: Final = "2026-01-31"
"""The day for which the sample records were written; the demonstration's clock stands there unless told otherwise."""
HOOK: Final = "patient-view"
_PACKAGE: Final = Path(__file__).parent.parent
_FOLDERS: Final = (_PACKAGE.parent / "tests" / "patients", _PACKAGE / "_content" / "patients")
_HALF: Final = 2


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(demo)


def demo(
    *,
    patient: Annotated[str, typer.Option(help="Name of a sample patient; list prints all.")] = SAMPLE,
    stop: Annotated[bool, typer.Option("--stop", help="End after printing instead of staying up.")] = False,
    now: Annotated[str, typer.Option(help="Day or instant at which the clock stands; today for the real clock.")] = (
        SAMPLE_DAY
    ),
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 8080,
    patients: Annotated[Path | None, typer.Option(help="Folder of sample patients.")] = None,
    content: options.Content = None,
) -> None:
    """Start the service on a sandbox FHIR endpoint, ask it about one sample patient, print cards and dates."""
    folder = patients or sample_folder()
    store = Store.load(folder)
    if patient == "list":
        typer.echo("\n".join(sorted(store.patients)))
        return
    if patient not in store.patients:
        raise InputError(
            f"no sample patient of this name; there are {', '.join(sorted(store.patients))}", where=patient
        )
    clock = utc_now if now == "today" else fixed(now)
    asyncio.run(_demo(load(content), folder, store.patients[patient], clock, port, stop=stop))


def sample_folder() -> Path:
    """Return the folder of the sample patients: that of the checkout, else the one in the wheel."""
    for folder in _FOLDERS:
        if folder.is_dir():
            return folder
    raise InputError("the sample patients are not installed; name a folder with --patients", where="--patients")


def fixed(now: str) -> Clock:
    """Return a clock that stands at one instant."""
    moment = datetime.fromisoformat(options.moment(now))
    return lambda: moment


async def _demo(content: Any, folder: Path, patient: str, clock: Clock, port: int, *, stop: bool) -> None:
    """Run service, sandbox and caller in one process, over real HTTP."""
    console = Console()
    with tempfile.TemporaryDirectory() as scratch:
        settings = Settings(
            mode="development",
            sandbox=folder,
            port=port,
            feedback_url=f"sqlite:///{scratch}/feedback.sqlite3",
            public_url=None,
        )
        bound = bind(settings.host, settings.port)
        url = url_of(bound)
        server = uvicorn.Server(uvicorn.Config(create_app(content, settings, clock=clock), **server_options()))
        async with running(server, bound):
            await ask(console, url, patient, clock().date())
            _say(console, url, patient, stop=stop)
            while not stop and not server.should_exit:
                await asyncio.sleep(0.2)


async def ask(console: Console, url: str, patient: str, today: date) -> None:
    """Do what an EHR does when a chart is opened: discover, fill the prefetch, call each service, show the cards.

    The first half of the prefetch is sent along, the rest is left for the service to read from the FHIR endpoint.
    """
    base = f"{url}/sandbox/fhir"
    async with aiohttp.ClientSession() as session:
        show_patient(console, await _get(session, f"{base}/Patient/{patient}"), today)
        offered = (await _get(session, f"{url}/cds-services"))["services"]
        for service in (item for item in offered if item["hook"] == HOOK):
            prefetch = await _prefetch(session, base, service.get("prefetch", {}), patient)
            body = {
                "hook": HOOK,
                "hookInstance": str(uuid.uuid4()),
                "context": {"userId": "Practitioner/demo", "patientId": patient},
                "fhirServer": base,
                "prefetch": prefetch,
            }
            started = time.perf_counter()
            answer = await _post(session, f"{url}/cds-services/{service['id']}", body)
            milliseconds = (time.perf_counter() - started) * 1000
            sent, all_keys = len(prefetch), len(service.get("prefetch", {}))
            note = f"{milliseconds:.0f} ms, {sent} of {all_keys} prefetch keys sent, the rest read over FHIR"
            show_answer(console, service, answer, note)


async def _prefetch(
    session: aiohttp.ClientSession, base: str, templates: Mapping[str, str], patient: str
) -> dict[str, Any]:
    """Return the first half of the prefetch, read as an EHR would."""
    context = {"patientId": patient, "userId": "Practitioner/demo"}
    keys = list(templates)[: (len(templates) + 1) // _HALF]
    filled = {key: fill(templates[key], context) for key in keys}
    return {key: await _get(session, f"{base}/{query}") for key, query in filled.items() if query is not None}


async def _get(session: aiohttp.ClientSession, url: str) -> Any:
    """Return the JSON at an address; raises FhirServerError."""
    async with session.get(url) as answer:
        return await _decoded(answer)


async def _post(session: aiohttp.ClientSession, url: str, body: Any) -> Any:
    """Return the JSON answer to a JSON body; raises FhirServerError."""
    async with session.post(url, data=codec.encode(body), headers={"Content-Type": JSON}) as answer:
        return await _decoded(answer)


async def _decoded(answer: aiohttp.ClientResponse) -> Any:
    """Return the JSON of an answer; raises FhirServerError for any other status than 200."""
    body = await answer.read()
    if answer.status != 200:
        raise FhirServerError(f"answered {answer.status}: {body[:300].decode(errors='replace')}", where=answer.url.path)
    return codec.decode(body)


def _say(console: Console, url: str, patient: str, *, stop: bool) -> None:
    """Print where everything is."""
    console.print()
    for name, path in (
        ("CDS Hooks", "/cds-services"),
        ("FHIR content", "/fhir/metadata"),
        ("Sandbox", f"/sandbox/fhir/Patient/{patient}"),
        ("OpenAPI", "/openapi.json"),
        ("Health", "/health"),
    ):
        console.print(f"{name:<14}{url}{path}", highlight=False, soft_wrap=True)
    if not stop:
        console.print("\nThe service stays up; stop it with Ctrl-C.", style="bold")
