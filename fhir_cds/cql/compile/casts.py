"""As, Is, Convert and CanConvert: decided at load where the static types allow it."""

from __future__ import annotations

from typing import Final

from fhir_cds.cql.compile.context import Compiler, Handler
from fhir_cds.cql.compile.emit import NO_VALUE, Expr
from fhir_cds.cql.compile.operators import call
from fhir_cds.cql.compile.properties import access, step
from fhir_cds.cql.elm import Node
from fhir_cds.cql.modelinfo import element_type, is_resource, is_subtype
from fhir_cds.cql.runtime import typed
from fhir_cds.cql.trampoline import Step
from fhir_cds.cql.typesys import ANY, BOOLEAN, ChoiceOf, ListOf, Named, Type


def target(c: Compiler, node: Node, name: str, specifier: str) -> Type:
    """Return the type a node names, one way or the other."""
    found: Type | None = node.get(specifier) or node.get(name)
    if found is None:
        raise c.fail(f"{node.kind} without a type")
    return found


def as_(c: Compiler, node: Node) -> Step[Expr]:
    """Compile As: a choice element cast to one of its types reads that JSON key; a certain cast costs nothing."""
    wanted = target(c, node, "asType", "asTypeSpecifier")
    operand = node["operand"]
    if operand.kind in {"Property", "Search"}:
        value: Expr = yield access(c, operand, wanted)
    elif operand.kind == "IdentifierRef" and ("sort", "") in c.scope:
        value = _sorted_element(c, operand, wanted) or (yield c.visit(operand))
    else:
        value = yield c.visit(operand)
    return cast(c, value, wanted, strict=node.get("strict") is True)


def _sorted_element(c: Compiler, operand: Node, wanted: Type) -> Expr | None:
    row = c.scope[("sort", "")]
    return step(c, row, operand["name"], operand.type, wanted) if isinstance(row.type, Named) else None


def passed(c: Compiler, value: Expr, wanted: Type) -> Expr:
    """Return a value as the operand of a function: a choice gets its type said, a plain FHIR type needs no saying."""
    if isinstance(wanted, ChoiceOf):
        return cast(c, value, wanted, strict=False)
    if describes(wanted) and _dynamic(value.type) and not value.constant:
        return Expr(f"{c.k(typed.unwrap)}({value.text})", wanted)
    return value


def cast(c: Compiler, value: Expr, wanted: Type, *, strict: bool) -> Expr:
    """Return the value as the wanted type."""
    if value.constant and value.value is None:
        return Expr("None", wanted, nullable=True, value=None)
    if _dynamic(wanted):
        text = _said(c, value)
        return Expr(text, wanted, value.nullable, value.value if text == value.text else NO_VALUE)
    if value.type is not None and assignable(value.type, wanted):
        return Expr(value.text, wanted, value.nullable, value.value, value.field)
    function = typed.cast_type if strict else typed.as_type
    if _element_downcast(value.type, wanted):
        return Expr(value.text, wanted, value.nullable, value.value, value.field)
    return Expr(f"{c.k(function)}({_said(c, value)}, {c.k(wanted)})", wanted)


def _said(c: Compiler, value: Expr) -> str:
    """Return the text of a value that says its own type."""
    if certain(value.type) and describes(value.type):
        return f"{c.k(typed.describe)}({value.text}, {c.k(value.type)})"
    return value.text


def _dynamic(kind: Type | None) -> bool:
    """Tell whether values of a static type must say their own type."""
    if isinstance(kind, ListOf):
        return _dynamic(kind.item)
    return kind is None or kind == ANY or isinstance(kind, ChoiceOf)


def certain(kind: Type | None) -> bool:
    """Tell whether a static type says what its values are."""
    return not _dynamic(kind)


def describes(kind: Type | None) -> bool:
    """Tell whether values of a static type do not say their own type: FHIR elements and primitives."""
    if isinstance(kind, ListOf):
        return describes(kind.item)
    return isinstance(kind, Named) and kind.name.startswith("FHIR.") and not is_resource(kind.name)


def assignable(kind: Type, wanted: Type) -> bool:
    """Tell whether each value of a static type is one of the wanted type."""
    if kind == wanted:
        return True
    if isinstance(kind, ListOf) and isinstance(wanted, ListOf):
        return assignable(kind.item, wanted.item)
    return isinstance(kind, Named) and isinstance(wanted, Named) and kind != ANY and is_subtype(kind.name, wanted.name)


def _element_downcast(kind: Type | None, wanted: Type) -> bool:
    """Tell whether a FHIR element of a general type is cast to a special one, which its JSON cannot confirm."""
    if not (isinstance(kind, Named) and isinstance(wanted, Named)) or is_resource(wanted.name):
        return False
    return kind != ANY and kind.name.startswith("FHIR.") and is_subtype(wanted.name, kind.name)


def is_(c: Compiler, node: Node) -> Step[Expr]:
    """Compile Is: of a choice element, whether the JSON key is there."""
    wanted = target(c, node, "isType", "isTypeSpecifier")
    operand = node["operand"]
    value: Expr
    if (
        operand.kind == "Property"
        and "." not in operand["path"]
        and isinstance(wanted, Named)
        and wanted.name.startswith("FHIR.")
    ):
        element = _choice_element(c, operand)
        value = yield access(c, operand, wanted)
        if element and value.type == wanted:
            return Expr(f"({value.text} is not None)", BOOLEAN, nullable=False)
    else:
        value = yield c.visit(operand)
    if value.type is not None and certain(value.type) and assignable(value.type, wanted):
        return Expr(f"({value.text} is not None)", BOOLEAN, nullable=False)
    return Expr(f"{c.k(typed.is_type)}({_said(c, value)}, {c.k(wanted)})", BOOLEAN, nullable=False)


def _choice_element(c: Compiler, operand: Node) -> bool:
    """Tell whether a property is a choice element of a known FHIR type."""
    kind: Type | None = None
    if operand.get("source") is not None:
        kind = operand["source"].type
    elif operand.get("scope") is not None:
        kind = c.scoped("alias", operand["scope"]).type
    return isinstance(kind, Named) and isinstance(element_type(kind.name, operand["path"]), ChoiceOf)


def convert(c: Compiler, node: Node) -> Step[Expr]:
    """Compile Convert and CanConvert to a system type."""
    wanted = target(c, node, "toType", "toTypeSpecifier")
    value: Expr = yield c.visit(node["operand"])
    if not isinstance(wanted, Named) or not wanted.name.startswith("System."):
        raise c.fail(f"there is no conversion to {wanted}")
    if node.kind == "Convert" and value.type == wanted:
        return value
    result = call(c, node, [value], [wanted.name])
    return Expr(result.text, BOOLEAN if node.kind == "CanConvert" else wanted, result.nullable, result.value)


HANDLERS: Final[dict[str, Handler]] = {"As": as_, "CanConvert": convert, "Convert": convert, "Is": is_}
TESTS: Final[dict[str, Handler]] = {}
