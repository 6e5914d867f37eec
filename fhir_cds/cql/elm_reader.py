"""ELM JSON -> typed nodes. Everything unknown is refused here, with library, define and locator.

Nothing of the JSON document is kept by reference, and narrative annotations are dropped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

from fhir_cds.cql.elm import Define, ElmLibrary, Include, Node, ParameterDef, Vocabulary
from fhir_cds.cql.elm_schema import ABSTRACT, ARITY, COMMON, ELEMENTS, EXPRESSIONS, PRECISIONS, Field
from fhir_cds.cql.modelinfo import NAMESPACES, known_type
from fhir_cds.cql.trampoline import Step, run
from fhir_cds.cql.typesys import ChoiceOf, IntervalOf, ListOf, Named, TupleOf, Type
from fhir_cds.errors import ElmError

_MAX_TYPE_DEPTH: Final = 32
_ALLOWED: Final[Mapping[str, frozenset[str]]] = {
    kind: COMMON | {field.name for field in fields} for kind, fields in {**EXPRESSIONS, **ELEMENTS}.items()
}


def parse(document: Mapping[str, Any]) -> ElmLibrary:
    """Return the library in an ELM JSON document (`{"library": …}`); raise `ElmError` for anything unknown in it."""
    return _Parser(document).library()


def identity(document: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return name and version of the library in an ELM document without reading the rest."""
    body = document.get("library") if isinstance(document, Mapping) else None
    identifier = body.get("identifier") if isinstance(body, Mapping) else None
    name = identifier.get("id") if isinstance(identifier, Mapping) else None
    if not isinstance(name, str) or not name:
        raise ElmError("this is not an ELM library: library.identifier.id is missing", library="?")
    version = identifier.get("version") if isinstance(identifier, Mapping) else None
    return name, version if isinstance(version, str) else None


