"""`fhir-cds apply`: the `$apply` result of one plan for one patient."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from fhir_cds.authoring import foreign
from fhir_cds.cli import options
from fhir_cds.errors import InputError
from fhir_cds.followup import result
from fhir_cds.knowledge.load import is_root
from fhir_cds.reasoning.apply import begin
from fhir_cds.reasoning.outcome import Json
from fhir_cds.reasoning.session import Context


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(apply)


def apply(
    plan: Annotated[str, typer.Argument(help="Id or canonical of a PlanDefinition.")],
    *,
    patient: options.Patient = None,
    fhir_server: options.FhirServer = None,
    subject: options.Subject = None,
    now: options.Now = None,
    start: Annotated[str | None, typer.Option(help="Day from which timings are counted: gives dated requests.")] = None,
    until: Annotated[str | None, typer.Option(help="Last day of timings that have no end.")] = None,
    select: Annotated[list[str] | None, typer.Option(help="Id of an action that is chosen; repeatable.")] = None,
    as_r5: Annotated[bool, typer.Option("--r5", help="As $r5.apply: Parameters with one Bundle.")] = False,
    content: options.Content = None,
    node_modules: Annotated[
        Path | None, typer.Option(envvar="FHIR_CDS_NODE_MODULES", help="Where the CQL translator is installed.")
    ] = None,
) -> None:
    """Apply a plan: print the CarePlan with its RequestGroup and requests.

    --content may also name files of any layout (an implementation guide, a Bundle, an unpacked package): then only what
    the plan names is loaded, and its CQL is translated where the translator is installed.
    """
    if content and not any(is_root(root) for root in content):
        loaded, definition = _foreign(content, plan, node_modules)
    else:
        loaded = options.load(content)
        definition = loaded.engine.plan(plan)
    record = options.patient(loaded, patient, fhir_server, subject, reads=definition)
    session = begin(loaded.engine, record, options.moment(now), Context(selected=select))
    made = result.result(session, definition, start=_day(start, "--start"), until=_day(until, "--until"))
    options.emit(result.parameters([made]) if as_r5 else made.careplan())


def _foreign(paths: Sequence[Path], plan: str, node_modules: Path | None) -> tuple[options.Guidelines, Json]:
    """Return a plan in files of any layout, with what it needs; notes go to standard error."""
    found = foreign.load(paths, plan, node_modules)
    for note in found.notes:
        typer.echo(f"note: {note}", err=True)
    return options.guidelines(found.knowledge, found.engine), found.plan


def _day(text: str | None, where: str) -> date | None:
    """Return a full date; raises InputError for anything else."""
    try:
        return date.fromisoformat(text) if text is not None else None
    except ValueError:
        raise InputError("a full date (2026-01-31) is expected", where=where) from None
