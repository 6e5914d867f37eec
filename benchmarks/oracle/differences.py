"""Where two engines' answers differ, and the list of the differences that the specification explains."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from benchmarks.oracle.peer import Answers, plain

WIDTH = 400


@dataclass(frozen=True, slots=True)
class Difference:
    """One define of one record with both answers, in plain form."""

    record: str
    define: str
    here: Any
    there: Any

    def __str__(self) -> str:
        place, here, there = narrowed("", self.here, self.there)
        text = f"{self.define}{place}: {here!r} here, {there!r} there ({self.record})"
        return text if len(text) <= WIDTH else f"{text[:WIDTH]} …"


def narrowed(place: str, here: Any, there: Any) -> tuple[str, Any, Any]:
    """Return the first place inside two structures where they differ, and what is there."""
    if isinstance(here, dict) and isinstance(there, dict) and here.keys() == there.keys():
        name = next(name for name in here if here[name] != there[name])
        return narrowed(f"{place}.{name}", here[name], there[name])
    if isinstance(here, list) and isinstance(there, list) and len(here) == len(there):
        at = next(at for at, item in enumerate(here) if item != there[at])
        return narrowed(f"{place}[{at}]", here[at], there[at])
    return place, here, there


@dataclass(slots=True)
class Explained:
    """A reason, and the defines (patterns of `Library.define`) and pair of answers, where given, that it covers."""

    reason: str
    defines: tuple[str, ...]
    answers: tuple[tuple[Any, Any], ...] = ()
    covered: list[Difference] = field(default_factory=list)

    def covers(self, difference: Difference) -> bool:
        """Tell whether a difference is of this kind."""
        if not any(fnmatchcase(difference.define, pattern) for pattern in self.defines):
            return False
        return not self.answers or (difference.here, difference.there) in self.answers

    def unused(self) -> list[str]:
        """Return the patterns that fit none of the differences covered."""
        return [p for p in self.defines if not any(fnmatchcase(found.define, p) for found in self.covered)]


def read(path: Path) -> list[Explained]:
    """Return the explained differences of a TOML file: `[[explained]]` with reason, defines and, if it says, answers.

    `answers` are pairs [here, there]; TOML has no null, so the text "null" stands for it.
    """
    entries = tomllib.loads(path.read_text(encoding="utf-8"))["explained"]
    return [
        Explained(
            " ".join(entry["reason"].split()),
            tuple(entry["defines"]),
            tuple((_nulls(here), _nulls(there)) for here, there in entry.get("answers", ())),
        )
        for entry in entries
    ]


def _nulls(value: Any) -> Any:
    if isinstance(value, list):
        return [_nulls(item) for item in value]
    if isinstance(value, dict):
        return {name: _nulls(item) for name, item in value.items()}
    return None if value == "null" else value


def between(ours: Answers, theirs: Answers) -> list[Difference]:
    """Return where the answers to our defines differ, in the order of ours."""
    found = []
    for record, values in ours.items():
        for define, value in values.items():
            here, there = plain(value), plain(theirs[record].get(define))
            if here != there:
                found.append(Difference(record, define, here, there))
    return found


def report(compared: int, differences: Sequence[Difference], explained: Iterable[Explained]) -> int:
    """Print the figure, how often each explained kind occurs, an example for each other define; return the exit code.

    It is 1 when a difference is not explained, and when a define that is listed does not differ any more.
    """
    kinds, open_ = list(explained), []
    for difference in differences:
        kind = next((kind for kind in kinds if kind.covers(difference)), None)
        (open_ if kind is None else kind.covered).append(difference)
    print(f"answers that differ: {len(differences)} of {compared}, not explained: {len(open_)}")
    for kind in kinds:
        print(f"  {len(kind.covered)} explained: {kind.reason}")
    defines = Counter(difference.define for difference in open_)
    for difference in {difference.define: difference for difference in reversed(open_)}.values():
        print(f"  {defines[difference.define]} times {difference}")
    stale = [pattern for kind in kinds for pattern in kind.unused()]
    for pattern in stale:
        print(f"  listed, but it does not differ so any more: {pattern}")
    return 1 if open_ or stale else 0
