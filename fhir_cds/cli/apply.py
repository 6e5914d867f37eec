"""`fhir-cds apply`: the `$apply` result of one plan for one patient."""

from __future__ import annotations

from typing import Annotated

import typer

from fhir_cds.cli import options
from fhir_cds.followup.careplan import with_schedules
from fhir_cds.followup.schedule import schedules_in
from fhir_cds.reasoning import assemble, r5
from fhir_cds.reasoning.apply import apply_in, begin


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
    as_r5: Annotated[bool, typer.Option("--r5", help="As $r5.apply: Parameters with one Bundle.")] = False,
    content: options.Content = None,
) -> None:
    """Apply a plan: print the CarePlan with its RequestGroup and requests."""
    loaded = options.load(content)
    loaded.engine.plan(plan)
    record = options.patient(loaded, patient, fhir_server, subject)
    session = begin(loaded.engine, record, options.moment(now))
    applied = apply_in(session, plan)
    if as_r5:
        options.emit(r5.parameters([applied]))
    else:
        options.emit(with_schedules(assemble.careplan(applied), schedules_in(session, applied)))
