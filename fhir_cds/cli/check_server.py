"""`fhir-cds check-server`: whether a FHIR server runs our content, gives our answers and serves our CDS service."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from typing import Annotated, Any, Final
from urllib.parse import parse_qsl

import aiohttp
import typer
import uvicorn

from fhir_cds.authoring.check_server import STAGES, Check, Finding, Sample, roots, samples_for
from fhir_cds.authoring.remote import Remote, connect
from fhir_cds.cli import options
from fhir_cds.cli.demo import HOOK, SAMPLE_DAY, sample_folder
from fhir_cds.cli.publish import TokenFile, bar, token
from fhir_cds.cli.serve import bind, load, running, server_options, url_of
from fhir_cds.errors import FhirServerError, InputError
from fhir_cds.fhir import codec
from fhir_cds.server.app import create_app
from fhir_cds.server.errors import JSON
from fhir_cds.server.settings import Settings
from fhir_cds.server.state import Loaded

FAILED: Final = 1
MARKS: Final = {True: "ok  ", False: "FAIL", None: "-   "}
DETAILS: Final = 10


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("check-server")(check_server)


def check_server(
    url: Annotated[str, typer.Argument(help="Base URL of the FHIR server (R4).")],
    *,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Look only; for servers one may not write to.")
    ] = False,
    patients: Annotated[int, typer.Option(min=1, help="How many synthetic patients to store.")] = 4,
    plan: Annotated[list[str] | None, typer.Option(help="Plan to apply; repeatable [all top-level plans].")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    token_file: TokenFile = None,
    content: options.Content = None,
) -> None:
    """Try our content on a FHIR server: publish, store synthetic patients, $apply there and here, CDS Hooks, clean up.

    All that is written carries a tag and is deleted at the end. Exit code 0 when all is as it should be, else 1.
    """
    loaded = load(content)
    plans = [str(loaded.engine.plan(name)["id"]) for name in plan or roots(loaded.engine)]
    findings = asyncio.run(_check(loaded, url, token(token_file), plans, patients, read_only=read_only))
    passed = all(finding.ok is not False for finding in findings)
    if as_json:
        options.emit({"server": url, "ok": passed, "checks": [finding.as_json() for finding in findings]})
    else:
        _print(url, findings)
    if not passed:
        raise typer.Exit(FAILED)


async def _check(
    content: Loaded, url: str, bearer: str | None, plans: list[str], count: int, *, read_only: bool
) -> list[Finding]:
    with bar() as progress:
        task = progress.add_task("check", total=STAGES)
        async with connect(url, bearer) as remote:
            check = Check(remote, content.engine, content.systems, secrets.token_hex(3))
            check.tell = lambda text: progress.update(task, completed=check.stage - 1, description=text)
            if read_only:
                left = Finding("writing", ok=None, text="not tried: --read-only")
                return [*await check.reading(), left]
            today = (await remote.call("GET", "metadata")).today or datetime.now(UTC).date()
            samples = samples_for(_chosen(count), date.fromisoformat(SAMPLE_DAY), today)
            async with _service(content, remote.base) as service:

                async def drive(sample: Sample) -> list[str]:
                    return await _same_cards(service, content, remote, sample, bearer)

                return await check.everything(samples, plans, drive)


def _chosen(count: int) -> dict[str, Any]:
    """Return some sample patients by name, spread evenly over the folder."""
    files = sorted(sample_folder().glob("*.json"))
    if not files:
        raise InputError("holds no sample patients", where=str(sample_folder()))
    wanted = min(count, len(files))
    chosen = [files[number * len(files) // wanted] for number in range(wanted)]
    return {file.stem: codec.decode(file.read_bytes(), where=file.name) for file in chosen}


@asynccontextmanager
async def _service(content: Loaded, base: str) -> AsyncIterator[str]:
    """Run our service on this machine while the block lasts, allowed to read from one server; yield its address."""
    with tempfile.TemporaryDirectory() as scratch:
        settings = Settings(
            mode="development",
            port=0,
            fhir_servers=(base,),
            fhir_private_addresses=True,
            fhir_timeout_seconds=60,
            budget_seconds=120,
            feedback_url=f"sqlite:///{scratch}/feedback.sqlite3",
        )
        bound = bind(settings.host, settings.port)
        now = datetime.now(UTC)  # one instant for all calls: it stands in the orders that cards suggest
        app = create_app(content, settings, clock=lambda: now)
        async with running(uvicorn.Server(uvicorn.Config(app, **server_options())), bound):
            yield url_of(bound)


async def _same_cards(service: str, content: Loaded, remote: Remote, sample: Sample, bearer: str | None) -> list[str]:
    """Return where the cards read from the server differ from those of the same data sent as prefetch."""
    found: list[str] = []
    async with aiohttp.ClientSession() as session:
        for offer in (offer for offer in content.offers if offer.service.hook == HOOK):
            body: dict[str, Any] = {
                "hook": HOOK,
                "hookInstance": str(uuid.uuid4()),
                "context": {"userId": "Practitioner/check", "patientId": sample.subject.partition("/")[2]},
            }
            path = f"{service}/cds-services/{offer.service.id}"
            sent = await _cards(
                session, path, {**body, "prefetch": await _prefetch(remote, offer.service.prefetch, sample)}
            )
            read = {**body, "prefetch": {}, "fhirServer": remote.base}
            if bearer:
                scope = "patient/*.read"
                read["fhirAuthorization"] = {
                    "access_token": bearer,
                    "token_type": "Bearer",
                    "expires_in": 300,
                    "scope": scope,
                    "subject": "check",
                }
            if await _cards(session, path, read) != sent:
                found.append(f"{offer.service.id}: other cards than from prefetch")
    return found


async def _prefetch(remote: Remote, templates: Mapping[str, str], sample: Sample) -> dict[str, Any]:
    """Return the prefetch of a patient: his own resources as we have them, what is not about him from the server."""
    filled: dict[str, Any] = {}
    for key, template in templates.items():
        kind, _, query = template.partition("?")
        if "{{" not in template:
            found: Sequence[Any] = await remote.find(kind, **dict(parse_qsl(query)))
        else:
            found = [item for item in sample.resources if item["resourceType"] == kind.partition("/")[0]]
        filled[key] = _searchset([{"resource": item} for item in found]) if query else found[0]
    return filled


def _searchset(entries: Sequence[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset"}
    return {**found, "entry": list(entries)} if entries else found


async def _cards(session: aiohttp.ClientSession, url: str, body: Any) -> Any:
    async with session.post(url, data=codec.encode(body), headers={"Content-Type": JSON}) as answer:
        text = await answer.read()
        if answer.status != 200:
            raise FhirServerError(f"our service answered {answer.status}: {text[:300].decode(errors='replace')}")
        return codec.decode(text)["cards"]


def _print(url: str, findings: list[Finding]) -> None:
    typer.echo(url)
    for finding in findings:
        typer.echo(f"  {MARKS[finding.ok]}  {finding.name}: {finding.text}")
        told = finding.details if finding.ok is False else ()
        for detail in told[:DETAILS]:
            typer.echo(f"          {detail}")
        if len(told) > DETAILS:
            typer.echo(f"          … and {len(told) - DETAILS} more (--json has all)")
    failed = [finding.name for finding in findings if finding.ok is False]
    typer.echo(f"Failed: {', '.join(failed)}" if failed else "Nothing wrong found")
