"""If, Case and Coalesce: only the branch that is taken is evaluated."""

from __future__ import annotations

from typing import Final

from fhir_cds.cql.compile.context import Branch, Compiler, Handler
from fhir_cds.cql.compile.emit import Expr
from fhir_cds.cql.elm import Node
from fhir_cds.cql.runtime import OPERATORS
from fhir_cds.cql.trampoline import Step
from fhir_cds.cql.typesys import ListOf, Type


def if_(c: Compiler, node: Node) -> Step[Expr]:
    """Compile If: null counts as not true."""
    test: Expr = yield c.test(node["condition"])
    then: Branch = yield c.branch(node["then"])
    other: Branch = yield c.branch(node["else"])
    return c.choose(test.text, then, other, node.type or then.expr.type)


def case(c: Compiler, node: Node) -> Step[Expr]:
    """Compile Case, with or without a comparand, as a loop-free chain of `if`s that stays flat however long it is."""
    comparand: Expr | None = None
    if node.get("comparand") is not None:
        comparand = c.writer.spill((yield c.visit(node["comparand"])))
    items = node.get("caseItem") or ()
    if len(items) == 1 or (len(items) <= 4 and comparand is None):
        inline: Expr = yield _from_item(c, node, 0, comparand)
        return inline
    result = c.writer.temp()
    pending = c.writer.temp()
    c.writer.emit(f"{pending} = True")
    kind: Type | None = node.type
    for item in items:
        yield from _case_item(c, item, comparand, pending, result)
    last: Branch = yield c.branch(node["else"])
    c.writer.emit(f"if {pending}:")
    c.writer.emit_block([*last.lines, (0, f"{result} = {last.expr.text}", c.writer.place)])
    return Expr(result, kind or last.expr.type)


def _case_item(c: Compiler, item: Node, comparand: Expr | None, pending: str, result: str) -> Step[None]:
    outer = c.writer.open()
    test: str = yield from _condition(c, item, comparand)
    then: Branch = yield c.branch(item["then"])
    c.writer.emit(f"if {test}:")
    c.writer.emit_block(
        [*then.lines, (0, f"{result} = {then.expr.text}", c.writer.place), (0, f"{pending} = False", c.writer.place)]
    )
    lines = c.writer.close(outer)
    c.writer.emit(f"if {pending}:")
    c.writer.emit_block(lines)


def _condition(c: Compiler, item: Node, comparand: Expr | None) -> Step[str]:
    if comparand is None:
        test: Expr = yield c.test(item["when"])
        return test.text
    when: Expr = yield c.visit(item["when"])
    return f"{c.k(OPERATORS['Equal'])}({comparand.text}, {when.text})"


def _from_item(c: Compiler, node: Node, index: int, comparand: Expr | None) -> Step[Expr]:
    """Compile the items of a short case from an index on as nested choices."""
    items = node.get("caseItem") or ()
    if index == len(items):
        last: Expr = yield c.visit(node["else"])
        return last
    test: str = yield from _condition(c, items[index], comparand)
    then: Branch = yield c.branch(items[index]["then"])
    outer = c.writer.open()
    rest: Expr = yield _from_item(c, node, index + 1, comparand)
    other = Branch(c.writer.close(outer), rest)
    return c.choose(test, then, other, node.type or then.expr.type or rest.type)


def coalesce(c: Compiler, node: Node) -> Step[Expr]:
    """Compile Coalesce: operands after the first that is not null are not evaluated."""
    operands = node["operand"]
    first: Expr = yield c.visit(operands[0])
    if len(operands) == 1:
        kind = first.type.item if isinstance(first.type, ListOf) else None
        return Expr(f"{c.k(OPERATORS['Coalesce'])}({first.text})", node.type or kind)
    result = c.writer.temp()
    c.writer.emit(f"{result} = {first.text}")
    known = not first.nullable
    for operand in operands[1:]:
        branch: Branch = yield c.branch(operand)
        known = known or not branch.expr.nullable or (branch.expr.constant and branch.expr.value is not None)
        c.writer.emit(f"if {result} is None:")
        c.writer.emit_block([*branch.lines, (0, f"{result} = {branch.expr.text}", c.writer.place)])
    return Expr(result, node.type or first.type, not known)


HANDLERS: Final[dict[str, Handler]] = {"Case": case, "Coalesce": coalesce, "If": if_}
TESTS: Final[dict[str, Handler]] = {}
