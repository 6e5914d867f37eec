"""`fhir-cds sheet`: write the pages that physicians review, or check that they are fresh."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fhir_cds.authoring import sheet as writer
from fhir_cds.authoring.lint.view import read
from fhir_cds.knowledge.load import load
from fhir_cds.reasoning.engine import Engine


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(sheet)


def sheet(
    root: Annotated[Path, typer.Option(help="Content root: the folder that holds plandefinitions/.")] = Path(),
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail if a page would change.")] = False,
) -> None:
    """Write docs/recommendations: a page per recommendation, and an index that traces each to its cases."""
    pages = writer.sheets(read(root), Engine.load(load([root])))
    complaints = list(writer.stale(root, pages))
    if check:
        for complaint in complaints:
            typer.echo(complaint, err=True)
        if complaints:
            typer.echo("pages are stale: run fhir-cds sheet and commit", err=True)
            raise typer.Exit(1)
        typer.echo(f"{len(pages)} pages are up to date")
        return
    for path in writer.leftovers(root, pages):
        (root / path).unlink()
    for path, content in pages.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    typer.echo(f"{len(pages)} pages, {len(complaints)} changed")
