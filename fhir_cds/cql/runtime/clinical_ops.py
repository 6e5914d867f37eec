"""Clinical operators: code membership and ages (CQL 1.5, appendix B, "Clinical Operators")."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from fhir_cds.cql.runtime.clinical import Code, Concept
from fhir_cds.cql.runtime.equivalence import equivalent
from fhir_cds.cql.runtime.temporal import Date, DateTime
from fhir_cds.cql.runtime.temporal_ops import State, duration_between, today
from fhir_cds.cql.runtime.uncertainty import Uncertainty

# The codes of a value set as (system, code).
Codes = frozenset[tuple[str | None, str]]


def in_value_set(code: Any, codes: Codes) -> bool | None:
    """Return whether a string, Code or Concept is among the codes; null for null.

    A string is looked up without its system, as the CQL specification allows and warns about.
    """
    if code is None:
        return None
    if type(code) is Code:
        return (code.system, code.code) in codes
    if isinstance(code, Concept):
        return any((each.system, each.code) in codes for each in code.codes)
    if isinstance(code, str):
        return any(each == code for _, each in codes)
    raise TypeError(f"{type(code).__name__} cannot be in a value set")


def any_in_value_set(source: list[Any] | None, codes: Codes) -> bool | None:
    """Return whether one of the codes or concepts of a list is among the codes; null for a null list."""
    if source is None:
        return None
    return any(in_value_set(code, codes) for code in source if code is not None)


def in_code_system(code: Any, system: str) -> bool | None:
    """Return whether a Code or Concept says that it is of the code system; null for null and for a string."""
    if code is None or isinstance(code, str):
        return None
    if isinstance(code, Concept):
        return any(each.system == system for each in code.codes)
    if isinstance(code, Code):
        return code.system == system
    raise TypeError(f"{type(code).__name__} cannot be in a code system")


def any_in_code_system(source: list[Any] | None, system: str) -> bool | None:
    """Return whether one of the codes or concepts of a list says that it is of the code system; null for null."""
    if source is None:
        return None
    return any(in_code_system(code, system) for code in source if code is not None)


def expand_value_set(codes: Codes) -> list[Code]:
    """Return the codes of a value set as a list, ordered by system and code."""
    return [Code(code, system) for system, code in sorted(codes, key=lambda each: (each[0] or "", each[1]))]


def subsumes(a: Any, b: Any) -> bool | None:
    """Return true for codes that are the same; null otherwise, since no hierarchy is at hand."""
    if a is None or b is None:
        return None
    return True if equivalent(a, b) else None


def calculate_age(
    state: State, birth: Date | DateTime | None, precision: str | None = None
) -> int | Uncertainty | None:
    """Return the age in whole years (or another precision) at the evaluation's day, or moment for a DateTime."""
    if birth is None:
        return None
    return calculate_age_at(birth, today(state) if isinstance(birth, Date) else state.now, precision)


def calculate_age_at(
    birth: Date | DateTime | None, at: Date | DateTime | None, precision: str | None = None
) -> int | Uncertainty | None:
    """Return the age in whole years (or another precision) on a date or at a moment."""
    return duration_between(birth, at, (precision or "year").lower())


OPERATORS: Final[dict[str, Callable[..., Any]]] = {
    "CalculateAge": calculate_age,
    "CalculateAgeAt": calculate_age_at,
    "SubsumedBy": lambda a, b: subsumes(b, a),
    "Subsumes": subsumes,
}
STATEFUL: Final[frozenset[str]] = frozenset({"CalculateAge"})
