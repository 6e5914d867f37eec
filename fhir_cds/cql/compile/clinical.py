"""Codes, concepts, value sets and code systems: resolved at load; membership tests over hash sets."""

from __future__ import annotations

from typing import Any, Final

from fhir_cds.cql.compile.context import HELPERS, CodeSet, Compiler, Handler
from fhir_cds.cql.compile.emit import Expr
from fhir_cds.cql.compile.operators import call
from fhir_cds.cql.elm import Node
from fhir_cds.cql.runtime import clinical_ops, fhir_helpers
from fhir_cds.cql.runtime.clinical import Code, CodeSystem, Concept, ValueSet
from fhir_cds.cql.trampoline import Step
from fhir_cds.cql.typesys import BOOLEAN, CODE, CODESYSTEM, CONCEPT, VALUESET, ListOf, Named


def code(c: Compiler, node: Node) -> Step[Expr]:
    """Compile Code."""
    system: CodeSystem | None = None
    if node.get("system") is not None:
        system = (yield c.visit(node["system"])).value
    value = Code(node["code"], system.id if system else None, system.version if system else None, node.get("display"))
    return c.writer.constant(value, CODE)


def concept(c: Compiler, node: Node) -> Step[Expr]:
    """Compile Concept."""
    codes: list[Code] = []
    for child in node.get("code") or ():
        codes.append((yield c.visit(child)).value)  # noqa: PERF401 - a step cannot yield in a comprehension
    return c.writer.constant(Concept(tuple(codes), node.get("display")), CONCEPT)


def code_ref(c: Compiler, node: Node) -> Step[Expr]:
    """Compile CodeRef."""
    yield from ()
    return c.writer.constant(c.code(c.included(node.get("libraryName")), node["name"]), CODE)


def concept_ref(c: Compiler, node: Node) -> Step[Expr]:
    """Compile ConceptRef."""
    yield from ()
    return c.writer.constant(c.concept(c.included(node.get("libraryName")), node["name"]), CONCEPT)


def codesystem_ref(c: Compiler, node: Node) -> Step[Expr]:
    """Compile CodeSystemRef."""
    yield from ()
    return c.writer.constant(c.codesystem(c.included(node.get("libraryName")), node["name"]), CODESYSTEM)


def valueset_ref(c: Compiler, node: Node) -> Step[Expr]:
    """Compile ValueSetRef: the value set itself, or its codes where the translator typed it as a list."""
    yield from ()
    found = c.valueset(c.included(node.get("libraryName")), node["name"])
    codes = c.code_set(found)
    if node.type == ListOf(CODE):
        return c.writer.constant(clinical_ops.expand_value_set(codes), node.type)
    return c.writer.constant(found, VALUESET)


def expand(c: Compiler, node: Node) -> Step[Expr]:
    """Compile ExpandValueSet."""
    found: Expr = yield c.visit(node["operand"])
    if found.constant and isinstance(found.value, ValueSet):
        return c.writer.constant(clinical_ops.expand_value_set(c.code_set(found.value)), ListOf(CODE))
    if found.type == ListOf(CODE):
        return found
    return Expr(f"{c.k(expand_at_run_time)}(s, {found.text})", ListOf(CODE))


def expand_at_run_time(state: Any, valueset: ValueSet | None) -> list[Code] | None:
    """Return the codes of a value set that is only known at evaluation; raises LookupError when it is not given."""
    return None if valueset is None else clinical_ops.expand_value_set(codes_of(state, valueset))


def codes_of(state: Any, valueset: ValueSet) -> CodeSet:
    """Return the codes of a value set among those the program was loaded with."""
    found: CodeSet | None = state.code_sets.get(valueset.id)
    if found is None:
        raise LookupError(f"the value set {valueset.id} is not among those given")
    return found


def in_valueset(c: Compiler, node: Node) -> Step[Expr]:
    """Compile InValueSet: false for null (CQL reference); FHIR codes are looked up without conversion."""
    valueset: Expr = yield _set_of(c, node, "valueset")
    if not valueset.constant:
        value: Expr = yield c.visit(node["code"])
        return Expr(f"{c.k(member_at_run_time)}(s, {value.text}, {valueset.text})", BOOLEAN)
    codes = c.k(c.code_set(valueset.value))
    found: Expr = yield membership(c, node["code"], codes)
    return found


def membership(c: Compiler, node: Node, codes: str) -> Step[Expr]:
    """Return the test whether a code, concept or text is in a constant set."""
    raw = raw_codes(c, node)
    if raw is not None:
        function, operand = raw
        value: Expr = yield c.visit(operand)
        return Expr(f"{c.k(function)}({value.text}, {codes})", BOOLEAN, nullable=False)
    value = yield c.visit(node)
    return Expr(f"({c.k(clinical_ops.in_value_set)}({value.text}, {codes}) is True)", BOOLEAN, nullable=False)


