"""Small wrongs put into ELM, one at a time: what a slip of the pen in the CQL would give.

Each mutant replaces one node of one define. The tables say which; a node is replaced by a copy, never changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from fhir_cds.authoring.elm_form import definitions
from fhir_cds.authoring.elm_graph import Name

Json = Mapping[str, Any]
Step = str | int

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
    "Union": ("Intersect",),
    "Except": ("Union",),
}
_NEGATED: Final = frozenset({"Equal", "Equivalent", "Exists", "IsNull", "InValueSet", "AnyInValueSet", "In"})
_NUMBERS: Final = frozenset({"{urn:hl7-org:elm-types:r1}Integer", "{urn:hl7-org:elm-types:r1}Decimal"})
_BOUNDS: Final = (("lowClosed", "lowClosedExpression"), ("highClosed", "highClosedExpression"))


@dataclass(frozen=True, slots=True)
class Mutant:
    """One wrong: in which define, at which place of the CQL, what it does, and the path to the node in the define."""

    define: Name
    locator: str
    change: str
    overload: int
    path: tuple[Step, ...]
    replacement: Any

    def __str__(self) -> str:
        return f"{self.define.library}.cql:{self.locator} {self.change}"


def mutants(document: Json) -> Iterator[Mutant]:
    """Yield every mutant of a library, define by define in the order of the text."""
    library = document["library"]["identifier"]["id"]
    neighbours = {
        section: _next_of([definition["name"] for definition in definitions(document, section)])
        for section in ("valueSets", "codes")
    }
    for place, definition in enumerate(definitions(document, "statements")):
        for path, node, locator in _walk(definition.get("expression"), ("expression",), definition.get("locator", "")):
            for change, replacement in _changes(node, neighbours):
                yield Mutant(Name(library, definition["name"]), locator, change, place, path, replacement)


def borrow(document: Json, others: Mapping[str, Json]) -> Iterator[Mutant]:
    """Yield the mutants that name another value set or code of an included library."""
    library = document["library"]["identifier"]["id"]
    included = {d["localIdentifier"]: others.get(d["path"]) for d in definitions(document, "includes")}
    for place, definition in enumerate(definitions(document, "statements")):
        for path, node, locator in _walk(definition.get("expression"), ("expression",), definition.get("locator", "")):
            owner = included.get(node.get("libraryName", ""))
            for section, wanted in (("valueSets", "ValueSetRef"), ("codes", "CodeRef")):
                if owner is None or not _is_reference(node, path, wanted):
                    continue
                other = _next_of([d["name"] for d in definitions(owner, section)]).get(node["name"])
                if other is not None:
                    change = f'"{node["name"]}" becomes "{other}"'
                    yield Mutant(
                        Name(library, definition["name"]), locator, change, place, path, {**node, "name": other}
                    )


def applied(document: Json, mutant: Mutant) -> dict[str, Any]:
    """Return the document with the mutant in it; nothing else is copied than the way to it."""
    path: tuple[Step, ...] = ("library", "statements", "def", mutant.overload, *mutant.path)
    changed = _replaced(document, path, mutant.replacement)
    assert isinstance(changed, dict)  # noqa: S101 - the root of a document is an object
    return changed


def _replaced(tree: Any, path: Sequence[Step], replacement: Any) -> Any:
    if not path:
        return replacement
    step = path[0]
    if isinstance(tree, list) and isinstance(step, int):
        return [_replaced(item, path[1:], replacement) if at == step else item for at, item in enumerate(tree)]
    return {key: _replaced(item, path[1:], replacement) if key == step else item for key, item in tree.items()}


def _walk(tree: Any, path: tuple[Step, ...], locator: str) -> Iterator[tuple[tuple[Step, ...], Json, str]]:
    """Yield (path, node, nearest locator) of every object of an expression, parents first."""
    if isinstance(tree, Mapping):
        here = tree.get("locator", locator)
        yield path, tree, here
        for key, item in tree.items():
            if key != "signature":
                yield from _walk(item, (*path, key), here)
    elif isinstance(tree, list):
        for index, item in enumerate(tree):
            yield from _walk(item, (*path, index), locator)


def _changes(node: Json, neighbours: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, Any]]:
    kind = str(node.get("type", ""))
    for other in _SWAPS.get(kind, ()):
        yield f"{kind} becomes {other}", {**node, "type": other}
    if kind in _NEGATED:
        yield f"{kind} becomes Not {kind}", {"type": "Not", "operand": node}
    if kind == "Not":
        yield "Not is left out", node["operand"]
    for maker in _MAKERS.get(kind, ()):
        yield from maker(node)
    for section, wanted in (("valueSets", "ValueSetRef"), ("codes", "CodeRef")):
        if kind == wanted and "libraryName" not in node and node["name"] in neighbours[section]:
            other = neighbours[section][node["name"]]
            yield f'"{node["name"]}" becomes "{other}"', {**node, "name": other}


def _number(node: Json) -> Iterator[tuple[str, Any]]:
    if node.get("valueType") in _NUMBERS:
        for step in (1, -1):
            value = str(Decimal(str(node["value"])) + step)
            yield f"{node['value']} becomes {value}", {**node, "value": value}


def _quantity(node: Json) -> Iterator[tuple[str, Any]]:
    if isinstance(node.get("value"), int | Decimal):
        for step in (1, -1):
            yield (
                f"{node['value']} {node.get('unit')} becomes {node['value'] + step}",
                {**node, "value": node["value"] + step},
            )


def _interval(node: Json) -> Iterator[tuple[str, Any]]:
    for name, expression in _BOUNDS:
        if expression not in node and isinstance(node.get(name), bool):
            yield f"{name} becomes {str(not node[name]).lower()}", {**node, name: not node[name]}


def _implies(node: Json) -> Iterator[tuple[str, Any]]:
    yield "Implies becomes And", {**node, "type": "And"}


_MAKERS: Final[Mapping[str, tuple[Callable[[Json], Iterator[tuple[str, Any]]], ...]]] = {
    "Literal": (_number,),
    "Quantity": (_quantity,),
    "Interval": (_interval,),
    "Implies": (_implies,),
}


def _is_reference(node: Json, path: tuple[Step, ...], wanted: str) -> bool:
    untyped = wanted == "ValueSetRef" and path[-1] == "valueset"  # InValueSet names its value set without a type
    return "name" in node and (node.get("type") == wanted or untyped)


def _next_of(names: Sequence[str]) -> dict[str, str]:
    return dict(zip(names, [*names[1:], *names[:1]], strict=True)) if len(names) > 1 else {}
