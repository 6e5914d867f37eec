"""Plans laid out for applying: all that does not depend on the patient, worked out once when content is loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fhir_cds.knowledge.registry import Registry
from fhir_cds.reasoning import plans
from fhir_cds.reasoning.graph import Node
from fhir_cds.reasoning.outcome import Json

DOCUMENTATION: Final = "documentation"
_DEPENDENT: Final = ("dynamicValue", "participant", "definitionUri")
"""Elements of an action that are more than copied when it is applied."""


@dataclass(frozen=True, slots=True)
class Laid:
    """One action: its path and id, the actions below it, its definition (None where it has none or it is not there).

    `define` is the one that its only condition (at `condition`) names, None where there is none, there are several, or
    it is no plain define; `values` the produced action before what depends on the patient is set (to be read only);
    `settled` says that nothing does, and that it makes no request.
    """

    path: str
    id: str
    action: Json
    define: Node | None
    condition: str
    conditional: bool
    first_only: bool
    below: tuple[Laid, ...]
    definition: Json | None
    values: Json
    settled: bool


@dataclass(frozen=True, slots=True)
class Layout:
    """A plan: its canonical, its actions, whether only the first that applies is taken.

    `marks` are what its actions hold of what is looked for later: the names of their extensions, and `relatedAction`.
    """

    canonical: str
    first_only: bool
    actions: tuple[Laid, ...]
    marks: frozenset[str]


Known = Callable[[Json, Json], Node | None]
"""Says which define of the logic an expression of a plan names; None for anything else."""


def layout(plan: Json, registry: Registry, known: Known) -> Layout:
    """Return a plan laid out."""
    actions = _level(plan, plan.get("action"), "PlanDefinition", registry, known)
    marks = frozenset(mark for _, action in plans.walk(plan) for mark in _marks(action))
    return Layout(plans.canonical(plan), plans.behaviour(plan) == "any", actions, marks)


def reach(plan: Json, of: Callable[[Json], Layout], above: tuple[str, ...] = ()) -> frozenset[str]:
    """Return the marks of a plan and of all plans nested in it."""
    laid = of(plan)
    found = laid.marks
    if laid.canonical in above:
        return found
    pending = list(laid.actions)
    while pending:
        item = pending.pop()
        pending += item.below
        if item.definition is not None and item.definition["resourceType"] == "PlanDefinition":
            found |= reach(item.definition, of, (*above, laid.canonical))
    return found


def _marks(action: Json) -> Iterator[str]:
    if plans.RELATED in action:
        yield plans.RELATED
    yield from (str(extension.get("url", "")).rpartition("/")[2] for extension in action.get("extension", ()))


def _level(plan: Json, actions: object, base: str, registry: Registry, known: Known) -> tuple[Laid, ...]:
    return tuple(_laid(plan, action, path, registry, known) for path, action in plans.placed(actions, base))


def _laid(plan: Json, action: Json, path: str, registry: Registry, known: Known) -> Laid:
    definition = _definition(plan, action, registry)
    return Laid(
        path=path,
        id=plans.action_id(action, path),
        action=action,
        define=_define(plan, action, known),
        condition=f"{path}.condition[0]",
        conditional=bool(action.get("condition")),
        first_only=plans.behaviour(action) == "any",
        below=_level(plan, action.get("action"), path, registry, known),
        definition=definition,
        values=_produced(action, definition),
        settled=_settled(action, definition),
    )


def _definition(plan: Json, action: Json, registry: Registry) -> Json | None:
    canonical = str(action.get("definitionCanonical", ""))
    if canonical.startswith("#"):
        return next((item for item in plan.get("contained", ()) if item.get("id") == canonical[1:]), None)
    return registry.find(canonical) if canonical else None


def _define(plan: Json, action: Json, known: Known) -> Node | None:
    listed = action.get("condition", ())
    if len(listed) != 1 or listed[0].get("kind") != plans.APPLICABILITY:
        return None
    expression = listed[0].get("expression")
    if not isinstance(expression, Mapping) or plans.alternative(listed[0], expression) is not None:
        return None
    return known(expression, plan)


def _settled(action: Json, definition: Json | None) -> bool:
    """Say whether there is nothing more to do than to apply the plan that an action names, where it names one."""
    if any(name in action for name in _DEPENDENT):
        return False
    if definition is None:
        return "definitionCanonical" not in action
    return str(definition["resourceType"]) == "PlanDefinition"


def _produced(action: Json, definition: Json | None) -> dict[str, Any]:
    """Return the produced action before its dynamic values; title and description default to the definition's."""
    values = dict(action)
    for name in ("title", "description"):
        if name not in values and definition is not None and name in definition:
            values[name] = definition[name]
    documented = documentation(action, definition)
    if documented:
        values[DOCUMENTATION] = documented
    return values


def documentation(action: Json, definition: Json | None) -> list[Any]:
    """Return the documentation of a produced action: its own and that of its definition (DF-09)."""
    artifacts = definition.get("relatedArtifact", ()) if definition else ()
    return [*action.get(DOCUMENTATION, ()), *(item for item in artifacts if item.get("type") == DOCUMENTATION)]
