"""Values of defines as FHIR Parameters (CPG `$evaluate`; CQL 1.5 appendix, "Mapping CQL to FHIR")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fhir_cds.errors import ContentError, EvaluationError, operation_outcome
from fhir_cds.reasoning.convert import element
from fhir_cds.reasoning.engine import Engine
from fhir_cds.reasoning.expressions import Define
from fhir_cds.reasoning.outcome import Json
from fhir_cds.reasoning.session import Session
from fhir_cds.reasoning.sources import absent

EMPTY_LIST: Final = "http://hl7.org/fhir/StructureDefinition/cqf-isEmptyList"
_CODING: Final = "valueCoding"


def defines(engine: Engine, library: Json) -> list[Define]:
    """Return the defines of a Library resource in the order of their names; raises ContentError without logic."""
    name = str(library.get("name") or library["id"])
    found = sorted(define for define in engine.graph if define.library == name)
    if not found:
        raise ContentError("the library has no compiled logic", where=f"Library/{library['id']}")
    return [Define(define.library, define.name) for define in found]


def evaluated(session: Session, define: Define, name: str) -> list[dict[str, Any]]:
    """Return the value of a define as parameters called `name`; one that fails is an OperationOutcome.

    A value that is null, and a list without elements, are said by extensions: a parameter needs a value.
    """
    try:
        session.require(define)
        return parameters(name, session.evaluation.value(define.library, define.name))
    except (EvaluationError, ContentError) as error:
        return [{"name": name, "resource": operation_outcome(error)}]


def parameters(name: str, value: Any) -> list[dict[str, Any]]:
    """Return a CQL value as parameters: a list gives one for each element, a tuple has parts.

    >>> parameters("n", 2), parameters("n", None)[0]["_valueBoolean"]["extension"][0]["valueCode"]
    ([{'name': 'n', 'valueInteger': 2}], 'unknown')
    """
    if value is None:
        return [{"name": name, "_valueBoolean": absent()}]
    if isinstance(value, list):
        listed = [parameter for item in value for parameter in parameters(name, item)]
        empty = {"url": EMPTY_LIST, "valueBoolean": True}
        return listed or [{"name": name, "_valueBoolean": {"extension": [empty]}}]
    if isinstance(value, Mapping):
        if "resourceType" in value:
            return [{"name": name, "resource": dict(value)}]
        parts = [part for key, item in value.items() for part in parameters(key, item)]
        return [{"name": name, "part": parts}]
    converted = element(value, _CODING)
    kind = converted.type or "string"
    return [{"name": name, f"value{kind[0].upper()}{kind[1:]}": converted.value}]
