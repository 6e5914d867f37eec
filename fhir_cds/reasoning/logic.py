"""What reasoning needs of compiled logic, as protocols; `fhir_cds.cql.Program` is the implementation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from fhir_cds.errors import EvaluationError


class DefineInfo(Protocol):
    """A named expression: where it stands, what it refers to, the tags of its comment (`@fact: id`)."""

    @property
    def library(self) -> str:
        """CQL name of its library."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def slot(self) -> int:
        """Its place among the values of an evaluation."""

    @property
    def result_type(self) -> str | None:
        """Its static type as ELM names it."""

    @property
    def references(self) -> Sequence[tuple[str, str]]:
        """The defines (library, name) that its expression names."""

    @property
    def tags(self) -> Mapping[str, str]:
        """Tags of the comment above it."""


class LibraryInfo(Protocol):
    """A compiled library."""

    @property
    def name(self) -> str:
        """CQL name."""

    @property
    def defines(self) -> Mapping[str, DefineInfo]:
        """Its defines by name."""

    @property
    def parameters(self) -> Iterable[str]:
        """Names of its parameters."""


class Evaluation(Protocol):
    """One patient's evaluation: lazy, each define at most once."""

    def value(self, library: str, define: str, /) -> Any:
        """Return the value of a define; raises EvaluationError."""

    def at(self, slot: int, /) -> Any:
        """Return the value of the define at a slot (`DefineInfo.slot`); raises EvaluationError."""

    def resources(self, library: str, define: str, /) -> tuple[str, ...]:
        """Return the `Type/id` of the resources behind the value."""


class Program(Protocol):
    """Compiled libraries, immutable and safe for threads."""

    @property
    def libraries(self) -> Sequence[LibraryInfo]:
        """The libraries in it."""

    def retrieves(self, library: str, define: str, /) -> Sequence[Any]:
        """Return what a define reads, directly or through others (`fhir_cds.cql.Retrieve`)."""

    def evaluate(self, resources: Sequence[Any], now: Any, parameters: Mapping[Any, Any] = ...) -> Evaluation:
        """Return the evaluation of one patient's resources."""


class NoLogic:
    """The program of content without CQL: plans with FHIRPath, or without conditions, need no library."""

    libraries: Sequence[LibraryInfo] = ()

    def evaluate(self, _resources: Sequence[Any], _now: Any, _parameters: Mapping[Any, Any] | None = None) -> NoLogic:
        """Return an evaluation in which there is nothing to ask."""
        return self

    def retrieves(self, _library: str, _define: str, /) -> Sequence[Any]:
        """Return nothing: nothing is read."""
        return ()

    def value(self, library: str, define: str, /) -> Any:
        """Raise EvaluationError: there is no define."""
        raise EvaluationError("the content has no CQL library", library=library, define=define)

    def at(self, _slot: int, /) -> Any:
        """Raise EvaluationError: there is no define."""
        raise EvaluationError("the content has no CQL library", library="?")

    def resources(self, _library: str, _define: str, /) -> tuple[str, ...]:
        """Return no resource."""
        return ()
