"""Clinical values: codes, concepts, value sets, code systems (CQL 1.5, appendix B, "Clinical Types")."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Code:
    """One code of a code system; `version` and `display` take no part in equivalence."""

    code: str | None
    system: str | None = None
    version: str | None = None
    display: str | None = None


@dataclass(frozen=True, slots=True)
class Concept:
    """Codes that mean the same thing."""

    codes: tuple[Code, ...]
    display: str | None = None


@dataclass(frozen=True, slots=True)
class ValueSet:
    """A reference to a value set by canonical; its codes are looked up by whoever evaluates."""

    id: str
    version: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class CodeSystem:
    """A reference to a code system by URI."""

    id: str
    version: str | None = None
    name: str | None = None
