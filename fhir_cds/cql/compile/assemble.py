"""All libraries of a program, compiled: source written, turned into functions, references collected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from fhir_cds.cql.compile import HANDLERS, TESTS
from fhir_cds.cql.compile.context import CodeSet, Compiler, DefineKey, Uses
from fhir_cds.cql.compile.emit import Expr
from fhir_cds.cql.compile.graph import FunctionKey, Slot, reached_retrieves, through_functions
from fhir_cds.cql.elm import Define, ElmLibrary, Node
from fhir_cds.cql.index import Retrieve, RetrieveTable
from fhir_cds.cql.trampoline import run

UNSET: Final = object()
"""Marks a define that was not evaluated yet."""
SOURCE_NAME: Final = "<cql>"
"""The name under which a traceback knows the compiled source."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """A compiled program: functions and slots of defines and parameters, the place in the CQL of each source line.

    `by_slot` has the name and function of each slot, `reads` the slots of the defines it refers to. `references` has
    the defines each define reads, `retrieves` what it reads from the record through them all.
    """

    slots: Mapping[Slot, int]
    by_slot: tuple[tuple[DefineKey, Any], ...]
    reads: tuple[tuple[int, ...], ...]
    places: tuple[tuple[str, str | None, str | None], ...]
    table: RetrieveTable
    references: Mapping[DefineKey, tuple[DefineKey, ...]]
    retrieves: Mapping[DefineKey, tuple[Retrieve, ...]]
    source: str


def assemble(
    libraries: Mapping[str, ElmLibrary], code_sets: Mapping[str, CodeSet], *, intrinsic_helpers: bool
) -> Compiled:
    """Compile libraries together; raises ElmError for whatever does not fit."""
    c = Compiler(libraries, code_sets, HANDLERS, TESTS, intrinsic_helpers=intrinsic_helpers)
    _number(c)
    uses: dict[Slot, Uses] = {}
    functions: dict[FunctionKey, Uses] = {}
    for library in libraries.values():
        c.library = library
        _check_vocabulary(c, library)
        for parameter in library.parameters.values():
            slot = ("p", library.name, parameter.name)
            uses[slot] = _memoised(c, slot, "Unfiltered", parameter.default)
        for define in library.defines.values():
            slot = ("e", library.name, define.name)
            uses[slot] = _memoised(c, slot, define.context, define.expression)
        for name, overloads in library.functions.items():
            for index, function in enumerate(overloads):
                if function.expression is not None:
                    functions[(library.name, name, index)] = _function(c, (library.name, name, index), function)
    merged = through_functions(uses, functions)
    reached = reached_retrieves(merged)
    described = c.retrieves.described
    defines = [slot for slot in merged if slot[0] == "e"]
    source = c.writer.source()
    namespace: dict[str, Any] = {"U": UNSET, **c.writer.constants.values}
    exec(compile(source, SOURCE_NAME, "exec"), namespace)  # our own making: numbered names, nothing from the ELM
    return Compiled(
        slots=MappingProxyType(dict(c.slots)),
        by_slot=tuple((slot[1:], namespace[f"{slot[0]}{number}"]) for slot, number in c.slots.items()),
        reads=tuple(tuple(c.slots[("e", *key)] for key in merged[slot].defines) for slot in c.slots),
        places=tuple(c.writer.places),
        table=c.retrieves,
        references=MappingProxyType({slot[1:]: tuple(merged[slot].defines) for slot in defines}),
        retrieves=MappingProxyType(
            {slot[1:]: tuple(described[number] for number in sorted(reached[slot])) for slot in defines}
        ),
        source=source,
    )


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
    c.define = c.writer.place = None
    for name in library.valuesets:
        c.code_set(c.valueset(library, name))
    for name in library.codes:
        c.code(library, name)
    for name in library.concepts:
        c.concept(library, name)


def _start(c: Compiler, define: str, context: str, node: Node | None) -> Uses:
    c.define, c.context, c.scope, c.uses = define, context, {}, Uses()
    c.writer.owner, c.writer.place = (c.library.name, define), node.locator if node else None
    return c.uses


def _memoised(c: Compiler, slot: Slot, context: str, node: Node | None) -> Uses:
    """Write the function of a define or parameter, which keeps its value in its slot; without expression it is null."""
    kind, _, name = slot
    number = c.slots[slot]
    uses = _start(c, name, context, node)
    outer = c.writer.begin(f"{kind}{number}", "s, v")
    result = "None" if node is None else c.writer.spill(run(c.visit(node))).text
    c.writer.emit(f"v[{number}] = {result}")
    c.writer.emit(f"return {result}")
    c.writer.end(outer)
    return uses


def _function(c: Compiler, key: FunctionKey, function: Define) -> Uses:
    """Write a function of the library over its operands."""
    node = function.expression
    uses = _start(c, function.name, function.context, node)
    operands = function.operands or ()
    names = [f"a{c.writer.number()}" for _ in operands]
    c.scope = {("operand", name): Expr(text, kind) for text, (name, kind) in zip(names, operands, strict=True)}
    outer = c.writer.begin(f"f{c.function_numbers[key]}", ", ".join(["s", "v", *names]))
    result = "None" if node is None else run(c.visit(node)).text
    c.writer.emit(f"return {result}")
    c.writer.end(outer)
    return uses
