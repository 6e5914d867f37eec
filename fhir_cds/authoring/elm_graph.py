"""What the defines of all libraries refer to and read, taken from the ELM text itself (no engine, no compilation)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from fhir_cds.authoring.elm_form import FHIR, definitions, nodes

_REFERENCES: Final = frozenset({"ExpressionRef", "FunctionRef"})


class Name(NamedTuple):
    """A define or function: library and name (overloads of a function share one)."""

    library: str
    name: str


@dataclass(frozen=True, slots=True)
class Statement:
    """A define or function with what it refers to and reads; `tags` are those of the comment above it."""

    name: Name
    is_function: bool
    is_public: bool
    result: str
    locator: str
    tags: Mapping[str, str]
    references: tuple[Name, ...]
    retrieves: tuple[tuple[str, str], ...]
    value_sets: tuple[str, ...]
    codes: tuple[Name, ...]


@dataclass(frozen=True, slots=True)
class Logic:
    """All statements of a set of ELM documents."""

    documents: Mapping[str, Mapping[str, Any]]
    statements: Mapping[Name, Statement]

    def reached(self, start: Iterable[Name]) -> Iterator[Statement]:
        """Yield the statements at and below `start`, each once, in the order they are named."""
        seen: set[Name] = set()
        stack = list(reversed(list(start)))
        while stack:
            name = stack.pop()
            if name in seen or name not in self.statements:
                continue
            seen.add(name)
            statement = self.statements[name]
            yield statement
            stack.extend(reversed(statement.references))


def logic(documents: Mapping[str, Mapping[str, Any]]) -> Logic:
    """Return the statements of ELM documents by name; overloads of a function are joined into one."""
    found: dict[Name, Statement] = {}
    for library, document in sorted(documents.items()):
        scope = _Scope(library, document, documents)
        for definition in definitions(document, "statements"):
            statement = scope.statement(definition)
            before = found.get(statement.name)
            found[statement.name] = statement if before is None else _joined(before, statement)
    return Logic(documents, found)


def _joined(one: Statement, other: Statement) -> Statement:
    return Statement(
        one.name,
        one.is_function,
        one.is_public,
        one.result,
        one.locator,
        {**one.tags, **other.tags},
        tuple(dict.fromkeys((*one.references, *other.references))),
        tuple(dict.fromkeys((*one.retrieves, *other.retrieves))),
        tuple(dict.fromkeys((*one.value_sets, *other.value_sets))),
        tuple(dict.fromkeys((*one.codes, *other.codes))),
    )


class _Scope:
    """Names as one library sees them."""

    def __init__(self, library: str, document: Mapping[str, Any], documents: Mapping[str, Mapping[str, Any]]) -> None:
        self.library = library
        self.aliases = {d["localIdentifier"]: d["path"] for d in definitions(document, "includes")}
        self.value_sets = {
            Name(name, d["name"]): d["id"]
            for name in (library, *self.aliases.values())
            for d in definitions(documents.get(name, {"library": {}}), "valueSets")
        }

    def name(self, node: Mapping[str, Any]) -> Name:
        """Return the name that a reference node stands for."""
        alias = node.get("libraryName")
        return Name(self.aliases.get(alias, alias) if alias else self.library, node["name"])

    def canonicals(self, tree: Any) -> tuple[str, ...]:
        """Return the canonicals of the value sets that a tree names."""
        inner = list(nodes(tree))
        named = [node for node in inner if node.get("type") == "ValueSetRef"]
        named += [node["valueset"] for node in inner if "valueset" in node]  # InValueSet: a reference without its type
        return tuple(dict.fromkeys(self.value_sets.get(self.name(node), "") for node in named))

    def statement(self, definition: Mapping[str, Any]) -> Statement:
        """Return one define or function as a statement."""
        expression = definition.get("expression")
        inner = list(nodes(expression))
        references = [self.name(node) for node in inner if node.get("type") in _REFERENCES]
        retrieves = [
            (node["dataType"].removeprefix(FHIR), canonical)
            for node in inner
            if node.get("type") == "Retrieve"
            for canonical in self.canonicals(node.get("codes")) or ("",)
        ]
        return Statement(
            name=Name(self.library, definition["name"]),
            is_function=definition.get("type") == "FunctionDef",
            is_public=definition.get("accessLevel", "Public") == "Public",
            result=definition.get("resultTypeName", ""),
            locator=definition.get("locator", ""),
            tags={tag["name"]: tag.get("value", "") for note in definition.get("annotation", ()) for tag in note["t"]},
            references=tuple(dict.fromkeys(references)),
            retrieves=tuple(dict.fromkeys(retrieves)),
            value_sets=self.canonicals(expression),
            codes=tuple(dict.fromkeys(self.name(node) for node in inner if node.get("type") == "CodeRef")),
        )
