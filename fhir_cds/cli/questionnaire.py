"""`fhir-cds questionnaire`: what is missing of a patient as a form to fill in, and what the answers change."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from fhir_cds.cli import options
from fhir_cds.data.answers import answered
from fhir_cds.data.forms import Form, Forms
from fhir_cds.data.record import PatientRecord, from_resources
from fhir_cds.errors import InputError, NotFoundError
from fhir_cds.fhir import codec
from fhir_cds.reasoning import populate
from fhir_cds.reasoning.apply import begin
from fhir_cds.reasoning.needs import needs
from fhir_cds.reasoning.outcomes import outcomes


class Print(StrEnum):
    """What is printed."""

    QUESTIONNAIRE = "questionnaire"
    RESPONSE = "response"
    NEEDS = "needs"
    TEXT = "text"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(questionnaire)


def questionnaire(
    *,
    patient: options.Patient = None,
    fhir_server: options.FhirServer = None,
    subject: options.Subject = None,
    name: Annotated[str | None, typer.Option("--questionnaire", help="Its id or canonical [the only one].")] = None,
    answers: Annotated[
        Path | None, typer.Option("--answers", help="A completed QuestionnaireResponse: prints what it changes.")
    ] = None,
    now: options.Now = None,
    form: Annotated[
        Print,
        typer.Option("--format", help="The form for this patient, the response begun, the missing facts; or text."),
    ] = Print.QUESTIONNAIRE,
    content: options.Content = None,
) -> None:
    """Ask for the facts that would decide most, in a form with what is known filled in; or say what answers change."""
    loaded = options.load(content)
    record = options.patient(loaded, patient, fhir_server, subject)
    moment = options.moment(now)
    before = outcomes(loaded.engine, record, moment)
    if answers is not None:
        after = outcomes(loaded.engine, _with(record, answers, loaded), moment)
        options.emit(_changes(before, after))
        return
    steps = needs(before)
    if form is Print.NEEDS:
        options.emit([{"facts": list(step.facts), "decides": list(step.decides)} for step in steps])
    elif form is Print.TEXT:
        console = Console()
        for step in steps:
            texts = "; ".join(loaded.fact_texts.get(fact, fact) for fact in step.facts)
            console.print(f"{texts}  → {', '.join(step.decides)}", highlight=False, markup=False, soft_wrap=True)
    else:
        session = begin(loaded.engine, record, moment)
        make = populate.questionnaire if form is Print.QUESTIONNAIRE else populate.response
        options.emit(make(session, _form(loaded.forms, name), steps))


def _with(record: PatientRecord, file: Path, loaded: options.Guidelines) -> PatientRecord:
    """Return the record with a response, or a Bundle of them; raises InputError when nothing in it counts."""
    try:
        document = codec.decode(file.read_bytes(), where=str(file), limit=options.LARGEST_FILE)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(file)) from None
    entries = document.get("entry", ()) if isinstance(document, dict) else ()
    found = [entry.get("resource") for entry in entries] if entries else [document]
    given = [{"id": f"answers-{number}", **item} for number, item in enumerate(found) if isinstance(item, dict)]
    joined = from_resources(
        [*record.resources, *given], subject=record.subject, systems=loaded.systems, where=str(file)
    )
    read = answered(joined, loaded.forms)
    for gap in read.gaps:
        typer.echo(f"not read: {gap.reason}", err=True)
    if len(read.resources) == len(joined.resources):
        raise InputError("nothing in it is an answer that counts: completed, to a form of the content", where=str(file))
    return read


def _changes(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the recommendations whose outcome or missing facts differ."""
    return [
        {**new, "before": {"outcome": old["outcome"], "missing": old["missing"]}}
        for old, new in zip(before, after, strict=True)
        if (old["outcome"], old["missing"]) != (new["outcome"], new["missing"])
    ]


def _form(forms: Forms, name: str | None) -> Form:
    """Return the form named, else the only one; raises NotFoundError or InputError."""
    every = {form.canonical: form for form in forms.by_canonical.values()}
    if name is None:
        if len(every) != 1:
            raise InputError(f"the content has {len(every)} questionnaires; name one", where="--questionnaire")
        return next(iter(every.values()))
    found = forms.find(name) or next((form for form in every.values() if form.questionnaire["id"] == name), None)
    if found is None:
        raise NotFoundError("there is no such questionnaire in the content", where="--questionnaire")
    return found
