"""`fhir-cds package`: the content as a transaction Bundle and as a FHIR package."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

import typer

from fhir_cds.authoring import package as packer


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(package)


def package(
    root: Annotated[Path, typer.Option(help="Content root: the folder that holds plandefinitions/.")] = Path(),
    out: Annotated[Path, typer.Option(help="Where to write.")] = Path("dist"),
) -> None:
    """Write the content as one transaction Bundle and as a FHIR package (tgz), and print their digests."""
    out.mkdir(parents=True, exist_ok=True)
    for name, content in packer.package(root).items():
        (out / name).write_bytes(content)
        typer.echo(f"{hashlib.sha256(content).hexdigest()}  {out / name}")
