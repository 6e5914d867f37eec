"""The syntax tree of FHIRPath: what the parser makes and the compiler reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant collection: one system value, or none for `{}`."""

    values: tuple[Any, ...]
    position: int


@dataclass(frozen=True, slots=True)
class Special:
    """`$this`, `$index` or `$total`."""

    name: str
    position: int


@dataclass(frozen=True, slots=True)
class Variable:
    """`%name`."""

    name: str
    position: int


@dataclass(frozen=True, slots=True)
class Member:
    """The elements of a name."""

    name: str
    position: int


@dataclass(frozen=True, slots=True)
class Index:
    """`[expression]`."""

    expression: Expression
    position: int


@dataclass(frozen=True, slots=True)
class Call:
    """A function with its arguments, not yet evaluated."""

    name: str
    arguments: tuple[Expression, ...]
    position: int


Step: TypeAlias = Member | Index | Call


@dataclass(frozen=True, slots=True)
class Path:
    """Steps one after the other; without a start, from the focus."""

    start: Expression | None
    steps: tuple[Step, ...]
    position: int


@dataclass(frozen=True, slots=True)
class Sign:
    """Unary `+` or `-`."""

    sign: str
    operand: Expression
    position: int


@dataclass(frozen=True, slots=True)
class Chain:
    """Operators of one precedence from left to right: `first op operand op operand …`."""

    first: Expression
    rest: tuple[tuple[str, Expression, int], ...]
    position: int


@dataclass(frozen=True, slots=True)
class TypeTest:
    """`operand is Type` or `operand as Type`; the type name as written, in one or two parts."""

    operator: str
    operand: Expression
    type_name: tuple[str, ...]
    position: int


Expression: TypeAlias = Literal | Special | Variable | Path | Sign | Chain | TypeTest


def type_name_of(expression: Expression) -> tuple[str, ...] | None:
    """Return the type that an argument names (`Quantity`, `FHIR.Quantity`), None when it is not a name."""
    if not isinstance(expression, Path) or expression.start is not None or len(expression.steps) > 2:
        return None
    names = [step.name for step in expression.steps if isinstance(step, Member)]
    return tuple(names) if len(names) == len(expression.steps) else None
