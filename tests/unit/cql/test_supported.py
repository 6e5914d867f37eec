"""The guide's table of what is supported is the one made from the code."""

from __future__ import annotations

from pathlib import Path

from fhir_cds.cql.elm_schema import EXPRESSIONS
from fhir_cds.cql.supported import chapters, table

GUIDE = Path(__file__).resolve().parents[3] / "docs" / "guide" / "cql-engine.md"


def test_guide_has_the_table() -> None:
    """`python -m fhir_cds.cql.supported` prints what stands in the guide."""
    text = GUIDE.read_text(encoding="utf-8")
    assert text.split("fhir_cds.cql.supported -->\n")[1].split("<!-- end -->")[0].strip() == table()


def test_every_node_type_is_in_one_chapter() -> None:
    """No node type is missing from the table or in it twice."""
    assert sorted(kind for kinds in chapters().values() for kind in kinds) == sorted(EXPRESSIONS)
