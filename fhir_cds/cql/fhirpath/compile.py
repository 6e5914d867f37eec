"""From syntax tree to Python closures: `compiled(scope) -> collection`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from fhir_cds.cql.fhirpath import fhir, lists, nodes, scalars
from fhir_cds.cql.fhirpath.errors import FAULTS, FhirPathError, placed
from fhir_cds.cql.fhirpath.nodes import Node
from fhir_cds.cql.fhirpath.operators import OPERATORS, result
from fhir_cds.cql.fhirpath.scope import Compiled, Scope, single
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
from fhir_cds.cql.fhirpath.typecheck import ROOTS
from fhir_cds.cql.runtime import arithmetic
from fhir_cds.cql.runtime.quantity import Quantity

Items = list[Any]
Apply = Callable[[Scope, Items], Items]
_VALUES: Final = {**lists.VALUES, **scalars.VALUES, **fhir.VALUES}
FUNCTIONS: Final[tuple[str, ...]] = tuple(sorted({*_VALUES, *lists.LAZY, *fhir.TYPES, "sort"}))
"""Names of all functions, for the documentation."""
_CONSTANTS: Final[Mapping[str, str]] = {
    "sct": "http://snomed.info/sct",
    "loinc": "http://loinc.org",
    "ucum": "http://unitsofmeasure.org",
}


def compile_tree(tree: Expression) -> Compiled:
    """Return the function of a syntax tree; raises FhirPathError for unknown functions and types."""
    return _COMPILERS[type(tree)](tree)


def _literal(tree: Literal) -> Compiled:
    values = list(tree.values)
    return lambda _scope: values


def _special(tree: Special) -> Compiled:
    if tree.name == "this":
        return lambda scope: scope.focus
    if tree.name == "index":
        return lambda scope: [] if scope.index is None else [scope.index]
    return lambda scope: scope.total


def _variable(tree: Variable) -> Compiled:
    name, position = tree.name, tree.position
    constant = _CONSTANTS.get(name)
    if name.startswith("vs-"):
        constant = f"http://hl7.org/fhir/ValueSet/{name[3:]}"
    elif name.startswith("ext-"):
        constant = f"http://hl7.org/fhir/StructureDefinition/{name[4:]}"

    def variable(scope: Scope) -> Items:
        if name in scope.defined:
            return scope.defined[name]
        if name in scope.run.variables:
            return nodes.wrap(scope.run.variables[name])
        if name in ROOTS:
            return scope.run.root
        if constant is None:
            raise FhirPathError(f"the variable %{name} is not defined", position=position)
        return [constant]

    return variable


# --- paths


def _path(tree: Path) -> Compiled:
    start = None if tree.start is None else compile_tree(tree.start)
    steps = [_step(step) for step in tree.steps]
    if start is None and isinstance(tree.steps[0], Member):
        steps[0] = _first_member(tree.steps[0], steps[0])

    def path(scope: Scope) -> Items:
        items = scope.focus if start is None else start(scope)
        for step in steps:
            items = step(scope, items)
        return items

    return path


def _step(step: Step) -> Apply:
    if isinstance(step, Member):
        return _member(step)
    apply = _index(step) if isinstance(step, Index) else _call(step)
    position = step.position

    def guarded(scope: Scope, items: Items) -> Items:
        try:
            return apply(scope, items)
        except FAULTS as error:
            raise placed(error, position) from None

    return guarded


def _member(step: Member) -> Apply:
    name = step.name

    def member(_scope: Scope, items: Items) -> Items:
        found: Items = []
        for item in items:
            found += nodes.child(item, name)
        return found

    return member


def _first_member(step: Member, member: Apply) -> Apply:
    """Return the first name of a path, which may be the type of the focus: `Patient.name`."""
    names = (step.name,)
    if not step.name[:1].isupper():
        return member

    def first(scope: Scope, items: Items) -> Items:
        if items and all(type(item) is Node and nodes.is_a(item, names) for item in items):
            return items
        return member(scope, items)

    return first


def _index(step: Index) -> Apply:
    index = compile_tree(step.expression)
    return lambda scope, items: lists.at(items, scope, index(scope))


def _call(call: Call) -> Apply:
    name = call.name
    if name in fhir.TYPES:
        return _type_function(call)
    if name == "sort":
        return _sort(call)
    function = _checked(call)
    arguments = [compile_tree(argument) for argument in call.arguments]
    if name in lists.LAZY:
        return lambda scope, items: function(items, scope, *arguments)
    if not arguments:
        return lambda scope, items: function(items, scope)
    return lambda scope, items: function(items, scope, *(argument(scope) for argument in arguments))


def _checked(call: Call) -> Callable[..., Items]:
    found = lists.LAZY.get(call.name) or _VALUES.get(call.name)
    if found is None:
        raise FhirPathError(f"unknown function {call.name}()", position=call.position)
    if not found[0] <= len(call.arguments) <= found[1]:
        raise FhirPathError(f"wrong number of arguments of {call.name}()", position=call.position)
    return found[2]


def _type_function(call: Call) -> Apply:
    function = fhir.TYPES[call.name]
    names = type_name_of(call.arguments[0]) if len(call.arguments) == 1 else None
    if names is None or not nodes.known(names):
        raise FhirPathError(f"{call.name}() needs the name of a type", position=call.position)
    known = names
    return lambda _scope, items: function(items, known)


def _sort(call: Call) -> Apply:
    keys = [
        (compile_tree(key.operand), True) if isinstance(key, Sign) and key.sign == "-" else (compile_tree(key), False)
        for key in call.arguments
    ]
    return lambda scope, items: lists.sort(items, scope, *keys)


# --- types, signs and chains of operators


def _type_test(tree: TypeTest) -> Compiled:
    operand, names = compile_tree(tree.operand), tree.type_name
    function = fhir.TYPES[tree.operator]
    if not nodes.known(names):
        raise FhirPathError(f"unknown type {'.'.join(names)}", position=tree.position)
    return _guarded(lambda scope: function(operand(scope), names), tree.position)


def _sign(tree: Sign) -> Compiled:
    operand, negative = compile_tree(tree.operand), tree.sign == "-"

    def signed(scope: Scope) -> Items:
        value = single(operand(scope), scope, "a sign")
        if value is None:
            return []
        if isinstance(value, bool) or not isinstance(value, int | Decimal | Quantity):
            raise FhirPathError("a sign needs a number")
        return result(arithmetic.negate(value) if negative else value)

    return _guarded(signed, tree.position)


def _chain(tree: Chain) -> Compiled:
    first = compile_tree(tree.first)
    rest = [(OPERATORS[operator], compile_tree(operand), position) for operator, operand, position in tree.rest]

    def chain(scope: Scope) -> Items:
        items = first(scope)
        for operator, operand, position in rest:
            try:
                items = operator(scope, items, operand)
            except FAULTS as error:
                raise placed(error, position) from None
        return items

    return chain


def _guarded(compiled: Compiled, position: int) -> Compiled:
    def guarded(scope: Scope) -> Items:
        try:
            return compiled(scope)
        except FAULTS as error:
            raise placed(error, position) from None

    return guarded


_COMPILERS: Final[dict[type, Callable[[Any], Compiled]]] = {
    Literal: _literal,
    Special: _special,
    Variable: _variable,
    Path: _path,
    Sign: _sign,
    Chain: _chain,
    TypeTest: _type_test,
}
