"""Operators that are plain functions of their operands: one call of the runtime function of the same name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from fhir_cds.cql.compile.context import Compiler, Handler
from fhir_cds.cql.compile.emit import Expr
from fhir_cds.cql.elm import Node
from fhir_cds.cql.elm_schema import EXPRESSIONS
from fhir_cds.cql.runtime import OPERATORS, STATEFUL, elements, list_ops
from fhir_cds.cql.trampoline import Step
from fhir_cds.cql.typesys import (
    BOOLEAN,
    DATE,
    DATETIME,
    DECIMAL,
    INTEGER,
    LONG,
    QUANTITY,
    RATIO,
    STRING,
    TIME,
    ChoiceOf,
    IntervalOf,
    ListOf,
    Named,
    Type,
)


def names(text: str) -> frozenset[str]:
    """Return the words of a text as a set."""
    return frozenset(text.split())


FOLDED: Final = names(
    """Abs Add Date DateFrom DateTimeComponentFrom Divide End Interval MaxValue MinValue Modulo Multiply Negate
    Predecessor Round Start Subtract Successor Time ToConcept ToDate ToDecimal ToInteger ToList ToLong ToQuantity
    Truncate TruncatedDivide"""
)
"""Operators computed at load when all operands are known: cheap, without state, with small results."""

_BOOLEAN: Final = names(
    """After AllTrue AnyTrue Before CanConvert CanConvertQuantity Contains ConvertsToBoolean ConvertsToDate
    ConvertsToDateTime ConvertsToDecimal ConvertsToInteger ConvertsToLong ConvertsToQuantity ConvertsToRatio
    ConvertsToString ConvertsToTime Ends EndsWith Equal Equivalent Exists Greater GreaterOrEqual In
    IncludedIn Includes Less LessOrEqual Matches Meets MeetsAfter MeetsBefore NotEqual Overlaps OverlapsAfter
    OverlapsBefore ProperContains ProperIn ProperIncludedIn ProperIncludes SameAs SameOrAfter SameOrBefore
    Starts StartsWith SubsumedBy Subsumes"""
)
_FIXED: Final[dict[str, Type]] = {
    **dict.fromkeys(_BOOLEAN, BOOLEAN),
    **dict.fromkeys(
        ["Count", "Length", "IndexOf", "CalculateAge", "CalculateAgeAt", "PositionOf", "LastPositionOf"], INTEGER
    ),
    **dict.fromkeys(
        ["DurationBetween", "DifferenceBetween", "DateTimeComponentFrom", "ToInteger", "Precision"], INTEGER
    ),
    **dict.fromkeys(["Concatenate", "Combine", "Lower", "Upper", "Substring", "ToString", "ReplaceMatches"], STRING),
    **dict.fromkeys(["Avg", "Median", "Divide", "ToDecimal", "TimezoneOffsetFrom"], DECIMAL),
    **dict.fromkeys(["Date", "Today", "DateFrom", "ToDate"], DATE),
    **dict.fromkeys(["DateTime", "Now", "ToDateTime"], DATETIME),
    **dict.fromkeys(["Time", "TimeOfDay", "TimeFrom", "ToTime"], TIME),
    "ToBoolean": BOOLEAN,
    "ToConcept": Named("System.Concept"),
    "ToLong": LONG,
    "ToQuantity": QUANTITY,
    "ToRatio": RATIO,
    "Split": ListOf(STRING),
    "SplitOnMatches": ListOf(STRING),
    "ToChars": ListOf(STRING),
}


def item_of(kind: Type | None) -> Type | None:
    """Return the element type of a list type, None for others."""
    return kind.item if isinstance(kind, ListOf) else None


def _point_of(kind: Type | None) -> Type | None:
    return kind.point if isinstance(kind, IntervalOf) else None


def _flattened(kind: Type | None) -> Type | None:
    inner = item_of(kind)
    if isinstance(inner, ListOf):
        return inner
    if isinstance(inner, ChoiceOf):
        return None
    return ListOf(inner) if inner is not None else None


_DERIVED: Final[dict[str, Callable[[Type | None], Type | None]]] = {
    **dict.fromkeys(["First", "Last", "Indexer", "SingletonFrom", "Max", "Min", "Mode", "Sum", "Product"], item_of),
    **dict.fromkeys(["Start", "End", "PointFrom"], _point_of),
    **dict.fromkeys(
        [
            "Distinct",
            "Union",
            "Intersect",
            "Except",
            "Slice",
            "Add",
            "Subtract",
            "Multiply",
            "Negate",
            "Message",
            "Abs",
        ],
        lambda kind: kind,
    ),
    "Flatten": _flattened,
    "ToList": lambda kind: None if kind is None else ListOf(kind),
}
_NEVER_NULL: Final = frozenset(
    ["Exists", "Equivalent", "Count", "IsNull", "IsTrue", "IsFalse", "Now", "Today", "TimeOfDay", "ToList"]
)


def result_type(node: Node, first: Type | None) -> Type | None:
    """Return the static type of an operator's result: the translator's, else what the operands tell."""
    if node.type is not None:
        return node.type
    derived = _DERIVED.get(node.kind)
    return derived(first) if derived else _FIXED.get(node.kind)


def operator(c: Compiler, node: Node) -> Step[Expr]:
    """Compile an operator as a call: operands in schema order, a missing one null, the precision last."""
    operands: list[Expr] = []
    trailing: list[Any] = []
    for spec in EXPRESSIONS[node.kind]:
        value = node.get(spec.name)
        if spec.kind == "E" and spec.many:
            for child in value:
                operands.append((yield c.visit(child)))  # noqa: PERF401 - a step cannot yield in a comprehension
        elif spec.kind == "E":
            operands.append(Expr("None", value=None) if value is None else (yield c.visit(value)))
        elif spec.kind == "P":
            trailing.append(value)
    return call(c, node, operands, trailing)


def call(c: Compiler, node: Node, operands: list[Expr], trailing: list[Any]) -> Expr:
    """Return the call of a node's operator, computed now when everything is known."""
    kind = result_type(node, operands[0].type if operands else None)
    function = OPERATORS[node.kind]
    if node.kind in FOLDED and node.kind not in STATEFUL and all(e.constant for e in operands):
        try:
            return c.writer.constant(function(*[e.value for e in operands], *trailing), kind)
        except Exception:  # an error belongs to the evaluation, if it ever gets there
            return _call(c, node.kind, operands, trailing, kind)
    if len(operands) != 2 and node.kind in {"Union", "Intersect", "Except"}:
        folded = operands[0]
        for operand in operands[1:]:
            folded = c.writer.spill(_call(c, node.kind, [folded, operand], [], kind))
        return folded
    return _call(c, node.kind, operands, trailing, kind)


