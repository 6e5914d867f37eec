"""Walking and rebuilding the tree of applied actions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from operator import is_

from fhir_cds.reasoning.outcome import Applied, AppliedAction, Verdict


def walk(actions: Iterable[AppliedAction]) -> Iterator[AppliedAction]:
    """Yield the actions of one plan in document order, parents first; not those of nested plans."""
    for action in actions:
        yield action
        yield from walk(action.children)


def plans_in(applied: Applied) -> Iterator[Applied]:
    """Yield an applied plan and those nested in it, in document order."""
    yield applied
    for action in walk(applied.actions):
        if action.nested is not None:
            yield from plans_in(action.nested)


def applicable(actions: Iterable[AppliedAction]) -> Iterator[AppliedAction]:
    """Yield the applicable actions of one plan in document order."""
    return (action for action in walk(actions) if action.outcome.verdict is Verdict.APPLICABLE)


def rebuild(
    actions: Iterable[AppliedAction], change: Callable[[AppliedAction], AppliedAction | None]
) -> tuple[AppliedAction, ...]:
    """Return the actions with `change` applied to each, children first; None drops an action with all below it."""
    result = []
    for action in actions:
        children = rebuild(action.children, change)
        kept = len(children) == len(action.children) and all(map(is_, children, action.children))
        made = change(action if kept else replace(action, children=children))
        if made is not None:
            result.append(made)
    return tuple(result)


def map_plans(applied: Applied, change: Callable[[Applied], Applied]) -> Applied:
    """Return an applied plan with `change` applied to it and every plan nested in it, inner ones first."""

    def inner(action: AppliedAction) -> AppliedAction:
        if action.nested is None:
            return action
        nested = map_plans(action.nested, change)
        return action if nested is action.nested else replace(action, nested=nested)

    actions = rebuild(applied.actions, inner)
    return change(applied if all(map(is_, actions, applied.actions)) else replace(applied, actions=actions))
