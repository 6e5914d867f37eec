"""FHIRPath expressions of plans, evaluated by the engine's own FHIRPath (apply.md CO-05)."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

from fhir_cds.errors import ContentError
from fhir_cds.reasoning.outcome import Json

_MODULE: Final = "fhir_cds.cql.fhirpath"


def evaluate(text: str, root: Json, variables: Mapping[str, Any], now: str) -> list[Any]:
    """Return what a FHIRPath gives on `root`, with `%name` variables; raises ContentError or EvaluationError."""
    if find_spec(_MODULE) is None:
        raise ContentError("expressions in FHIRPath cannot be evaluated here")
    compiled = import_module(_MODULE).compile_path(text)
    return list(compiled(root, variables, now))
