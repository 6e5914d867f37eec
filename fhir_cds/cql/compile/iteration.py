"""Filter, ForEach, Repeat, Aggregate and Times: iteration over lists outside of queries."""

from __future__ import annotations

from typing import Final

from fhir_cds.cql.compile.context import MAX_DEPTH, Compiler, Handler
from fhir_cds.cql.compile.emit import Expr
from fhir_cds.cql.compile.operators import item_of
from fhir_cds.cql.elm import Node
from fhir_cds.cql.runtime import elements, list_ops
from fhir_cds.cql.runtime.state import cross, rows
from fhir_cds.cql.trampoline import Step
from fhir_cds.cql.typesys import INTEGER, ListOf


def _enter(c: Compiler, node: Node, row: Expr) -> None:
    """Put the current item in scope under the node's scope name and as `$this`."""
    names = {("current", node.get("scope") or ""): row, ("current", ""): row, ("alias", "$this"): row}
    if node.get("scope"):
        names["alias", node["scope"]] = row
    c.scope = {**c.scope, **names}


def loop(c: Compiler, node: Node) -> Step[Expr]:
    """Compile an iteration; nested too deeply it becomes a function of its own."""
    step = _LOOPS[node.kind]
    if c.writer.function.depth >= MAX_DEPTH:
        return c.hoist(lambda: step(c, node))
    return step(c, node)


def _filter(c: Compiler, node: Node) -> Step[Expr]:
    return _map_or_filter(c, node, "condition")


def _for_each(c: Compiler, node: Node) -> Step[Expr]:
    return _map_or_filter(c, node, "element")


def _map_or_filter(c: Compiler, node: Node, part: str) -> Step[Expr]:
    outer_scope = c.scope
    source: Expr = c.writer.spill((yield c.visit(node["source"])))
    result, row = c.writer.temp(), c.writer.temp("x")
    c.writer.emit(f"{result} = None if {source.text} is None else []")
    c.writer.emit(f"for {row} in {c.k(rows)}(s, {source.text}):")
    block = c.writer.open()
    _enter(c, node, Expr(row, item_of(source.type)))
    kind = source.type
    if part == "condition":
        test: Expr = yield c.test(node["condition"])
        c.writer.emit(f"if {test.text}: {result}.append({row})")
    else:
        value: Expr = yield c.visit(node["element"])
        c.writer.emit(f"{result}.append({value.text})")
        kind = None if value.type is None else ListOf(value.type)
    lines = c.writer.close(block)
    c.writer.emit_block(lines)
    c.scope = outer_scope
    return Expr(result, node.type or kind, source.nullable)


def _repeat(c: Compiler, node: Node) -> Step[Expr]:
    """Compile Repeat: apply the element expression to what it gave before until nothing new comes."""
    outer_scope = c.scope
    source: Expr = yield c.visit(node["source"])
    result, row, new = c.writer.temp(), c.writer.temp("x"), c.writer.temp()
    c.writer.emit(f"{new} = {source.text}")
    c.writer.emit(f"{result} = None if {new} is None else []")
    c.writer.emit(f"while {new}:")
    turn = c.writer.open()
    found = c.writer.temp()
    c.writer.emit(f"{found} = []")
    c.writer.emit(f"for {row} in {c.k(rows)}(s, {new}):")
    block = c.writer.open()
    _enter(c, node, Expr(row, item_of(source.type)))
    value: Expr = yield c.visit(node["element"])
    c.writer.emit(f"{found}.append({value.text})")
    lines = c.writer.close(block)
    c.writer.emit_block(lines)
    c.writer.emit(f"{new} = {c.k(new_items)}({result}, {c.k(list_ops.flatten)}({found}))")
    c.writer.emit(f"{result} = {result} + {new}")
    lines = c.writer.close(turn)
    c.writer.emit_block(lines)
    c.scope = outer_scope
    return Expr(result, node.type or source.type, source.nullable)


def new_items(known: list[object], found: list[object]) -> list[object]:
    """Return the found items, each once, that are not equal to a known one."""
    return list_ops.except_(list_ops.distinct(found), known) or []


def _aggregate(c: Compiler, node: Node) -> Step[Expr]:
    outer_scope = c.scope
    source: Expr = c.writer.spill((yield c.visit(node["source"])))
    if node.get("path"):
        source = c.writer.spill(Expr(f"{c.k(elements.items_by_path)}(s, {source.text}, {c.k(node['path'])})"))
    start: Expr | None = None
    if node.get("initialValue") is not None:
        start = yield c.visit(node["initialValue"])
    total, row, turn = c.writer.temp(), c.writer.temp("x"), c.writer.temp("x")
    c.writer.emit(f"{total} = {start.text if start else 'None'}")
    c.writer.emit(f"{turn} = -1")
    c.writer.emit(f"for {row} in {c.k(rows)}(s, {source.text}):")
    block = c.writer.open()
    c.writer.emit(f"{turn} += 1")
    _enter(c, node, Expr(row, item_of(source.type)))
    total_expr = Expr(total, node.type or (start.type if start else None))
    c.scope = {**c.scope, ("total", ""): total_expr, ("iteration", ""): Expr(turn, INTEGER, nullable=False)}
    value: Expr = yield c.visit(node["iteration"])
    c.writer.emit(f"{total} = {value.text}")
    lines = c.writer.close(block)
    c.writer.emit_block(lines)
    c.scope = outer_scope
    return Expr(total, node.type or value.type)


def current(c: Compiler, node: Node) -> Step[Expr]:
    """Compile Current: the item at hand."""
    yield from ()
    return c.scoped("current", node.get("scope") or "")


def total(c: Compiler, node: Node) -> Step[Expr]:
    """Compile Total: the running result of Aggregate."""
    yield from ()
    return c.scoped("total", "")


def iteration(c: Compiler, node: Node) -> Step[Expr]:
    """Compile Iteration: the number of the item at hand, from 0."""
    yield from ()
    return c.scoped("iteration", "")


def times(c: Compiler, node: Node) -> Step[Expr]:
    """Compile Times: the tuples of one list with those of another."""
    left: Expr = yield c.visit(node["operand"][0])
    right: Expr = yield c.visit(node["operand"][1])
    return Expr(f"{c.k(cross)}(s, {left.text}, {right.text})", node.type)


_LOOPS: Final[dict[str, Handler]] = {
    "Aggregate": _aggregate,
    "Filter": _filter,
    "ForEach": _for_each,
    "Repeat": _repeat,
}
HANDLERS: Final[dict[str, Handler]] = {
    **dict.fromkeys(_LOOPS, loop),
    "Current": current,
    "Iteration": iteration,
    "Times": times,
    "Total": total,
}
TESTS: Final[dict[str, Handler]] = {}
