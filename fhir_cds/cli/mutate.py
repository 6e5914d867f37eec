"""`fhir-cds mutate`: count the slips in the logic that the cases would notice."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Annotated

import typer

from fhir_cds.authoring import mutate as bench
from fhir_cds.authoring import survivors
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
    fail_under: Annotated[float, typer.Option(help="Fail below this percentage caught, in any library.")] = 0.0,
    explained: Annotated[bool, typer.Option("--explained", help="Fail on a survivor without an explanation.")] = False,
) -> None:
    """Flip comparisons, thresholds, boolean operators, bounds and value sets; run the cases; list what survives.

    Survivors that no case can catch stand with their reason in tests/recommendations/survivors.toml; they do not count
    as caught, and an entry there that explains none is an error.
    """

    def wanted(name: Name) -> bool:
        return (not library or name.library in library) and (not define or name.name in define)

    sources, reasons = survivors.Sources.read(root), survivors.explained(root)
    population = bench.population(bench.logic_of(root))
    chosen = [mutant for mutant in population if wanted(mutant.define)]
    if sample is not None and sample < len(chosen):
        places = random.Random(0).sample(range(len(chosen)), sample)  # noqa: S311 - a sample, not a secret
        chosen = [chosen[place] for place in sorted(places)]
    headed: list[Name] = []

    def tell(fate: bench.Fate) -> None:
        wrong = sources.wrong(fate.mutant)
        if not fate.alive or wrong in reasons:
            return
        name = fate.mutant.define
        if headed[-1:] != [name]:
            headed.append(name)
            typer.echo(f'{name.library}."{name.name}"')
        typer.echo(f"  {fate.end}: {fate.mutant}: {wrong.text}")

    fates = bench.run(root, chosen, jobs, tell)
    alive = {sources.wrong(fate.mutant) for fate in fates if fate.alive}
    stale = survivors.stale(reasons, map(sources.wrong, population), map(sources.wrong, chosen), alive)
    for wrong in stale:
        typer.echo(f"{survivors.FILE} explains no survivor: {wrong.define}: {wrong.change}: {wrong.text}")
    lowest = _report(fates, alive & reasons.keys(), sources)
    if lowest < fail_under or stale or (explained and alive - reasons.keys()):
        raise typer.Exit(1)


def _report(fates: Sequence[bench.Fate], excused: set[survivors.Wrong], sources: survivors.Sources) -> float:
    """Print the counts of each library and their sum; return the lowest percentage caught."""
    lowest = 100.0
    for name, group in groupby(fates, key=lambda fate: fate.mutant.define.library):
        lowest = min(lowest, _line(name, list(group), excused, sources))
    _line("all libraries", fates, excused, sources)
    return lowest


def _line(name: str, fates: Sequence[bench.Fate], excused: set[survivors.Wrong], sources: survivors.Sources) -> float:
    caught, counted = bench.share(fates)
    percent = 100 * caught / counted if counted else 100.0
    with_reason = sum(fate.alive and sources.wrong(fate.mutant) in excused for fate in fates)
    typer.echo(
        f"{name}: {caught} of {counted} mutants caught ({percent:.1f} %), {with_reason} explained, "
        f"{counted - caught - with_reason} not, {len(fates) - counted} did not compile"
    )
    return percent
