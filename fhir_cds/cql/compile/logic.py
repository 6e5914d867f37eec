"""Three-valued logic and comparison, written out where the static types allow it.

Each handler of `TESTS` gives text that is truthy exactly when the value is true: all that `where`, `if` and
`such that` need, and null needs no care there.
"""

from __future__ import annotations

from typing import Any, Final

from fhir_cds.cql.compile.context import Branch, Compiler, Handler
from fhir_cds.cql.compile.emit import Expr
from fhir_cds.cql.compile.operators import call
from fhir_cds.cql.elm import Node
from fhir_cds.cql.runtime import OPERATORS
from fhir_cds.cql.trampoline import Step
from fhir_cds.cql.typesys import BOOLEAN, INTEGER, STRING

_SYMBOLS: Final[dict[str, str]] = {
    "Equal": "==",
    "Greater": ">",
    "GreaterOrEqual": ">=",
    "Less": "<",
    "LessOrEqual": "<=",
    "NotEqual": "!=",
}


def _short_circuit(c: Compiler, node: Node, decided: str) -> Step[Expr]:
    """Compile And (decided by False) and Or (decided by True): the right side only when the left leaves it open."""
    left: Expr = yield c.visit(node["operand"][0])
    left_first, left_name = c.writer.bind(left)
    branch: Branch = yield c.branch(node["operand"][1])
    right = branch.expr
    other = "True" if decided == "False" else "False"
    nullable = left.nullable or right.nullable
    unknown = " or ".join(
        text for text, open_ in ((f"{left_name} is None", left.nullable), ("{right} is None", right.nullable)) if open_
    )
    if not branch.lines:
        right_first, right_name = c.writer.bind(right)
        rest = f"(None if {unknown.format(right=right_name)} else {other})" if unknown else other
        return Expr(
            f"({decided} if {left_first} is {decided} or {right_first} is {decided} else {rest})", BOOLEAN, nullable
        )
    result = c.writer.temp()
    left = c.writer.spill(Expr(left.text, BOOLEAN, left.nullable))
    value = c.writer.temp()
    rest = f"(None if {left.text} is None or {value} is None else {other})"
    c.writer.emit(f"{result} = {decided}")
    c.writer.emit(f"if {left.text} is not {decided}:")
    lines = [
        (0, f"{value} = {right.text}", c.writer.place),
        (0, f"{result} = {decided} if {value} is {decided} else {rest}", c.writer.place),
    ]
    c.writer.emit_block([*branch.lines, *lines])
    return Expr(result, BOOLEAN, nullable)


def and_(c: Compiler, node: Node) -> Step[Expr]:
    """Compile And."""
    return _short_circuit(c, node, "False")


def or_(c: Compiler, node: Node) -> Step[Expr]:
    """Compile Or."""
    return _short_circuit(c, node, "True")


def implies(c: Compiler, node: Node) -> Step[Expr]:
    """Compile Implies: the right side only when the left is not false."""
    left: Expr = c.writer.spill((yield c.visit(node["operand"][0])))
    branch: Branch = yield c.branch(node["operand"][1])
    right_first, right_name = c.writer.bind(branch.expr)
    text = f"(True if {right_first} is True else (None if {left.text} is None or {right_name} is None else False))"
    return c.choose(
        f"{left.text} is False",
        Branch([], Expr("True", BOOLEAN, nullable=False)),
        Branch(branch.lines, Expr(text)),
        BOOLEAN,
    )


def xor(c: Compiler, node: Node) -> Step[Expr]:
    """Compile Xor."""
    left: Expr = c.writer.spill((yield c.visit(node["operand"][0])))
    right: Expr = c.writer.spill((yield c.visit(node["operand"][1])))
    a, b = left.text, right.text
    return Expr(f"(None if {a} is None or {b} is None else {a} is not {b})", BOOLEAN)


def not_(c: Compiler, node: Node) -> Step[Expr]:
    """Compile Not."""
    operand: Expr = yield c.visit(node["operand"])
    if not operand.nullable:
        return Expr(f"(not {operand.text})", BOOLEAN, nullable=False)
    first, name = c.writer.bind(operand)
    return Expr(f"(None if {first} is None else not {name})", BOOLEAN)


def is_null(c: Compiler, node: Node) -> Step[Expr]:
    """Compile IsNull."""
    operand: Expr = yield c.visit(node["operand"])
    return Expr(f"({operand.text} is None)", BOOLEAN, nullable=False)


def is_true(c: Compiler, node: Node) -> Step[Expr]:
    """Compile IsTrue."""
    operand: Expr = yield c.visit(node["operand"])
    return Expr(f"({operand.text} is True)", BOOLEAN, nullable=False)


def is_false(c: Compiler, node: Node) -> Step[Expr]:
    """Compile IsFalse."""
    operand: Expr = yield c.visit(node["operand"])
    return Expr(f"({operand.text} is False)", BOOLEAN, nullable=False)


