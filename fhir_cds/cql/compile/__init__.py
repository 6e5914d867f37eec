"""ELM -> Python source: one module per chapter, each with a literal table of its handlers."""

from __future__ import annotations

from typing import Final

from fhir_cds.cql.compile import (
    casts,
    clinical,
    conditional,
    iteration,
    literals,
    logic,
    operators,
    properties,
    query,
    references,
    retrieve,
    selectors,
)
from fhir_cds.cql.compile.context import Handler

CHAPTERS: Final = (
    operators,
    logic,
    conditional,
    literals,
    selectors,
    properties,
    casts,
    query,
    iteration,
    references,
    clinical,
    retrieve,
)

HANDLERS: Final[dict[str, Handler]] = {kind: step for chapter in CHAPTERS for kind, step in chapter.HANDLERS.items()}
TESTS: Final[dict[str, Handler]] = {kind: step for chapter in CHAPTERS for kind, step in chapter.TESTS.items()}
