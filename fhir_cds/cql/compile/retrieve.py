"""Retrieves: registered with the program's index at load; what only evaluation knows is filtered then."""

from __future__ import annotations

from typing import Any, Final

from fhir_cds.cql.compile.context import Compiler, Handler
from fhir_cds.cql.compile.emit import Expr
from fhir_cds.cql.compile.operators import names
from fhir_cds.cql.elm import Node
from fhir_cds.cql.index import Coding, Read, Retrieve, concept_reader, concepts_reader
from fhir_cds.cql.modelinfo import element_type, is_resource, model_type, primitive_of
from fhir_cds.cql.runtime import OPERATORS, primitives
from fhir_cds.cql.runtime.clinical import Code, Concept, ValueSet
from fhir_cds.cql.runtime.elements import dynamic_property
from fhir_cds.cql.runtime.fhir_helpers import period_to_interval
from fhir_cds.cql.runtime.interval import Interval
from fhir_cds.cql.runtime.typed import Typed
from fhir_cds.cql.trampoline import Step
from fhir_cds.cql.typesys import ChoiceOf, ListOf, Named, Type

_REFUSED: Final = names(
    """idProperty idSearch id contextProperty contextSearch context codeSearch valueSetProperty dateLowProperty
    dateHighProperty dateSearch include otherFilter"""
)


def retrieve(c: Compiler, node: Node) -> Step[Expr]:
    """Compile Retrieve to its bucket of the index, filtered by codes or dates that are not known at load."""
    kind: Named = node["dataType"]
    if not is_resource(kind.name):
        raise c.fail(f"{kind} cannot be retrieved")
    for name in _REFUSED:
        if node.get(name):
            raise c.fail(f"Retrieve.{name} is not supported")
    resource_type = kind.name.partition(".")[2]
    resource_type = "Resource" if resource_type == "DomainResource" else resource_type
    result_type = node.type or ListOf(kind)
    filters: list[tuple[str | None, Node]] = []
    if node.get("codes") is not None:
        filters.append((node.get("codeProperty"), node["codes"]))
    filters += [(f.get("property"), f["value"]) for f in node.get("codeFilter") or ()]
    dates: list[tuple[str | None, Node]] = []
    if node.get("dateRange") is not None:
        dates.append((node.get("dateProperty"), node["dateRange"]))
    dates += [(f.get("property"), f["value"]) for f in node.get("dateFilter") or ()]
    date_path = dates[0][0] if dates else None
    text, rest = yield _coded(c, kind, resource_type, filters[:1], date_path)
    for path, value in rest + filters[1:]:
        codes: Expr = yield c.visit(value)
        read = coding_reader(c, kind, path or _code_path(c, kind))
        text = f"{c.k(filter_codes)}(s, {text}, {c.k(read)}, {codes.text})"
    for path, value in dates:
        if path is None:
            raise c.fail("a retrieve by date without a date property")
        period: Expr = yield c.visit(value)
        _check_path(c, kind, path)
        text = f"{c.k(filter_dates)}(s, {text}, {c.k(tuple(path.split('.')))}, {period.text})"
    return Expr(text, result_type, nullable=False)


def _code_path(c: Compiler, kind: Named) -> str:
    found = model_type(kind.name)
    if found is None or found.code_path is None:
        raise c.fail(f"{kind} has no primary code path: name the element to compare")
    return found.code_path


def _coded(
    c: Compiler, kind: Named, resource_type: str, filters: list[tuple[str | None, Node]], date_path: str | None
) -> Step[tuple[str, list[tuple[str | None, Node]]]]:
    """Return the text of the bucket and the code filter that evaluation must still apply, if any."""
    if not filters:
        described = Retrieve(resource_type, date_path=date_path)
        c.uses.retrieves[c.retrieves.describe(described)] = None
        return f"s.buckets[{c.retrieves.all_of(resource_type)}]", []
    path, value = filters[0]
    path = path or _code_path(c, kind)
    read = coding_reader(c, kind, path)
    valueset: str | None = None
    pairs: frozenset[Coding] | None = None
    direct: tuple[Code, ...] | None = ()
    if value.kind == "ValueSetRef":
        found = c.valueset(c.included(value.get("libraryName")), value["name"])
        valueset = f"{found.id}|{found.version}" if found.version else found.id
        pairs = frozenset(c.code_set(found))
    else:
        codes: Expr = yield c.visit(value)
        direct = _known_codes(codes)
        if direct is not None:
            pairs = frozenset((code.system, code.code) for code in direct)
    c.uses.retrieves[c.retrieves.describe(Retrieve(resource_type, path, valueset, direct, date_path))] = None
    if pairs is None:
        return f"s.buckets[{c.retrieves.all_of(resource_type)}]", [(path, value)]
    if _plain_code(kind, path):
        pairs = frozenset((None, code) for _, code in pairs)
    return f"s.buckets[{c.retrieves.coded(resource_type, tuple(path.split('.')), read, pairs)}]", []


