"""Writing Python source safely: expressions, statements, functions and the constants table.

Nothing that comes from an ELM document is ever part of the source: literals, names and operators are objects in the
constants table and appear as `k0`, `k1` …; variables are numbered (`x` rows, `t` temporaries, `a` operands); functions
are numbered by kind (`e` define, `p` parameter, `f` function, `h` part of one that was nested too deeply).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from fhir_cds.cql.typesys import Type

NO_VALUE: Final = object()
"""Marks an expression whose value is not known before evaluation."""

Line = tuple[int, str, str | None]
_ATOMS: Final = (str, int, bool, Decimal, type(None))


@dataclass(frozen=True, slots=True)
class Expr:
    """A Python expression (source text) with what is known about its value."""

    text: str
    type: Type | None = None
    nullable: bool = True
    value: Any = NO_VALUE  # the value itself, when it is the same in each evaluation
    field: tuple[str, str] | None = None  # of a FHIR primitive: (text of its parent, JSON key), where `_key` lies too

    @property
    def constant(self) -> bool:
        """Tell whether the value is known now."""
        return self.value is not NO_VALUE


NULL: Final = Expr("None", None, nullable=True, value=None)


class Constants:
    """The table of objects that generated source names by number."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self._by_key: dict[Any, str] = {}

    def name(self, value: Any) -> str:
        """Return the name of a constant: `None`, `True`, `False` themselves, else `k` and a number."""
        if value is None or value is True or value is False:
            return str(value)
        key = (type(value), value, str(value)) if type(value) in _ATOMS else ("id", id(value))
        name = self._by_key.get(key)
        if name is None:
            name = f"k{len(self.values)}"
            self._by_key[key] = name
            self.values[name] = value  # keeps the object alive, so that its id stays its own
        return name


@dataclass(slots=True)
class Function:
    """A function being written: its header, the open block and how deep that is."""

    header: str
    block: list[Line]
    depth: int = 0


class Writer:
    """Source of one program, function by function, with the place in the CQL of each line."""

    def __init__(self) -> None:
        self.constants = Constants()
        self.lines: list[str] = []
        self.places: list[tuple[str, str | None, str | None]] = []
        self.owner: tuple[str, str | None] = ("", None)
        self.place: str | None = None
        self.function = Function("", [])
        self._counter = 0

    def k(self, value: Any) -> str:
        """Return the name of a constant."""
        return self.constants.name(value)

    def constant(self, value: Any, kind: Type | None) -> Expr:
        """Return a constant as an expression."""
        return Expr(self.k(value), kind, value is None, value)

    def number(self) -> int:
        """Return a number never given before in this program."""
        self._counter += 1
        return self._counter

    def temp(self, prefix: str = "t") -> str:
        """Return a fresh variable name."""
        return f"{prefix}{self.number()}"

    def emit(self, text: str) -> None:
        """Add a statement to the open block."""
        self.function.block.append((0, text, self.place))

    def emit_block(self, lines: list[Line]) -> None:
        """Add the lines of a closed block, one level deeper."""
        self.function.block.extend((indent + 1, text, place) for indent, text, place in lines)

    def open(self) -> list[Line]:
        """Start a nested block; returns the outer one, for `close`."""
        outer = self.function.block
        self.function.block = []
        self.function.depth += 1
        return outer

    def close(self, outer: list[Line]) -> list[Line]:
        """End the nested block; returns its lines."""
        inner = self.function.block
        self.function.block = outer
        self.function.depth -= 1
        return inner

    def spill(self, expr: Expr) -> Expr:
        """Return the expression as a name that may be used many times, computing it now."""
        if expr.text.isidentifier():
            return expr
        name = self.temp()
        self.emit(f"{name} = {expr.text}")
        return Expr(name, expr.type, expr.nullable, expr.value, expr.field)

    def bind(self, expr: Expr) -> tuple[str, str]:
        """Return (text of the first use, name for the uses evaluated after it)."""
        if expr.text.isidentifier():
            return expr.text, expr.text
        name = self.temp()
        return f"({name} := {expr.text})", name

    def begin(self, name: str, parameters: str) -> Function:
        """Start a function; returns the one it interrupts, for `end`."""
        outer = self.function
        self.function = Function(f"def {name}({parameters}):", [])
        return outer

    def end(self, outer: Function) -> None:
        """Finish the function: its lines join the source."""
        self._write(0, self.function.header, None)
        for indent, text, place in self.function.block:
            self._write(indent + 1, text, place)
        self.function = outer

    def _write(self, indent: int, text: str, place: str | None) -> None:
        self.lines.append(" " * indent + text)
        self.places.append((*self.owner, place))

    def source(self) -> str:
        """Return the whole source text."""
        return "\n".join(self.lines) + "\n"
