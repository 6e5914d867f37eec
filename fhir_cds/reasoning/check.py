"""The cross-check of content: what a plan or activity names must be there, before a patient comes.

Languages that cannot be evaluated are no fault here: such an expression makes its own action fail, with an issue, and
leaves the rest of the plan standing (apply.md CO-09).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from fhir_cds.errors import ContentError
from fhir_cds.knowledge.registry import Registry
from fhir_cds.reasoning import expressions, plans
from fhir_cds.reasoning.expressions import Define
from fhir_cds.reasoning.graph import Graph
from fhir_cds.reasoning.outcome import Json

DEFINITIONS: Final = ("PlanDefinition", "ActivityDefinition")
"""Types of resources with expressions that name defines."""

_NAMING: Final = expressions.NAME | expressions.EITHER


def faults(registry: Registry, nodes: Graph) -> tuple[str, ...]:
    """Return one line per fault in the registry's plans and activities; each names file, path and what is missing."""
    found: list[str] = []
    libraries = {define.library for define in nodes}
    for plan in registry.by_type("PlanDefinition"):
        found += [f"{registry.source(plan)}: {text}" for text in plan_faults(plan, registry, nodes, libraries)]
    for activity in registry.by_type("ActivityDefinition"):
        lines = (*_libraries(activity, registry, libraries), *_expressions(activity, registry, nodes))
        found += [f"{registry.source(activity)}: {text}" for text in lines]
    found += [f"plans contain each other: {' -> '.join(cycle)}" for cycle in cycles(registry)]
    return tuple(found)


def plan_faults(plan: Json, registry: Registry, nodes: Graph, libraries: Iterable[str]) -> Iterator[str]:
    """Yield the faults of one plan: libraries, defines, definitions, action ids, related actions."""
    yield from _libraries(plan, registry, frozenset(libraries))
    yield from _expressions(plan, registry, nodes)
    walked = list(plans.walk(plan))
    ids = Counter(plans.action_id(action, path) for path, action in walked)
    yield from (f'the action id "{name}" stands {count} times' for name, count in ids.items() if count > 1)
    contained = {f"#{item.get('id')}" for item in plan.get("contained", ())}
    for path, action in walked:
        for related in action.get("relatedAction", ()):
            if plans.related_id(related) not in ids:
                yield f'{path}.relatedAction: there is no action "{plans.related_id(related)}"'
        canonical = action.get("definitionCanonical")
        if canonical is None:
            continue
        if canonical not in contained if str(canonical).startswith("#") else registry.find(str(canonical)) is None:
            yield f"{path}.definitionCanonical: {canonical} is not in the content"


def cycles(registry: Registry) -> Iterator[tuple[str, ...]]:
    """Yield each ring of plans that apply one another (A -> B -> A), once, from its first canonical in order."""
    edges = {
        plans.canonical(plan): [
            plans.canonical(target)
            for _, action in plans.walk(plan)
            if (target := registry.find(str(action.get("definitionCanonical", "")), "PlanDefinition")) is not None
        ]
        for plan in registry.by_type("PlanDefinition")
    }
    reported: set[frozenset[str]] = set()
    done: set[str] = set()
    for start in sorted(edges):
        yield from _rings(start, edges, (), done, reported)


def _rings(
    at: str, edges: Mapping[str, list[str]], trail: tuple[str, ...], done: set[str], reported: set[frozenset[str]]
) -> Iterator[tuple[str, ...]]:
    if at in trail:
        ring = trail[trail.index(at) :]
        if frozenset(ring) not in reported:
            reported.add(frozenset(ring))
            yield (*ring, at)
        return
    if at in done:
        return
    for target in edges[at]:
        yield from _rings(target, edges, (*trail, at), done, reported)
    done.add(at)


def _libraries(definition: Json, registry: Registry, libraries: Iterable[str]) -> Iterator[str]:
    try:
        names = expressions.library_names(definition, registry)
    except ContentError as error:
        yield f"library: {error.message}"
        return
    yield from (f"library: {name} has no compiled logic" for name in names if name not in libraries)


def _expressions(definition: Json, registry: Registry, nodes: Graph) -> Iterator[str]:
    for path, expression in named_expressions(definition):
        try:
            meaning = expressions.meaning(expression, definition, registry)
        except ContentError as error:
            yield f"{path}: {error.message}"
            continue
        if isinstance(meaning, Define) and meaning not in nodes:
            yield f'{path}: there is no define "{meaning.name}" in {meaning.library}'


def named_expressions(value: Any, path: str = "") -> Iterator[tuple[str, Json]]:
    """Yield every Expression below a definition that names a define, with its path."""
    if isinstance(value, dict):
        if value.get("language") in _NAMING and "expression" in value:
            yield path or "expression", value
            return
        for key, item in value.items():
            yield from named_expressions(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from named_expressions(item, f"{path}[{index}]")
