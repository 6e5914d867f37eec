"""`fhir-cds fmt`: write authored JSON in its one form, or check that it is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fhir_cds.authoring import fmt as formatter


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(fmt)


def fmt(
    root: Annotated[Path, typer.Option(help="Content root: the folder that holds plandefinitions/.")] = Path(),
    check: Annotated[bool, typer.Option("--check", help="Change nothing; fail if a file would change.")] = False,
) -> None:
    """Write authored JSON in canonical form: two spaces, FHIR's order of elements, UTF-8."""
    changed = 0
    for path in formatter.files(root):
        content = formatter.formatted(path)
        if content != path.read_bytes():
            changed += 1
            typer.echo(f"{path.relative_to(root)}{': not in canonical form' if check else ''}")
            if not check:
                path.write_bytes(content)
    typer.echo(f"{changed} files {'differ (run fhir-cds fmt)' if check else 'changed'}")
    if check and changed:
        raise typer.Exit(1)
