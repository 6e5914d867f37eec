"""Selectors: lists, tuples, intervals and instances of a class, made of the values of their parts."""

from __future__ import annotations

from typing import Final

from fhir_cds.cql.compile.context import Compiler, Handler
from fhir_cds.cql.compile.emit import NULL, Expr
from fhir_cds.cql.compile.operators import call
from fhir_cds.cql.elm import Node
from fhir_cds.cql.modelinfo import element_type, is_resource, primitive_of
from fhir_cds.cql.runtime import instances, typed
from fhir_cds.cql.trampoline import Step
from fhir_cds.cql.typesys import ChoiceOf, IntervalOf, ListOf, Named, TupleOf, Type


def list_(c: Compiler, node: Node) -> Step[Expr]:
    """Compile List; a list of constants is one."""
    items: list[Expr] = []
    for element in node.get("element") or ():
        items.append((yield c.visit(element)))  # noqa: PERF401 - a step cannot yield in a comprehension
    kind = node.type or (ListOf(items[0].type) if items and items[0].type else None)
    if all(item.constant for item in items):
        return c.writer.constant([item.value for item in items], kind)
    return Expr(f"[{', '.join(item.text for item in items)}]", kind, nullable=False)


def tuple_(c: Compiler, node: Node) -> Step[Expr]:
    """Compile Tuple to a dict."""
    parts: list[str] = []
    kinds: list[tuple[str, Type]] = []
    for element in node.get("element") or ():
        value: Expr = yield c.visit(element["value"])
        parts.append(f"{c.k(element['name'])}: {value.text}")
        kinds.append((element["name"], value.type or Named("System.Any")))
    return Expr(f"{{{', '.join(parts)}}}", node.type or TupleOf(tuple(kinds)), nullable=False)


def interval(c: Compiler, node: Node) -> Step[Expr]:
    """Compile Interval; its bounds are closed unless said otherwise."""
    bounds: list[Expr] = []
    for side in ("low", "high"):
        child = node.get(side)
        bounds.append(NULL if child is None else (yield c.visit(child)))
    closed: list[Expr] = []
    for side in ("low", "high"):
        child = node.get(f"{side}ClosedExpression")
        if child is None:
            closed.append(c.writer.constant(node.get(f"{side}Closed") is not False, None))
        else:
            value: Expr = yield c.visit(child)
            closed.append(Expr(f"({value.text} is not False)"))
    point = node.type.point if isinstance(node.type, IntervalOf) else bounds[0].type or bounds[1].type
    name = point.name.removeprefix("System.") if isinstance(point, Named) and point.name != "System.Any" else None
    return call(c, node, [bounds[0], bounds[1], closed[0], closed[1]], [name])


def instance(c: Compiler, node: Node) -> Step[Expr]:
    """Compile Instance: a system value, or FHIR JSON of the class."""
    elements: dict[str, Expr] = {}
    for element in node.get("element") or ():
        elements[element["name"]] = yield c.visit(element["value"])
    kind: Named = node["classType"]
    for name in elements:
        if element_type(kind.name, name) is None:
            raise c.fail(f"{kind} has no element {name!r}")
    arguments = ", ".join(f"{c.k(name)}: {value.text}" for name, value in elements.items())
    if kind.name.startswith("System."):
        return Expr(f"{c.k(instances.system_instance)}({c.k(kind.name)}, {{{arguments}}})", kind, nullable=False)
    if primitive_of(kind.name) is not None:
        value = elements.get("value", NULL)
        return Expr(f"{c.k(instances.to_json_primitive)}({value.text})", kind)
    choices = {name: element_type(kind.name, name) for name in elements}
    described = ", ".join(
        f"{c.k(name)}: {c.k(typed.describe)}({value.text}, {c.k(value.type)})" if isinstance(choices[name], ChoiceOf)
        else f"{c.k(name)}: {value.text}"
        for name, value in elements.items()
    )  # fmt: skip
    names = frozenset(name for name, declared in choices.items() if isinstance(declared, ChoiceOf))
    own = kind.name.partition(".")[2] if is_resource(kind.name) else None
    return Expr(f"{c.k(instances.fhir_instance)}({c.k(own)}, {{{described}}}, {c.k(names)})", kind, nullable=False)


HANDLERS: Final[dict[str, Handler]] = {"Instance": instance, "Interval": interval, "List": list_, "Tuple": tuple_}
TESTS: Final[dict[str, Handler]] = {}
