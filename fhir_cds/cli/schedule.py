"""`fhir-cds schedule`: the follow-up of one patient as dated visits with their status."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from fhir_cds.cli import options
from fhir_cds.followup import ics, text
from fhir_cds.followup.schedule import items, schedules


class Form(StrEnum):
    """How the schedule is printed."""

    JSON = "json"
    TEXT = "text"
    ICS = "ics"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(schedule)


def schedule(
    *,
    patient: options.Patient = None,
    fhir_server: options.FhirServer = None,
    subject: options.Subject = None,
    now: options.Now = None,
    form: Annotated[Form, typer.Option("--format", help="Output.")] = Form.JSON,
    content: options.Content = None,
) -> None:
    """Print the follow-up visits: window, status as of now, and what belongs to each."""
    loaded = options.load(content)
    record = options.patient(loaded, patient, fhir_server, subject)
    found = schedules(loaded.engine, record, options.moment(now))
    if form is Form.JSON:
        options.emit([item for one in found for item in items(one)])
    else:
        typer.echo(text.text(found) if form is Form.TEXT else ics.calendar(found), nl=False)
