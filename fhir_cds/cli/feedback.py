"""`fhir-cds feedback report`: what became of the cards, per recommendation; `purge` drops what is past its time."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import jinja2
import typer
from rich.console import Console
from rich.table import Table

from fhir_cds.cli import options
from fhir_cds.errors import InputError
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
    store = Store(load_settings(config).feedback_url)
    try:
        counts = store.counts(first)
    finally:
        store.close()
    if form is Form.CSV:
        _csv(counts)
    elif form is Form.HTML:
        typer.echo(html(counts))
    elif form is Form.JSON:
        options.emit([as_json(count) for count in counts])
    else:
        _text(counts)


def purge(config: Config = None) -> None:
    """Delete answers and feedback that are older than the retention time of the settings."""
    settings = load_settings(config)
    store = Store(settings.feedback_url)
    try:
        number = store.purge(datetime.now(UTC) - timedelta(days=settings.feedback_retention_days))
    finally:
        store.close()
    typer.echo(f"{number} rows older than {settings.feedback_retention_days} days deleted")


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


def _text(counts: Sequence[Count]) -> None:
    """Print a table for people."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("Recommendation", "Shown", "Accepted", "Overridden", "Reasons"):
        table.add_column(column, overflow="fold")
    for count in counts:
        reasons = "; ".join(f"{reason.rpartition('|')[2]} ({times})" for reason, times in count.reasons)
        table.add_row(
            count.recommendation,
            str(count.shown),
            rate(count.accepted, count.answered),
            rate(count.overridden, count.answered),
            reasons,
        )
    Console().print(table if counts else "No cards have been shown yet.")


def _csv(counts: Sequence[Count]) -> None:
    """Print one line per recommendation and reason."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(("recommendation", "shown", "accepted", "overridden", "reason", "times"))
    for count in counts:
        for reason, times in count.reasons or (("", 0),):
            writer.writerow((count.recommendation, count.shown, count.accepted, count.overridden, reason, times))


def html(counts: Sequence[Count]) -> str:
    """Return a page with a bar per recommendation: accepted, overridden, no answer."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    most = max((count.shown for count in counts), default=1)
    return environment.from_string(_PAGE).render(counts=counts, most=most, rate=rate)


_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Feedback on cards</title>
<style>
body { font: 15px/1.5 sans-serif; margin: 2em; max-width: 70em; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .3em .8em .3em 0; border-bottom: 1px solid #ddd; vertical-align: top; }
.accepted { fill: #2a7d4f; } .overridden { fill: #b3541e; } .none { fill: #c8ccd0; }
</style></head>
<body>
<h1>Feedback on cards</h1>
<p>Per recommendation: cards shown, accepted, overridden; the last feedback on a card counts.</p>
<table>
<tr><th>Recommendation</th><th>Shown</th><th>Accepted</th><th>Overridden</th><th></th><th>Reasons</th></tr>
{%- for count in counts %}
{%- set scale = 300 / most %}
<tr><td>{{ count.recommendation }}</td><td>{{ count.shown }}</td>
<td>{{ rate(count.accepted, count.answered) }}</td><td>{{ rate(count.overridden, count.answered) }}</td>
<td><svg width="300" height="16" role="img"
 aria-label="{{ count.accepted }} accepted, {{ count.overridden }} overridden,
 {{ count.shown - count.answered }} without answer">
<rect class="accepted" height="16" width="{{ count.accepted * scale }}"/>
<rect class="overridden" height="16" x="{{ count.accepted * scale }}" width="{{ count.overridden * scale }}"/>
<rect class="none" height="16" x="{{ count.answered * scale }}" width="{{ (count.shown - count.answered) * scale }}"/>
</svg></td>
<td>{% for reason, times in count.reasons %}{{ reason.rpartition("|")[2] }} ({{ times }})<br>{% endfor %}</td></tr>
{%- endfor %}
</table>
</body>
</html>
"""
