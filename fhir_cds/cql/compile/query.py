"""Queries as loops: sources, let, with/without, where, return, aggregate, sort."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fhir_cds.cql.compile.context import MAX_DEPTH, Compiler, Handler
from fhir_cds.cql.compile.emit import Expr, Line
from fhir_cds.cql.compile.operators import call
from fhir_cds.cql.compile.ordering import sort, sort_rows
from fhir_cds.cql.elm import ElmLibrary, Node
from fhir_cds.cql.runtime import OPERATORS
from fhir_cds.cql.runtime.state import rows, rows_of_any
from fhir_cds.cql.trampoline import Step
from fhir_cds.cql.typesys import ANY, BOOLEAN, ListOf, TupleOf, Type

MAX_SOURCES: Final = 8
MAX_CHAIN: Final = 50


@dataclass(slots=True)
class _Source:
    alias: str
    variable: str
    rows: Expr
    many: bool | None  # None: only known at evaluation
    full: bool  # no row is null


def query(c: Compiler, node: Node) -> Step[Expr]:
    """Compile Query; nested too deeply it becomes a function of its own."""
    if c.writer.function.depth >= MAX_DEPTH:
        return c.hoist(lambda: _query(c, node))
    return _query(c, node)


def _query(c: Compiler, node: Node) -> Step[Expr]:
    outer_scope = c.scope
    sources: list[_Source] = yield _sources(c, node)
    found: Expr = yield _collected(c, node, sources)
    c.scope = outer_scope
    return found


def _sources(c: Compiler, node: Node) -> Step[list[_Source]]:
    if len(node["source"]) > MAX_SOURCES:
        raise c.fail(f"a query of more than {MAX_SOURCES} sources")
    sources: list[_Source] = []
    for clause in node["source"]:
        sources.append((yield _source(c, clause)))  # noqa: PERF401 - a step cannot yield in a comprehension
    return sources


def _collected(c: Compiler, node: Node, sources: list[_Source]) -> Step[Expr]:
    """Write the loops over the sources that collect the rows of a query, and return what they come to."""
    single = all(source.many is False for source in sources)
    result = c.writer.temp()
    null_sources = [s.rows.text for s in sources if s.rows.nullable]
    body: list[Line] | None = None
    if null_sources:
        c.writer.emit(f"{result} = None")
        c.writer.emit(f"if {' and '.join(f'{name} is not None' for name in null_sources)}:")
        body = c.writer.open()
    kind: Type | None = yield _rows(c, node, sources, result, single=single)
    if body is not None:
        lines = c.writer.close(body)
        c.writer.emit_block(lines)
    return Expr(result, node.type or kind, bool(null_sources) or single or bool(node.get("aggregate")))


def _source(c: Compiler, clause: Node) -> Step[_Source]:
    found: Expr = c.writer.spill((yield c.visit(clause["expression"])))
    kind = found.type or clause.type
    found = Expr(found.text, kind, found.nullable)
    many = None if kind is None or kind == ANY else isinstance(kind, ListOf)
    return _Source(clause["alias"], c.writer.temp("x"), found, many, holds_no_null(c, clause["expression"]))


def holds_no_null(c: Compiler, node: Node) -> bool:
    """Tell whether a node gives a list without nulls: a retrieve, a query that only filters one, a define of these."""
    library = c.library
    for _ in range(MAX_CHAIN):
        if node.kind == "Query" and len(node["source"]) == 1 and not node.get("return") and not node.get("aggregate"):
            node = node["source"][0]["expression"]
        elif node.kind == "ExpressionRef" and (found := _referred(c, library, node)) is not None:
            library, node = found
        else:
            break
    return node.kind == "Retrieve"


def _referred(c: Compiler, library: ElmLibrary, node: Node) -> tuple[ElmLibrary, Node] | None:
    alias = node.get("libraryName")
    include = library.includes.get(alias) if alias else None
    owner = library if alias is None else c.libraries.get(include.name) if include else None
    define = owner.defines.get(node["name"]) if owner else None
    return (owner, define.expression) if owner and define and define.expression else None


def _loop(c: Compiler, source: _Source) -> str:
    if source.many is False:
        return f"for {source.variable} in ({source.rows.text},):"
    function = rows if source.many else rows_of_any
    return f"for {source.variable} in {c.k(function)}(s, {source.rows.text}):"


def _row(source: _Source) -> Expr:
    """Return the loop variable: a row of a list of resources is taken for given, others may be null."""
    if source.many is False:
        return Expr(source.variable, source.rows.type, nullable=False)
    item = source.rows.type.item if isinstance(source.rows.type, ListOf) else None
    return Expr(source.variable, item, not source.full)


def _rows(c: Compiler, node: Node, sources: list[_Source], result: str, *, single: bool) -> Step[Type | None]:
    """Write the loops of a query, then what is done to the list of its rows."""
    aggregate = node.get("aggregate")
    returned = node.get("return")
    dynamic = [s.rows.text for s in sources] if all(s.many is not True for s in sources) and not single else []
    row_type: Type | None = None
    if aggregate is not None and not aggregate.get("distinct"):
        start: Expr | None = None
        if aggregate.get("starting") is not None:
            start = yield c.visit(aggregate["starting"])
        c.writer.emit(f"{result} = {start.text if start else 'None'}")
    else:
        c.writer.emit(f"{result} = []")
    blocks = _open_loops(c, sources)
    yield _clauses(c, node)
    if aggregate is not None and not aggregate.get("distinct"):
        row_type = yield _accumulate(c, aggregate, result)
    elif aggregate is not None:
        c.writer.emit(f"{result}.append({_row_dict(c, node, sources)})")
    else:
        row: Expr = _whole_row(c, sources) if returned is None else (yield c.visit(returned["expression"]))
        row_type = row.type
        c.writer.emit(f"{result}.append({row.text})")
    for block in reversed(blocks):
        lines = c.writer.close(block)
        c.writer.emit_block(lines)
    if aggregate is not None:
        if aggregate.get("distinct"):
            row_type = yield _aggregate_distinct(c, node, sources, result)
        return row_type
    finished: Type | None = yield _finish(c, node, result, row_type, dynamic, single=single)
    return finished


def _open_loops(c: Compiler, sources: list[_Source]) -> list[list[Line]]:
    """Start the loops over the sources, one in the other, with their rows in scope; returns the blocks to close."""
    blocks: list[list[Line]] = []
    for source in sources:
        c.writer.emit(_loop(c, source))
        blocks.append(c.writer.open())
        c.scope = {**c.scope, ("alias", source.alias): _row(source)}
    return blocks


def _clauses(c: Compiler, node: Node) -> Step[None]:
    """Write let, with, without and where inside the loops."""
    for clause in node.get("let") or ():
        value: Expr = yield c.visit(clause["expression"])
        variable = c.writer.temp("x")
        c.writer.emit(f"{variable} = {value.text}")
        bound = Expr(variable, clause.type or value.type, value.nullable, field=value.field)
        c.scope = {**c.scope, ("let", clause["identifier"]): bound}
    for clause in node.get("relationship") or ():
        yield _relationship(c, clause)
    if node.get("where") is not None:
        test: Expr = yield c.test(node["where"])
        c.writer.emit(f"if not {test.text}: continue")


def _relationship(c: Compiler, clause: Node) -> Step[None]:
    outer_scope = c.scope
    source: _Source = yield _source(c, clause)
    if source.many is False and source.rows.nullable:
        source.rows = Expr(f"({source.rows.text},) if {source.rows.text} is not None else ()", None)
        loop = f"for {source.variable} in {source.rows.text}:"
    else:
        loop = _loop(c, source)
    flag = c.writer.temp()
    c.writer.emit(f"{flag} = False")
    c.writer.emit(loop)
    block = c.writer.open()
    c.scope = {**c.scope, ("alias", source.alias): _row(source)}
    if clause.get("suchThat") is not None:
        test: Expr = yield c.test(clause["suchThat"])
        c.writer.emit(f"if not {test.text}: continue")
    c.writer.emit(f"{flag} = True")
    c.writer.emit("break")
    lines = c.writer.close(block)
    c.writer.emit_block(lines)
    c.writer.emit(f"if {'not ' if clause.kind == 'With' else ''}{flag}: continue")
    c.scope = outer_scope


def _whole_row(c: Compiler, sources: list[_Source]) -> Expr:
    """Return the row of a query without return: the element, or a tuple of all sources' elements."""
    if len(sources) == 1:
        return _row(sources[0])
    parts = ", ".join(f"{c.k(s.alias)}: {s.variable}" for s in sources)
    kinds = tuple((s.alias, _row(s).type or ANY) for s in sources)
    return Expr(f"{{{parts}}}", TupleOf(kinds), nullable=False)


