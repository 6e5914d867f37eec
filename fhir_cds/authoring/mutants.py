"""Mutants: small wrongs put into ELM, one at a time, each in one node of one define or parameter.

What can go wrong with a node stands in `slips`; here value sets and codes are exchanged too. Nodes are copied, never
changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fhir_cds.authoring.elm_form import definitions
from fhir_cds.authoring.elm_graph import Name
from fhir_cds.authoring.slips import changes

Json = Mapping[str, Any]
Step = str | int

_PLACE: Final = 5
_EXPRESSIONS: Final = (("parameters", "default"), ("statements", "expression"))


@dataclass(frozen=True, slots=True)
class Mutant:
    """One wrong: in which define or parameter, at which place of the CQL, what it does, and the path to the node.

    `place` is the part of the path that leads to the expression of the define.
    """

    define: Name
    locator: str
    change: str
    path: tuple[Step, ...]
    replacement: Any

    @property
    def place(self) -> tuple[Step, ...]:
        """The path to the whole expression in which it stands: library, section, def, number, expression."""
        return self.path[:_PLACE]

    def __str__(self) -> str:
        return f"{self.define.library}.cql:{self.locator} {self.change}"


def mutants(document: Json, documents: Mapping[str, Json] | None = None) -> Iterator[Mutant]:
    """Yield every mutant of a library, define by define in the order of the text.

    `documents` are the libraries by name from which it takes value sets and codes.
    """
    library = document["library"]
    owners = {"": library}
    for include in definitions(document, "includes"):
        if included := (documents or {}).get(include["path"]):
            owners[include["localIdentifier"]] = included["library"]
    neighbours = {
        (section, alias): _next_of([each["name"] for each in owner.get(section, {}).get("def", [])])
        for section in ("valueSets", "codes")
        for alias, owner in owners.items()
    }
    for section, key in _EXPRESSIONS:
        for number, definition in enumerate(definitions(document, section)):
            start: tuple[Step, ...] = ("library", section, "def", number, key)
            for path, node, locator in _walk(definition.get(key), start, definition.get("locator", "")):
                for change, replacement in (*changes(node), *_borrowed(node, path, neighbours)):
                    name = Name(library["identifier"]["id"], definition["name"])
                    yield Mutant(name, locator, change, path, replacement)


def _borrowed(
    node: Json, path: tuple[Step, ...], neighbours: Mapping[tuple[str, str], Mapping[str, str]]
) -> Iterator[tuple[str, Any]]:
    """Yield the changes of a value set or code for the next one of its library."""
    for section, wanted in (("valueSets", "ValueSetRef"), ("codes", "CodeRef")):
        untyped = wanted == "ValueSetRef" and path[-1] == "valueset"  # InValueSet names its value set without a type
        if node.get("type") == wanted or untyped:
            other = neighbours.get((section, node.get("libraryName", "")), {}).get(node["name"])
            if other is not None:
                yield f'"{node["name"]}" becomes "{other}"', {**node, "name": other}


def applied(document: Json, mutant: Mutant) -> dict[str, Any]:
    """Return the document with the mutant in it; nothing else is copied than the way to it."""
    changed = replaced(document, mutant.path, mutant.replacement)
    assert isinstance(changed, dict)  # noqa: S101 - the root of a document is an object
    return changed


def replaced(tree: Any, path: Sequence[Step], replacement: Any) -> Any:
    """Return a tree with another node at the end of a path; what does not lie on the path is shared."""
    if not path:
        return replacement
    step = path[0]
    if isinstance(tree, list) and isinstance(step, int):
        return [replaced(item, path[1:], replacement) if at == step else item for at, item in enumerate(tree)]
    return {key: replaced(item, path[1:], replacement) if key == step else item for key, item in tree.items()}


def _walk(tree: Any, path: tuple[Step, ...], locator: str) -> Iterator[tuple[tuple[Step, ...], Json, str]]:
    """Yield (path, node, nearest locator) of every object of an expression, parents first."""
    if isinstance(tree, Mapping):
        here = tree.get("locator", locator)
        yield path, tree, here
        for key, item in tree.items():
            if key != "signature":
                yield from _walk(item, (*path, key), here)
    elif isinstance(tree, list):
        for index, item in enumerate(tree):
            yield from _walk(item, (*path, index), locator)


def _next_of(names: Sequence[str]) -> dict[str, str]:
    return dict(zip(names, [*names[1:], *names[:1]], strict=True)) if len(names) > 1 else {}
