"""The state of a compilation: which library and define is being written, what is in scope, what it refers to.

Handlers are generator steps (see `trampoline`): they yield `c.visit(child)` and receive the child's `Expr`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

from fhir_cds.cql.compile.emit import Expr, Line, Writer
from fhir_cds.cql.elm import Define, ElmLibrary, Node
from fhir_cds.cql.index import RetrieveTable
from fhir_cds.cql.runtime.clinical import Code, CodeSystem, Concept, ValueSet
from fhir_cds.cql.trampoline import Step
from fhir_cds.cql.typesys import Type
from fhir_cds.errors import ElmError

HELPERS: Final = "FHIRHelpers"
MAX_DEPTH: Final = 8  # nested blocks in one function; Python allows 20 loops and 100 indents
MAX_TEXT: Final = 400  # characters of an expression before it becomes a variable; Python allows 200 parentheses
MAX_VARIABLES: Final = 200  # in scope of a part that becomes a function of its own

Scope: TypeAlias = Mapping[tuple[str, str], Expr]
Handler: TypeAlias = Callable[["Compiler", Node], Step[Expr]]
CodeSet: TypeAlias = frozenset[tuple[str | None, str]]
DefineKey: TypeAlias = tuple[str, str]
T = TypeVar("T")


class Branch(NamedTuple):
    """A part that is evaluated only in some cases: statements to run first, then its value."""

    lines: list[Line]
    expr: Expr


@dataclass(slots=True)
class Uses:
    """What a define or function refers to directly."""

    defines: dict[DefineKey, None] = field(default_factory=dict)
    functions: dict[tuple[str, str, int], None] = field(default_factory=dict)
    parameters: dict[DefineKey, None] = field(default_factory=dict)
    retrieves: dict[int, None] = field(default_factory=dict)


class Compiler:
    """Writes the source of one program; `handlers` and `tests` are the chapters' tables, merged."""

    def __init__(
        self,
        libraries: Mapping[str, ElmLibrary],
        code_sets: Mapping[str, CodeSet],
        handlers: Mapping[str, Handler],
        tests: Mapping[str, Handler],
        *,
        intrinsic_helpers: bool,
    ) -> None:
        self.libraries = libraries
        self.code_sets = code_sets
        self.intrinsic_helpers = intrinsic_helpers
        self.writer = Writer()
        self.retrieves = RetrieveTable()
        self.slots: dict[tuple[str, str, str], int] = {}
        self.function_numbers: dict[tuple[str, str, int], int] = {}
        self.uses = Uses()
        self.library: ElmLibrary = next(iter(libraries.values()))
        self.define: str | None = None
        self.context = "Patient"
        self.scope: Scope = {}
        self._handlers = handlers
        self._tests = tests

    # --- errors

    def fail(self, message: str) -> ElmError:
        """Return the error for the node being compiled."""
        return ElmError(message, library=self.library.name, define=self.define, locator=self.writer.place)

    # --- visiting nodes

    def visit(self, node: Node) -> Step[Expr]:
        """Compile a node to an expression of its value."""
        handler = self._handlers.get(node.kind)
        if handler is None:
            raise self.fail(f"the ELM node type {node.kind} has no operator here")
        return self._at(node, handler)

    def test(self, node: Node) -> Step[Expr]:
        """Compile a node to an expression that is truthy exactly when its value is true (not when null)."""
        handler = self._tests.get(node.kind)
        return self.visit(node) if handler is None else self._at(node, handler)

    def _at(self, node: Node, handler: Handler) -> Step[Expr]:
        outer, self.writer.place = self.writer.place, node.locator or self.writer.place
        expr: Expr = yield handler(self, node)
        if len(expr.text) > MAX_TEXT:
            expr = self.writer.spill(expr)
        self.writer.place = outer
        return expr

    def branch(self, node: Node, *, test: bool = False) -> Step[Branch]:
        """Compile a node that is evaluated only in some cases; too deep, it becomes a function of its own."""
        step = self.test if test else self.visit
        if self.writer.function.depth >= MAX_DEPTH:
            return self._hoisted(node, step)
        return self._nested(node, step)

    def _nested(self, node: Node, step: Callable[[Node], Step[Expr]]) -> Step[Branch]:
        outer = self.writer.open()
        expr = yield step(node)
        return Branch(self.writer.close(outer), expr)

    def _hoisted(self, node: Node, step: Callable[[Node], Step[Expr]]) -> Step[Branch]:
        return Branch([], (yield self.hoist(lambda: step(node))))

    def hoist(self, step: Callable[[], Step[Expr]]) -> Step[Expr]:
        """Compile what the step gives as a function of its own over the variables in scope."""
        names = sorted({e.text for e in self.scope.values() if e.text.isidentifier()} - {"None", "True", "False"})
        if len(names) > MAX_VARIABLES:
            raise self.fail(f"queries nested in one another with more than {MAX_VARIABLES} variables")
        name = f"h{self.writer.number()}"
        parameters = ", ".join(["s", "v", *(n for n in names if not n.startswith("k"))])
        outer = self.writer.begin(name, parameters)
        expr: Expr = yield step()
        self.writer.emit(f"return {expr.text}")
        self.writer.end(outer)
        return Expr(f"{name}({parameters})", expr.type, expr.nullable)

    def choose(self, test: str, then: Branch, other: Branch, kind: Type | None) -> Expr:
        """Return an expression for `then` where the test text is truthy, else `other`."""
        nullable = then.expr.nullable or other.expr.nullable
        if not then.lines and not other.lines:
            return Expr(f"({then.expr.text} if {test} else {other.expr.text})", kind, nullable)
        name = self.writer.temp()
        self.writer.emit(f"if {test}:")
        self.writer.emit_block([*then.lines, (0, f"{name} = {then.expr.text}", self.writer.place)])
        self.writer.emit("else:")
        self.writer.emit_block([*other.lines, (0, f"{name} = {other.expr.text}", self.writer.place)])
        return Expr(name, kind, nullable)

    # --- names

    def included(self, alias: str | None, by: ElmLibrary | None = None) -> ElmLibrary:
        """Return what a local name stands for in a library (the one being compiled, or `by`); None is that itself."""
        library = by or self.library
        if alias is None:
            return library
        include = library.includes.get(alias)
        found = self.libraries.get(include.name) if include else None
        if found is None:
            raise self.fail(f"the library {alias!r} is not included in {library.name}")
        return found

    def scoped(self, kind: str, name: str) -> Expr:
        """Return a variable in scope (`alias`, `let`, `operand`, `current`, `total`, `iteration`)."""
        found = self.scope.get((kind, name))
        if found is None:
            raise self.fail(f"{kind} {name!r} is not in scope")
        return found

    def code_set(self, valueset: ValueSet) -> CodeSet:
        """Return the codes of a value set; a missing one is an error at load."""
        found = self.code_sets.get(f"{valueset.id}|{valueset.version}") if valueset.version else None
        found = self.code_sets.get(valueset.id) if found is None else found
        if found is None:
            raise self.fail(f"the value set {valueset.id} ({valueset.name}) is not among those given")
        return found

    def valueset(self, library: ElmLibrary, name: str) -> ValueSet:
        """Return a value set definition as a value."""
        found = self._defined("value set", library.valuesets, library, name)
        return ValueSet(found.id, found.version, found.name)

    def codesystem(self, library: ElmLibrary, name: str) -> CodeSystem:
        """Return a code system definition as a value."""
        found = self._defined("code system", library.codesystems, library, name)
        return CodeSystem(found.id, found.version, found.name)

    def code(self, library: ElmLibrary, name: str) -> Code:
        """Return a code definition as a value."""
        found = self._defined("code", library.codes, library, name)
        system = None
        if found.codesystem is not None:
            system = self.codesystem(self.included(found.codesystem[0], library), found.codesystem[1])
        return Code(found.id, system.id if system else None, system.version if system else None, found.display)

    def concept(self, library: ElmLibrary, name: str) -> Concept:
        """Return a concept definition as a value."""
        found = self._defined("concept", library.concepts, library, name)
        codes = tuple(self.code(self.included(alias, library), code) for alias, code in found.codes)
        return Concept(codes, found.display)

    def define_of(self, library: ElmLibrary, name: str) -> Define:
        """Return a define by name."""
        return self._defined("define", library.defines, library, name)

    def _defined(self, kind: str, table: Mapping[str, T], library: ElmLibrary, name: str) -> T:
        found = table.get(name)
        if found is None:
            raise self.fail(f"the {kind} {name!r} is not defined in {library.name}")
        return found

    def k(self, value: Any) -> str:
        """Return the name of a constant."""
        return self.writer.k(value)
