"""Why an outcome is what it is: the facts that are missing, the facts and decisions that led to it, and the why tree.

`missing` walks from the condition's define through defines without a value, down to the facts without a value: those
that, once recorded, could decide it. A define that is false or true is not entered: what it lacks does not matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from fhir_cds import cql
from fhir_cds.errors import EvaluationError
from fhir_cds.reasoning.expressions import Define
from fhir_cds.reasoning.graph import Graph, Node, reached
from fhir_cds.reasoning.logic import Evaluation
from fhir_cds.reasoning.outcome import Outcome, Reason

_MARK: Final = {True: "yes", False: "no", None: "unknown"}


@dataclass(frozen=True, slots=True)
class Explainer:
    """Explains the defines of one evaluation."""

    nodes: Graph
    evaluation: Evaluation

    def missing(self, start: Define) -> tuple[str, ...]:
        """Return the ids of the facts without a value that leave `start` without a value, in the order named."""
        found: dict[str, None] = {}
        seen: set[Define] = set()
        self._missing(start, found, seen)
        return tuple(found)

    def _missing(self, define: Define, found: dict[str, None], seen: set[Define]) -> bool:
        """Add the missing facts at and below `define`; say whether there is one."""
        node = self.nodes.get(define)
        if node is None or not self._is_null(define):
            return False
        if define in seen:
            return node.fact is not None
        seen.add(define)
        below = [self._missing(other, found, seen) for other in dict.fromkeys(node.references)]
        if any(below):
            return True
        if node.fact is not None:
            found[node.fact] = None
        return node.fact is not None

    def because(self, start: Define) -> tuple[Reason, ...]:
        """Return the decisions and the facts with a value on which `start` rests, `start` first, then as named."""
        return tuple(
            self.reason(node)
            for node in reached(self.nodes, start)
            if node.define == start or node.decision or (node.fact is not None and self._is_known(node.define))
        )

    def failures(self, start: Define) -> tuple[EvaluationError, ...]:
        """Return the errors of defines on which `start` rests, whether or not its value needed them."""
        return tuple(e for node in reached(self.nodes, start) if (e := self._error(node.define)) is not None)

    def reason(self, node: Node) -> Reason:
        """Return a define's value and resources; one that fails has no value."""
        define = node.define
        if self._error(define) is not None:
            return Reason(define.name, None, (), node.fact, define.library)
        value = cql.to_json(self.evaluation.value(define.library, define.name))
        resources = tuple(self.evaluation.resources(define.library, define.name))
        return Reason(define.name, value, resources, node.fact, define.library)

    def _error(self, define: Define) -> EvaluationError | None:
        try:
            self.evaluation.value(define.library, define.name)
        except EvaluationError as error:
            return error
        return None

    def _is_null(self, define: Define) -> bool:
        return self._error(define) is None and self.evaluation.value(define.library, define.name) is None

    def _is_known(self, define: Define) -> bool:
        return self._error(define) is None and self.evaluation.value(define.library, define.name) is not None


def tree(explainer: Explainer, start: Define) -> str:
    """Return the why tree of a define as text: one line per define, indented below the one that names it.

    >>> # SarcomaLogic."Is oligometastatic" = unknown
    >>> #   SarcomaFacts."Metastasis count" [metastasis_count] = unknown
    """
    return "".join(f"{line}\n" for line in _lines(explainer, start, 0, set()))


def _lines(explainer: Explainer, define: Define, depth: int, shown: set[Define]) -> Iterator[str]:
    node = explainer.nodes.get(define)
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
    for other in dict.fromkeys(node.references):
        yield from _lines(explainer, other, depth + 1, shown)


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return _MARK[value]
    return str(value)


def summary(outcome: Outcome) -> str:
    """Return an outcome in one line: verdict, and the missing facts when it is unknown."""
    missing = f" (missing: {', '.join(outcome.missing)})" if outcome.missing else ""
    return f"{outcome.verdict.value}{missing}"
