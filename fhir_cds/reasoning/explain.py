"""Why an outcome is what it is: the facts that are missing, the facts and decisions that led to it, and the why tree.

`missing` walks from the condition's define through defines without a value, down to the facts without a value: those
that, once recorded, could decide it. A define that is false or true is not entered: what it lacks does not matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from fhir_cds import cql
from fhir_cds.errors import EvaluationError
from fhir_cds.reasoning.expressions import Define
from fhir_cds.reasoning.graph import Graph, Node
from fhir_cds.reasoning.logic import Evaluation
from fhir_cds.reasoning.outcome import Outcome, Reason

_MARK: Final = {True: "yes", False: "no", None: "unknown"}


@dataclass(frozen=True, slots=True)
class Explainer:
    """Explains the defines of one evaluation."""

    graph: Graph
    evaluation: Evaluation
    _values: dict[Define, tuple[Any, EvaluationError | None]] = field(default_factory=dict)
    _reasons: dict[Define, Reason] = field(default_factory=dict)
    _sources: dict[Define, tuple[str, ...]] = field(default_factory=dict)

    def missing(self, start: Define) -> tuple[str, ...]:
        """Return the ids of the facts without a value that leave `start` without a value, in the order named."""
        found: dict[str, None] = {}
        self._missing(start, found, {})
        return tuple(found)

    def _missing(self, define: Define, found: dict[str, None], seen: dict[Define, bool]) -> bool:
        """Add the missing facts at and below `define`; say whether there is one."""
        node = self.graph.get(define)
        if node is None or not self._is_null(define):
            return False
        if define not in seen:
            seen[define] = False  # against rings, which CQL forbids
            below = [self._missing(other, found, seen) for other in node.references]
            if node.fact is not None and not any(below):
                found[node.fact] = None
            seen[define] = node.fact is not None or any(below)
        return seen[define]

    def because(self, start: Define) -> tuple[Reason, ...]:
        """Return the decisions and the facts with a value on which `start` rests, `start` first, then as named."""
        return tuple(
            self.reason(node)
            for node in self.graph.below.get(start, ())
            if node.define == start
            or node.decision
            or (node.fact is not None and self._read(node.define)[0] is not None)
        )

    def failures(self, start: Define) -> tuple[EvaluationError, ...]:
        """Return the errors of defines on which `start` rests, whether or not its value needed them."""
        errors = (self._read(node.define)[1] for node in self.graph.below.get(start, ()))
        return tuple(error for error in errors if error is not None)

    def reason(self, node: Node) -> Reason:
        """Return a define's value and resources; one that fails has no value."""
        found = self._reasons.get(node.define)
        if found is None:
            define = node.define
            value = cql.to_json(self._read(define)[0])
            found = Reason(define.name, value, self._resources(node), node.fact, define.library)
            self._reasons[define] = found
        return found

    def _resources(self, node: Node) -> tuple[str, ...]:
        """Return the resources behind a define; those of a decision are those behind what it names."""
        found = self._sources.get(node.define)
        if found is None:
            self._sources[node.define] = ()  # against rings, which CQL forbids
            if node.decision:
                below = (self.graph.get(define) for define in node.references)
                found = tuple(dict.fromkeys(name for other in below if other for name in self._resources(other)))
            elif self._read(node.define)[1] is None:
                found = tuple(self.evaluation.resources(node.define.library, node.define.name))
            else:
                found = ()
            self._sources[node.define] = found
        return found

    def _read(self, define: Define) -> tuple[Any, EvaluationError | None]:
        """Return (value, None), or (None, the error) of a define that fails."""
        found = self._values.get(define)
        if found is None:
            try:
                found = self.evaluation.value(define.library, define.name), None
            except EvaluationError as error:
                found = None, error
            self._values[define] = found
        return found

    def _is_null(self, define: Define) -> bool:
        value, error = self._read(define)
        return value is None and error is None


def tree(explainer: Explainer, start: Define) -> str:
    """Return the why tree of a define as text: one line per define, indented below the one that names it.

    >>> # SarcomaLogic."Is oligometastatic" = unknown
    >>> #   SarcomaFacts."Metastasis count" [metastasis_count] = unknown
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
