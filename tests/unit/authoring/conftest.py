"""A guideline of one recommendation, as files only, with the FHIRHelpers of this checkout beside it."""

import os
import shutil
from pathlib import Path

import pytest

from fhir_cds.authoring import build

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
HELPERS = ("plandefinitions/cql/FHIRHelpers.cql", "plandefinitions/cql/elm/FHIRHelpers.json")


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """A copy of the toy guideline that may be broken."""
    root = tmp_path / "toy"
    shutil.copytree(HERE / "toy", root)
    for name in HELPERS:
        shutil.copy(ROOT / name, root / name)
    build.write(root, build.build(root, no_translator(tmp_path)))
    return root


def no_translator(folder: Path) -> Path:
    """A folder for node modules in which there are none."""
    return folder / "no-node-modules"


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """Where the pinned translator is installed."""
    return Path(os.environ.get("FHIR_CDS_NODE_MODULES") or ROOT / "node_modules")
