"""What an Expression of a plan means: which define of which library, or a FHIRPath (apply.md CO-03, CO-04)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from fhir_cds.errors import ContentError
from fhir_cds.knowledge.registry import Registry
from fhir_cds.reasoning.outcome import Json

NAME: Final = frozenset({"text/cql-identifier", "text/cql.identifier", "text/cql.name"})
INLINE: Final = frozenset({"text/cql-expression", "text/cql.expression"})
EITHER: Final = frozenset({"text/cql"})
PATH: Final = frozenset({"text/fhirpath"})
QUERY: Final = frozenset({"application/x-fhir-query"})

_IDENTIFIER: Final = re.compile(r'[A-Za-z_]\w*|"(?:[^"\\]|\\.)+"')
_QUALIFIED: Final = re.compile(r'("(?:[^"\\]|\\.)+"|[A-Za-z_]\w*)\s*\.\s*("(?:[^"\\]|\\.)+"|[A-Za-z_]\w*)')
_OPERATORS: Final = re.compile(r"[()\[\]{}<>=+*,;:]|\b(?:and|or|xor|not|is|in|exists|return|where|from|then)\b")


class Define(NamedTuple):
    """A named define of a CQL library."""

    library: str
    name: str


@dataclass(frozen=True, slots=True)
class Path:
    """A FHIRPath expression."""

    text: str


Meaning = Define | Path


def meaning(expression: Json, plan: Json, registry: Registry) -> Meaning:
    """Return what `expression` of `plan` (or of an ActivityDefinition) names.

    Raises ContentError that names the fault: no language, one that is not supported, no library, several libraries and
    a name that does not say which, text missing.
    """
    language = str(expression.get("language") or "")
    text = str(expression.get("expression") or "").strip()
    if not language:
        raise ContentError("the expression names no language")
    if not text:
        raise ContentError("the expression has no text")
    if language in PATH:
        return Path(text)
    if language in NAME or (language in EITHER and not _OPERATORS.search(text)):
        return _define(text, expression, plan, registry)
    if language in INLINE or language in EITHER:
        raise ContentError("inline CQL is not supported: put it into a define of the library and name that")
    if language in QUERY:
        raise ContentError(f"the expression language {language} is not supported in a condition or value")
    raise ContentError(f"the expression language {language} is not known")


def library_names(definition: Json, registry: Registry, expression: Json | None = None) -> tuple[str, ...]:
    """Return the CQL names of the libraries in scope: Expression.reference alone, else the definition's `library`."""
    reference = expression.get("reference") if expression else None
    listed = [reference] if reference else definition.get("library", [])
    return tuple(_name(registry.resolve(str(canonical), "Library")) for canonical in listed)


def _name(library: Mapping[str, object]) -> str:
    return str(library.get("name") or library["id"])


def _define(text: str, expression: Json, plan: Json, registry: Registry) -> Define:
    scope = library_names(plan, registry, expression)
    qualified = _QUALIFIED.fullmatch(text)
    if qualified:
        library, name = _unquoted(qualified[1]), _unquoted(qualified[2])
        if library in scope:
            return Define(library, name)
        raise ContentError(f'the library "{library}" of the expression is not one of its plan')
    if not scope:
        raise ContentError(f'the define "{text}" needs a library, and its plan has none')
    if len(scope) > 1:
        raise ContentError(f'the plan has {len(scope)} libraries: write "Library"."{text}" or Expression.reference')
    return Define(scope[0], _unquoted(text) if _IDENTIFIER.fullmatch(text) else text)


def _unquoted(text: str) -> str:
    return text[1:-1].replace('\\"', '"') if text.startswith('"') else text
