"""FHIRPath for FHIR R4, on the operators of the CQL engine.

::

    from fhir_cds.cql.fhirpath import compile_path

    expression = compile_path("name.where(use = 'official').given.first()")
    expression(patient)                                  # ["Peter"]
    expression(patient, variables={"today": …}, now="2026-01-31T00:00:00Z", resolve=…, terminology=…)

Results are JSON as it stands in the resource, and system values (`Decimal`, `Date`, `Quantity` …) for what was
computed. Compiled expressions are immutable and shared by threads; nothing reads a clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from fhir_cds.cql.fhirpath import nodes
from fhir_cds.cql.fhirpath.compile import FUNCTIONS, compile_tree
from fhir_cds.cql.fhirpath.errors import FhirPathError
from fhir_cds.cql.fhirpath.parser import parse
from fhir_cds.cql.fhirpath.scope import Compiled, Resolver, Run, Scope, Terminology
from fhir_cds.cql.fhirpath.syntax import Expression
from fhir_cds.cql.fhirpath.typecheck import ROOTS, check
from fhir_cds.cql.runtime.temporal import DateTime
from fhir_cds.cql.runtime.temporal_text import parse_datetime

__all__ = ["FUNCTIONS", "FhirPathError", "FhirPathExpression", "compile_path"]

BUDGET: Final = 1_000_000
MAX_TYPES: Final = 256
_NOTHING: Final[Mapping[str, Any]] = {}


@dataclass(frozen=True, slots=True)
class FhirPathExpression:
    """A compiled expression; call it with a resource or collection."""

    text: str
    _tree: Expression
    _evaluate: Compiled
    _checked: dict[tuple[frozenset[str], frozenset[str]], None] = field(default_factory=dict, compare=False, repr=False)

    def __call__(
        self,
        context: Any,
        variables: Mapping[str, Any] = _NOTHING,
        *,
        now: str | DateTime | None = None,
        resolve: Resolver | None = None,
        terminology: Terminology | None = None,
        budget: int = BUDGET,
    ) -> list[Any]:
        """Evaluate on JSON, a system value or a list of them; return the resulting collection.

        `variables` holds `%name` values; `now` the moment for now() and today(), whose offset also counts for times
        without one; `resolve` gives the resource of a reference (or None); `terminology` the (system, code) pairs of
        a value set (or None). Raises FhirPathError when the expression cannot be evaluated or takes too many steps.
        """
        items = self._items(context, variables, now, resolve, terminology, budget)
        return nodes.unwrap(items)

    def typed(self, context: Any, variables: Mapping[str, Any] = _NOTHING, **given: Any) -> list[tuple[str, Any]]:
        """Evaluate as `__call__` does; return (type name such as `FHIR.code` or `System.Integer`, value) pairs."""
        items = self._items(
            context,
            variables,
            given.get("now"),
            given.get("resolve"),
            given.get("terminology"),
            given.get("budget", BUDGET),
        )
        return [(".".join(nodes.type_of(item)), *nodes.unwrap([item])) for item in items if nodes.unwrap([item])]

    def _items(
        self,
        context: Any,
        variables: Mapping[str, Any],
        now: str | DateTime | None,
        *rest: Any,
    ) -> list[Any]:
        moment = parse_datetime(now, 0) if isinstance(now, str) else now
        if isinstance(now, str) and moment is None:
            raise FhirPathError("now is not a date and time")
        resolve, terminology, budget = rest
        root = nodes.wrap(context)
        run = Run(root, variables, moment, moment.offset if moment is not None else 0, resolve, terminology, budget)
        try:
            self._check(root, ROOTS.intersection(variables))
            return self._evaluate(Scope(run, root, None, [], {}))
        except FhirPathError as error:
            raise FhirPathError(_bare(error), self.text, error.position) from None
        except RecursionError:
            raise FhirPathError("the expression is nested too deeply", self.text) from None

    def _check(self, root: list[Any], given: frozenset[str]) -> None:
        """Check the names of the expression against the types of the input, once per set of types."""
        types: frozenset[Any] = frozenset(
            item.type if type(item) is nodes.Node else f"System.{nodes.type_of(item)[1]}" for item in root
        )
        if (types, given) in self._checked or None in types or not types:
            return
        check(self._tree, types, given)
        if len(self._checked) < MAX_TYPES:
            self._checked[types, given] = None


def _bare(error: FhirPathError) -> str:
    """Return the message without its position, which is added again."""
    return error.message.rpartition(" (at character ")[0] if error.position is not None else error.message


@lru_cache(maxsize=2048)
def compile_path(text: str, offset: int = 0) -> FhirPathExpression:
    """Compile an expression; times written without an offset get `offset` (minutes). Raises FhirPathError.

    Compiled expressions are kept for the next call.
    """
    try:
        tree = parse(text, offset)
        return FhirPathExpression(text, tree, compile_tree(tree))
    except FhirPathError as error:
        raise FhirPathError(_bare(error), text, error.position) from None
