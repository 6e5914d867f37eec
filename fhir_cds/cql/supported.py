"""The table of what the engine supports, made from the code: `python -m fhir_cds.cql.supported` prints it."""

from __future__ import annotations

import sys
from typing import Final

from fhir_cds.cql import compile as compile_
from fhir_cds.cql import runtime
from fhir_cds.cql.elm_schema import EXPRESSIONS

_TITLES: Final[dict[str, str]] = {
    "aggregate": "Aggregate functions",
    "arithmetic": "Arithmetic, boundaries",
    "casts": "Types and casts",
    "clinical": "Codes, concepts, value sets",
    "clinical_ops": "Ages, subsumption",
    "comparison": "Comparison",
    "conditional": "Conditions",
    "conversion": "Conversion",
    "elements": "Children, descendants",
    "equality": "Comparison",
    "equivalence": "Comparison",
    "interval_ops": "Intervals (and their list overloads)",
    "iteration": "Iteration",
    "list_ops": "Lists",
    "literals": "Literals, selectors, instances, properties",
    "logical": "Logic",
    "message": "Messages",
    "nullological": "Null",
    "properties": "Literals, selectors, instances, properties",
    "query": "Queries",
    "references": "References, functions, parameters",
    "retrieve": "Retrieve",
    "selectors": "Literals, selectors, instances, properties",
    "string": "Text",
    "temporal_ops": "Dates and times",
}


def chapters() -> dict[str, list[str]]:
    """Return chapter title -> the ELM node types compiled there; a chapter without title raises KeyError."""
    homes = {kind: chapter for chapter in compile_.CHAPTERS for kind in chapter.HANDLERS}
    homes |= {kind: chapter for chapter in runtime.CHAPTERS for kind in chapter.OPERATORS}
    homes["TimezoneFrom"] = homes["TimezoneOffsetFrom"]
    found: dict[str, list[str]] = {}
    for kind in sorted(EXPRESSIONS):
        title = _TITLES[homes[kind].__name__.rpartition(".")[2]]
        found.setdefault(title, []).append(kind)
    return dict(sorted(found.items()))


def table() -> str:
    """Return the table in Markdown."""
    count = f"All {len(EXPRESSIONS)} expression types of ELM r1 are compiled."
    lines = ["| chapter | ELM node types |", "|---|---|"]
    lines += [f"| {title} | {', '.join(kinds)} |" for title, kinds in chapters().items()]
    return "\n".join([count, "", *lines])


if __name__ == "__main__":
    sys.stdout.write(table() + "\n")
