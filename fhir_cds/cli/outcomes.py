"""`fhir-cds outcomes`: every recommendation of the content, asked of one patient."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from fhir_cds.cli import options
from fhir_cds.cli.options import Format
from fhir_cds.reasoning.outcomes import outcomes as ask

_STYLES: Final = {"applicable": "green", "unknown": "yellow", "failed": "bold red", "not-applicable": "dim"}


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(outcomes)


def outcomes(
    *,
    patient: options.Patient = None,
    fhir_server: options.FhirServer = None,
    subject: options.Subject = None,
    now: options.Now = None,
    form: Annotated[Format, typer.Option("--format", help="Output.")] = Format.JSON,
    content: options.Content = None,
) -> None:
    """Say for each recommendation whether it applies, and why, or which facts are missing."""
    loaded = options.load(content)
    record = options.patient(loaded, patient, fhir_server, subject)
    found = ask(loaded.engine, record, options.moment(now))
    if form is Format.JSON:
        options.emit(found)
    else:
        _print(found, loaded.fact_texts)


def _print(found: list[dict[str, Any]], texts: Any) -> None:
    """Print a table for people, what applies first."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("Source", "Number", "Outcome", "Because / missing"):
        table.add_column(column, overflow="fold")
    order = list(_STYLES)
    for item in sorted(found, key=lambda item: order.index(item["outcome"])):
        table.add_row(
            item["source"], item["number"], item["outcome"], _grounds(item, texts), style=_STYLES[item["outcome"]]
        )
    Console().print(table)


def _grounds(item: dict[str, Any], texts: Any) -> str:
    """Return missing facts by their text, issues, or the resources that led to the outcome."""
    if item["missing"]:
        return "; ".join(str(texts.get(fact, fact)) for fact in item["missing"])
    if item["outcome"] == "failed":
        return "; ".join(str(issue.get("diagnostics", "")) for issue in item.get("issues", ()))
    return ", ".join(dict.fromkeys(ref for reason in item["because"] for ref in reason["resources"]))
