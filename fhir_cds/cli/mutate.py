"""`fhir-cds mutate`: count the slips in the logic that the cases would notice."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Annotated

import typer

from fhir_cds.authoring import mutate as bench
from fhir_cds.authoring.elm_graph import Name


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(mutate)


def mutate(
    *,
    root: Annotated[Path, typer.Option(help="Content root: the folder that holds plandefinitions/.")] = Path(),
    library: Annotated[list[str] | None, typer.Option(help="Only this CQL library (may be repeated).")] = None,
    define: Annotated[list[str] | None, typer.Option(help="Only this define (may be repeated).")] = None,
    sample: Annotated[int | None, typer.Option(help="Only so many mutants, spread evenly by a fixed seed.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    fail_under: Annotated[float, typer.Option(help="Fail below this percentage caught.")] = 0.0,
) -> None:
    """Flip comparisons, thresholds, boolean operators, bounds and value sets; run the cases; list what survives."""

    def wanted(name: Name) -> bool:
        return (not library or name.library in library) and (not define or name.name in define)

    chosen = bench.population(bench.logic_of(root), wanted)
    if sample is not None and sample < len(chosen):
        places = random.Random(0).sample(range(len(chosen)), sample)  # noqa: S311 - a sample, not a secret
        chosen = [chosen[place] for place in sorted(places)]
    headed: list[Name] = []

    def tell(fate: bench.Fate) -> None:
        if fate.end not in {bench.SURVIVED, bench.UNREACHED}:
            return
        name = fate.mutant.define
        if headed[-1:] != [name]:
            headed.append(name)
            typer.echo(f'{name.library}."{name.name}"')
        typer.echo(f"  {fate.end}: {fate.mutant}")

    fates = bench.run(root, chosen, jobs, tell)
    caught, counted = bench.share(fates)
    percent = 100 * caught / counted if counted else 100.0
    typer.echo(f"{caught} of {counted} mutants caught ({percent:.1f} %), {len(fates) - counted} did not compile")
    if percent < fail_under:
        raise typer.Exit(1)
