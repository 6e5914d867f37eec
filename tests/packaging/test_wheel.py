"""The wheel carries the content, and the command runs from it."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("plandefinitions", "valuesets", "hooks")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built by pip as a user's would."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_has_every_content_file(wheel: Path) -> None:
    """All JSON of the content folders ships inside the package, and the licence and notice beside it."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    wanted = {
        f"fhir_cds/_content/{path.relative_to(ROOT).as_posix()}"
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*.json")
    }
    assert wanted - names == set()
    assert "fhir_cds/py.typed" in names
    assert {Path(name).name for name in names if ".dist-info/licenses/" in name} == {"LICENSE", "NOTICE"}
    assert not [name for name in names if "node_modules" in name or name.startswith("tests/")]


def test_outcomes_run_from_the_wheel(wheel: Path, tmp_path: Path) -> None:
    """Away from the checkout, the wheel's own content answers for a patient."""
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    patient = tmp_path / "patient.json"
    patient.write_text('{"resourceType": "Patient", "id": "p"}')
    script = f"import sys; sys.path.insert(0, {str(site)!r}); from fhir_cds.cli.main import main; main()"
    command = [sys.executable, "-I", "-c", script, "outcomes", "--patient", str(patient), "--now", "2026-01-31"]
    done = subprocess.run([*command, "--format", "text"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "not-applicable" in done.stdout or "not applicable" in done.stdout
