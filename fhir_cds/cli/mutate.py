"""`fhir-cds mutate`: count the slips in the logic that the cases would notice."""

from __future__ import annotations

import random
from collections import defaultdict
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
    done = 0

    def tell(_: bench.Fate) -> None:
        nonlocal done
        done += 1
        if done % 100 == 0:
            typer.echo(f"{done} of {len(chosen)}", err=True)

    fates = bench.run(root, chosen, jobs, tell)
    survivors: dict[Name, list[bench.Fate]] = defaultdict(list)
    for fate in fates:
        if fate.end in {bench.SURVIVED, bench.UNREACHED}:
            survivors[fate.mutant.define].append(fate)
    for name, group in survivors.items():
        typer.echo(f'{name.library}."{name.name}"')
        for fate in group:
            typer.echo(f"  {fate.end}: {fate.mutant}")
    caught, counted = bench.share(fates)
    percent = 100 * caught / counted if counted else 100.0
    typer.echo(f"{caught} of {counted} mutants caught ({percent:.1f} %), {len(fates) - counted} did not compile")
    if percent < fail_under:
        raise typer.Exit(1)
