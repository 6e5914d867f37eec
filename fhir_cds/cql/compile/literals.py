"""Literals, and null, quantities and ratios, which are constants too."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from fhir_cds.cql.compile.context import Compiler, Handler
from fhir_cds.cql.compile.emit import Expr
from fhir_cds.cql.compile.operators import call
from fhir_cds.cql.elm import Node
from fhir_cds.cql.runtime import numbers
from fhir_cds.cql.runtime.numbers import Long
from fhir_cds.cql.runtime.quantity import Quantity, Ratio
from fhir_cds.cql.runtime.temporal_text import parse_date, parse_time
from fhir_cds.cql.trampoline import Step
from fhir_cds.cql.typesys import DECIMAL, INTEGER, LONG, QUANTITY, RATIO

_DECIMAL_LIMIT: Final = Decimal(10) ** 28


def _integer(text: str) -> int | None:
    return numbers.integer(int(text))


def _long(text: str) -> Long | None:
    return numbers.long(int(text.removesuffix("L")))


def _decimal(text: str) -> Decimal | None:
    value = Decimal(text)
    return value if value.is_finite() and abs(value) < _DECIMAL_LIMIT and numbers.decimals(value) <= 8 else None


_LITERALS: Final[dict[str, Callable[[str], Any]]] = {
    "System.Boolean": lambda text: {"true": True, "false": False}[text],
    "System.Date": parse_date,
    "System.Decimal": _decimal,
    "System.Integer": _integer,
    "System.Long": _long,
    "System.String": lambda text: text,
    "System.Time": parse_time,
}


def _literal(c: Compiler, node: Node, sign: str) -> Expr:
    kind = node["valueType"]
    read = _LITERALS.get(kind.name)
    try:
        value = read(sign + (node.get("value") or "")) if read else None
    except (ValueError, KeyError, InvalidOperation):
        value = None
    if value is None:
        raise c.fail(f"a literal that is not a {kind}")
    return c.writer.constant(value, kind)


def literal(c: Compiler, node: Node) -> Step[Expr]:
    """Compile Literal to a constant; text that is no value of its type is refused."""
    yield from ()
    return _literal(c, node, "")


def negate(c: Compiler, node: Node) -> Step[Expr]:
    """Compile Negate; of a number literal it is a literal, since -2147483648 is one but 2147483648 is not."""
    operand = node["operand"]
    if operand.kind == "Literal" and operand["valueType"] in {INTEGER, LONG, DECIMAL}:
        return _literal(c, operand, "-")
    value: Expr = yield c.visit(operand)
    return call(c, node, [value], [])


def null(c: Compiler, node: Node) -> Step[Expr]:
    """Compile Null."""
    yield from ()
    return Expr("None", node.type or node.get("valueType"), nullable=True, value=None)


def quantity(c: Compiler, node: Node) -> Step[Expr]:
    """Compile Quantity to a constant."""
    yield from ()
    if node.get("value") is None:
        raise c.fail("a quantity without a value")
    return c.writer.constant(Quantity(node["value"], node.get("unit") or "1"), QUANTITY)


def ratio(c: Compiler, node: Node) -> Step[Expr]:
    """Compile Ratio to a constant."""
    numerator: Expr = yield c.visit(node["numerator"])
    denominator: Expr = yield c.visit(node["denominator"])
    if not (numerator.constant and denominator.constant):
        raise c.fail("a ratio is made of two quantity literals")
    return c.writer.constant(Ratio(numerator.value, denominator.value), RATIO)


HANDLERS: Final[dict[str, Handler]] = {
    "Literal": literal,
    "Negate": negate,
    "Null": null,
    "Quantity": quantity,
    "Ratio": ratio,
}
TESTS: Final[dict[str, Handler]] = {}
