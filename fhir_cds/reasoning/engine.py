"""The engine: content and compiled logic, cross-checked once, then immutable and shared by threads."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from fhir_cds import cql
from fhir_cds.errors import ContentError, NotFoundError
from fhir_cds.knowledge.load import Knowledge
from fhir_cds.knowledge.registry import Registry
from fhir_cds.reasoning import check, expressions, plans
from fhir_cds.reasoning.expressions import Define, Meaning
from fhir_cds.reasoning.graph import Graph, Node, graph
from fhir_cds.reasoning.layout import Layout, layout, reach
from fhir_cds.reasoning.logic import Evaluation, NoLogic, Program
from fhir_cds.reasoning.outcome import Json
from fhir_cds.terminology import local

CodeSets = Mapping[str, frozenset[tuple[str, str]]]
_DIGITS: Final = re.compile(r"(\d+)")


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A recommendation of the content: its source and number as printed there, and its plan."""

    source: str
    number: str
    plan: Json

    @property
    def id(self) -> str:
        """`source:number`."""
        return f"{self.source}:{self.number}" if self.source else self.number


@dataclass(frozen=True, slots=True)
class Engine:
    """Content, logic and what follows from both; build it with `load` (or `of` for logic compiled elsewhere)."""

    registry: Registry
    program: Program
    graph: Graph
    parameters: frozenset[str]
    recommendations: tuple[Recommendation, ...]
    code_sets: CodeSets
    _meanings: Mapping[tuple[int, int], Meaning]
    _layouts: Mapping[int, Layout]
    _reached: Mapping[int, frozenset[str]]

    @classmethod
    def load(cls, knowledge: Knowledge, *, strict: bool = True) -> Engine:
        """Return the engine of all the content; `strict` as in `of`.

        Raises ContentError listing every fault found: ELM that does not compile, a value set that cannot be expanded, a
        plan that names what is not there (see `check.faults`).
        """
        code_sets = local.code_sets(knowledge.registry)
        program = cql.Program.load(knowledge.elm.values(), code_sets) if knowledge.elm else NoLogic()
        return cls.of(knowledge.registry, program, code_sets, strict=strict)

    @classmethod
    def of(
        cls, registry: Registry, program: Program, code_sets: CodeSets | None = None, *, strict: bool = True
    ) -> Engine:
        """Return the engine of a registry and compiled logic; `code_sets` default to the registry's.

        `strict` cross-checks them and raises ContentError; else faults come out as issues when plans are applied.
        """
        nodes = graph(program.libraries)
        found = check.faults(registry, nodes) if strict else ()
        if found:
            raise ContentError("; ".join(found) if len(found) < 2 else "\n".join((f"{len(found)} faults", *found)))
        sets = local.code_sets(registry) if code_sets is None else code_sets
        names = frozenset(name for library in program.libraries for name in library.parameters)
        known = MappingProxyType(dict(_meanings(registry)))
        layouts = {id(plan): _layout(plan, registry, nodes) for plan in registry.by_type("PlanDefinition")}
        reached = {
            id(plan): reach(plan, lambda one: layouts.get(id(one)) or _layout(one, registry, nodes))
            for plan in registry.by_type("PlanDefinition")
        }
        return cls(
            registry=registry,
            program=program,
            graph=nodes,
            parameters=names,
            recommendations=recommendations(registry),
            code_sets=sets,
            _meanings=known,
            _layouts=MappingProxyType(layouts),
            _reached=MappingProxyType(reached),
        )

    def plan(self, name: str) -> Json:
        """Return a PlanDefinition by id or canonical; raises NotFoundError that names it."""
        return self._definition("PlanDefinition", name)

    def activity(self, name: str) -> Json:
        """Return an ActivityDefinition by id or canonical; raises NotFoundError that names it."""
        return self._definition("ActivityDefinition", name)

    def _definition(self, kind: str, name: str) -> Json:
        try:
            return self.registry.get(kind, name)
        except NotFoundError:
            raise NotFoundError(f"{kind} {name} is not in the content", where=kind) from None

    def meaning(self, expression: Json, definition: Json) -> Meaning:
        """Return what an expression of a plan or activity, in the content or not, names; raises ContentError."""
        found = self._meanings.get((id(expression), id(definition)))
        return expressions.meaning(expression, definition, self.registry) if found is None else found

    def layout(self, plan: Json) -> Layout:
        """Return a plan, in the content or not, laid out for applying."""
        found = self._layouts.get(id(plan))
        return _layout(plan, self.registry, self.graph) if found is None else found

    def where(self, mark: str) -> Callable[[Json], bool]:
        """Return what says of a plan whether it, or one nested in it, has a mark (see `layout.Layout`); yes if new."""
        reached = self._reached

        def possible(plan: Json) -> bool:
            found = reached.get(id(plan))
            return found is None or mark in found

        return possible

    def evaluate(self, resources: Sequence[Json], now: str, parameters: Mapping[Any, Any]) -> Evaluation:
        """Return the evaluation of one patient; `parameters` that no library declares are left out."""
        declared = {
            key: value
            for key, value in parameters.items()
            if (key if isinstance(key, str) else key[-1]) in self.parameters
        }
        return self.program.evaluate(resources, now, declared)


def _meanings(registry: Registry) -> Iterator[tuple[tuple[int, int], Meaning]]:
    """Yield what each expression of the content names, by identity: the registry keeps these objects, unchanged."""
    for definition in registry:
        if definition["resourceType"] in check.DEFINITIONS:
            for _, expression in check.named_expressions(definition):
                with suppress(ContentError):  # for plans that are applied in spite of their faults
                    yield (id(expression), id(definition)), expressions.meaning(expression, definition, registry)


def _layout(plan: Json, registry: Registry, nodes: Graph) -> Layout:
    def known(expression: Json, definition: Json) -> Node | None:
        try:
            found = expressions.meaning(expression, definition, registry)
        except ContentError:
            return None
        return nodes.get(found) if isinstance(found, Define) else None

    return layout(plan, registry, known)


def recommendations(registry: Registry) -> tuple[Recommendation, ...]:
    """Return every recommendation of the content (plan type eca-rule; latest versions), by source, then number."""
    found = [
        Recommendation(*(plans.recommendation_id(plan) or ("", str(plan["id"]))), plan)
        for plan in registry.by_type("PlanDefinition")
        if plans.is_recommendation(plan) and registry.find(str(plan.get("url"))) is plan
    ]
    return tuple(sorted(found, key=lambda item: (item.source, natural(item.number), str(item.plan["url"]))))


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """Return a key that sorts numbers as people do: 1.2 before 1.10, plain numbers before lettered ones.

    >>> sorted(["1.10", "N1", "1.2", "10", "2"], key=natural)
    ['1.2', '1.10', '2', '10', 'N1']
    """
    parts = (part for part in _DIGITS.split(text) if part)
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts)
