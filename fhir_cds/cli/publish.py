"""`fhir-cds publish`: the content into a FHIR server, as often as wanted."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from fhir_cds.authoring import publish as publisher
from fhir_cds.authoring.publish import Change, Step
from fhir_cds.authoring.remote import connect
from fhir_cds.cli import options
from fhir_cds.errors import InputError
from fhir_cds.fhir import reference
from fhir_cds.knowledge.load import load

FAILED: Final = 1
TokenFile = Annotated[
    Path | None, typer.Option("--token-file", help=f"File with a bearer token [environment: {options.TOKEN_VARIABLE}].")
]


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(publish)


def publish(
    *,
    to: Annotated[str, typer.Option("--to", help="Base URL of the FHIR server (R4).")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done; write nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    token_file: TokenFile = None,
    content: options.Content = None,
) -> None:
    """Create or update every resource of the content on a FHIR server; run again, nothing changes.

    Resources are found by canonical. A run that is killed is completed by the next.
    Exit code 1 if anything was refused.
    """
    knowledge = load(options.roots(content))
    steps = asyncio.run(_publish(to, list(knowledge.registry), token(token_file), dry_run=dry_run))
    report(to, steps, dry_run=dry_run, as_json=as_json)
    if any(step.change in {Change.REFUSED, Change.HELD_BACK} for step in steps):
        raise typer.Exit(FAILED)


async def _publish(to: str, resources: list[Any], bearer: str | None, *, dry_run: bool) -> list[Step]:
    with bar() as progress:
        task = progress.add_task("publish", total=len(resources))

        def tell(step: Step) -> None:
            progress.update(task, advance=1, description=reference.of(step.resource))

        async with connect(to, bearer) as remote:
            return await publisher.publish(remote, resources, dry_run=dry_run, tell=tell)


def bar() -> Progress:
    """Return a progress bar on standard error; it draws nothing where that is no terminal."""
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    return Progress(*columns, console=Console(stderr=True), transient=True)


def token(file: Path | None) -> str | None:
    """Return the bearer token of a file, else of the environment; never from the command line, where others see it."""
    if file is None:
        return os.environ.get(options.TOKEN_VARIABLE)
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where="--token-file") from None


def report(to: str, steps: list[Step], *, dry_run: bool, as_json: bool) -> None:
    """Print what was done, the unchanged as a count only."""
    counts = Counter(step.change for step in steps)
    if as_json:
        told = {change.value: counts[change] for change in Change}
        options.emit({"server": to, "dryRun": dry_run, "counts": told, "steps": [step.as_json() for step in steps]})
        return
    for step in steps:
        if step.change is not Change.UNCHANGED:
            own = reference.of(step.resource)
            elsewhere = f" as {step.place}" if step.place not in {"", own} else ""
            typer.echo(f"{step.change.value:<10} {own}{elsewhere}{f' ({step.detail})' if step.detail else ''}")
    told_text = ", ".join(f"{counts[change]} {change.value}" for change in Change if counts[change])
    typer.echo(f"{to}: {told_text or 'nothing to publish'}{' (dry run: nothing written)' if dry_run else ''}")
