"""The linter of guideline content: one function per rule, in one table. docs/guide/lint.md lists them.

A rule that a finding may break for a reason is named in `lint.toml` at the content root:
`[[ignore]] rule = "C018"  where = "SarcomaExtent.cql" reason = "…"`; an entry that matches nothing is a finding itself.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fhir_cds.authoring.lint import claims, evidence, logic, resources, terminology
from fhir_cds.authoring.lint.view import Content, Remark, read
from fhir_cds.errors import ContentError

Rule = Callable[[Content], Iterator[Remark]]

RULES: Final[Mapping[str, Rule]] = {
    "C001": resources.file_names,
    "C002": resources.urls,
    "C003": logic.defines,
    "C004": resources.languages,
    "C005": resources.canonicals,
    "C006": resources.placeholders,
    "C007": logic.generated,
    "C008": logic.prefetch,
    "C009": logic.triggers,
    "C010": terminology.value_sets,
    "C011": resources.grounds,
    "C012": resources.action_ids,
    "C013": logic.prose,
    "C014": evidence.coverage,
    "C015": evidence.case_names,
    "C016": resources.metadata,
    "C017": resources.form,
    "C018": logic.unused,
    "C019": resources.cycles,
    "C020": terminology.known_codes,
    "C021": resources.titles,
    "C022": evidence.grades,
    "C023": resources.structure,
    "C024": resources.references,
    "C025": resources.invariants,
    "C026": evidence.case_files,
    "C027": claims.claims,
    "C028": logic.facts,
    "C029": evidence.suppressed,
    "C030": evidence.wording,
    "C031": evidence.points,
}
STALE: Final = "C000"
"""The rule about `lint.toml` itself: an entry there that excuses nothing."""

CATALOGUED: Final = frozenset({"C020", "C022", "C028", "C030", "C031"})
"""Rules that find less without the catalogue: an excuse for one of them is then not stale."""

IGNORE_FILE: Final = "lint.toml"


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding: the rule, the place and what is wrong; printed as one line."""

    rule: str
    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.rule} {self.where}: {self.text}"


@dataclass(frozen=True, slots=True)
class Excuse:
    """An entry of `lint.toml`: findings of `rule` whose place contains `where` are accepted for `reason`."""

    rule: str
    where: str
    reason: str


def excuses(root: Path) -> tuple[Excuse, ...]:
    """Return the entries of `lint.toml`; raises ContentError for one without rule, where or reason."""
    path = root / IGNORE_FILE
    if not path.is_file():
        return ()
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8")).get("ignore", [])
        found = tuple(Excuse(entry["rule"], entry["where"], entry["reason"]) for entry in entries)
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise ContentError(f"an [[ignore]] entry has rule, where and reason ({error})", where=IGNORE_FILE) from None
    if unknown := [excuse.rule for excuse in found if excuse.rule not in RULES]:
        raise ContentError(f"unknown rule {', '.join(unknown)}", where=IGNORE_FILE)
    return found


def lint(root: Path, catalogue: Path | None = None, only: Sequence[str] = ()) -> list[Finding]:
    """Return what the rules find in the content under `root`, in the order of the rules.

    `catalogue` is a folder with `recommendations.json` and `coding.json`; without it the rules in CATALOGUED see less.
    Raises ContentError for content that cannot be read at all.
    """
    content = read(root, catalogue)
    return run(content, excuses(root), only)


def run(content: Content, excused: Sequence[Excuse] = (), only: Sequence[str] = ()) -> list[Finding]:
    """Return the findings of the rules (of `only`, if given) that no excuse covers, and the excuses that cover none."""
    chosen = {code: rule for code, rule in RULES.items() if not only or code in only}
    used: set[Excuse] = set()
    findings: list[Finding] = []
    for code, rule in chosen.items():
        for where, text in rule(content):
            covering = [excuse for excuse in excused if excuse.rule == code and excuse.where in where]
            used.update(covering)
            if not covering:
                findings.append(Finding(code, where, text))
    judged = chosen.keys() - (CATALOGUED if content.catalogue is None else frozenset())
    stale = [excuse for excuse in excused if excuse not in used and excuse.rule in judged]
    return findings + [Finding(STALE, IGNORE_FILE, f"{e.rule} at {e.where} excuses nothing") for e in stale]
