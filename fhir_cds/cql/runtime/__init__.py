"""Values and operators of CQL at run time; `OPERATORS` names the function of every ELM operator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from fhir_cds.cql.runtime import (
    aggregate,
    arithmetic,
    clinical_ops,
    comparison,
    conversion,
    elements,
    equality,
    equivalence,
    interval_ops,
    list_ops,
    logical,
    message,
    nullological,
    string,
    temporal_ops,
)

CHAPTERS: Final = (
    logical,
    nullological,
    comparison,
    equality,
    equivalence,
    arithmetic,
    string,
    temporal_ops,
    interval_ops,
    list_ops,
    aggregate,
    clinical_ops,
    conversion,
    message,
    elements,
)

OPERATORS: Final[dict[str, Callable[..., Any]]] = {
    name: function for chapter in CHAPTERS for name, function in chapter.OPERATORS.items()
}
STATEFUL: Final[frozenset[str]] = frozenset().union(*(chapter.STATEFUL for chapter in CHAPTERS))
