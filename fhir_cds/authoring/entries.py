"""The table of open points: each ambiguity and conflict of the sources, and where the content handles it.

Plans carry the entries (`recommendation-ambiguity`, `recommendation-relation`); comments of defines, decisions
(docs/adr) and titles of cases name them by id, and that is what the table is made of.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fhir_cds.authoring.lint.evidence import value
from fhir_cds.authoring.lint.view import Content, File

DECISIONS: Final = Path("docs/adr")
_KINDS: Final = ("recommendation-ambiguity", "recommendation-relation")
_ID: Final = re.compile(r"\b[AC]\d{2}\b")


@dataclass(slots=True)
class Entry:
    """One open point: what it is, how it is to be handled, and the places that handle it (as GFM)."""

    text: str = ""
    handling: str = ""
    plans: list[str] = field(default_factory=list)
    defines: list[str] = field(default_factory=list)
    decisions: list[str] = field(default_factory=list)
    cases: list[str] = field(default_factory=list)


def entries(content: Content, comments: Mapping[str, str], pages: Iterable[str]) -> dict[str, Entry]:
    """Return the entries by id; `comments` are those of the defines by name, `pages` ids of plans with a page."""
    found: dict[str, Entry] = defaultdict(Entry)
    paged = set(pages)
    for file in content.of("PlanDefinition"):
        for identifier, text, handling in _carried(file):
            entry = found[identifier]
            entry.text, entry.handling = entry.text or text, entry.handling or handling
            name = str(file.document["id"])
            link = f"[{name}]({name}.md)" if name in paged else f"[{name}](../../{file.name})"
            if link not in entry.plans:
                entry.plans.append(link)
    for name, comment in comments.items():
        for identifier in _named(comment, found):
            found[identifier].defines.append(name)
    for path in sorted((content.root / DECISIONS).glob("*.md")):
        for identifier in _named(path.read_text(encoding="utf-8"), found):
            found[identifier].decisions.append(f"[{path.stem[:4]}](../adr/{path.name})")
    for case in content.cases:
        for identifier in _named(f"{case.title} {case.guideline}", found):
            found[identifier].cases.append(f"[{case.id}](../../{case.path.relative_to(content.root).as_posix()})")
    return dict(sorted(found.items()))


def rows(found: Mapping[str, Entry]) -> Iterator[tuple[str, ...]]:
    """Yield one row of the table per entry."""
    for identifier, entry in found.items():
        places = (entry.plans, entry.defines, entry.cases, entry.decisions)
        yield (identifier, entry.text, entry.handling, *(", ".join(place) or "-" for place in places))


def _carried(file: File) -> Iterator[tuple[str, str, str]]:
    """Yield id, text and handling of each entry that a plan carries."""
    for extension in file.document.get("extension", ()):
        if str(extension["url"]).endswith(_KINDS):
            parts = {part["url"]: str(value(part)) for part in extension.get("extension", ())}
            yield parts.get("id", ""), parts.get("title") or parts.get("text", ""), parts.get("handling", "")


def _named(text: str, known: Mapping[str, Entry]) -> list[str]:
    """Return the entries that a text names, each once."""
    return sorted({identifier for identifier in _ID.findall(text) if identifier in known})
