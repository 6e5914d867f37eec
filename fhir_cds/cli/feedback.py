"""`fhir-cds feedback report`: what became of the cards, per recommendation; `purge` drops what is past its time."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fhir_cds.cli import options
from fhir_cds.cli.feedback_page import Names, names_of, page
from fhir_cds.errors import InputError
from fhir_cds.knowledge.load import content_roots
from fhir_cds.knowledge.load import load as load_content
from fhir_cds.server.settings import load as load_settings
from fhir_cds.server.store import Count, Store

Config = Annotated[Path | None, typer.Option("--config", help="TOML file of settings.")]


class Form(StrEnum):
    """How the report is written."""

    TEXT = "text"
    CSV = "csv"
    HTML = "html"
    JSON = "json"


def register(app: typer.Typer) -> None:
    """Add the command group to the application."""
    group = typer.Typer(help="What clinicians did with the cards.", no_args_is_help=True)
    group.command()(report)
    group.command()(purge)
    app.add_typer(group, name="feedback")


def report(
    config: Config = None,
    since: Annotated[str | None, typer.Option(help="First day counted, 2026-01-31 [all].")] = None,
    form: Annotated[Form, typer.Option("--format", help="Output.")] = Form.TEXT,
) -> None:
    """Print acceptance and override rates per recommendation, with the reasons given."""
    first = _day(since)
    settings = load_settings(config)
    names = names_of(load_content(content_roots(settings.content, os.environ)))
    store = _store(settings.feedback_url)
    try:
        counts, months = store.counts(first), store.months(first)
    finally:
        store.close()
    if form is Form.CSV:
        _csv(counts, names)
    elif form is Form.HTML:
        typer.echo(page(counts, months, names, datetime.now(UTC).date(), first.date() if first else None))
    elif form is Form.JSON:
        options.emit([as_json(count) for count in counts])
    else:
        _text(counts, names)


def purge(config: Config = None) -> None:
    """Delete answers and feedback that are older than the retention time of the settings."""
    settings = load_settings(config)
    store = _store(settings.feedback_url)
    try:
        number = store.purge(datetime.now(UTC) - timedelta(days=settings.feedback_retention_days))
    finally:
        store.close()
    typer.echo(f"{number} rows older than {settings.feedback_retention_days} days deleted")


def _store(url: str) -> Store:
    """Return the store that a service wrote; raises InputError where none is: an empty report would be a false one."""
    path = url.partition(":///")[2].partition("?")[0] if url.startswith("sqlite") else ""
    if path and not Path(path).is_file():
        told = f"no store at {path}: run this with the service's settings, and in its folder where the path is relative"
        raise InputError(told, where="feedback_url")
    return Store(url)


def as_json(count: Count) -> dict[str, object]:
    """Return a count as JSON."""
    return {
        "recommendation": count.recommendation,
        "shown": count.shown,
        "accepted": count.accepted,
        "overridden": count.overridden,
        "reasons": [{"reason": reason, "times": times} for reason, times in count.reasons],
    }


def rate(part: int, whole: int) -> str:
    """Return a share as whole percent, with its numbers; "" of nothing."""
    return f"{round(100 * part / whole)} % ({part} of {whole})" if whole else ""


def _day(text: str | None) -> datetime | None:
    """Return a day as its first moment in UTC; raises InputError."""
    if text is None:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise InputError("a day (2026-01-31) is expected", where="--since") from None


def _text(counts: Sequence[Count], names: Names) -> None:
    """Print a table for people; a recommendation by its id, with its title where the content has it."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("Recommendation", "Shown", "Accepted", "Overridden", "Reasons"):
        table.add_column(column, overflow="fold")
    for count in counts:
        reasons = "; ".join(f"{reason.rpartition('|')[2]} ({times})" for reason, times in count.reasons)
        title = names.title(count.recommendation)
        table.add_row(
            Text("\n".join(dict.fromkeys((count.recommendation, title)))),
            str(count.shown),
            rate(count.accepted, count.answered),
            rate(count.overridden, count.answered),
            reasons,
        )
    Console().print(table if counts else "No cards have been shown yet.")


def _csv(counts: Sequence[Count], names: Names) -> None:
    """Print one line per recommendation and reason."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(("recommendation", "title", "shown", "accepted", "overridden", "reason", "times"))
    for count in counts:
        for reason, times in count.reasons or (("", 0),):
            title = names.title(count.recommendation)
            row = (count.recommendation, title, count.shown, count.accepted, count.overridden, reason, times)
            writer.writerow([_harmless(cell) for cell in row])


def _harmless(cell: object) -> object:
    """Return a cell that no spreadsheet takes for a formula: reasons come from callers."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in {"=", "+", "-", "@", "\t", "\r"} else cell
