"""Why an outcome is what it is: the facts that are missing, the facts and decisions that led to it, and the why tree.

`missing` walks from the condition's define through defines without a value, down to the facts without a value: those
that, once recorded, could decide it. A define that is false or true is not entered: what it lacks does not matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, Final

from fhir_cds import cql
from fhir_cds.errors import EvaluationError
from fhir_cds.reasoning.expressions import Define
from fhir_cds.reasoning.graph import Graph, Node
from fhir_cds.reasoning.logic import Evaluation
from fhir_cds.reasoning.outcome import Outcome, Reason

_MARK: Final = {True: "yes", False: "no", None: "unknown"}


class Explainer:
    """Explains the defines of one evaluation; what it has worked out of a node it keeps under the node's index."""

    __slots__ = ("_errors", "_missing", "_reasons", "_sources", "evaluation", "graph")

    def __init__(self, graph: Graph, evaluation: Evaluation) -> None:
        self.graph = graph
        self.evaluation = evaluation
        self._errors: dict[int, EvaluationError] = {}
        self._missing: dict[int, tuple[str, ...]] = {}
        self._reasons: list[Reason | None] = [None] * len(graph)
        self._sources: list[tuple[str, ...] | None] = [None] * len(graph)

    def missing(self, node: Node) -> tuple[str, ...]:
        """Return the ids of the facts without a value that leave a define without a value, in the order named.

        A fact that rests on missing ones gives way to them.
        """
        if self._read(node) is not None or node.index in self._errors:
            return ()
        found = self._missing.get(node.index)
        if found is None:
            self._missing[node.index] = ()  # against rings, which CQL forbids
            listed = self.graph.listed
            found = tuple(dict.fromkeys([fact for place in node.below for fact in self.missing(listed[place])]))
            if node.fact is not None and not found:
                found = (node.fact,)
            self._missing[node.index] = found
        return found

    def because(self, start: Node) -> tuple[Reason, ...]:
        """Return the decisions and the facts with a value on which `start` rests, `start` first, then as named."""
        return self._stated(self.graph.grounds(start).reasons)

    def facts(self, start: Node) -> tuple[Reason, ...]:
        """Return the facts in `because`, without working out the decisions."""
        return self._stated(self.graph.grounds(start).facts)

    def _stated(self, grounds: Iterable[tuple[int, Node, bool]]) -> tuple[Reason, ...]:
        """Return the reasons of nodes; those that are none without a value only where they have one."""
        reasons = self._reasons
        found: list[Reason] = []
        for index, node, always in grounds:
            if always or self._read(node) is not None:
                reason = reasons[index]
                found.append(self.reason(node) if reason is None else reason)
        return tuple(found)

    def failures(self, start: Node) -> tuple[EvaluationError, ...]:
        """Return the errors of defines on which `start` rests, whether or not its value needed them."""
        nodes = self.graph.grounds(start).nodes
        for node in nodes:
            self._read(node)
        return tuple(self._errors[node.index] for node in nodes if node.index in self._errors) if self._errors else ()

    def reason(self, node: Node) -> Reason:
        """Return a define's value and resources; one that fails has no value."""
        found = self._reasons[node.index]
        if found is None:
            value = cql.to_json(self._read(node))
            found = Reason(node.define.name, value, self._resources(node), node.fact, node.define.library)
            self._reasons[node.index] = found
        return found

    def _resources(self, node: Node) -> tuple[str, ...]:
        """Return the resources behind a define; those of a decision are those behind what it names."""
        sources = self._sources
        found = sources[node.index]
        if found is None:
            sources[node.index] = ()  # against rings, which CQL forbids
            if node.decision:
                listed = self.graph.listed
                below = [sources[place] or self._resources(listed[place]) for place in node.below]
                several = [names for names in below if names]
                found = several[0] if len(several) == 1 else tuple(dict.fromkeys(chain.from_iterable(several)))
            elif self._read(node) is not None or node.index not in self._errors:
                found = self.evaluation.resources(*node.define)
            else:
                found = ()
            sources[node.index] = found
        return found

    def _read(self, node: Node) -> Any:
        """Return the value of a define; one that fails has none, and its error is kept."""
        if node.index in self._errors:
            return None
        try:
            return self.evaluation.at(node.slot)
        except EvaluationError as error:
            self._errors[node.index] = error
            return None


def tree(explainer: Explainer, start: Define) -> str:
    """Return the why tree of a define as text: one line per define, indented below the one that names it.

    >>> # SarcomaLogic."Is oligometastatic" = unknown
    >>> #   SarcomaMetastases."Metastasis count" [metastasis_count] = unknown
    """
    return "".join(f"{line}\n" for line in _lines(explainer, start, 0, set()))


def _lines(explainer: Explainer, define: Define, depth: int, shown: set[Define]) -> Iterator[str]:
    node = explainer.graph.get(define)
    if node is None:
        return
    reason = explainer.reason(node)
    fact = f" [{node.fact}]" if node.fact else ""
    sources = f" ({', '.join(reason.resources)})" if reason.resources else ""
    again = " …" if define in shown and node.references and node.fact is None else ""
    yield f'{"  " * depth}{define.library}."{define.name}"{fact} = {_text(reason.value)}{sources}{again}'
    if define in shown or (node.fact is not None and depth):
        return
    shown.add(define)
    for other in node.references:
        yield from _lines(explainer, other, depth + 1, shown)


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return _MARK[value]
    return str(value)


def summary(outcome: Outcome) -> str:
    """Return an outcome in one line: verdict, and the missing facts when it is unknown."""
    missing = f" (missing: {', '.join(outcome.missing)})" if outcome.missing else ""
    return f"{outcome.verdict.value}{missing}"