def _known_codes(codes: Expr) -> tuple[Code, ...] | None:
    """Return the codes of a constant, or None."""
    if not codes.constant:
        return None
    found = single_codes(codes.value)
    return tuple(found) if all(isinstance(code, Code) for code in found) else None


def single_codes(value: Any) -> list[Any]:
    """Return the codes in a code, a concept, or (nested) lists of them; translators wrap lists in lists."""
    if isinstance(value, list):
        return [code for item in value for code in single_codes(item)]
    if isinstance(value, Concept):
        return list(value.codes)
    return [] if value is None else [value]


def _plain_code(kind: Named, path: str) -> bool:
    """Tell whether a code path is a FHIR code, whose JSON does not say its system."""
    declared = element_type(kind.name, path)
    return isinstance(declared, Named) and primitive_of(declared.name) is not None


def coding_reader(c: Compiler, kind: Named, path: str) -> Read:
    """Return the function that reads the codings under a path of a resource; a path that does not exist is refused."""
    _check_path(c, kind, path)
    declared = element_type(kind.name, path)
    if declared == Named("FHIR.CodeableConcept"):
        return concept_reader(path)
    if declared == ListOf(Named("FHIR.CodeableConcept")):
        return concepts_reader(path)
    if isinstance(declared, ChoiceOf) and [t for t in declared.options if t in _CODED] == [_CODED[0]]:
        return concept_reader(f"{path}CodeableConcept")
    segments = tuple(path.split("."))
    return lambda resource: codings(_walk(resource, segments))


_CODED: Final = (Named("FHIR.CodeableConcept"), Named("FHIR.Coding"))


def _check_path(c: Compiler, kind: Named, path: str) -> None:
    current: Type | None = kind
    for segment in path.split("."):
        current = current.item if isinstance(current, ListOf) else current
        current = element_type(current.name, segment) if isinstance(current, Named) else None
        if current is None:
            raise c.fail(f"{kind} has no element {path!r}")


def _walk(resource: dict[str, Any], segments: tuple[str, ...]) -> list[Any]:
    values: Any = resource
    for segment in segments:
        values = dynamic_property(None, values, segment)
    if values is None:
        return []
    return values if isinstance(values, list) else [values]


def codings(values: list[Any]) -> list[Coding]:
    """Return the (system, code) pairs in CodeableConcepts, Codings and codes."""
    found: list[Coding] = []
    for item in values:
        value = item.value if isinstance(item, Typed) else item
        if isinstance(value, dict) and isinstance(value.get("coding"), list):
            found += [(each.get("system"), each.get("code")) for each in value["coding"]]
        elif isinstance(value, dict) and "code" in value:
            found.append((value.get("system"), value.get("code")))
        elif isinstance(value, str):
            found.append((None, value))
    return found


def filter_codes(state: Any, resources: list[Any], read: Read, codes: Any) -> list[Any]:
    """Return the resources with one of the codes (a list, a concept, a code or a value set); none for null."""
    if codes is None:
        return []
    if isinstance(codes, ValueSet):
        wanted: frozenset[Coding] | set[Coding] = state.code_sets.get(codes.id)
        if wanted is None:
            raise LookupError(f"the value set {codes.id} is not among those given")
    else:
        wanted = {(c.system, c.code) if isinstance(c, Code) else (None, c) for c in single_codes(codes)}
    state.spend(len(resources))
    return [resource for resource in resources if any(pair in wanted for pair in read(resource))]


def filter_dates(state: Any, resources: list[Any], path: tuple[str, ...], period: Interval | None) -> list[Any]:
    """Return the resources whose date (or period) under the path lies during the interval; none for null."""
    if period is None:
        return []
    state.spend(len(resources))
    return [resource for resource in resources if any(_during(state, value, period) for value in _walk(resource, path))]


def _during(state: Any, value: Any, period: Interval) -> bool:
    raw = value.value if isinstance(value, Typed) else value
    if isinstance(raw, dict):
        return OPERATORS["IncludedIn"](period_to_interval(state, raw), period, None) is True
    return OPERATORS["In"](primitives.to_datetime(state, raw), period, None) is True


HANDLERS: Final[dict[str, Handler]] = {"Retrieve": retrieve}
TESTS: Final[dict[str, Handler]] = {}
