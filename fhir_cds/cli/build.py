"""`fhir-cds build`: translate the CQL, write ELM and Library resources, or check that they are up to date."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fhir_cds.authoring import build as builder
from fhir_cds.authoring.translate import install as install_translator
from fhir_cds.errors import ContentError


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(build)


def build(
    root: Annotated[Path, typer.Option(help="Content root: the folder that holds plandefinitions/.")] = Path(),
    check: Annotated[bool, typer.Option("--check", help="Translate again and fail on any difference.")] = False,
    install: Annotated[bool, typer.Option("--install", help="Install the pinned translator with npm first.")] = False,
    every: Annotated[bool, typer.Option("--all", help="Translate every library, changed or not.")] = False,
    node_modules: Annotated[
        Path | None,
        typer.Option(envvar="FHIR_CDS_NODE_MODULES", help="Where the translator is installed [ROOT/node_modules]."),
    ] = None,
) -> None:
    """Translate CQL to ELM and write the Library resources (needs Node.js and the pinned translator)."""
    modules = (node_modules or root / "node_modules").resolve()
    try:
        if install:
            install_translator(modules)
        if check:
            _check(root, modules)
        else:
            _build(root, modules, reuse=not every)
    except ContentError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error


def _check(root: Path, modules: Path) -> None:
    complaints = builder.check(root, modules)
    for complaint in complaints:
        typer.echo(complaint, err=True)
    if complaints:
        typer.echo("generated files are stale: run fhir-cds build and commit", err=True)
        raise typer.Exit(1)
    typer.echo("generated files are up to date")


def _build(root: Path, modules: Path, *, reuse: bool) -> None:
    built = builder.build(root, modules, reuse=reuse)
    for warning in built.warnings:
        typer.echo(f"warning: {warning}", err=True)
    touched = builder.write(root, built)
    typer.echo(f"{len(built.translated)} libraries translated, {len(touched)} files written")
    for path in touched:
        typer.echo(f"  {path}")