class _Parser:
    def __init__(self, document: Mapping[str, Any]) -> None:
        self.name, self.version = identity(document)
        self.body: Mapping[str, Any] = document["library"]
        self.define: str | None = None
        self.locator: str | None = None

    def fail(self, message: str) -> ElmError:
        return ElmError(message, library=self.name, define=self.define, locator=self.locator)

    # --- the library and its sections

    def library(self) -> ElmLibrary:
        for using in self.section("usings"):
            uri = using.get("uri")
            if uri not in NAMESPACES:
                raise self.fail(f"the data model {uri!r} is not known here")
        defines: dict[str, Define] = {}
        functions: dict[str, list[Define]] = {}
        includes = {i.alias: i for i in map(self.include, self.section("includes"))}
        parameters = {p.name: p for p in map(self.parameter, self.section("parameters"))}
        for raw in self.section("statements"):
            if raw.get("type") not in (None, "ExpressionDef", "FunctionDef"):
                raise self.fail(f"unknown statement type {raw.get('type')!r}")
            found = self.statement(raw)
            if found.operands is not None:
                functions.setdefault(found.name, []).append(found)
            elif found.name in defines:
                raise self.fail(f"the define {found.name!r} stands twice in this library")
            else:
                defines[found.name] = found
        self.define = self.locator = None
        return ElmLibrary(
            self.name,
            self.version,
            MappingProxyType(includes),
            MappingProxyType(parameters),
            MappingProxyType({v.name: v for v in map(self.vocabulary, self.section("codeSystems"))}),
            MappingProxyType({v.name: v for v in map(self.vocabulary, self.section("valueSets"))}),
            MappingProxyType({v.name: v for v in map(self.vocabulary, self.section("codes"))}),
            MappingProxyType({v.name: v for v in map(self.vocabulary, self.section("concepts"))}),
            MappingProxyType(defines),
            MappingProxyType({name: tuple(found) for name, found in functions.items()}),
        )

    def section(self, name: str) -> Iterator[Mapping[str, Any]]:
        section = self.body.get(name)
        if section is None:
            return
        entries = section.get("def", []) if isinstance(section, dict) else None
        if not isinstance(entries, list):
            raise self.fail(f"library.{name} must be an object with a list 'def'")
        for entry in entries:
            if not isinstance(entry, dict):
                raise self.fail(f"library.{name}.def holds something that is not an object")
            self.define, self.locator = None, _text_or_none(entry.get("locator"))
            yield entry

    def include(self, raw: Mapping[str, Any]) -> Include:
        path = self.text(raw, "path")
        version = raw.get("version")
        return Include(
            self.text(raw, "localIdentifier"), path.rpartition("/")[2], version if isinstance(version, str) else None
        )

    def parameter(self, raw: Mapping[str, Any]) -> ParameterDef:
        self.define = name = self.text(raw, "name")
        declared = self.result_type(raw)
        if raw.get("parameterTypeSpecifier") is not None:
            declared = self.type_specifier(raw["parameterTypeSpecifier"])
        elif raw.get("parameterType") is not None:
            declared = self.qname(raw["parameterType"])
        default = raw.get("default")
        node = None if default is None else run(self.expression(default, None))
        return ParameterDef(name, declared, node, _text_or_none(raw.get("locator")))

    def vocabulary(self, raw: Mapping[str, Any]) -> Vocabulary:
        name = self.text(raw, "name")
        code_list = raw.get("code") if isinstance(raw.get("code"), list) else ()
        system = raw.get("codeSystem")
        return Vocabulary(
            name,
            _text_or_none(raw.get("id")) or "",
            _text_or_none(raw.get("version")),
            _text_or_none(raw.get("display")),
            self.reference(system) if isinstance(system, dict) else None,
            tuple(self.reference(code) for code in code_list or ()),
        )

    def reference(self, raw: Any) -> tuple[str | None, str]:
        if not isinstance(raw, dict):
            raise self.fail("a reference to a code or code system must be an object")
        return _text_or_none(raw.get("libraryName")), self.text(raw, "name")

    def statement(self, raw: Mapping[str, Any]) -> Define:
        self.define, self.locator = self.text(raw, "name"), _text_or_none(raw.get("locator"))
        operands: tuple[tuple[str, Type], ...] | None = None
        if raw.get("type") == "FunctionDef":
            operands = tuple(self.operand(operand) for operand in self.many(raw.get("operand"), "operand"))
        external = raw.get("external") is True
        body = raw.get("expression")
        if body is None and not external:
            raise self.fail("this definition has no expression")
        return Define(
            name=self.define,
            context=_text_or_none(raw.get("context")) or "Unfiltered",
            access=_text_or_none(raw.get("accessLevel")) or "Public",
            locator=self.locator,
            type=self.result_type(raw),
            expression=None if body is None else run(self.expression(body, None)),
            tags=MappingProxyType(_tags(raw.get("annotation"))),
            operands=operands,
            external=external,
        )

    def operand(self, raw: Any) -> tuple[str, Type]:
        if not isinstance(raw, dict):
            raise self.fail("an operand of a function must be an object")
        if raw.get("operandTypeSpecifier") is not None:
            return self.text(raw, "name"), self.type_specifier(raw["operandTypeSpecifier"])
        return self.text(raw, "name"), self.qname(raw.get("operandType"))

    # --- expressions

    def expression(self, raw: Any, default_type: str | None) -> Step[Node]:
        kind = raw.get("type", default_type) if isinstance(raw, dict) else None
        fields = EXPRESSIONS.get(kind) if isinstance(kind, str) else None
        if fields is None:
            raise self.fail(f"unknown ELM node type {kind!r}" if kind else "an expression without a type")
        return self.node(raw, str(kind), fields)

    def element(self, raw: Any, kind: str) -> Step[Node]:
        if not isinstance(raw, dict):
            raise self.fail(f"{kind} must be an object")
        allowed = ABSTRACT.get(kind)
        concrete = raw.get("type") if allowed else kind
        if allowed and concrete not in allowed:
            raise self.fail(f"unknown {kind} type {concrete!r}")
        return self.node(raw, str(concrete), ELEMENTS[str(concrete)])

    def node(self, raw: Mapping[str, Any], kind: str, fields: tuple[Field, ...]) -> Step[Node]:
        self.locator = locator = _text_or_none(raw.get("locator")) or self.locator
        if not raw.keys() <= _ALLOWED[kind]:
            unknown = min(map(str, raw.keys() - _ALLOWED[kind]))
            raise self.fail(f"unknown field {unknown!r} in a node of type {kind}")
        found: dict[str, Any] = {}
        for spec in fields:
            value = raw.get(spec.name)
            if value is None:
                if spec.required:
                    raise self.fail(f"{kind} without {spec.name!r}")
            elif spec.many:
                items = []
                for item in self.many(value, spec.name):
                    items.append((yield self.field(item, spec)))  # noqa: PERF401 - a step cannot yield in a comprehension
                found[spec.name] = tuple(items)
            elif spec.kind == "E" or spec.kind in ELEMENTS or spec.kind in ABSTRACT:
                found[spec.name] = yield self.field(value, spec)
            else:
                found[spec.name] = self.scalar(value, spec, kind)
        fewest, most = ARITY.get(kind, (0, 0))
        if most and not fewest <= len(found["operand"]) <= most:
            raise self.fail(f"{kind} with {len(found['operand'])} operands")
        if "signature" in raw:
            found["signature"] = tuple(self.type_specifier(s) for s in self.many(raw["signature"], "signature"))
        self.locator = locator
        return Node(kind, found, locator, self.result_type(raw))

    def field(self, value: Any, spec: Field) -> Step[Node]:
        return self.expression(value, spec.default_type) if spec.kind == "E" else self.element(value, spec.kind)

    def scalar(self, value: Any, spec: Field, kind: str) -> Any:
        if spec.kind == "Q":
            return self.qname(value)
        if spec.kind == "T":
            return self.type_specifier(value)
        if spec.kind == "B" and isinstance(value, bool):
            return value
        if spec.kind == "N" and isinstance(value, int | float | Decimal) and not isinstance(value, bool):
            return value if isinstance(value, Decimal) else Decimal(str(value))
        if spec.kind == "S" and isinstance(value, str):
            return value
        if spec.kind == "P" and isinstance(value, str) and value.lower() in PRECISIONS:
            return value.lower()
        raise self.fail(f"{kind}.{spec.name} has a value that is not allowed there")

    # --- types and small things

    def result_type(self, raw: Mapping[str, Any]) -> Type | None:
        if raw.get("resultTypeName") is not None:
            return self.qname(raw["resultTypeName"])
        if raw.get("resultTypeSpecifier") is not None:
            return self.type_specifier(raw["resultTypeSpecifier"])
        return None

    def qname(self, value: Any) -> Named:
        found = _named(value) if isinstance(value, str) else None
        if found is None:
            raise self.fail(f"unknown type {value!r}")
        return found

    def type_specifier(self, raw: Any, depth: int = 0) -> Type:
        kind = raw.get("type") if isinstance(raw, dict) else None
        if depth > _MAX_TYPE_DEPTH:
            raise self.fail("a type specifier nested too deeply")
        if kind == "NamedTypeSpecifier":
            return self.qname(raw.get("name"))
        if kind == "ListTypeSpecifier":
            return ListOf(self.type_specifier(raw.get("elementType"), depth + 1))
        if kind == "IntervalTypeSpecifier":
            return IntervalOf(self.type_specifier(raw.get("pointType"), depth + 1))
        if kind == "ChoiceTypeSpecifier" or (kind == [] and raw.get("choice")):  # one translator writes `type` twice
            options = raw.get("choice") or raw.get("type_") or ()
            return ChoiceOf(tuple(self.type_specifier(o, depth + 1) for o in self.many(options, "choice")))
        if kind == "TupleTypeSpecifier":
            elements = []
            for element in self.many(raw.get("element"), "element"):
                if not isinstance(element, dict):
                    raise self.fail("an element of a tuple type must be an object")
                declared = element.get("elementType", element.get("type"))
                elements.append((self.text(element, "name"), self.type_specifier(declared, depth + 1)))
            return TupleOf(tuple(elements))
        raise self.fail(f"unknown type specifier {kind!r}")

    def many(self, value: Any, name: str) -> Sequence[Any]:
        if value is None:
            return ()
        if not isinstance(value, list | tuple):
            raise self.fail(f"{name!r} must be a list")
        return value

    def text(self, raw: Mapping[str, Any], name: str) -> str:
        value = raw.get(name)
        if not isinstance(value, str) or not value:
            raise self.fail(f"{name!r} is missing or not text")
        return value


@lru_cache(maxsize=4096)
def _named(value: str) -> Named | None:
    """Return the type of a qualified name `{model URI}Name`, None when model or type is not known."""
    uri, brace, local = value[1:].partition("}")
    name = f"{NAMESPACES.get(uri, '?')}.{local}"
    return Named(name) if brace and uri in NAMESPACES and known_type(name) else None


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _tags(annotations: Any) -> dict[str, str]:
    """Return the CQL comment tags (`// @fact: x`) the translator put in `annotation[].t`."""
    tags: dict[str, str] = {}
    for annotation in annotations if isinstance(annotations, list) else ():
        entries = annotation.get("t") if isinstance(annotation, dict) else None
        for tag in entries if isinstance(entries, list) else ():
            if isinstance(tag, dict) and isinstance(tag.get("name"), str):
                value = tag.get("value")
                tags[tag["name"]] = value.strip() if isinstance(value, str) else ""
    return tags
