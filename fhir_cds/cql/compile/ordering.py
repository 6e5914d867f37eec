"""Sorting: the `sort` clause of queries, and Sort of a list."""

from __future__ import annotations

from fhir_cds.cql.compile.context import Compiler
from fhir_cds.cql.compile.emit import Expr
from fhir_cds.cql.compile.properties import path_segments, primitive_value, step
from fhir_cds.cql.elm import Node
from fhir_cds.cql.modelinfo import primitive_of
from fhir_cds.cql.runtime import typed
from fhir_cds.cql.runtime.sorting import sort as sort_items
from fhir_cds.cql.trampoline import Step
from fhir_cds.cql.typesys import ChoiceOf, ListOf, Named, Type


def sort_rows(c: Compiler, items: tuple[Node, ...], result: str, item_type: Type | None) -> Step[None]:
    """Write the sorting of the list in a variable by columns, expressions or the rows themselves."""
    outer_scope = c.scope
    keys: list[str] = []
    for item in items:
        values, row = c.writer.temp(), c.writer.temp("x")
        descending = item["direction"] in {"desc", "descending"}
        element = Expr(row, item_type)
        if item.kind == "ByDirection":
            keys.append(f"({result}, {descending})")
            continue
        c.writer.emit(f"{values} = []")
        c.writer.emit(f"for {row} in {result}:")
        block = c.writer.open()
        c.scope = {**outer_scope, ("sort", ""): element, ("alias", "$this"): element, ("current", ""): element}
        if item.kind == "ByColumn":
            key = element
            for segment in path_segments(item_type, item["path"]):
                key = step(c, key, segment, item.type, None)
        else:
            key = yield c.visit(item["expression"])
        if isinstance(key.type, Named) and key.type.name.startswith("FHIR.") and primitive_of(key.type.name):
            key = primitive_value(c, key, key.type)
        elif key.type is None or isinstance(key.type, ChoiceOf):
            key = Expr(f"{c.k(typed.system_value)}(s, {key.text})")
        c.writer.emit(f"{values}.append({key.text})")
        lines = c.writer.close(block)
        c.writer.emit_block(lines)
        keys.append(f"({values}, {descending})")
    c.scope = outer_scope
    c.writer.emit(f"{result} = {c.k(sort_items)}({result}, [{', '.join(keys)}])")


def sort(c: Compiler, node: Node) -> Step[Expr]:
    """Compile Sort of a list."""
    source: Expr = yield c.visit(node["source"])
    result = c.writer.temp()
    c.writer.emit(f"{result} = {source.text}")
    c.writer.emit(f"if {result} is not None:")
    block = c.writer.open()
    yield sort_rows(c, node["by"], result, source.type.item if isinstance(source.type, ListOf) else None)
    lines = c.writer.close(block)
    c.writer.emit_block(lines)
    return Expr(result, node.type or source.type)
