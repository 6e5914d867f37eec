"""Write the ELM of the fixtures again, with Node.js: `python tests/unit/cql/compile/regenerate.py`."""

from __future__ import annotations

import os
from pathlib import Path

from fhir_cds.authoring.elm_form import stripped, text
from fhir_cds.authoring.helpers import fhir_helpers
from fhir_cds.authoring.translate import translate

FIXTURES = Path(__file__).parent / "fixtures"


def translated(node_modules: Path) -> dict[str, bytes]:
    """Return the committed form of each fixture's ELM, by file name."""
    sources = {path.stem: path.read_text(encoding="utf-8") for path in sorted(FIXTURES.glob("*.cql"))}
    answer = translate({**sources, "FHIRHelpers": fhir_helpers(node_modules)}, list(sources), node_modules=node_modules)
    return {f"{name}.json": text(stripped(library.elm)) for name, library in answer.libraries.items()}


if __name__ == "__main__":
    for name, content in translated(Path(os.environ.get("FHIR_CDS_NODE_MODULES", "node_modules")).resolve()).items():
        (FIXTURES / name).write_bytes(content)