def _accumulate(c: Compiler, aggregate: Node, result: str) -> Step[Type | None]:
    bound = Expr(result, aggregate.type)
    c.scope = {**c.scope, ("let", aggregate["identifier"]): bound}
    value: Expr = yield c.visit(aggregate["expression"])
    c.writer.emit(f"{result} = {value.text}")
    return value.type


def _row_dict(c: Compiler, node: Node, sources: list[_Source]) -> str:
    """Return the row with all its variables, for a distinct aggregate that reads them a second time."""
    names = [("alias", s.alias) for s in sources] + [("let", clause["identifier"]) for clause in node.get("let") or ()]
    return "{" + ", ".join(f"{c.k(c.scope[name].text)}: {c.scope[name].text}" for name in names) + "}"


def _aggregate_distinct(c: Compiler, node: Node, sources: list[_Source], result: str) -> Step[Type | None]:
    aggregate = node["aggregate"]
    start: Expr | None = None
    if aggregate.get("starting") is not None:
        start = yield c.visit(aggregate["starting"])
    row = c.writer.temp("x")
    collected = c.writer.temp()
    c.writer.emit(f"{collected} = {c.k(OPERATORS['Distinct'])}({result})")
    c.writer.emit(f"{result} = {start.text if start else 'None'}")
    c.writer.emit(f"for {row} in {collected}:")
    block = c.writer.open()
    names = [("alias", s.alias) for s in sources] + [("let", clause["identifier"]) for clause in node.get("let") or ()]
    for name in names:
        variable = c.scope[name].text
        c.writer.emit(f"{variable} = {row}[{c.k(variable)}]")
    kind: Type | None = yield _accumulate(c, aggregate, result)
    lines = c.writer.close(block)
    c.writer.emit_block(lines)
    return kind


