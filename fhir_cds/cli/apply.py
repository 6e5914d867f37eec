"""`fhir-cds apply`: the `$apply` result of one plan for one patient."""

from __future__ import annotations

from datetime import date
from typing import Annotated

import typer

from fhir_cds.cli import options
from fhir_cds.errors import InputError
from fhir_cds.followup import result
from fhir_cds.reasoning.apply import begin
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
) -> None:
    """Apply a plan: print the CarePlan with its RequestGroup and requests."""
    loaded = options.load(content)
    loaded.engine.plan(plan)
    record = options.patient(loaded, patient, fhir_server, subject)
    session = begin(loaded.engine, record, options.moment(now), Context(selected=select))
    made = result.result(session, plan, start=_day(start, "--start"), until=_day(until, "--until"))
    options.emit(result.parameters([made]) if as_r5 else made.careplan())


def _day(text: str | None, where: str) -> date | None:
    """Return a full date; raises InputError for anything else."""
    try:
        return date.fromisoformat(text) if text is not None else None
    except ValueError:
        raise InputError("a full date (2026-01-31) is expected", where=where) from None
