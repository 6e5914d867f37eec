"""Parser of FHIRPath: tokens to syntax tree, by precedence climbing (FHIRPath N1, "Operator Precedence")."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from fhir_cds.cql.fhirpath.errors import FhirPathError
from fhir_cds.cql.fhirpath.lexer import Token, tokenize
from fhir_cds.cql.fhirpath.syntax import (
    Call,
    Chain,
    Expression,
    Index,
    Literal,
    Member,
    Path,
    Sign,
    Special,
    Step,
    TypeTest,
    Variable,
)
from fhir_cds.cql.runtime.numbers import MAX_INTEGER
from fhir_cds.cql.runtime.quantity import CALENDAR, Quantity
from fhir_cds.cql.runtime.temporal import Date, DateTime, Time
from fhir_cds.cql.runtime.temporal_text import parse_date, parse_datetime, parse_time

MAX_DEPTH: Final = 64
# Loosest first; each level binds tighter than the one before.
LEVELS: Final[tuple[frozenset[str], ...]] = (
    frozenset({"implies"}),
    frozenset({"or", "xor"}),
    frozenset({"and"}),
    frozenset({"in", "contains"}),
    frozenset({"=", "~", "!=", "!~"}),
    frozenset({"<", "<=", ">", ">="}),
    frozenset({"|"}),
    frozenset({"is", "as"}),
    frozenset({"+", "-", "&"}),
    frozenset({"*", "/", "div", "mod"}),
)
_LEVEL: Final[dict[str, int]] = {operator: level for level, operators in enumerate(LEVELS) for operator in operators}
_TYPE_LEVEL: Final = _LEVEL["is"]
_OPERATOR_KINDS: Final = frozenset({"symbol", "name"})
# Words that are operators and may also be names.
_RESERVED: Final = frozenset({"and", "div", "implies", "mod", "or", "xor", "true", "false"})


def parse(expression: str, offset: int = 0) -> Expression:
    """Return the tree of an expression; times without offset get `offset` (minutes). Raises FhirPathError."""
    parser = _Parser(expression, offset)
    tree = parser.nested()
    parser.expect("end")
    return tree


class _Parser:
    def __init__(self, expression: str, offset: int) -> None:
        self.text = expression
        self.offset = offset
        self.tokens = tokenize(expression)
        self.at = 0
        self.depth = 0

    @property
    def token(self) -> Token:
        return self.tokens[self.at]

    def error(self, message: str, token: Token | None = None) -> FhirPathError:
        return FhirPathError(message, self.text, (token or self.token).position)

    def next(self) -> Token:
        token = self.token
        self.at += 1
        return token

    def take(self, symbol: str) -> bool:
        if self.token.kind == "symbol" and self.token.text == symbol:
            self.at += 1
            return True
        return False

    def expect(self, kind: str, text: str | None = None) -> Token:
        token = self.token
        if token.kind != kind or (text is not None and token.text != text):
            raise self.error(f"expected {text or kind}, found {token.text or 'the end'!r}")
        return self.next()

    def nested(self) -> Expression:
        """Read a whole expression: the outermost one, one in brackets, an argument."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.error("the expression is nested too deeply")
        tree = self.operand(0)
        self.depth -= 1
        return tree

    def operand(self, level: int) -> Expression:
        """Read an operand and all operators that bind at `level` or tighter, without a frame per level."""
        left = self.unary()
        for _ in range(MAX_DEPTH):
            token = self.token
            found = _LEVEL.get(token.text) if token.kind in _OPERATOR_KINDS else None
            if found is None or found < level:
                return left
            left = self.types(left) if found == _TYPE_LEVEL else self.chain(left, found)
        raise self.error("too many type tests in a row")

    def chain(self, first: Expression, level: int) -> Expression:
        rest: list[tuple[str, Expression, int]] = []
        while self.token.kind in _OPERATOR_KINDS and _LEVEL.get(self.token.text) == level:
            operator = self.next()
            rest.append((operator.text, self.operand(level + 1), operator.position))
        return Chain(first, tuple(rest), first.position)

    def types(self, operand: Expression) -> Expression:
        operator = self.next()
        names = [self.identifier()]
        while self.take("."):
            names.append(self.identifier())
        return TypeTest(operator.text, operand, tuple(names), operator.position)

    def unary(self) -> Expression:
        token = self.token
        signs = ""
        while self.token.kind == "symbol" and self.token.text in "+-":
            signs += self.next().text
        operand = self.path()
        return Sign("-" if signs.count("-") % 2 else "+", operand, token.position) if signs else operand

    def path(self) -> Expression:
        """Read a term and the steps after it."""
        token = self.token
        start: Expression | None = None
        steps: list[Step] = []
        if token.kind in ("name", "quoted") and not (token.kind == "name" and token.text in ("true", "false")):
            steps.append(self.invocation())
        else:
            start = self.term()
        while True:
            here = self.token
            if self.take("."):
                steps.append(self.special_step() if self.token.kind == "special" else self.invocation())
            elif self.take("["):
                steps.append(Index(self.nested(), here.position))
                self.expect("symbol", "]")
            elif steps or start is None:
                return Path(start, tuple(steps), token.position)
            else:
                return start

    def special_step(self) -> Step:
        raise self.error("'$this', '$index' and '$total' cannot follow a dot")

    def identifier(self) -> str:
        token = self.token
        if token.kind == "quoted" or (token.kind == "name" and token.text not in _RESERVED):
            return self.next().text
        raise self.error(f"expected a name, found {token.text or 'the end'!r}")

    def invocation(self) -> Step:
        token = self.token
        name = self.identifier()
        if token.kind == "quoted" or not self.take("("):
            return Member(name, token.position)
        arguments: list[Expression] = []
        if not self.take(")"):
            arguments.append(self.nested())
            while self.take(","):
                arguments.append(self.nested())
            self.expect("symbol", ")")
        return Call(name, tuple(arguments), token.position)

    def term(self) -> Expression:
        token = self.next()
        kind, text = token.kind, token.text
        if kind == "symbol":
            return self.symbol(token)
        if kind == "special":
            return Special(text[1:], token.position)
        if kind == "name":
            return Literal((text == "true",), token.position)
        if kind == "string":
            return Literal((text,), token.position)
        if kind == "number":
            return Literal((self.number(token),), token.position)
        if kind in ("date", "datetime", "time"):
            return Literal((self.temporal(token),), token.position)
        raise self.error(f"unexpected {text or 'end of the expression'!r}", token)

    def symbol(self, token: Token) -> Expression:
        if token.text == "(":
            inner = self.nested()
            self.expect("symbol", ")")
            return inner
        if token.text == "{":
            self.expect("symbol", "}")
            return Literal((), token.position)
        if token.text == "%":
            name = self.next()
            if name.kind not in ("name", "quoted", "string"):
                raise self.error("expected the name of a variable", name)
            return Variable(name.text, token.position)
        raise self.error(f"unexpected {token.text!r}", token)

    def number(self, token: Token) -> Any:
        """Return an Integer or Decimal, or with a unit after it a Quantity."""
        unit = self.token
        if unit.kind == "string" or (unit.kind == "name" and unit.text in CALENDAR):
            self.at += 1
            return Quantity(Decimal(token.text), unit.text)
        if "." in token.text:
            return Decimal(token.text)
        if int(token.text) > MAX_INTEGER:
            raise self.error("the number is too large for an Integer", token)
        return int(token.text)

    def temporal(self, token: Token) -> Any:
        text = token.text[1:]
        value: Date | DateTime | Time | None
        if token.kind == "time":
            value = parse_time(text)
        else:
            value = parse_date(text) if token.kind == "date" else parse_datetime(text, self.offset)
        if value is None:
            raise self.error(f"{token.text} is not a date or time", token)
        return value
