"""The cases of every recommendation, as `fhir-cds test` runs them."""

from pathlib import Path

import pytest

from fhir_cds.authoring import cases, runner
from fhir_cds.knowledge.load import load
from fhir_cds.reasoning.engine import Engine

ROOT = Path(__file__).parents[2]
PATHS = cases.find(ROOT)
BASES: cases.Bases = {}
WORDS = cases.words(ROOT)


@pytest.fixture(scope="module")
def engine() -> Engine:
    """The content of this checkout, compiled once."""
    return Engine.load(load([ROOT]))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_case(engine: Engine, path: Path) -> None:
    """The recommendation says what the case expects."""
    result = runner.run(engine, cases.load(path, WORDS, BASES))
    assert result.passed, "\n".join((result.case.title, *result.differences, result.why))
