"""Mutants that no case can catch, each with its reason: `tests/recommendations/survivors.toml`.

An entry names the define, the change and the text of the CQL where it is made, as `fhir-cds mutate` prints them, so
that it holds until that text changes. An entry that explains no survivor is stale and must go.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from fhir_cds.authoring.build import CQL
from fhir_cds.authoring.cases import CASES
from fhir_cds.authoring.mutants import Mutant
from fhir_cds.errors import ContentError

FILE: Final = CASES / "survivors.toml"
_LENGTH: Final = 72


class Wrong(NamedTuple):
    """A mutant as an entry names it: define as `Library.Name`, what is done, and the text of the CQL it is done to."""

    define: str
    change: str
    text: str


@dataclass(frozen=True, slots=True)
class Sources:
    """The lines of the CQL libraries of a content root, by library."""

    lines: Mapping[str, Sequence[str]]

    @classmethod
    def read(cls, root: Path) -> Sources:
        """Return the sources under a root."""
        files = (root / CQL).glob("*.cql")
        return cls({file.stem: file.read_text(encoding="utf-8").splitlines() for file in files})

    def wrong(self, mutant: Mutant) -> Wrong:
        """Return a mutant as an entry names it."""
        text = self._text(mutant.define.library, mutant.locator)
        return Wrong(f"{mutant.define.library}.{mutant.define.name}", mutant.change, text)

    def _text(self, library: str, locator: str) -> str:
        """Return the CQL between two places `line:column-line:column`, on one line, its middle left out if long."""
        if not locator:
            return ""
        first, _, last = locator.partition("-")
        (top, left), (bottom, right) = ([int(part) for part in place.split(":")] for place in (first, last or first))
        lines = list(self.lines[library][top - 1 : bottom])
        lines[-1] = lines[-1][:right]
        lines[0] = lines[0][left - 1 :]
        text = " ".join(" ".join(lines).split())
        half = _LENGTH // 2
        return text if len(text) <= _LENGTH else f"{text[:half].rstrip()} … {text[-half:].lstrip()}"


def explained(root: Path) -> dict[Wrong, str]:
    """Return the reason of each explained survivor; raises ContentError for an entry that lacks something."""
    path = root / FILE
    if not path.is_file():
        return {}
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8")).get("survivor", [])
        return {
            Wrong(entry["define"], change, text): _said(entry["reason"])
            for entry in entries
            for change in _each(entry["change"])
            for text in _each(entry["text"])
        }
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise ContentError(
            f"a [[survivor]] entry has define, change, text and reason ({error})", where=FILE.name
        ) from None


def _each(value: str | Sequence[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else value


def _said(reason: str) -> str:
    if not reason.strip():
        raise TypeError("the reason is empty")
    return reason


def stale(
    reasons: Iterable[Wrong], population: Iterable[Wrong], tried: Iterable[Wrong], survived: Iterable[Wrong]
) -> list[Wrong]:
    """Return the entries that name no mutant of the population, and those whose mutants were tried and did not survive.

    >>> entries = [Wrong("L.D", "And becomes Or", "a and b"), Wrong("L.E", "gone", "x")]
    >>> stale(entries, entries[:1], [], [])
    [Wrong(define='L.E', change='gone', text='x')]
    """
    known, done, alive = frozenset(population), frozenset(tried), frozenset(survived)
    return [wrong for wrong in reasons if wrong not in known or (wrong in done and wrong not in alive)]
