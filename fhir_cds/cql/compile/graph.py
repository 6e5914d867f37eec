"""The graph of defines, parameters and functions: what each reaches, and no circles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from fhir_cds.cql.compile.context import Uses
from fhir_cds.errors import ElmError

Slot: TypeAlias = tuple[str, str, str]
"""`e` (define) or `p` (parameter), library, name."""
FunctionKey: TypeAlias = tuple[str, str, int]
"""Library, name, index of the overload."""


def through_functions(uses: Mapping[Slot, Uses], functions: Mapping[FunctionKey, Uses]) -> dict[Slot, Uses]:
    """Return the uses of each define and parameter with those of the functions it calls; circles raise ElmError."""
    refuse_circles(uses, functions)
    merged: dict[Slot, Uses] = {}
    for slot, found in uses.items():
        total = Uses(dict(found.defines), {}, dict(found.parameters), dict(found.retrieves))
        pending = list(found.functions)
        while pending:
            key = pending.pop()
            if key in total.functions:
                continue
            total.functions[key] = None
            inner = functions[key]
            total.defines |= inner.defines
            total.parameters |= inner.parameters
            total.retrieves |= inner.retrieves
            pending.extend(inner.functions)
        merged[slot] = total
    return merged


def reached_retrieves(merged: Mapping[Slot, Uses]) -> dict[Slot, frozenset[int]]:
    """Return the numbers of the retrieves that each define and parameter reaches, directly or through others."""
    found: dict[Slot, frozenset[int]] = {}
    for root in merged:
        stack = [root]
        while stack:
            slot = stack[-1]
            uses = merged[slot]
            nearer: list[Slot] = [("e", *key) for key in uses.defines]
            nearer += [("p", *key) for key in uses.parameters]
            missing = [each for each in nearer if each not in found]
            if missing and slot not in found:
                stack += missing
                continue
            stack.pop()
            found[slot] = frozenset(uses.retrieves).union(*(found[each] for each in nearer))
    return found


def refuse_circles(uses: Mapping[Slot, Uses], functions: Mapping[FunctionKey, Uses]) -> None:
    """Raise ElmError when a define, parameter or function refers to itself, however far round."""
    graph: dict[Any, list[Any]] = {slot: _targets(found) for slot, found in uses.items()}
    graph |= {key: _targets(found) for key, found in functions.items()}
    done: set[Any] = set()
    for root in graph:
        path: set[Any] = set()
        stack: list[tuple[Any, bool]] = [(root, False)]
        while stack:
            key, leaving = stack.pop()
            if leaving:
                path.discard(key)
                done.add(key)
            elif key in path:
                library, name = key[1:] if isinstance(key[2], str) else key[:2]
                raise ElmError("the definition refers to itself", library=library, define=name)
            elif key not in done:
                path.add(key)
                stack.append((key, True))
                stack += [(target, False) for target in graph.get(key, ())]


def _targets(uses: Uses) -> list[Any]:
    return [*(("e", *key) for key in uses.defines), *(("p", *key) for key in uses.parameters), *uses.functions]
