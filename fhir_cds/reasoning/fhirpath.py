"""FHIRPath expressions of plans, evaluated by the engine's own FHIRPath (apply.md CO-05, IN-14)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fhir_cds.cql.fhirpath import compile_path
from fhir_cds.reasoning.outcome import Json

Resolve = Callable[[str], Any]
Codes = Callable[[str], Any]


def evaluate(
    text: str, root: Json, variables: Mapping[str, Any], *, now: str, resolve: Resolve, terminology: Codes
) -> list[Any]:
    """Return what a FHIRPath gives on the definition that holds it (also `%context` and `%resource`).

    `variables` by name, `resolve` gives the resource of a reference, `terminology` the codes of a value set. Raises
    ContentError for an expression that cannot be read or evaluated.
    """
    named = {"context": root, "resource": root, **variables}
    return compile_path(text)(root, named, now=now, resolve=resolve, terminology=terminology)