def _call(c: Compiler, name: str, operands: list[Expr], trailing: list[Any], kind: Type | None) -> Expr:
    arguments = ["s"] if name in STATEFUL else []
    arguments += [e.text for e in operands]
    arguments += [c.k(value) for value in trailing]
    return Expr(f"{c.k(OPERATORS[name])}({', '.join(arguments)})", kind, name not in _NEVER_NULL)


def aggregate(c: Compiler, node: Node) -> Step[Expr]:
    """Compile an aggregate over a list, or over one element of its items when `path` is given."""
    source: Expr = yield c.visit(node["source"])
    if node.get("path"):
        source = Expr(f"{c.k(elements.items_by_path)}(s, {source.text}, {c.k(node['path'])})", None)
    return _call(c, node.kind, [source], [], result_type(node, source.type))


def bound(c: Compiler, node: Node) -> Step[Expr]:
    """Compile MinValue and MaxValue, which are constants."""
    yield from ()
    try:
        value = OPERATORS[node.kind](node["valueType"].name)
    except TypeError as error:
        raise c.fail(str(error)) from None
    return c.writer.constant(value, node.type or node["valueType"])


def message(c: Compiler, node: Node) -> Step[Expr]:
    """Compile Message; a missing condition is true, a missing severity is Message."""
    parts: list[Expr] = []
    defaults: dict[str, Any] = {"condition": True, "severity": "Message"}
    for name in ("source", "condition", "code", "severity", "message"):
        child = node.get(name)
        parts.append(c.writer.constant(defaults.get(name), None) if child is None else (yield c.visit(child)))
    return _call(c, "Message", parts, [], node.type or parts[0].type)


def timezone(c: Compiler, node: Node) -> Step[Expr]:
    """Compile TimezoneFrom, the name of TimezoneOffsetFrom before CQL 1.4."""
    return operator(c, replace(node, kind="TimezoneOffsetFrom"))


def length(c: Compiler, node: Node) -> Step[Expr]:
    """Compile Length: of a null list it is 0, of a null text null."""
    operand: Expr = yield c.visit(node["operand"])
    function = list_ops.list_length if isinstance(operand.type, ListOf) else OPERATORS["Length"]
    return Expr(f"{c.k(function)}({operand.text})", INTEGER)


def ordered(c: Compiler, node: Node) -> Step[Expr]:
    """Compile First and Last; their `orderBy` is not emitted by translators and is refused."""
    if node.get("orderBy"):
        raise c.fail(f"{node.kind} with orderBy is not supported: sort the query instead")
    source: Expr = yield c.visit(node["source"])
    return _call(c, node.kind, [source], [], result_type(node, source.type))


_GENERIC: Final = sorted(
    name
    for name, fields in EXPRESSIONS.items()
    if name in OPERATORS and all(f.kind in {"E", "P"} or (f.kind == "S" and f.name == "path") for f in fields)
)
_AGGREGATES: Final = [name for name in _GENERIC if any(f.name == "path" for f in EXPRESSIONS[name])]

HANDLERS: Final[dict[str, Handler]] = {
    **dict.fromkeys(_GENERIC, operator),
    **dict.fromkeys(_AGGREGATES, aggregate),
    "First": ordered,
    "Last": ordered,
    "Length": length,
    "TimezoneFrom": timezone,
    "MaxValue": bound,
    "MinValue": bound,
    "Message": message,
}
TESTS: Final[dict[str, Handler]] = {}
