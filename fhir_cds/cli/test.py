"""`fhir-cds test`: run the cases of recommendations and print a report that a physician can read."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Annotated

import typer

from fhir_cds.authoring import cases, runner
from fhir_cds.authoring.cases import Case
from fhir_cds.knowledge.load import load
from fhir_cds.reasoning.engine import Engine


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("test")(run_cases)


def run_cases(
    selection: Annotated[
        list[str] | None, typer.Argument(help="Plan ids, case ids, folders or files; all cases without one.")
    ] = None,
    root: Annotated[Path, typer.Option(help="Content root: the folder that holds plandefinitions/.")] = Path(),
    why: Annotated[bool, typer.Option(help="After a difference, show how the outcome came about.")] = True,
) -> None:
    """Run the cases of recommendations: the published sentence against what the logic says."""
    engine = Engine.load(load([root]))
    loaded = list(cases.load_all(root, selection or ()))
    broken = [entry for entry in loaded if not isinstance(entry, Case)]
    for path, error in broken:
        typer.echo(f"cannot be read: {path.parent.name}/{path.name}: {error}")
    readable = [entry for entry in loaded if isinstance(entry, Case)]
    results = [runner.run(engine, case) for case in readable]
    for folder, group in groupby(results, key=lambda result: result.case.path.parent.name):
        _report(folder, list(group), why=why)
    failed = sum(not result.passed for result in results) + len(broken)
    typer.echo(f"\n{len(loaded)} cases: {len(loaded) - failed} as expected, {failed} not")
    if failed:
        raise typer.Exit(1)


def _report(folder: str, results: Sequence[runner.Result], *, why: bool) -> None:
    typer.echo(f"\n{folder}")
    for result in results:
        typer.echo(f"  {'ok ' if result.passed else 'NOT'}  {result.case.title}  ({result.case.guideline})")
        for difference in result.differences:
            typer.echo(f"         {difference}")
        if why and result.why:
            typer.echo("".join(f"         | {line}\n" for line in result.why.splitlines()), nl=False)
