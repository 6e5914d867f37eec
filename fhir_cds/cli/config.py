"""`fhir-cds config show`: the settings in force, where each comes from by rank, secrets masked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final

import typer

from fhir_cds.cli import options
from fhir_cds.server.settings import PREFIX, Settings
from fhir_cds.server.settings import load as load_settings

MASK: Final = "********"
_IN_QUERY: Final = re.compile(r"([?&][a-z]*password=)[^&]*")


def register(app: typer.Typer) -> None:
    """Add the command group to the application."""
    group = typer.Typer(help="Settings of the service.", no_args_is_help=True)
    group.command()(show)
    group.command()(describe)
    app.add_typer(group, name="config")


def show(config: Annotated[Path | None, typer.Option(help="TOML file of settings.")] = None) -> None:
    """Print the settings that `serve` would use with this file and the present environment."""
    settings = load_settings(config)
    shown = settings.model_dump(mode="json")
    shown["hash_key"] = MASK if settings.hash_key.get_secret_value() else None
    shown["feedback_url"] = masked(settings.feedback_url)
    shown["mode"] = f"{settings.mode} (development)" if settings.development else f"{settings.mode} (production)"
    options.emit(shown)


def describe() -> None:
    """Print every setting with its environment variable, default and meaning."""
    for name, field in Settings.model_fields.items():
        value = field.get_default(call_default_factory=True)
        default = f" [{value}]" if value not in {None, ()} else ""
        typer.echo(f"{name} ({PREFIX}{name.upper()}){default}\n    {field.description}")


def masked(url: str) -> str:
    """Return a database URL without its password, which may stand before the host or in the query."""
    url = _IN_QUERY.sub(rf"\1{MASK}", url)
    head, at, tail = url.rpartition("@")
    if not at:
        return url
    scheme, separator, user = head.partition("://")
    return f"{scheme}{separator}{user.partition(':')[0]}:{MASK}@{tail}"
