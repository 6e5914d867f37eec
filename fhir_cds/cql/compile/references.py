"""References to defines, functions, parameters and variables; overloads and the FHIRHelpers intrinsics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from fhir_cds.cql.compile.casts import assignable, passed
from fhir_cds.cql.compile.context import HELPERS, Compiler, Handler
from fhir_cds.cql.compile.emit import Expr
from fhir_cds.cql.compile.properties import primitive_value
from fhir_cds.cql.elm import Define, ElmLibrary, Node
from fhir_cds.cql.modelinfo import is_subtype, primitive_of
from fhir_cds.cql.runtime import fhir_helpers
from fhir_cds.cql.trampoline import Step
from fhir_cds.cql.typesys import (
    ANY,
    CODE,
    CONCEPT,
    DATETIME,
    QUANTITY,
    RATIO,
    STRING,
    VALUESET,
    ChoiceOf,
    IntervalOf,
    ListOf,
    Named,
    Type,
)


def alias(c: Compiler, node: Node) -> Step[Expr]:
    """Compile AliasRef."""
    yield from ()
    return c.scoped("alias", node["name"])


def let(c: Compiler, node: Node) -> Step[Expr]:
    """Compile QueryLetRef: a let of a query or the running result of its aggregate."""
    yield from ()
    return c.scoped("let", node["name"])


def operand(c: Compiler, node: Node) -> Step[Expr]:
    """Compile OperandRef."""
    yield from ()
    return c.scoped("operand", node["name"])


def slot(c: Compiler, kind: str, library: str, name: str) -> str:
    """Return the text that gives the value of a define or parameter, computing it the first time."""
    number = c.slots[(kind, library, name)]
    temp = c.writer.temp()
    return f"({temp} if ({temp} := v[{number}]) is not U else {kind}{number}(s, v))"


def define(c: Compiler, node: Node) -> Step[Expr]:
    """Compile ExpressionRef; from the Unfiltered context a patient's value is a list over the (one) patients."""
    yield from ()
    library = c.included(node.get("libraryName"))
    found = c.define_of(library, node["name"])
    c.uses.defines[(library.name, found.name)] = None
    kind = found.type or (found.expression.type if found.expression else None)
    text = slot(c, "e", library.name, found.name)
    if c.context == "Unfiltered" and found.context != "Unfiltered" and not isinstance(kind, ListOf):
        return Expr(f"[{text}]", node.type or (None if kind is None else ListOf(kind)), nullable=False)
    return Expr(text, kind or node.type)


def parameter(c: Compiler, node: Node) -> Step[Expr]:
    """Compile ParameterRef."""
    yield from ()
    library = c.included(node.get("libraryName"))
    found = library.parameters.get(node["name"])
    if found is None:
        raise c.fail(f"the parameter {node['name']!r} does not exist in {library.name}")
    c.uses.parameters[(library.name, found.name)] = None
    return Expr(slot(c, "p", library.name, found.name), found.type or node.type)


# --- functions


def function(c: Compiler, node: Node) -> Step[Expr]:
    """Compile FunctionRef: an intrinsic of FHIRHelpers, or a call of the overload that fits."""
    arguments: list[Expr] = []
    for child in node.get("operand") or ():
        arguments.append((yield c.visit(child)))  # noqa: PERF401 - a step cannot yield in a comprehension
    name, signature = node["name"], node.get("signature") or ()
    include = c.library.includes.get(node.get("libraryName") or "")
    helpers = include is not None and include.name == HELPERS
    if helpers and (c.intrinsic_helpers or HELPERS not in c.libraries):
        return _helper(c, name, arguments, signature)
    library = c.included(node.get("libraryName"))
    index, found = overload(c, library, name, signature, [e.type for e in arguments])
    if found.external:
        return _external(c, library, name, arguments)
    number = c.function_numbers[(library.name, name, index)]
    c.uses.functions[(library.name, name, index)] = None
    expected = [kind for _, kind in found.operands or ()]
    given = [passed(c, e, kind) for e, kind in zip(arguments, expected, strict=True)]
    text = f"f{number}({', '.join(['s', 'v', *(e.text for e in given)])})"
    return Expr(text, found.type or node.type)


def overload(
    c: Compiler, library: ElmLibrary, name: str, signature: tuple[Type, ...], given: list[Type | None]
) -> tuple[int, Define]:
    """Return the function definition that is called, with its index among those of the name."""
    found = library.functions.get(name)
    if found is None:
        raise c.fail(f"the function {name!r} does not exist in {library.name}")
    fitting = [(i, d) for i, d in enumerate(found) if len(d.operands or ()) == len(given)]
    kinds: list[Type | None] = list(signature) if len(signature) == len(given) else given
    for accept in (_same, _assignable):
        matches = [
            (i, d) for i, d in fitting if all(accept(g, o) for g, (_, o) in zip(kinds, d.operands or (), strict=True))
        ]
        if len(matches) == 1:
            return matches[0]
        if matches:
            break
    if len(fitting) == 1:
        return fitting[0]
    shown = ", ".join(str(kind or "?") for kind in kinds)
    raise c.fail(f"no single overload of {library.name}.{name} fits ({shown})")


