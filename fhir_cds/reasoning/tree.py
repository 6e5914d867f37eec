"""Walking and rebuilding the tree of applied actions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import is_

from msgspec.structs import replace

from fhir_cds.reasoning.outcome import Applied, AppliedAction, Json, Verdict


def walk(actions: Iterable[AppliedAction]) -> list[AppliedAction]:
    """Return every action of one plan in document order, parents first; not those of nested plans."""
    found: list[AppliedAction] = []
    for action in actions:
        found.append(action)
        if action.children:
            found += walk(action.children)
    return found


Where = Callable[[Json], bool]
"""Says of a plan whether what is looked for can be in it or in a plan nested in it."""


def plans_in(applied: Applied, where: Where | None = None) -> list[Applied]:
    """Return an applied plan and those nested in it, in document order; only where `where` says so."""
    if where is not None and not where(applied.plan):
        return []
    found = [applied]
    for action in walk(applied.actions):
        if action.nested is not None:
            found += plans_in(action.nested, where)
    return found


def applicable(actions: Iterable[AppliedAction]) -> list[AppliedAction]:
    """Return the applicable actions of one plan in document order."""
    return [action for action in walk(actions) if action.outcome.verdict is Verdict.APPLICABLE]


def rebuild(
    actions: Iterable[AppliedAction], change: Callable[[AppliedAction], AppliedAction]
) -> tuple[AppliedAction, ...]:
    """Return the actions with `change` applied to each, children first."""
    result = []
    for action in actions:
        children = rebuild(action.children, change)
        kept = len(children) == len(action.children) and all(map(is_, children, action.children))
        result.append(change(action if kept else replace(action, children=children)))
    return tuple(result)


def map_plans(applied: Applied, change: Callable[[Applied], Applied], where: Where | None = None) -> Applied:
    """Return an applied plan with `change` applied to it and every plan nested in it, inner ones first.

    Plans of which `where` says no stay as they are, with all that is nested in them.
    """
    if where is not None and not where(applied.plan):
        return applied
    actions = _mapped(applied.actions, change, where)
    return change(applied if actions is applied.actions else replace(applied, actions=actions))


def _mapped(
    actions: tuple[AppliedAction, ...], change: Callable[[Applied], Applied], where: Where | None
) -> tuple[AppliedAction, ...]:
    """Return the actions with the plans nested in them changed; themselves when none is."""
    made = []
    for action in actions:
        children = _mapped(action.children, change, where) if action.children else action.children
        nested = map_plans(action.nested, change, where) if action.nested is not None else None
        kept = children is action.children and nested is action.nested
        made.append(action if kept else replace(action, children=children, nested=nested))
    return actions if all(map(is_, made, actions)) else tuple(made)