def _finish(
    c: Compiler, node: Node, result: str, row_type: Type | None, dynamic: list[str], *, single: bool
) -> Step[Type | None]:
    """Write distinct and sort, and give a query over no list its one row."""
    returned = node.get("return")
    if returned is not None and returned.get("distinct") is not False and not single:
        c.writer.emit(f"{result} = {c.k(OPERATORS['Distinct'])}({result})")
    if node.get("sort") is not None:
        item = node.type.item if isinstance(node.type, ListOf) else row_type
        yield sort_rows(c, node["sort"]["by"], result, item)
    if single:
        c.writer.emit(f"{result} = {result}[0] if {result} else None")
        return row_type
    if dynamic:
        lists = " or ".join(f"isinstance({name}, list)" for name in dynamic)
        c.writer.emit(f"if not ({lists}): {result} = {result}[0] if {result} else None")
        return None
    return None if row_type is None else ListOf(row_type)


def exists(c: Compiler, node: Node) -> Step[Expr]:
    """Compile Exists; over a query of lists the loops end at the first row that is not null."""
    operand: Node = node["operand"]
    if operand.kind != "Query" or operand.get("aggregate"):
        return _exists_in(c, node)
    if c.writer.function.depth >= MAX_DEPTH:
        return c.hoist(lambda: _exists_row(c, node))
    return _exists_row(c, node)


def _exists_in(c: Compiler, node: Node) -> Step[Expr]:
    operand: Expr = yield c.visit(node["operand"])
    return _exists_of(c, node, operand)


def _exists_of(c: Compiler, node: Node, operand: Expr) -> Expr:
    """Return the test whether a list has an element that is not null: mostly the first one already tells."""
    if not isinstance(operand.type, ListOf):
        return call(c, node, [operand], [])
    if operand.constant:
        return c.writer.constant(OPERATORS["Exists"](operand.value), BOOLEAN)
    first, name = c.writer.bind(operand)
    slow = f"{c.k(OPERATORS['Exists'])}({name})"
    return Expr(f"(False if not {first} else {name}[0] is not None or {slow})", BOOLEAN, nullable=False)


def _exists_row(c: Compiler, node: Node) -> Step[Expr]:
    query_node: Node = node["operand"]
    outer_scope = c.scope
    sources: list[_Source] = yield _sources(c, query_node)
    if not all(source.many for source in sources):
        collected: Expr = yield _collected(c, query_node, sources)
        c.scope = outer_scope
        return _exists_of(c, node, collected)
    result = c.writer.temp()
    c.writer.emit(f"{result} = False")
    blocks = _open_loops(c, sources)
    yield _clauses(c, query_node)
    returned = query_node.get("return")
    row: Expr = _whole_row(c, sources) if returned is None else (yield c.visit(returned["expression"]))
    if row.nullable:
        c.writer.emit(f"if {row.text} is None: continue")
    c.writer.emit(f"{result} = True")
    c.writer.emit("break")
    for number, block in enumerate(reversed(blocks)):
        lines = c.writer.close(block)
        c.writer.emit_block(lines)
        if number < len(blocks) - 1:
            c.writer.emit(f"if {result}: break")
    c.scope = outer_scope
    return Expr(result, BOOLEAN, nullable=False)


HANDLERS: Final[dict[str, Handler]] = {"Exists": exists, "Query": query, "Sort": sort}
TESTS: Final[dict[str, Handler]] = {}
