"""The fixtures' ELM is what the pinned translator makes of their CQL."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .regenerate import translated

HERE = Path(__file__).parent


@pytest.mark.node
def test_elm_of_the_fixtures_is_fresh() -> None:
    """Translating the CQL again gives the committed ELM byte for byte."""
    folder = os.environ.get("FHIR_CDS_NODE_MODULES")
    modules = Path(folder) if folder else Path(__file__).resolve().parents[4] / "node_modules"
    for name, content in translated(modules).items():
        assert (HERE / "fixtures" / name).read_bytes() == content, name
