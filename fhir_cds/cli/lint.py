"""`fhir-cds lint`: check guideline content."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from fhir_cds.authoring import lint as linter


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(lint)


def lint(
    root: Annotated[Path, typer.Option(help="Content root: the folder that holds plandefinitions/.")] = Path(),
    catalogue: Annotated[
        Path | None,
        typer.Option(help="Folder with recommendations.json and coding.json [ROOT/../shared/guidelines, if there]."),
    ] = None,
    rule: Annotated[list[str] | None, typer.Option(help="Only this rule (may be repeated).")] = None,
    rules: Annotated[bool, typer.Option("--rules", help="List the rules and stop.")] = False,
) -> None:
    """Check guideline content; prints one line per finding and fails if there is one."""
    if rules:
        for code, function in linter.RULES.items():
            typer.echo(f"{code}  {(function.__doc__ or '').partition(': ')[2].strip()}")
        return
    usual = root.resolve().parent / "shared" / "guidelines"
    folder = catalogue or (usual if usual.is_dir() else None)
    if folder is None:
        rules_of_it = ", ".join(sorted(linter.CATALOGUED))
        typer.echo(f"no catalogue of recommendations and codes at hand: {rules_of_it} look at less", err=True)
    findings = linter.lint(root, folder, rule or ())
    for finding in findings:
        typer.echo(str(finding))
    count = Counter(finding.rule for finding in findings)
    summary = ", ".join(f"{code} {n}" for code, n in sorted(count.items()))
    typer.echo(
        f"{len(findings)} findings ({summary})" if findings else f"{len(rule or linter.RULES)} rules, no finding"
    )
    if findings:
        raise typer.Exit(1)
