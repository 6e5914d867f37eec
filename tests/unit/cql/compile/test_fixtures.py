"""The fixtures' ELM is what the pinned translator makes of their CQL."""

from __future__ import annotations

import os
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


def _regenerate() -> Any:
    spec = spec_from_file_location("cql_fixtures_regenerate", HERE / "regenerate.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.node
def test_elm_of_the_fixtures_is_fresh() -> None:
    """Translating the CQL again gives the committed ELM byte for byte."""
    folder = os.environ.get("FHIR_CDS_NODE_MODULES")
    modules = Path(folder) if folder else Path(__file__).resolve().parents[4] / "node_modules"
    for name, content in _regenerate().translated(modules).items():
        assert (HERE / "fixtures" / name).read_bytes() == content, name
