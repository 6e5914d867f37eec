"""Static check of an expression against the types it is evaluated on: names that no possible type has are errors.

Types are sets of full names; None stands for "anything" and is never an error. The check knows what paths, filters
and type tests do to types, and takes every other result for anything.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from fhir_cds.cql.fhirpath.errors import FhirPathError
from fhir_cds.cql.fhirpath.nodes import slots, type_of
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
    type_name_of,
)
from fhir_cds.cql.modelinfo import is_subtype, known_type, primitive_of

Types = frozenset[str] | None
_BOOLEAN: Final = frozenset({"System.Boolean"})
_INTEGER: Final = frozenset({"System.Integer"})
_STRING: Final = frozenset({"System.String"})
# Declared types whose values are of other types.
_OPEN: Final = frozenset({"FHIR.Resource", "FHIR.DomainResource", "FHIR.Element", "FHIR.BackboneElement"})
_SAME: Final = frozenset(
    {"where", "first", "last", "tail", "skip", "take", "single", "distinct", "exclude", "intersect", "sort"}
    | {"trace", "defineVariable"}
)
_RESULTS: Final[dict[str, frozenset[str]]] = {
    **dict.fromkeys(
        ("empty", "exists", "all", "allTrue", "anyTrue", "allFalse", "anyFalse", "not", "is", "isDistinct"), _BOOLEAN
    ),
    **dict.fromkeys(("startsWith", "endsWith", "matches", "matchesFull", "hasValue", "memberOf"), _BOOLEAN),
    **dict.fromkeys(("count", "length", "indexOf", "lastIndexOf", "toInteger", "precision"), _INTEGER),
    **dict.fromkeys(("toString", "substring", "upper", "lower", "replace", "replaceMatches", "join", "trim"), _STRING),
    "extension": frozenset({"FHIR.Extension"}),
}
# Functions whose arguments are evaluated for each item of the input.
_INNER: Final = frozenset({"where", "exists", "all", "select", "iif", "sort", "trace", "defineVariable"})
ROOTS: Final = frozenset({"context", "resource", "rootResource"})
"""Variables that stand for the input unless they are given."""
_UNORDERED: Final = frozenset({"children", "descendants"})
_ORDERED: Final = frozenset({"first", "last", "tail", "skip", "take"})
_OPERATORS: Final = frozenset({"=", "!=", "~", "!~", "<", "<=", ">", ">=", "in", "contains", "and", "or", "xor"})


def check(tree: Expression, root: frozenset[str], given: frozenset[str]) -> None:
    """Raise FhirPathError for a name that none of the possible types has.

    `root` are the types of the input, `given` those of the variables `ROOTS` that are not the input.
    """
    _Checker(root, ROOTS - given).infer(tree, root)


class _Checker:
    def __init__(self, root: frozenset[str], roots: frozenset[str]) -> None:
        self.root = root
        self.roots = roots

    def infer(self, tree: Expression, focus: Types) -> Types:
        return _RULES[type(tree)](self, tree, focus)

    def literal(self, tree: Literal, _focus: Types) -> Types:
        return frozenset(".".join(type_of(value)) for value in tree.values) or None

    def special(self, tree: Special, focus: Types) -> Types:
        return {"this": focus, "index": _INTEGER}.get(tree.name)

    def variable(self, tree: Variable, _focus: Types) -> Types:
        return self.root if tree.name in self.roots else None

    def sign(self, tree: Sign, focus: Types) -> Types:
        return self.infer(tree.operand, focus)

    def chain(self, tree: Chain, focus: Types) -> Types:
        found = [self.infer(tree.first, focus), *(self.infer(operand, focus) for _, operand, _ in tree.rest)]
        operator = tree.rest[-1][0]
        if operator == "|":
            return _either(found)
        return _BOOLEAN if operator in _OPERATORS or operator == "implies" else None

    def type_test(self, tree: TypeTest, focus: Types) -> Types:
        self.infer(tree.operand, focus)
        return _BOOLEAN if tree.operator == "is" else _named(tree.type_name)

    def path(self, tree: Path, focus: Types) -> Types:
        types = focus if tree.start is None else self.infer(tree.start, focus)
        for number, step in enumerate(tree.steps):
            first = number == 0 and tree.start is None
            _check_order(tree.steps[number - 1] if number else None, step)
            types = self.step(step, types, focus, first=first)
        return types

    def step(self, step: Step, types: Types, focus: Types, *, first: bool) -> Types:
        if isinstance(step, Member):
            return _member(step, types, first=first)
        if isinstance(step, Index):
            self.infer(step.expression, focus)
            return types
        return self.call(step, types, focus)

    def call(self, call: Call, types: Types, focus: Types) -> Types:
        if call.name in ("is", "as", "ofType"):
            names = type_name_of(call.arguments[0])
            return _BOOLEAN if call.name == "is" or names is None else _named(names)
        if call.name in ("repeat", "aggregate"):
            # The projection also meets what it gives, the aggregator `$total`: their types stay open.
            if call.name == "repeat":
                self.infer(call.arguments[0], types)
            return None
        inner = types if call.name in _INNER else focus
        found = [self.infer(argument, inner) for argument in call.arguments]
        if call.name in _SAME:
            return types
        if call.name in ("union", "combine"):
            return _either([types, *found])
        if call.name == "select":
            return found[0]
        return _either(found[1:]) if call.name == "iif" and len(found) == 3 else _RESULTS.get(call.name)


def _check_order(before: Step | None, step: Step) -> None:
    """Raise FhirPathError for the first, last … of elements whose order is not defined."""
    ordered = isinstance(step, Index) or (isinstance(step, Call) and step.name in _ORDERED)
    if ordered and isinstance(before, Call) and before.name in _UNORDERED:
        raise FhirPathError(f"the order of {before.name}() is not defined", position=step.position)


def _either(found: list[Types]) -> Types:
    known = [types for types in found if types is not None]
    return frozenset().union(*known) if len(known) == len(found) else None


def _named(names: tuple[str, ...]) -> Types:
    if len(names) == 2:
        return _opened(frozenset({".".join(names)}))
    return _opened(frozenset(full for full in (f"FHIR.{names[0]}", f"System.{names[0]}") if known_type(full)))


def _opened(types: frozenset[str]) -> Types:
    return None if types & _OPEN else types


def _member(step: Member, types: Types, *, first: bool) -> Types:
    """Return the types of an element; raises FhirPathError when none of the types has it."""
    name = step.name
    if first and name[:1].isupper() and known_type(f"FHIR.{name}"):
        if types is None:
            return _opened(frozenset({f"FHIR.{name}"}))
        fitting = frozenset(kind for kind in types if kind.startswith("FHIR.") and is_subtype(kind, f"FHIR.{name}"))
        if fitting:
            return fitting
    if types is None or not types:
        return None
    result: set[str] = set()
    anything, found = False, False
    for kind in types:
        elements = _elements(kind, name)
        found = found or elements is not None
        anything = anything or (elements is not None and None in elements)
        result.update(each for each in elements or () if each is not None)
    if not found:
        raise FhirPathError(f"{' or '.join(sorted(types))} has no element {name}", position=step.position)
    return None if anything else _opened(frozenset(result))


def _elements(kind: str, name: str) -> tuple[str | None, ...] | None:
    """Return the types of an element of one type, None when there is no such element."""
    if kind.startswith("System."):
        return (None,) if kind == "System.Any" or (kind == "System.Quantity" and name in ("value", "unit")) else None
    if primitive_of(kind) is not None:
        return {"id": ("FHIR.string",), "extension": ("FHIR.Extension",)}.get(name)
    found = slots(kind, name)
    return None if found is None else tuple(each for _, each in found)


_RULES: Final[dict[type, Callable[[_Checker, Any, Types], Types]]] = {
    Literal: _Checker.literal,
    Special: _Checker.special,
    Variable: _Checker.variable,
    Sign: _Checker.sign,
    Chain: _Checker.chain,
    TypeTest: _Checker.type_test,
    Path: _Checker.path,
}
