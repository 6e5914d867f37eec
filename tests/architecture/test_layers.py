"""Who may know whom."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .sources import MODULES, PACKAGE, ROOT, imports, name

HEAVY = {"starlette", "uvicorn", "fhirpy", "aiohttp", "pydantic", "fhir.resources", "typer", "sqlalchemy", "joserfc"}
LONGEST = 320


def test_layers() -> None:
    """Each layer imports only from those below it: the contract in pyproject.toml, as import-linter sees it."""
    command = shutil.which("lint-imports", path=str(Path(sys.executable).parent)) or "lint-imports"
    done = subprocess.run([command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", [p for p in MODULES if name(p).startswith("cql/")], ids=name)
def test_the_engine_stands_alone(path: Path) -> None:
    """The CQL engine imports nothing of the product but the error tree: it could be a package of its own."""
    own = [(line, module) for line, module in imports(path) if module.startswith("fhir_cds")]
    allowed = ("fhir_cds.cql", "fhir_cds.errors")
    assert [(line, module) for line, module in own if not module.startswith(allowed)] == []


@pytest.mark.parametrize("package", ["cql", "reasoning.apply", "followup.schedule", "data.record"])
def test_evaluation_loads_no_service(package: str) -> None:
    """Engine, reasoning and follow-up load neither web server, FHIR client nor FHIR model classes."""
    script = f"import sys, fhir_cds.{package}; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert HEAVY & {part for module in loaded for part in (module.split(".")[0], module)} == set()


def test_modules_are_small() -> None:
    """A module has at most 320 lines (CONTRIBUTING.md)."""
    length = {name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {module: lines for module, lines in length.items() if lines > LONGEST} == {}


def test_the_package_says_that_it_is_typed() -> None:
    """Users of the package get its types."""
    assert (PACKAGE / "py.typed").is_file()
