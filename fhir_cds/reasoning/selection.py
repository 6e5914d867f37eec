"""A clinician's choice among the actions of an applied plan, held to the plan's behaviours (apply.md GR-03 .. GR-06).

An action is chosen when it is named, or when one below it is. Groups that nobody entered ask for nothing, unless they
are required; a chosen group without a named child stands for all of its children.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Final

from msgspec.structs import replace

from fhir_cds.errors import InputError
from fhir_cds.reasoning import tree
from fhir_cds.reasoning.outcome import Applied, AppliedAction, Verdict

_RULES: Final[Mapping[str, tuple[Callable[[int, int], bool], str]]] = MappingProxyType(
    {
        "any": (lambda _chosen, _of: True, "any number"),
        "all": (lambda chosen, of: chosen == of, "all"),
        "all-or-none": (lambda chosen, of: chosen in {0, of}, "all or none"),
        "exactly-one": (lambda chosen, _of: chosen == 1, "exactly one"),
        "at-most-one": (lambda chosen, _of: chosen <= 1, "at most one"),
        "one-or-more": (lambda chosen, _of: chosen >= 1, "one or more"),
    }
)


def select_actions(applied: Applied, selected: Collection[str], documented: Collection[str] = ()) -> Applied:
    """Return `applied` with the chosen actions only; those that do not apply, are unknown or failed stay as they are.

    `selected` are action ids (of the plan and those nested in it); `documented` those whose omission the clinician has
    given a reason for. Raises InputError listing every breach: an id that is not an applicable action, a number of
    choices that a group does not allow, a required action left out, an action chosen twice that may be taken once.
    """
    faults = [*_unknown(applied, selected), *_repeated(applied, selected)]
    chosen = frozenset(selected)
    result = _plan(applied, chosen, frozenset(documented), faults)
    if faults:
        raise InputError("; ".join(faults), where="selected")
    return result


def _unknown(applied: Applied, selected: Collection[str]) -> list[str]:
    known = {action.id for plan in tree.plans_in(applied) for action in tree.applicable(plan.actions)}
    return [f'"{name}" is no applicable action of the plan' for name in dict.fromkeys(selected) if name not in known]


def _repeated(applied: Applied, selected: Collection[str]) -> list[str]:
    multiple = {
        action.id
        for plan in tree.plans_in(applied)
        for action in tree.applicable(plan.actions)
        if action.values.get("cardinalityBehavior") == "multiple"
    }
    listed = list(selected)
    twice = dict.fromkeys(name for name in listed if listed.count(name) > 1 and name not in multiple)
    return [f'"{name}" can be chosen only once' for name in twice]


def _plan(applied: Applied, chosen: frozenset[str], documented: frozenset[str], faults: list[str]) -> Applied:
    return replace(applied, actions=_level(applied.actions, chosen, documented, faults))


def _level(
    actions: Iterable[AppliedAction], chosen: frozenset[str], documented: frozenset[str], faults: list[str]
) -> tuple[AppliedAction, ...]:
    result = []
    for action in actions:
        if action.outcome.verdict is not Verdict.APPLICABLE:
            result.append(action)
        elif _entered(action, chosen):
            result.append(_chosen(action, chosen, documented, faults))
        else:
            faults.extend(_left_out(action, documented))
    return tuple(result)


def _chosen(
    action: AppliedAction, chosen: frozenset[str], documented: frozenset[str], faults: list[str]
) -> AppliedAction:
    children = [child for child in action.children if child.outcome.verdict is Verdict.APPLICABLE]
    named = [child for child in children if _entered(child, chosen)]
    behaviour = action.values.get("selectionBehavior")
    if children and not named and behaviour in {None, "all", "all-or-none"}:
        return action
    if children and isinstance(behaviour, str) and behaviour in _RULES:
        allowed, words = _RULES[behaviour]
        if not allowed(len(named), len(children)):
            faults.append(f'"{action.id}" wants {words} of {len(children)} actions, {len(named)} are chosen')
    nested = action.nested
    if nested is not None and any(_entered(inner, chosen) for inner in nested.actions):
        nested = _plan(nested, chosen, documented, faults)
    return replace(action, children=_level(action.children, chosen, documented, faults), nested=nested)


def _left_out(action: AppliedAction, documented: frozenset[str]) -> list[str]:
    required = action.values.get("requiredBehavior")
    if required == "must":
        return [f'"{action.id}" is required']
    if required == "must-unless-documented" and action.id not in documented:
        return [f'"{action.id}" is required unless a reason is documented']
    return []


def _entered(action: AppliedAction, chosen: frozenset[str]) -> bool:
    if action.id in chosen:
        return True
    inner = action.nested.actions if action.nested is not None else ()
    return any(
        _entered(child, chosen) for child in (*action.children, *inner) if child.outcome.verdict is Verdict.APPLICABLE
    )