def _same(given: Type | None, declared: Type) -> bool:
    if isinstance(given, ChoiceOf) and isinstance(declared, ChoiceOf):
        return set(given.options) == set(declared.options)
    return given == declared


def _assignable(given: Type | None, declared: Type) -> bool:
    if given is None or ANY in (given, declared):
        return True
    if isinstance(declared, ChoiceOf):
        return any(_assignable(given, option) for option in declared.options)
    return assignable(given, declared)


Intrinsic = tuple[Callable[..., Any], bool, Type]  # function, takes the state, result type
_PERIOD: Final = (fhir_helpers.period_to_interval, True, IntervalOf(DATETIME))
_RANGE: Final = (fhir_helpers.range_to_interval, False, IntervalOf(QUANTITY))
_INTERVAL: Final = (fhir_helpers.quantity_to_interval, False, IntervalOf(QUANTITY))

_INTRINSICS: Final[dict[tuple[str, str], Intrinsic]] = {
    ("ToCalendarUnit", "System.String"): (fhir_helpers.calendar_unit, False, STRING),
    ("ToCode", "FHIR.Coding"): (fhir_helpers.to_code, False, CODE),
    ("ToConcept", "FHIR.CodeableConcept"): (fhir_helpers.to_concept, False, CONCEPT),
    ("ToInterval", "FHIR.Period"): _PERIOD,
    ("ToInterval", "FHIR.Quantity"): _INTERVAL,
    ("ToInterval", "FHIR.Range"): _RANGE,
    ("ToQuantity", "FHIR.Quantity"): (fhir_helpers.to_quantity, False, QUANTITY),
    ("ToQuantityIgnoringComparator", "FHIR.Quantity"): (fhir_helpers.quantity_ignoring_comparator, False, QUANTITY),
    ("ToRatio", "FHIR.Ratio"): (fhir_helpers.to_ratio, False, RATIO),
    ("ToValueSet", "System.String"): (fhir_helpers.to_value_set, False, VALUESET),
}
_PRIMITIVE_CONVERSIONS: Final[dict[str, str]] = {
    "ToBoolean": "Boolean",
    "ToDate": "Date",
    "ToDateTime": "DateTime",
    "ToDecimal": "Decimal",
    "ToInteger": "Integer",
    "ToString": "String",
    "ToTime": "Time",
}
INTRINSIC_NAMES: Final = frozenset(name for name, _ in _INTRINSICS) | frozenset(_PRIMITIVE_CONVERSIONS)


def _helper(c: Compiler, name: str, arguments: list[Expr], signature: tuple[Type, ...]) -> Expr:
    """Compile a call of FHIRHelpers by the static type of its operand, without its ELM."""
    if name not in INTRINSIC_NAMES or len(arguments) != 1:
        return _external(c, None, name, arguments)
    value = arguments[0]
    kind = value.type if isinstance(value.type, Named) and value.type != ANY else next(iter(signature), value.type)
    if value.constant and value.value is None:
        return value
    if isinstance(kind, Named):
        value = passed(c, value, kind)
        primitive = primitive_of(kind.name)
        if primitive is not None and _PRIMITIVE_CONVERSIONS.get(name) == primitive:
            return primitive_value(c, value, kind)
        for (function_name, base), (implementation, stateful, result) in _INTRINSICS.items():
            if function_name == name and is_subtype(kind.name, base):
                text = f"{c.k(implementation)}({'s, ' if stateful else ''}{value.text})"
                return Expr(text, result)
    if kind is None:
        raise c.fail(f"FHIRHelpers.{name} of a value without a static type: translate with EnableResultTypes")
    raise c.fail(f"no overload of FHIRHelpers.{name} fits {kind}")


_EXTERNALS: Final[dict[tuple[str, int], tuple[Callable[..., Any], Type]]] = {
    ("extension", 2): (fhir_helpers.extension, Named("FHIR.Extension")),
    ("extensions", 2): (fhir_helpers.extensions, ListOf(Named("FHIR.Extension"))),
    ("getValue", 1): (fhir_helpers.get_value, ANY),
    ("hasValue", 1): (fhir_helpers.has_value, Named("System.Boolean")),
    ("modifierExtension", 2): (fhir_helpers.modifier_extension, Named("FHIR.Extension")),
    ("modifierExtensions", 2): (fhir_helpers.modifier_extensions, ListOf(Named("FHIR.Extension"))),
    ("reference", 1): (fhir_helpers.reference, Named("FHIR.Reference")),
    ("resolve", 1): (fhir_helpers.resolve, Named("FHIR.Resource")),
}
"""External functions (name, number of operands) this engine brings itself."""


def _external(c: Compiler, library: ElmLibrary | None, name: str, arguments: list[Expr]) -> Expr:
    found = _EXTERNALS.get((name, len(arguments)))
    if found is None:
        raise c.fail(f"the external function {library.name if library else HELPERS}.{name} is not known here")
    function, kind = found
    return Expr(f"{c.k(function)}({', '.join(['s', *(e.text for e in arguments)])})", kind)


HANDLERS: Final[dict[str, Handler]] = {
    "AliasRef": alias,
    "ExpressionRef": define,
    "FunctionRef": function,
    "OperandRef": operand,
    "ParameterRef": parameter,
    "QueryLetRef": let,
}
TESTS: Final[dict[str, Handler]] = {}
