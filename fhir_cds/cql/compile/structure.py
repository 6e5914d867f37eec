"""Literals, selectors, instances and property access."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from fhir_cds.cql.compile.context import Compiler, Handler
from fhir_cds.cql.compile.emit import NULL, Expr
from fhir_cds.cql.compile.operators import call
from fhir_cds.cql.elm import Node
from fhir_cds.cql.modelinfo import element_type, is_resource, is_subtype, primitive_of
from fhir_cds.cql.runtime import fhir, instances, numbers
from fhir_cds.cql.runtime.numbers import Long
from fhir_cds.cql.runtime.quantity import Quantity, Ratio
from fhir_cds.cql.runtime.temporal_text import parse_date, parse_time
from fhir_cds.cql.trampoline import Step
from fhir_cds.cql.typesys import (
    DECIMAL,
    INTEGER,
    LONG,
    QUANTITY,
    RATIO,
    ChoiceOf,
    IntervalOf,
    ListOf,
    Named,
    TupleOf,
    Type,
)

_INDEXED: Final = re.compile(r"([^\[\]]+)\[(\d{1,6})\]")


# --- literals


def _integer(text: str) -> int | None:
    return numbers.integer(int(text))


def _long(text: str) -> Long | None:
    return numbers.long(int(text.removesuffix("L")))


def _decimal(text: str) -> Decimal | None:
    value = Decimal(text)
    return value if value.is_finite() and abs(value) < _DECIMAL_LIMIT and numbers.decimals(value) <= 8 else None


_DECIMAL_LIMIT: Final = Decimal(10) ** 28
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


# --- selectors


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


# --- instances


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
        f"{c.k(name)}: {c.k(fhir.describe)}({value.text}, {c.k(value.type)})" if isinstance(choices[name], ChoiceOf)
        else f"{c.k(name)}: {value.text}"
        for name, value in elements.items()
    )  # fmt: skip
    names = frozenset(name for name, declared in choices.items() if isinstance(declared, ChoiceOf))
    own = kind.name.partition(".")[2] if is_resource(kind.name) else None
    return Expr(f"{c.k(instances.fhir_instance)}({c.k(own)}, {{{described}}}, {c.k(names)})", kind, nullable=False)


# --- properties


def property_(c: Compiler, node: Node) -> Step[Expr]:
    """Compile Property."""
    return access(c, node, None)


def access(c: Compiler, node: Node, wanted: Type | None) -> Step[Expr]:
    """Compile a property; `wanted` is the type a choice element is about to be cast to, which picks its JSON key."""
    if node.get("source") is not None:
        source: Expr = yield c.visit(node["source"])
    elif node.get("scope") is not None:
        source = c.scoped("alias", node["scope"])
    else:
        raise c.fail("a property without source or scope")
    segments = path_segments(source.type, node["path"])
    for index, segment in enumerate(segments):
        last = index == len(segments) - 1
        declared = node.type if last else None
        match = _INDEXED.fullmatch(segment)
        if match:
            source = step(c, source, match.group(1), None, None)
            first, name = c.writer.bind(source)
            at = int(match.group(2))
            item = source.type.item if isinstance(source.type, ListOf) else None
            source = Expr(f"({name}[{at}] if {first} is not None and len({name}) > {at} else None)", item)
        else:
            source = step(c, source, segment, declared, wanted if last else _option_with(source, segments[index:]))
    if source.type is None and node.type is not None:
        source = Expr(source.text, node.type, source.nullable, source.value, source.field)
    return source


def _option_with(source: Expr, segments: list[str]) -> Type | None:
    """Return the one option of a choice element that has the next element of the path (`medication.reference`)."""
    choice = element_type(source.type.name, segments[0]) if isinstance(source.type, Named) else None
    if not isinstance(choice, ChoiceOf):
        return None
    options = [o for o in choice.options if isinstance(o, Named) and element_type(o.name, segments[1]) is not None]
    return options[0] if len(options) == 1 else None


def path_segments(kind: Type | None, path: str) -> list[str]:
    """Return the steps of a path; the element of a tuple may have dots in its name."""
    return [path] if isinstance(kind, TupleOf) and kind.element(path) is not None else path.split(".")


def step(c: Compiler, source: Expr, name: str, declared: Type | None, wanted: Type | None) -> Expr:
    """Return one element of a value, by the value's static type where there is one."""
    kind = source.type
    if source.constant and source.value is None:
        return Expr("None", declared, nullable=True, value=None)
    if isinstance(kind, TupleOf):
        element = kind.element(name)
        if element is None:
            raise c.fail(f"{kind} has no element {name!r}")
        return replace(_get(c, source, name, element), field=None)
    if isinstance(kind, IntervalOf) or (
        isinstance(kind, Named) and kind.name.startswith("System.") and kind.name != "System.Any"
    ):
        return _system(c, source, name, declared)
    if isinstance(kind, Named) and kind.name.startswith("FHIR."):
        return _fhir(c, source, name, declared, wanted)
    return _dynamic(c, source, name, declared)


