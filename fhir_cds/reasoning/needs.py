"""Which facts to ask for first: the smallest sets that decide recommendations, those that decide most first.

An unknown outcome names the facts that leave it open: with all of them answered it is decided, whatever the answers;
with one left open it may not be. So each set of missing facts is the smallest that surely decides its recommendation,
and decides every other whose missing facts lie in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fhir_cds.reasoning.outcome import Verdict


@dataclass(frozen=True, slots=True)
class Need:
    """One step: facts to ask for, and the recommendations (`source:number`) that are decided once they are known."""

    facts: tuple[str, ...]
    decides: tuple[str, ...]


def needs(outcomes: Iterable[Mapping[str, Any]]) -> tuple[Need, ...]:
    """Return the steps for what `outcomes` of one patient leaves unknown; each adds its facts to those before it.

    The next step is the one that decides most recommendations for each fact that it adds, the smaller set first.

    >>> open_ = [("1", ["a", "b"]), ("2", ["a"]), ("3", ["a"]), ("4", ["b", "c"])]
    >>> for need in needs({"outcome": "unknown", "source": "x", "number": n, "missing": m} for n, m in open_):
    ...     print(need.facts, need.decides)
    ('a',) ('x:2', 'x:3')
    ('b',) ('x:1',)
    ('c',) ('x:4',)
    """
    waiting = {
        f"{item['source']}:{item['number']}": tuple(item["missing"])
        for item in outcomes
        if item["outcome"] == Verdict.UNKNOWN and item["missing"]
    }
    found: list[Need] = []
    known: set[str] = set()
    while waiting:
        sets = dict.fromkeys(tuple(fact for fact in missing if fact not in known) for missing in waiting.values())
        decided = {
            facts: [name for name, m in waiting.items() if known.issuperset(set(m) - set(facts))] for facts in sets
        }
        best = max(sets, key=lambda facts: (len(decided[facts]) / len(facts), -len(facts)))
        found.append(Need(best, tuple(decided[best])))
        known.update(best)
        for name in decided[best]:
            del waiting[name]
    return tuple(found)
