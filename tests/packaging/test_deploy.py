"""The files in deploy/ fit the service: its command line, its settings, the time it takes to stop."""

import re
from pathlib import Path

import typer

from fhir_cds.cli.main import application
from fhir_cds.cli.serve import GRACE_SECONDS
from fhir_cds.server.settings import PREFIX, Settings

DEPLOY = Path(__file__).parents[2] / "deploy"


def serve_options() -> set[str]:
    """The options of `fhir-cds serve`."""
    command = typer.main.get_command(application(("serve", "config"))).commands["serve"]  # type: ignore[attr-defined]
    return {name for parameter in command.params for name in parameter.opts}


def test_the_unit() -> None:
    """The unit starts `serve` with options it has, and kills only after the service's own time for calls under way."""
    unit = dict(line.split("=", 1) for line in (DEPLOY / "fhir-cds.service").read_text().splitlines() if "=" in line)
    program, command, *arguments = unit["ExecStart"].split()
    assert (Path(program).name, command) == ("fhir-cds", "serve")
    assert {argument for argument in arguments if argument.startswith("--")} <= serve_options()
    name = unit["LoadCredential"].split(":")[0]
    assert f"${{CREDENTIALS_DIRECTORY}}/{name}" in arguments
    assert int(unit["TimeoutStopSec"]) > GRACE_SECONDS


def test_the_image() -> None:
    """The image sets settings that there are, on the port it exposes, and does not run as root."""
    text = (DEPLOY / "Containerfile").read_text()
    given = dict(re.findall(rf"{PREFIX}([A-Z_]+)=(\S+)", text))
    assert {name.lower() for name in given} <= set(Settings.model_fields)
    assert f"EXPOSE {given['PORT']}\n" in text
    user = re.findall(r"^USER (\d+):\d+$", text, re.MULTILINE)
    assert user
    assert "0" not in user
    assert len(set(re.findall(r"^FROM (\S+)", text, re.MULTILINE))) == 1
