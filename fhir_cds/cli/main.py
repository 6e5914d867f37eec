"""The `fhir-cds` command: finds its subcommands, turns every known error into one line and exit code 2."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Final

import typer

from fhir_cds import __version__
from fhir_cds.errors import FhirCdsError

COMMANDS: Final = (
    "demo",
    "serve",
    "outcomes",
    "survey",
    "questionnaire",
    "apply",
    "schedule",
    "feedback",
    "config",
    "build",
    "lint",
    "fmt",
    "test",
    "mutate",
    "sheet",
    "package",
    "publish",
    "check_server",
)
"""Modules of this package with a `register(app)`, in the order of the help; one that is not installed is left out."""

BAD_INPUT: Final = 2
FAILED: Final = 1


def application(commands: Sequence[str] = COMMANDS) -> typer.Typer:
    """Return the application with these subcommands."""
    app = typer.Typer(
        name="fhir-cds",
        help="Sarcoma guidelines that run: CDS Hooks, $apply and follow-up from FHIR records.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(_root)
    for name in commands:
        module = f"fhir_cds.cli.{name}"
        if importlib.util.find_spec(module) is not None:
            importlib.import_module(module).register(app)
    return app


def main() -> None:
    """Run the command line; known errors end with a message that says what and where, and exit code 2."""
    try:
        sys.exit(run(sys.argv[1:]))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)


def run(arguments: list[str]) -> int:
    """Run the command line with arguments and return its exit code."""
    try:
        typer.main.get_command(application(_needed(arguments))).main(arguments, prog_name="fhir-cds")
    except FhirCdsError as error:
        typer.echo(f"fhir-cds: {error}", err=True)
        return BAD_INPUT
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else FAILED
    return 0


def _needed(arguments: Sequence[str]) -> Sequence[str]:
    """Return the modules to import: that of the command named, all where none is (help, mistakes)."""
    name = arguments[0].replace("-", "_") if arguments else ""
    return (name,) if name in COMMANDS else COMMANDS


def _version(asked: bool) -> None:
    """Print the version and stop."""
    if asked:
        typer.echo(__version__)
        raise typer.Exit


def _root(
    _version_asked: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Sarcoma guidelines that run: CDS Hooks, $apply and follow-up from FHIR records."""


if __name__ == "__main__":
    main()
