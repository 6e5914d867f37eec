"""Property access: one element of a value, read by the value's static type where there is one."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from fhir_cds.cql.compile.context import Compiler, Handler
from fhir_cds.cql.compile.emit import Expr
from fhir_cds.cql.elm import Node
from fhir_cds.cql.modelinfo import element_type, is_subtype, primitive_of
from fhir_cds.cql.runtime import elements, primitives, typed
from fhir_cds.cql.trampoline import Step
from fhir_cds.cql.typesys import ChoiceOf, IntervalOf, ListOf, Named, TupleOf, Type

_INDEXED: Final = re.compile(r"([^\[\]]+)\[(\d{1,6})\]")


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
    text = f"{c.k(elements.dynamic_property)}(s, {source.text}, {c.k(name)})"
    item = declared.item if isinstance(declared, ListOf) else declared
    plain = isinstance(item, Named) and item.name.startswith("FHIR.")
    return Expr(f"{c.k(typed.unwrap)}({text})" if plain else text, declared)


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
    return Expr(f"{c.k(elements.system_property)}({source.text}, {c.k(name)})", kind)


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
    pairs = elements.choice_keys(name, element)
    if isinstance(wanted, Named):
        keys = tuple(key for key, option in pairs if is_subtype(option, wanted.name))
        if len(keys) == 1:
            return _get(c, source, keys[0], wanted)
        if keys:
            first, bound = c.writer.bind(source)
            return Expr(f"(None if {first} is None else {c.k(elements.first_key)}({bound}, {c.k(keys)}))", wanted)
    first, bound = c.writer.bind(source)
    return Expr(f"(None if {first} is None else {c.k(elements.choice)}({bound}, {c.k(pairs)}))", element)


def _get(c: Compiler, source: Expr, key: str, kind: Type | None) -> Expr:
    if not source.nullable:
        return Expr(f"{source.text}.get({c.k(key)})", kind, field=(source.text, key))
    first, name = c.writer.bind(source)
    return Expr(f"(None if {first} is None else {name}.get({c.k(key)}))", kind, field=(source.text, key))


def primitive_value(c: Compiler, source: Expr, kind: Named) -> Expr:
    """Return the CQL value of a FHIR primitive."""
    system = primitive_of(kind.name) or ""
    conversion = primitives.PRIMITIVES[system]
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
    return Expr(f"{c.k(elements.primitive_part)}({parent}, {c.k('_' + key)}, {c.k(name)})", element)


def identifier(c: Compiler, node: Node) -> Step[Expr]:
    """Compile IdentifierRef: an element of the row being sorted."""
    yield from ()
    if node.get("libraryName") or ("sort", "") not in c.scope:
        raise c.fail(f"the identifier {node['name']!r} is not resolved")
    return step(c, c.scope[("sort", "")], node["name"], node.type, None)


HANDLERS: Final[dict[str, Handler]] = {"IdentifierRef": identifier, "Property": property_, "Search": property_}
TESTS: Final[dict[str, Handler]] = {}