def _dynamic(c: Compiler, source: Expr, name: str, declared: Type | None) -> Expr:
    """Return an element of a value whose type only evaluation knows; of a plain FHIR type it comes without its type."""
    text = f"{c.k(fhir.dynamic_property)}(s, {source.text}, {c.k(name)})"
    item = declared.item if isinstance(declared, ListOf) else declared
    plain = isinstance(item, Named) and item.name.startswith("FHIR.")
    return Expr(f"{c.k(fhir.unwrap)}({text})" if plain else text, declared)


def _system(c: Compiler, source: Expr, name: str, declared: Type | None) -> Expr:
    kind: Type | None = declared
    if isinstance(source.type, Named):
        kind = element_type(source.type.name, name)
        if kind is None:
            raise c.fail(f"{source.type} has no element {name!r}")
    elif isinstance(source.type, IntervalOf):
        if name not in {"low", "high", "lowClosed", "highClosed"}:
            raise c.fail(f"{source.type} has no element {name!r}")
        kind = declared or (source.type.point if name in {"low", "high"} else Named("System.Boolean"))
    return Expr(f"{c.k(fhir.system_property)}({source.text}, {c.k(name)})", kind)


def _fhir(c: Compiler, source: Expr, name: str, declared: Type | None, wanted: Type | None) -> Expr:
    kind = source.type
    if not isinstance(kind, Named):
        raise c.fail(f"{kind} is no FHIR type")
    element = element_type(kind.name, name)
    if primitive_of(kind.name) is not None and element is not None:
        return primitive_value(c, source, kind) if name == "value" else _primitive_part(c, source, kind, name, element)
    if element is None:
        if kind.name in {"FHIR.Resource", "FHIR.DomainResource", "FHIR.Element", "FHIR.BackboneElement"}:
            return _dynamic(c, source, name, declared)
        raise c.fail(f"{kind} has no element {name!r}")
    if not isinstance(element, ChoiceOf):
        return _get(c, source, name, element)
    pairs = fhir.choice_keys(name, element)
    if isinstance(wanted, Named):
        keys = tuple(key for key, option in pairs if is_subtype(option, wanted.name))
        if len(keys) == 1:
            return _get(c, source, keys[0], wanted)
        if keys:
            first, bound = c.writer.bind(source)
            return Expr(f"(None if {first} is None else {c.k(fhir.first_key)}({bound}, {c.k(keys)}))", wanted)
    first, bound = c.writer.bind(source)
    return Expr(f"(None if {first} is None else {c.k(fhir.choice)}({bound}, {c.k(pairs)}))", element)


def _get(c: Compiler, source: Expr, key: str, kind: Type | None) -> Expr:
    if not source.nullable:
        return Expr(f"{source.text}.get({c.k(key)})", kind, field=(source.text, key))
    first, name = c.writer.bind(source)
    return Expr(f"(None if {first} is None else {name}.get({c.k(key)}))", kind, field=(source.text, key))


def primitive_value(c: Compiler, source: Expr, kind: Named) -> Expr:
    """Return the CQL value of a FHIR primitive."""
    system = primitive_of(kind.name) or ""
    conversion = fhir.PRIMITIVES[system]
    target = Named(f"System.{system}")
    if conversion is None:
        return Expr(source.text, target, source.nullable, source.value)
    function, stateful = conversion
    return Expr(f"{c.k(function)}({'s, ' if stateful else ''}{source.text})", target)


def _primitive_part(c: Compiler, source: Expr, kind: Named, name: str, element: Type) -> Expr:
    """Return id or extension of a primitive, which lie beside its value under `_field` in the parent."""
    if source.field is None:
        raise c.fail(f"{name!r} of a {kind} can only be read directly from the element that holds it")
    parent, key = source.field
    return Expr(f"{c.k(fhir.primitive_part)}({parent}, {c.k('_' + key)}, {c.k(name)})", element)


def identifier(c: Compiler, node: Node) -> Step[Expr]:
    """Compile IdentifierRef: an element of the row being sorted."""
    yield from ()
    if node.get("libraryName") or ("sort", "") not in c.scope:
        raise c.fail(f"the identifier {node['name']!r} is not resolved")
    return step(c, c.scope[("sort", "")], node["name"], node.type, None)


HANDLERS: Final[dict[str, Handler]] = {
    "IdentifierRef": identifier,
    "Instance": instance,
    "Interval": interval,
    "List": list_,
    "Literal": literal,
    "Negate": negate,
    "Null": null,
    "Property": property_,
    "Quantity": quantity,
    "Ratio": ratio,
    "Search": property_,
    "Tuple": tuple_,
}
TESTS: Final[dict[str, Handler]] = {}
