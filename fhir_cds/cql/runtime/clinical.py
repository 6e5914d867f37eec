"""Clinical values: codes, concepts, value sets, code systems (CQL 1.5, appendix B, "Clinical Types")."""

from __future__ import annotations

from msgspec import Struct


class Code(Struct, frozen=True):
    """One code of a code system; `version` and `display` take no part in equivalence."""

    code: str | None
    system: str | None = None
    version: str | None = None
    display: str | None = None


class Concept(Struct, frozen=True):
    """Codes that mean the same thing."""

    codes: tuple[Code, ...]
    display: str | None = None


class ValueSet(Struct, frozen=True):
    """A reference to a value set by canonical; its codes are looked up by whoever evaluates."""

    id: str
    version: str | None = None
    name: str | None = None


class CodeSystem(Struct, frozen=True):
    """A reference to a code system by URI."""

    id: str
    version: str | None = None
    name: str | None = None