def compare(c: Compiler, node: Node) -> Step[Expr]:
    """Compile a comparison; of texts (equality) and integers it is written out, others call the operator."""
    left: Expr = yield c.visit(node["operand"][0])
    right: Expr = yield c.visit(node["operand"][1])
    symbol = _SYMBOLS[node.kind]
    if node.kind in {"Equal", "NotEqual"} and left.type == right.type == STRING:
        checks: list[str] = []
        a, b = _checked(c, left, checks), _checked(c, right, checks)
        text = f"{a} {symbol} {b}"
        return Expr(f"(None if {' or '.join(checks)} else {text})" if checks else f"({text})", BOOLEAN, bool(checks))
    if left.type == right.type == INTEGER and right.constant and type(right.value) is int:
        first, name = c.writer.bind(left)
        slow = f"{c.k(OPERATORS[node.kind])}({name}, {right.text})"
        return Expr(f"({name} {symbol} {right.text} if type({first}) is int else {slow})", BOOLEAN)
    return call(c, node, [left, right], [])


def _checked(c: Compiler, expr: Expr, checks: list[str]) -> str:
    """Return the text to use for an operand, having added the check for null that must come first, if one is needed."""
    if not expr.nullable or _given(expr):
        return expr.text
    first, name = c.writer.bind(expr)
    checks.append(f"{first} is None")
    return name


def _given(expr: Expr) -> bool:
    return expr.constant and expr.value is not None


def _test_equal(c: Compiler, node: Node) -> Step[Expr]:
    """Compile equality with a known text as a test: null is not equal to it."""
    left: Expr = yield c.visit(node["operand"][0])
    right: Expr = yield c.visit(node["operand"][1])
    if left.type == right.type == STRING and (_given(left) or _given(right)):
        return Expr(f"({left.text} == {right.text})", BOOLEAN, nullable=False)
    return call(c, node, [left, right], [])


def _constant_strings(node: Node, expr: Expr) -> Any:
    """Return a list of known texts as a set, or None."""
    items = expr.value if expr.constant and node.get("precision") is None else None
    texts = isinstance(items, list) and items and all(type(item) is str for item in items)
    return frozenset(items or ()) if texts else None


def in_(c: Compiler, node: Node) -> Step[Expr]:
    """Compile In; membership of a text in a list of known texts is a set lookup."""
    element: Expr = yield c.visit(node["operand"][0])
    container: Expr = yield c.visit(node["operand"][1])
    texts = _constant_strings(node, container)
    if texts is not None and element.type == STRING:
        first, name = c.writer.bind(element)
        slow = f"{c.k(OPERATORS['In'])}({name}, {container.text}, None)"
        return Expr(f"({name} in {c.k(texts)} if {first} is not None else {slow})", BOOLEAN)
    return call(c, node, [element, container], [node.get("precision")])


def _test_in(c: Compiler, node: Node) -> Step[Expr]:
    element: Expr = yield c.visit(node["operand"][0])
    container: Expr = yield c.visit(node["operand"][1])
    texts = _constant_strings(node, container)
    if texts is not None and element.type == STRING:
        return Expr(f"({element.text} in {c.k(texts)})", BOOLEAN, nullable=False)
    return call(c, node, [element, container], [node.get("precision")])


def _test_both(c: Compiler, node: Node) -> Step[Expr]:
    return _test_junction(c, node, "and")


def _test_either(c: Compiler, node: Node) -> Step[Expr]:
    return _test_junction(c, node, "or")


def _test_junction(c: Compiler, node: Node, word: str) -> Step[Expr]:
    """Compile And and Or as tests: both or either true, whatever null is."""
    left: Expr = yield c.test(node["operand"][0])
    branch: Branch = yield c.branch(node["operand"][1], test=True)
    if not branch.lines:
        return Expr(f"({left.text} {word} {branch.expr.text})", BOOLEAN, nullable=False)
    name = c.writer.temp()
    c.writer.emit(f"{name} = {left.text}")
    c.writer.emit(f"if {name}:" if word == "and" else f"if not {name}:")
    c.writer.emit_block([*branch.lines, (0, f"{name} = {branch.expr.text}", c.writer.place)])
    return Expr(name, BOOLEAN, nullable=False)


def _test_not(c: Compiler, node: Node) -> Step[Expr]:
    operand: Expr = yield c.visit(node["operand"])
    if not operand.nullable:
        return Expr(f"(not {operand.text})", BOOLEAN, nullable=False)
    return Expr(f"({operand.text} is False)", BOOLEAN, nullable=False)


def _test_is_true(c: Compiler, node: Node) -> Step[Expr]:
    return c.test(node["operand"])


HANDLERS: Final[dict[str, Handler]] = {
    "And": and_,
    "Equal": compare,
    "Greater": compare,
    "GreaterOrEqual": compare,
    "Implies": implies,
    "In": in_,
    "IsFalse": is_false,
    "IsNull": is_null,
    "IsTrue": is_true,
    "Less": compare,
    "LessOrEqual": compare,
    "Not": not_,
    "NotEqual": compare,
    "Or": or_,
    "Xor": xor,
}
TESTS: Final[dict[str, Handler]] = {
    "And": _test_both,
    "Equal": _test_equal,
    "In": _test_in,
    "IsTrue": _test_is_true,
    "Not": _test_not,
    "Or": _test_either,
}