def raw_codes(c: Compiler, node: Node) -> tuple[Any, Node] | None:
    """Return the direct test and its operand for `FHIRHelpers.ToConcept(x)` and `ToCode(x)`."""
    if node.kind != "FunctionRef" or not c.intrinsic_helpers or len(node.get("operand") or ()) != 1:
        return None
    include = c.library.includes.get(node.get("libraryName") or "")
    if include is None or include.name != HELPERS:
        return None
    operand: Node = node["operand"][0]
    if node["name"] == "ToConcept" and operand.type == Named("FHIR.CodeableConcept"):
        return fhir_helpers.concept_in, operand
    if node["name"] == "ToCode" and operand.type == Named("FHIR.Coding"):
        return fhir_helpers.coding_in, operand
    return None


def member_at_run_time(state: Any, value: Any, valueset: ValueSet | None) -> bool | None:
    """Return whether a code is in a value set that is only known at evaluation; null for a null value set."""
    if valueset is None:
        return None
    return clinical_ops.in_value_set(value, codes_of(state, valueset)) is True


def any_in_valueset(c: Compiler, node: Node) -> Step[Expr]:
    """Compile AnyInValueSet."""
    valueset: Expr = yield _set_of(c, node, "valueset")
    value: Expr = yield c.visit(node["codes"])
    if valueset.constant:
        codes = c.k(c.code_set(valueset.value))
        return Expr(f"({c.k(clinical_ops.any_in_value_set)}({value.text}, {codes}) is True)", BOOLEAN, nullable=False)
    return Expr(f"{c.k(any_at_run_time)}(s, {value.text}, {valueset.text})", BOOLEAN)


def any_at_run_time(state: Any, values: list[Any] | None, valueset: ValueSet | None) -> bool | None:
    """Return whether one of the codes is in a value set that is only known at evaluation."""
    if valueset is None:
        return None
    return any(member_at_run_time(state, value, valueset) for value in values or ())


def _set_of(c: Compiler, node: Node, name: str) -> Step[Expr]:
    reference = node.get(name) if node.get(name) is not None else node.get(f"{name}Expression")
    if reference is None:
        raise c.fail(f"{node.kind} without a {name}")
    if reference.kind == "ValueSetRef":
        found = c.valueset(c.included(reference.get("libraryName")), reference["name"])
        c.code_set(found)
        return c.writer.constant(found, VALUESET)
    given: Expr = yield c.visit(reference)
    return given


def in_codesystem(c: Compiler, node: Node) -> Step[Expr]:
    """Compile InCodeSystem and AnyInCodeSystem: whether a code says that it is of the system."""
    system: Expr = yield _set_of(c, node, "codesystem")
    value: Expr = yield c.visit(node["code"] if node.kind == "InCodeSystem" else node["codes"])
    function = clinical_ops.in_code_system if node.kind == "InCodeSystem" else clinical_ops.any_in_code_system
    if system.constant:
        return Expr(f"{c.k(function)}({value.text}, {c.k(system.value.id)})", BOOLEAN)
    first, name = c.writer.bind(system)
    return Expr(f"(None if {first} is None else {c.k(function)}({value.text}, {name}.id))", BOOLEAN)


def equivalent(c: Compiler, node: Node) -> Step[Expr]:
    """Compile Equivalent; of a FHIR concept and a known code or concept it is a set lookup."""
    for one, other in (node["operand"], node["operand"][::-1]):
        raw = raw_codes(c, one)
        if raw is not None and _is_known(other):
            known: Expr = yield c.visit(other)
            function, operand = raw
            value: Expr = yield c.visit(operand)
            codes = known.value.codes if isinstance(known.value, Concept) else (known.value,)
            pairs = frozenset((each.system, each.code) for each in codes)
            return Expr(f"{c.k(function)}({value.text}, {c.k(pairs)})", BOOLEAN, nullable=False)
    left: Expr = yield c.visit(node["operand"][0])
    right: Expr = yield c.visit(node["operand"][1])
    return call(c, node, [left, right], [])


def _is_known(node: Node) -> bool:
    """Tell whether a node names a code or concept of the library; translators wrap a code in ToConcept."""
    return node.kind in {"CodeRef", "ConceptRef"} or (node.kind == "ToConcept" and node["operand"].kind == "CodeRef")


HANDLERS: Final[dict[str, Handler]] = {
    "AnyInCodeSystem": in_codesystem,
    "AnyInValueSet": any_in_valueset,
    "Code": code,
    "CodeRef": code_ref,
    "CodeSystemRef": codesystem_ref,
    "Concept": concept,
    "ConceptRef": concept_ref,
    "Equivalent": equivalent,
    "ExpandValueSet": expand,
    "InCodeSystem": in_codesystem,
    "InValueSet": in_valueset,
    "ValueSetRef": valueset_ref,
}
TESTS: Final[dict[str, Handler]] = {}
