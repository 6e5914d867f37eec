"""Programs: ELM libraries compiled together, once, immutable, shared by threads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import CodeType, MappingProxyType
from typing import Any, Final

from fhir_cds.cql.compile import HANDLERS, TESTS
from fhir_cds.cql.compile.context import HELPERS, Compiler, DefineKey, Uses
from fhir_cds.cql.compile.emit import Expr
from fhir_cds.cql.elm import Define, ElmLibrary, Node, identity, parse
from fhir_cds.cql.evaluate import DEFAULT_BUDGET, Evaluation, instant, parameter_value
from fhir_cds.cql.index import Retrieve, RetrieveTable
from fhir_cds.cql.runtime.state import State
from fhir_cds.cql.runtime.temporal import DateTime
from fhir_cds.cql.trampoline import run
from fhir_cds.cql.typesys import Type
from fhir_cds.errors import ElmError, InputError

UNSET: Final = object()
"""Marks a define that was not evaluated yet."""


@dataclass(frozen=True, slots=True)
class DefineInfo:
    """What is known of a define: `references` are the defines it reads, directly or through functions."""

    library: str
    name: str
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


@dataclass(frozen=True, slots=True)
class Compiled:
    """The outcome of compiling: functions by slot, the place of each source line, the retrieves."""

    functions: Mapping[tuple[str, str, str], Any]
    slots: Mapping[tuple[str, str, str], int]
    places: tuple[tuple[str, str | None, str | None], ...]
    code: CodeType
    table: RetrieveTable
    source: str


class Program:
    """Compiled libraries with their value sets bound: `Program.load` once, then `evaluate` as often as you like."""

    def __init__(
        self,
        libraries: tuple[LibraryInfo, ...],
        compiled: Compiled,
        retrieves: Mapping[DefineKey, tuple[Retrieve, ...]],
        parameter_types: Mapping[DefineKey, Type | None],
        code_sets: Mapping[str, frozenset[tuple[str | None, str]]],
    ) -> None:
        self.libraries = libraries
        self.compiled = compiled
        self.parameter_types = parameter_types
        self._retrieves = retrieves
        self._code_sets = code_sets
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
        parsed = _parse_all(elm_documents, skip_helpers=intrinsic_helpers)
        sets = {canonical: frozenset((s, c) for s, c in codes) for canonical, codes in valuesets.items()}
        return _build(parsed, sets, intrinsic_helpers=intrinsic_helpers)

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
        return self._retrieves[(library, define)]

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
        except (AttributeError, TypeError) as error:
            raise InputError(
                f"a resource does not have the form of FHIR JSON ({type(error).__name__})", where="resources"
            ) from None
        state = State(at, buckets, resources, self._code_sets, budget)
        values: list[Any] = [UNSET] * len(self.compiled.slots)
        for given, value in parameters.items():
            for key in self._parameter_keys(given):
                values[self.compiled.slots[("p", *key)]] = parameter_value(
                    value, self.parameter_types[key], key, at.offset
                )
        return Evaluation(self, state, values, UNSET)

    def _parameter_keys(self, given: str | tuple[str, str]) -> list[DefineKey]:
        keys = [key for key in self.parameter_types if given in (key, key[1])]
        if not keys:
            raise InputError("there is no such parameter", where=".".join(given) if isinstance(given, tuple) else given)
        return keys


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


def _build(
    libraries: dict[str, ElmLibrary], sets: Mapping[str, frozenset[tuple[str | None, str]]], *, intrinsic_helpers: bool
) -> Program:
    compiler = Compiler(libraries, sets, HANDLERS, TESTS, intrinsic_helpers=intrinsic_helpers)
    _number(compiler)
    uses: dict[tuple[str, str, str], Uses] = {}
    function_uses: dict[int, Uses] = {}
    for library in libraries.values():
        compiler.library = library
        _check_vocabulary(compiler, library)
        for parameter in library.parameters.values():
            if parameter.default is None:
                _unset_parameter(compiler, library.name, parameter.name)
            else:
                uses[("p", library.name, parameter.name)] = _compile(
                    compiler, "p", parameter.name, "Unfiltered", parameter.default
                )
        for define in library.defines.values():
            if define.expression is not None:
                uses[("e", library.name, define.name)] = _compile(
                    compiler, "e", define.name, define.context, define.expression
                )
        for name, overloads in library.functions.items():
            for index, function in enumerate(overloads):
                if function.expression is not None:
                    number = compiler.function_numbers[(library.name, name, index)]
                    function_uses[number] = _compile_function(compiler, number, function)
    closed = _closure(uses, function_uses)
    compiled = _assemble(compiler)
    infos = tuple(_info(library, closed) for library in libraries.values())
    reads = {
        key[1:]: tuple(compiler.retrieves.described[n] for n in sorted(found))
        for key, found in _reads(closed, uses, function_uses).items()
        if key[0] == "e"
    }
    parameter_types = {(lib.name, p.name): p.type for lib in libraries.values() for p in lib.parameters.values()}
    return Program(infos, compiled, MappingProxyType(reads), MappingProxyType(parameter_types), sets)


def _number(c: Compiler) -> None:
    """Give each define and parameter its slot and each function its number, before any source is written."""
    for library in c.libraries.values():
        for name in library.parameters:
            c.slots[("p", library.name, name)] = len(c.slots)
        for name in library.defines:
            c.slots[("e", library.name, name)] = len(c.slots)
        for name, overloads in library.functions.items():
            for index in range(len(overloads)):
                c.function_numbers[(library.name, name, index)] = len(c.function_numbers)


def _check_vocabulary(c: Compiler, library: ElmLibrary) -> None:
    """Refuse value sets that were not given and codes of unknown code systems, used or not."""
    c.define = None
    c.writer.place = None
    for name in library.valuesets:
        c.code_set(c.valueset(library, name))
    for name in library.codes:
        c.code(library, name)
    for name in library.concepts:
        c.concept(library, name)


def _start(c: Compiler, define: str, context: str) -> Uses:
    c.define, c.context, c.scope, c.uses = define, context, {}, Uses()
    c.writer.owner, c.writer.place = (c.library.name, define), None
    return c.uses


def _compile(c: Compiler, kind: str, name: str, context: str, node: Node) -> Uses:
    """Write the function of a define or parameter, which remembers its value in its slot."""
    uses = _start(c, name, context)
    number = c.slots[(kind, c.library.name, name)]

    outer = c.writer.begin(f"{kind}{number}", "s, v")
    c.writer.place = node.locator
    expr = run(c.visit(node))
    result = c.writer.temp()
    c.writer.emit(f"{result} = {expr.text}")
    c.writer.emit(f"v[{number}] = {result}")
    c.writer.emit(f"return {result}")
    c.writer.end(outer)
    return uses


def _unset_parameter(c: Compiler, library: str, name: str) -> None:
    """Write the function of a parameter without default: null unless it is given (CQL specification, "Parameters")."""
    _start(c, name, "Unfiltered")
    number = c.slots[("p", library, name)]
    outer = c.writer.begin(f"p{number}", "s, v")
    c.writer.emit("return None")
    c.writer.end(outer)


def _compile_function(c: Compiler, number: int, function: Define) -> Uses:
    uses = _start(c, function.name, function.context)
    names = [f"a{c.writer.number()}" for _ in function.operands or ()]
    c.scope = {
        ("operand", operand): Expr(name, kind)
        for name, (operand, kind) in zip(names, function.operands or (), strict=True)
    }
    node = function.expression
    if node is None:
        raise c.fail("a function without a body")

    outer = c.writer.begin(f"f{number}", ", ".join(["s", "v", *names]))
    c.writer.place = node.locator
    expr = run(c.visit(node))
    c.writer.emit(f"return {expr.text}")
    c.writer.end(outer)
    return uses


def _assemble(c: Compiler) -> Compiled:
    """Turn the source into functions."""
    source = c.writer.source()
    code = compile(source, "<cql>", "exec")
    namespace: dict[str, Any] = {"U": UNSET, **c.writer.constants.values}
    exec(code, namespace)  # noqa: S102 - source of our own making: numbered names and constants only
    functions = {key: namespace[f"{key[0]}{number}"] for key, number in c.slots.items()}
    return Compiled(
        MappingProxyType(functions), MappingProxyType(dict(c.slots)), tuple(c.writer.places), code, c.retrieves, source
    )


def _closure(
    uses: Mapping[tuple[str, str, str], Uses], function_uses: Mapping[int, Uses]
) -> dict[tuple[str, str, str], tuple[set[int], Uses]]:
    """Return for each define the functions it reaches and its uses merged with theirs; refuse circles."""
    graph: dict[Any, list[Any]] = {key: _targets(found) for key, found in uses.items()}
    graph |= {("f", number): _targets(found) for number, found in function_uses.items()}
    _refuse_circles(graph)
    merged: dict[tuple[str, str, str], tuple[set[int], Uses]] = {}
    for key, found in uses.items():
        reached: set[int] = set()
        pending = list(found.functions)
        total = Uses(dict(found.defines), {}, dict(found.parameters), dict(found.retrieves))
        while pending:
            number = pending.pop()
            if number in reached or number not in function_uses:
                continue
            reached.add(number)
            inner = function_uses[number]
            total.defines |= inner.defines
            total.parameters |= inner.parameters
            total.retrieves |= inner.retrieves
            pending.extend(inner.functions)
        merged[key] = (reached, total)
    return merged


def _targets(uses: Uses) -> list[Any]:
    return [
        *[("e", *key) for key in uses.defines],
        *[("p", *key) for key in uses.parameters],
        *[("f", n) for n in uses.functions],
    ]


def _refuse_circles(graph: Mapping[Any, list[Any]]) -> None:
    """Raise ElmError when a define or function refers to itself, however far round."""
    done: set[Any] = set()
    for root in graph:
        path: dict[Any, int] = {}
        stack: list[tuple[Any, int]] = [(root, 0)]
        while stack:
            key, index = stack.pop()
            if key in done:
                continue
            if index == 0 and key in path:
                library = key[1] if len(key) == 3 else "?"
                raise ElmError(
                    "the definition refers to itself", library=library, define=key[2] if len(key) == 3 else None
                )
            targets = graph.get(key, [])
            if index < len(targets):
                path[key] = index
                stack.append((key, index + 1))
                target = targets[index]
                if target in path:
                    raise ElmError(
                        "the definition refers to itself",
                        library=str(target[1]),
                        define=target[2] if len(target) == 3 else None,
                    )
                stack.append((target, 0))
            else:
                path.pop(key, None)
                done.add(key)


def _reads(
    closed: Mapping[tuple[str, str, str], tuple[set[int], Uses]],
    uses: Mapping[tuple[str, str, str], Uses],
    function_uses: Mapping[int, Uses],
) -> dict[tuple[str, str, str], set[int]]:
    """Return for each define the retrieves it reaches through defines, parameters and functions."""
    found: dict[tuple[str, str, str], set[int]] = {}
    for root in uses:
        seen: set[tuple[str, str, str]] = set()
        pending = [root]
        numbers: set[int] = set()
        while pending:
            key = pending.pop()
            if key in seen or key not in closed:
                continue
            seen.add(key)
            direct = closed[key][1]
            numbers |= direct.retrieves.keys()
            pending += [("e", *k) for k in direct.defines] + [("p", *k) for k in direct.parameters]
        found[root] = numbers
    return found


def _info(library: ElmLibrary, closed: Mapping[tuple[str, str, str], tuple[set[int], Uses]]) -> LibraryInfo:
    defines = {
        define.name: DefineInfo(
            library.name,
            define.name,
            define.access,
            define.context,
            define.locator,
            str(kind) if (kind := define.type or (define.expression.type if define.expression else None)) else None,
            tuple(closed[("e", library.name, define.name)][1].defines),
            define.tags,
        )
        for define in library.defines.values()
        if ("e", library.name, define.name) in closed
    }
    return LibraryInfo(
        library.name,
        library.version,
        MappingProxyType(defines),
        tuple(include.name for include in library.includes.values()),
        MappingProxyType({name: found.id for name, found in library.valuesets.items()}),
        MappingProxyType({name: str(found.type) if found.type else None for name, found in library.parameters.items()}),
    )
