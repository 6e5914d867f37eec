"""The static graph of defines: who refers to whom, and which of them are clinical facts (CQL tag `@fact`).

All that explanations need of it is worked out once, when the content is loaded: for each define the nodes on which it
rests, and those of them that can be a reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from fhir_cds.reasoning.expressions import Define
from fhir_cds.reasoning.logic import DefineInfo, LibraryInfo

FACT: Final = "fact"
_BOOLEAN: Final = "Boolean"


@dataclass(frozen=True, slots=True)
class Node:
    """A define with what it refers to; `fact` is its fact id, `decision` whether it is a Boolean that is no fact.

    `index` is its place among all nodes, for tables of what is known of each; `below` are the places of what it refers
    to; `slot` is its place among the values of an evaluation.
    """

    index: int
    slot: int
    define: Define
    references: tuple[Define, ...]
    below: tuple[int, ...]
    fact: str | None
    decision: bool


@dataclass(frozen=True, slots=True)
class Grounds:
    """What a define rests on: all nodes (see `_reached`), and those that can be a reason.

    These are itself, decisions and facts, each with its index and whether it is one even without a value; `facts` are
    the facts alone.
    """

    nodes: tuple[Node, ...]
    reasons: tuple[tuple[int, Node, bool], ...]
    facts: tuple[tuple[int, Node, bool], ...]


@dataclass(frozen=True, slots=True)
class Graph:
    """All nodes by define, and for each what it rests on."""

    nodes: Mapping[Define, Node]
    listed: tuple[Node, ...]
    _grounds: tuple[Grounds, ...]

    def __contains__(self, define: object) -> bool:
        return define in self.nodes

    def __iter__(self) -> Iterator[Define]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)

    def get(self, define: Define) -> Node | None:
        """Return the node of a define, None when there is none."""
        return self.nodes.get(define)

    def grounds(self, node: Node) -> Grounds:
        """Return what a define rests on."""
        return self._grounds[node.index]


def graph(libraries: Sequence[LibraryInfo]) -> Graph:
    """Return the graph of all defines of the compiled libraries."""
    infos = [info for library in libraries for info in library.defines.values()]
    places = {Define(info.library, info.name): place for place, info in enumerate(infos)}
    nodes = {define: _node(define, infos[place], places) for define, place in places.items()}
    return Graph(MappingProxyType(nodes), tuple(nodes.values()), tuple(_grounds(nodes, define) for define in nodes))


def _node(define: Define, info: DefineInfo, places: Mapping[Define, int]) -> Node:
    fact = info.tags.get(FACT)
    boolean = fact is None and str(info.result_type or "").rsplit("}", 1)[-1].endswith(_BOOLEAN)
    references = tuple(dict.fromkeys(Define(*pair) for pair in info.references))
    below = tuple(places[other] for other in references if other in places)
    return Node(places[define], info.slot, define, references, below, fact, boolean)


def _grounds(nodes: Mapping[Define, Node], start: Define) -> Grounds:
    reached = tuple(_reached(nodes, start))
    reasons = tuple(
        (node.index, node, node.fact is None or node.define == start)
        for node in reached
        if node.define == start or node.decision or node.fact is not None
    )
    return Grounds(reached, reasons, tuple(reason for reason in reasons if reason[1].fact is not None))


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
