"""Programs: ELM libraries compiled together, once, immutable, shared by threads."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from fhir_cds.cql.compile.assemble import UNSET, Compiled, assemble
from fhir_cds.cql.compile.context import HELPERS, CodeSet, DefineKey
from fhir_cds.cql.elm import ElmLibrary
from fhir_cds.cql.elm_reader import identity, parse
from fhir_cds.cql.evaluate import DEFAULT_BUDGET, Evaluation
from fhir_cds.cql.index import Retrieve
from fhir_cds.cql.parameters import instant, parameter_value
from fhir_cds.cql.runtime.state import State
from fhir_cds.cql.runtime.temporal import DateTime
from fhir_cds.cql.typesys import Type
from fhir_cds.errors import ElmError, InputError


@dataclass(frozen=True, slots=True)
class DefineInfo:
    """What is known of a define: `references` are the defines it reads, directly or through functions.

    `slot` is its place among the values of an evaluation (see `Evaluation.at`).
    """

    library: str
    name: str
    slot: int
    access: str
    context: str
    locator: str | None
    result_type: str | None
    references: tuple[DefineKey, ...]
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class LibraryInfo:
    """What is known of a library; `valuesets` maps names to canonicals, `parameters` names to types."""

    name: str
    version: str | None
    defines: Mapping[str, DefineInfo]
    includes: tuple[str, ...]
    valuesets: Mapping[str, str]
    parameters: Mapping[str, str | None]


class Program:
    """Compiled libraries with their value sets bound: `Program.load` once, then `evaluate` as often as you like."""

    def __init__(
        self,
        libraries: tuple[LibraryInfo, ...],
        compiled: Compiled,
        parameter_types: Mapping[DefineKey, Type | None],
        code_sets: Mapping[str, CodeSet],
    ) -> None:
        self.libraries = libraries
        self.compiled = compiled
        self.parameter_types = parameter_types
        self._code_sets = code_sets
        self._holding = frozenset(
            define.slot for library in libraries for define in library.defines.values() if _may_hold(define.result_type)
        )
        """The slots of the defines whose values can hold resources."""
        self._by_name = MappingProxyType({library.name: library for library in libraries})

    @staticmethod
    def load(
        elm_documents: Iterable[Mapping[str, Any]],
        valuesets: Mapping[str, Iterable[tuple[str, str]]],
        *,
        intrinsic_helpers: bool = True,
    ) -> Program:
        """Compile ELM documents with the codes of their value sets (canonical -> (system, code)).

        FHIRHelpers may be left out; with `intrinsic_helpers=False` its ELM is compiled and used instead of the built-in
        functions. Raises `ElmError` for anything unknown in the ELM, and for a value set that is missing.
        """
        with _collector_at_rest():
            parsed = _parse_all(elm_documents, skip_helpers=intrinsic_helpers)
            sets = {canonical: frozenset((s, c) for s, c in codes) for canonical, codes in valuesets.items()}
            compiled = assemble(parsed, sets, intrinsic_helpers=intrinsic_helpers)
            infos = tuple(_info(library, compiled) for library in parsed.values())
        types = {(library.name, p.name): p.type for library in parsed.values() for p in library.parameters.values()}
        return Program(infos, compiled, MappingProxyType(types), MappingProxyType(sets))

    def library(self, name: str) -> LibraryInfo:
        """Return what is known of a library; raises InputError when there is none of that name."""
        found = self._by_name.get(name)
        if found is None:
            raise InputError("there is no such library", where=name)
        return found

    def define(self, library: str, name: str) -> DefineInfo:
        """Return what is known of a define; raises InputError when it does not exist."""
        found = self.library(library).defines.get(name)
        if found is None:
            raise InputError("there is no such define", where=f'{library}."{name}"')
        return found

    def retrieves(self, library: str, define: str) -> tuple[Retrieve, ...]:
        """Return what a define reads from the record, directly or through others, each once."""
        self.define(library, define)
        return self.compiled.retrieves[(library, define)]

    def evaluate(
        self,
        resources: Sequence[dict[str, Any]],
        now: str | DateTime,
        parameters: Mapping[str | tuple[str, str], Any] = MappingProxyType({}),
        budget: int = DEFAULT_BUDGET,
    ) -> Evaluation:
        """Start an evaluation over one patient's resources at a given time; defines are evaluated when asked for.

        `parameters` by name (all libraries that have it) or (library, name); `budget` is the number of loop steps.
        Raises InputError for a bad time, parameter or resource.
        """
        for index, resource in enumerate(resources):
            if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
                raise InputError("this is not a FHIR resource: resourceType is missing", where=f"resources[{index}]")
        at = instant(now)
        try:
            buckets = self.compiled.table.fill(resources)
        except (AttributeError, TypeError):
            raise self._misshapen(resources) from None
        state = State(at, buckets, resources, self._code_sets, budget)
        values: list[Any] = [UNSET] * len(self.compiled.slots)
        for given, value in parameters.items():
            for key in self._parameter_keys(given):
                values[self.compiled.slots[("p", *key)]] = parameter_value(
                    value, self.parameter_types[key], key, at.offset
                )
        return Evaluation(self.compiled, self._holding, state, values)

    def _misshapen(self, resources: Sequence[dict[str, Any]]) -> InputError:
        """Return the error of a resource whose codes or dates do not have the form of FHIR JSON, naming its type."""
        for index, resource in enumerate(resources):
            try:
                self.compiled.table.fill([resource])
            except (AttributeError, TypeError):
                place = f"resources[{index}] ({resource['resourceType']})"
                return InputError(
                    "does not have the form of FHIR JSON: a list or object where R4 has none", where=place
                )
        return InputError("a resource does not have the form of FHIR JSON", where="resources")

    def _parameter_keys(self, given: str | tuple[str, str]) -> list[DefineKey]:
        keys = [key for key in self.parameter_types if given in (key, key[1])]
        if not keys:
            raise InputError("there is no such parameter", where=".".join(given) if isinstance(given, tuple) else given)
        return keys


def _may_hold(kind: str | None) -> bool:
    """Say whether a value of a type, as it prints, can hold FHIR resources."""
    return kind is None or "FHIR." in kind or "System.Any" in kind


@contextmanager
def _collector_at_rest() -> Iterator[None]:
    """Keep the garbage collector from walking the syntax trees while they grow: it takes a quarter of the loading."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def _parse_all(documents: Iterable[Mapping[str, Any]], *, skip_helpers: bool) -> dict[str, ElmLibrary]:
    """Parse the documents by library name; an include of another version or of nothing is refused."""
    parsed: dict[str, ElmLibrary] = {}
    for document in documents:
        name = identity(document)[0]
        if name in parsed:
            raise ElmError("the library is given twice", library=name)
        if not (skip_helpers and name == HELPERS):
            parsed[name] = parse(document)
    if not parsed:
        raise ElmError("there is no library to load", library="?")
    for library in parsed.values():
        for include in library.includes.values():
            target = parsed.get(include.name)
            if target is None and not (skip_helpers and include.name == HELPERS):
                raise ElmError(f"the included library {include.name!r} is not among those given", library=library.name)
            if target is not None and include.version and target.version and include.version != target.version:
                raise ElmError(
                    f"{include.name} is needed in version {include.version}, given is {target.version}",
                    library=library.name,
                )
    return parsed


def _info(library: ElmLibrary, compiled: Compiled) -> LibraryInfo:
    defines: dict[str, DefineInfo] = {}
    for define in library.defines.values():
        kind = define.type or (define.expression.type if define.expression else None)
        defines[define.name] = DefineInfo(
            library=library.name,
            name=define.name,
            slot=compiled.slots[("e", library.name, define.name)],
            access=define.access,
            context=define.context,
            locator=define.locator,
            result_type=str(kind) if kind else None,
            references=compiled.references[(library.name, define.name)],
            tags=define.tags,
        )
    return LibraryInfo(
        library.name,
        library.version,
        MappingProxyType(defines),
        tuple(include.name for include in library.includes.values()),
        MappingProxyType({name: found.id for name, found in library.valuesets.items()}),
        MappingProxyType({name: str(found.type) if found.type else None for name, found in library.parameters.items()}),
    )
