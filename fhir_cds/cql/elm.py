"""ELM as values: a library, its definitions and their expressions. `elm_reader.parse` makes them of ELM JSON.

Expressions are `Node`s whose fields were checked against the closed table of `elm_schema`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fhir_cds.cql.typesys import Type


@dataclass(frozen=True, slots=True)
class Node:
    """One ELM node: its type, its checked fields, the place in the CQL and the static type the translator gave."""

    kind: str
    fields: Mapping[str, Any]
    locator: str | None
    type: Type | None

    def __getitem__(self, name: str) -> Any:
        return self.fields[name]

    def get(self, name: str) -> Any:
        """Return a field, or None when it is absent."""
        return self.fields.get(name)


@dataclass(frozen=True, slots=True)
class Define:
    """An expression or function definition of a library; `operands` is None for an expression."""

    name: str
    context: str
    access: str
    locator: str | None
    type: Type | None
    expression: Node | None
    tags: Mapping[str, str]
    operands: tuple[tuple[str, Type], ...] | None = None
    external: bool = False


@dataclass(frozen=True, slots=True)
class ParameterDef:
    """A parameter with its declared type and default expression."""

    name: str
    type: Type | None
    default: Node | None
    locator: str | None


@dataclass(frozen=True, slots=True)
class Include:
    """An included library: the local name, the library's name and the version asked for."""

    alias: str
    name: str
    version: str | None


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A codesystem, valueset, code or concept definition as written."""

    name: str
    id: str
    version: str | None
    display: str | None
    codesystem: tuple[str | None, str] | None = None
    codes: tuple[tuple[str | None, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ElmLibrary:
    """A parsed library; the mappings keep the order of the document."""

    name: str
    version: str | None
    includes: Mapping[str, Include]
    parameters: Mapping[str, ParameterDef]
    codesystems: Mapping[str, Vocabulary]
    valuesets: Mapping[str, Vocabulary]
    codes: Mapping[str, Vocabulary]
    concepts: Mapping[str, Vocabulary]
    defines: Mapping[str, Define]
    functions: Mapping[str, tuple[Define, ...]] = field(default_factory=dict)
