"""The static graph of defines: who refers to whom, and which of them are clinical facts (CQL tag `@fact`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from fhir_cds.reasoning.expressions import Define

FACT: Final = "fact"
_BOOLEAN: Final = "Boolean"


@dataclass(frozen=True, slots=True)
class Node:
    """A define with what it refers to; `fact` is its fact id, `decision` whether it is a Boolean that is no fact."""

    define: Define
    references: tuple[Define, ...]
    fact: str | None
    decision: bool


@dataclass(frozen=True, slots=True)
class Graph:
    """All nodes by define, and for each the nodes on which it rests (see `_reached`)."""

    nodes: Mapping[Define, Node]
    below: Mapping[Define, tuple[Node, ...]]

    def __contains__(self, define: object) -> bool:
        return define in self.nodes

    def __iter__(self) -> Iterator[Define]:
        return iter(self.nodes)

    def get(self, define: Define) -> Node | None:
        """Return the node of a define, None when there is none."""
        return self.nodes.get(define)


def graph(libraries: Sequence[Any]) -> Graph:
    """Return the graph of all defines of the compiled libraries (`logic.LibraryInfo`)."""
    nodes: dict[Define, Node] = {}
    for library in libraries:
        for info in library.defines.values():
            define = Define(info.library, info.name)
            fact = info.tags.get(FACT)
            boolean = fact is None and str(info.result_type or "").rsplit("}", 1)[-1].endswith(_BOOLEAN)
            references = dict.fromkeys(Define(*pair) for pair in info.references)
            nodes[define] = Node(define, tuple(references), fact, boolean)
    below = {define: tuple(_reached(nodes, define)) for define in nodes}
    return Graph(MappingProxyType(nodes), MappingProxyType(below))


def _reached(nodes: Mapping[Define, Node], start: Define) -> Iterator[Node]:
    """Yield the nodes on which `start` rests, itself first, in the order in which they are named; below facts none."""
    seen = {start}
    pending = [start]
    while pending:
        node = nodes.get(pending.pop())
        if node is None:
            continue
        yield node
        if node.fact is not None and node.define != start:
            continue
        fresh = [define for define in node.references if define not in seen]
        seen.update(fresh)
        pending.extend(reversed(fresh))
