"""The wrongs that one node of ELM can suffer, as tables: what a slip of the pen in the CQL would give.

Comparisons, thresholds, boolean operators, interval bounds and negations are turned; a condition, a branch, an
alternative or a default is left out; what is not known becomes no. Value sets and codes are exchanged in `mutants`,
which knows them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

Json = Mapping[str, Any]
Change = tuple[str, Any]

_SYSTEM: Final = "{urn:hl7-org:elm-types:r1}"
_BOOLEAN: Final = f"{_SYSTEM}Boolean"
_NUMBERS: Final = frozenset({f"{_SYSTEM}Integer", f"{_SYSTEM}Decimal"})
_SWAPS: Final[Mapping[str, tuple[str, ...]]] = {
    "Less": ("LessOrEqual", "GreaterOrEqual"),
    "LessOrEqual": ("Less", "Greater"),
    "Greater": ("GreaterOrEqual", "LessOrEqual"),
    "GreaterOrEqual": ("Greater", "Less"),
    "NotEqual": ("Equal",),
    "Before": ("SameOrBefore",),
    "SameOrBefore": ("Before",),
    "After": ("SameOrAfter",),
    "SameOrAfter": ("After",),
    "And": ("Or",),
    "Or": ("And",),
    "IsTrue": ("IsFalse",),
    "IsFalse": ("IsTrue",),
    "AllTrue": ("AnyTrue",),
    "AnyTrue": ("AllTrue",),
    "First": ("Last",),
    "Last": ("First",),
    "Min": ("Max",),
    "Max": ("Min",),
    "Add": ("Subtract",),
    "Subtract": ("Add",),
    "Union": ("Intersect",),
    "Except": ("Union",),
}
_NEGATED: Final = frozenset(
    {"AnyInValueSet", "Contains", "EndsWith", "Equal", "Equivalent", "Exists", "In", "InValueSet", "Is", "IsNull"}
    | {"Matches", "StartsWith"}
)
_BOUNDS: Final = (("lowClosed", "lowClosedExpression"), ("highClosed", "highClosedExpression"))


def changes(node: Json) -> Iterator[Change]:
    """Yield (what is done, the node that stands in its place) for every wrong of one node."""
    kind = str(node.get("type", ""))
    for other in _SWAPS.get(kind, ()):
        yield f"{kind} becomes {other}", {**node, "type": other}
    if kind in _NEGATED:
        yield f"{kind} becomes Not {kind}", {"type": "Not", "operand": node}
    for maker in _MAKERS.get(kind, ()):
        yield from maker(node)


# --- turned


def _literal(node: Json) -> Iterator[Change]:
    if node.get("valueType") in _NUMBERS:
        for step in (1, -1):
            value = str(Decimal(str(node["value"])) + step)
            yield f"{node['value']} becomes {value}", {**node, "value": value}
    if node.get("valueType") == _BOOLEAN:
        other = "false" if node["value"] == "true" else "true"
        yield f"{node['value']} becomes {other}", {**node, "value": other}


def _quantity(node: Json) -> Iterator[Change]:
    if isinstance(node.get("value"), int | Decimal):
        for step in (1, -1):
            value = node["value"] + step
            yield f"{node['value']} {node.get('unit')} becomes {value}", {**node, "value": value}


def _interval(node: Json) -> Iterator[Change]:
    for name, expression in _BOUNDS:
        if expression not in node and isinstance(node.get(name), bool):
            yield f"{name} becomes {str(not node[name]).lower()}", {**node, name: not node[name]}


def _implies(node: Json) -> Iterator[Change]:
    yield "Implies becomes And", {**node, "type": "And"}


def _negation(node: Json) -> Iterator[Change]:
    yield "Not is left out", node["operand"]


# --- left out


def _side(node: Json) -> Iterator[Change]:
    """Leave out one side of a chain; in `a and b and c`, which nests to the left, each member once."""
    left, right = node["operand"]
    yield f"the right side of {node['type']} is left out", left
    if left.get("type") != node["type"]:
        yield f"the left side of {node['type']} is left out", right


def _member(node: Json) -> Iterator[Change]:
    key = "operand" if node["type"] == "Coalesce" else "element"
    members = node.get(key, ())
    for at in range(len(members)) if len(members) > 1 else ():
        rest = [*members[:at], *members[at + 1 :]]
        alone = key == "operand" and len(rest) == 1
        yield f"member {at + 1} of {node['type']} is left out", rest[0] if alone else {**node, key: rest}


def _branch(node: Json) -> Iterator[Change]:
    items = node["caseItem"]
    for at in range(len(items)):
        rest = [*items[:at], *items[at + 1 :]]
        yield f"when {at + 1} is left out", {**node, "caseItem": rest} if rest else node["else"]


def _choice(node: Json) -> Iterator[Change]:
    yield "If becomes its then", node["then"]
    yield "If becomes its else", node["else"]


def _filter(node: Json) -> Iterator[Change]:
    if "where" in node:
        yield "where is left out", {key: value for key, value in node.items() if key != "where"}


# --- three values


def _is_true(node: Json) -> Iterator[Change]:
    inner = node["operand"]
    yield f"{node['type']} is left out", inner if node["type"] == "IsTrue" else {"type": "Not", "operand": inner}


def _unknown(node: Json) -> Iterator[Change]:
    """Take what is not known for no: a null where a Boolean is meant."""
    kind = node.get("asType") or node.get("asTypeSpecifier", {}).get("name")
    if kind == _BOOLEAN and node["operand"].get("type") == "Null":
        no = {"type": "Literal", "valueType": _BOOLEAN, "value": "false", "resultTypeName": _BOOLEAN}
        yield "null becomes false", no


_MAKERS: Final[Mapping[str, tuple[Callable[[Json], Iterator[Change]], ...]]] = {
    "And": (_side,),
    "As": (_unknown,),
    "Case": (_branch,),
    "Coalesce": (_member,),
    "If": (_choice,),
    "Implies": (_implies,),
    "Interval": (_interval,),
    "IsFalse": (_is_true,),
    "IsTrue": (_is_true,),
    "List": (_member,),
    "Literal": (_literal,),
    "Not": (_negation,),
    "Or": (_side,),
    "Quantity": (_quantity,),
    "Query": (_filter,),
    "Union": (_side,),
}
