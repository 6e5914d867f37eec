"""The conformance table of the CDS Hooks checklist, made from the tests that carry its ids.

`python tests/hooks/conformance.py` writes docs/guide/cds-hooks-conformance.md; with `--check` it fails when the file
is not what the tests say.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
TARGET = ROOT / "docs" / "guide" / "cds-hooks-conformance.md"
NAME = re.compile(r"test_((?:pf|[dpfqcbst])\d+)_")

GROUPS: dict[str, str] = {
    "D": "Discovery",
    "P": "Prefetch templates",
    "PF": "Prefetch as received",
    "F": "FHIR access",
    "Q": "The call",
    "C": "Response and cards",
    "B": "Feedback",
    "S": "Security",
    "T": "Time",
}

REQUIREMENTS: dict[str, tuple[str, str, str]] = {
    "D1": ("SHALL", "1+", "`GET {base}/cds-services` is 200 with an object holding the array `services`"),
    "D2": ("should", "1+", "No services: `services: []`"),
    "D3": ("SHALL", "1+", "Each entry has `hook`, `id`, `description`; `id` is the last segment of its address"),
    "D4": ("SHOULD", "1+", "Each entry has `title`"),
    "D5": ("MAY", "1+", "`prefetch` maps keys to FHIR queries"),
    "D6": ("MAY", "2+", "`usageRequirements`"),
    "D7": ("SHOULD", "3", "`version` of the CDS Hooks specification implemented"),
    "D8": ("MAY", "3", "`hookVersion` equals the published hook's, if given"),
    "D9": ("SHALL", "1+", "No null or empty values"),
    "D10": ("MAY", "2+", "One `id` on several hooks, routed by the body's `hook`"),
    "D11": ("MAY", "1+", "The JWT applies to discovery too"),
    "D12": ("SHALL", "3", "Embedded FHIR is standard FHIR JSON"),
    "D13": ("ours", "", "Stable order, ETag, 304"),
    "D14": ("SHALL NOT", "3", "No `actionSelectionBehavior` unless the client is known to take it"),
    "P1": ("SHALL", "1+", "A template is a relative read or a type search"),
    "P2": ("SHALL", "1+", "Tokens are context fields or the four user tokens"),
    "P3": ("SHALL", "1-2", "Only first-level primitive context fields"),
    "P4": ("SHOULD", "3", "FHIRPath tokens are not needed by our templates"),
    "P5": ("SHALL", "3", "A template that uses `%key` stands after it"),
    "P6": ("SHALL", "1+", "Recommended query subset"),
    "P7": ("ours", "", "2.0 tokens only by default"),
    "P8": ("ours", "", "Keys are names"),
    "P9": ("ours", "", "The same answer whichever way the data came"),
    "PF1": ("SHALL", "1+", "Absent: read it, else 412"),
    "PF2": ("SHALL", "1+", "`null`: known empty"),
    "PF3": ("", "3", "Searchset without entries: known empty"),
    "PF4": ("SHOULD", "2+", "OperationOutcome: not repeated; required 412, optional said on the card"),
    "PF5": ("ours", "", "Bundle with an outcome entry: partial"),
    "PF6": ("", "2+", "Bundle with a next link: followed, else incomplete"),
    "PF7": ("ours", "", "Key not asked for: ignored, logged"),
    "PF8": ("ours", "", "Wrong type or another patient: 4xx, never evaluated"),
    "PF9": ("ours", "", "One resource for a search, or the reverse: accepted"),
    "F1": ("SHALL", "1+", "`fhirAuthorization` needs `fhirServer`"),
    "F2": ("SHALL", "1+", "Members of `fhirAuthorization`"),
    "F3": ("MAY", "1+", "Every read carries the bearer"),
    "F4": ("SHALL", "1+", "The token is neither stored nor logged"),
    "F5": ("SHALL", "2+", "https, except on this machine in development mode"),
    "F6": ("breaking", "3", "SMART v1 and v2 scopes"),
    "F7": ("ours", "", "Only listed servers; no redirects; time limits"),
    "F8": ("should", "1+", "Works by prefetch alone and by server alone"),
    "Q1": ("SHALL", "1+", "`POST {base}/cds-services/{id}` with `hook`, `hookInstance`, `context`"),
    "Q2": ("SHALL", "1+", "`hookInstance` is a UUID"),
    "Q3": ("ours", "", "A hook not offered: 400"),
    "Q4": ("SHALL", "1+", "`context` by the hook's table"),
    "Q5": ("SHALL", "1+", "Resources in the context are FHIR R4"),
    "Q6": ("SHALL", "1+", "Unknown members and extensions tolerated"),
    "Q7": ("SHALL", "1+", "200 with `cards`; nothing to say: `cards: []`"),
    "Q8": ("SHALL", "1+", "Needed data that cannot be had: 412"),
    "Q9": ("MAY", "1+", "Other statuses"),
    "Q10": ("SHOULD", "3", "Every error carries an OperationOutcome (401 is bare)"),
    "Q11": ("ours", "", "A failure never looks like no advice"),
    "C1": ("SHALL", "1+", "Root object with `cards`"),
    "C2": ("MAY", "2+", "`card.uuid`, always"),
    "C3": ("SHALL", "1+", "`summary` shorter than 140 characters"),
    "C4": ("SHALL", "1+", "`detail` is GFM without HTML, patient text escaped"),
    "C5": ("SHALL", "1+", "`indicator`"),
    "C6": ("SHALL", "1+", "`source` with label and absolute URL"),
    "C7": ("MAY", "2+", "`source.topic`, always"),
    "C8": ("SHALL", "1+", "`selectionBehavior` with suggestions"),
    "C9": ("SHALL", "1+", "Suggestion: `label`, and always `uuid`"),
    "C10": ("SHALL", "2+", "`isRecommended`"),
    "C11": ("SHALL", "1+", "Actions with `type` and `description`"),
    "C12": ("SHALL", "1+", "Whole resources"),
    "C13": ("SHOULD", "2+", "`delete` carries `resourceId`"),
    "C14": ("SHOULD", "2+", "Actions of a suggestion are one transaction"),
    "C15": ("MAY", "3", "`actionSelectionBehavior` is not sent"),
    "C16": ("SHALL", "2+", "`overrideReasons` with code, system, display; stable"),
    "C17": ("SHALL", "1+", "Links"),
    "C18": ("MAY", "2.0.1+", "`autolaunchable` is not sent"),
    "C19": ("SHALL", "2+", "`systemActions` are not sent"),
    "C20": ("SHALL", "1+", "`extension` is an object"),
    "B1": ("MAY", "2+", "`POST {base}/cds-services/{id}/feedback`"),
    "B2": ("SHALL", "2+", "Mandatory members of an item"),
    "B3": ("SHALL", "2+", "`accepted` names suggestions"),
    "B4": ("MAY", "2+", "`overrideReason`"),
    "B5": ("SHOULD", "2+", "Several, repeated and changed feedback; idempotent"),
    "B6": ("", "2+", "200; an unknown card is taken"),
    "B7": ("SHOULD", "2+", "JWT on feedback"),
    "B8": ("", "2+", "An ignored card sends nothing"),
    "S1": ("SHALL", "1+", "TLS"),
    "S2": ("SHOULD", "2+", "Authentication is required"),
    "S3": ("SHALL", "1+", "Bearer JWT on discovery, call and feedback"),
    "S4": ("SHALL NOT", "1+", "Neither `none` nor HMAC"),
    "S5": ("RECOMMENDED", "1+", "ES384 and RS384"),
    "S6": ("SHALL", "1+", "Key by `kid`; cached, rotated"),
    "S7": ("SHOULD", "1+", "Issuers and `jku` allow-listed; nothing else fetched"),
    "S8": ("best practice", "", "Order of checks; a `jti` works once"),
    "S9": ("best practice", "", "Bare 401; tokens never logged"),
    "S10": ("SHALL", "1+", "CORS with an allow-list, on errors too"),
    "S11": ("ours", "", "`aud` is compared with the public address"),
    "T1": ("SHOULD", "2+", "An answer within 500 ms; a fixed bound for reading"),
    "T2": ("SHOULD", "3", "Cards live as long as their context"),
    "T3": ("", "", "Every answer is computed anew, none may be kept"),
    "T4": ("", "", "Keys and content are cached, patient data is not"),
    "T5": ("", "", "Life of a card"),
}
"""Id → level, versions, requirement."""

ELSEWHERE: dict[str, str] = {
    "P5": "no template uses `%key`; such a token is refused when content loads",
    "P7": "see P2 to P4",
    "S1": "the operator's proxy terminates TLS (docs/guide/operations.md)",
    "T2": "the client's duty",
    "T4": "see S6, D13; a record lives as long as its call",
    "T5": "the standard has no member for it",
}
"""Lines without a test of their own, and why."""


def tests() -> dict[str, list[str]]:
    """Return the tests (file::name) by requirement id."""
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for name in _names(path):
            match = NAME.match(name)
            if match and match[1].upper() in REQUIREMENTS:
                found.setdefault(match[1].upper(), []).append(f"{path.relative_to(ROOT).as_posix()}::{name}")
    return found


def _names(path: Path) -> Iterator[str]:
    """Yield the names of the test functions of a file, aliases included."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id


def page() -> str:
    """Return the conformance page."""
    found = tests()
    lines = [
        "# CDS Hooks conformance",
        "",
        "Generated by `tests/hooks/conformance.py` from the tests that carry the ids; do not edit.",
        "Answers are valid under CDS Hooks 2.0, 2.0.1 and the 3.0 ballot; requests of 1.0 to 3.0 are accepted.",
    ]
    for prefix, title in GROUPS.items():
        lines += ["", f"## {title}", "", "| Id | Level | Version | Requirement | Shown by |", "|---|---|---|---|---|"]
        for identifier, (level, version, text) in REQUIREMENTS.items():
            if identifier.rstrip("0123456789") != prefix:
                continue
            shown = "<br>".join(f"`{name}`" for name in found.get(identifier, ())) or ELSEWHERE[identifier]
            lines.append(f"| {identifier} | {level} | {version} | {text} | {shown} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write the page, or check it."""
    if "--check" not in sys.argv[1:]:
        TARGET.parent.mkdir(parents=True, exist_ok=True)
        TARGET.write_text(page(), encoding="utf-8")
        return 0
    if TARGET.is_file() and TARGET.read_text(encoding="utf-8") == page():
        return 0
    sys.stderr.write(f"{TARGET.relative_to(ROOT)} is not what the tests say: run tests/hooks/conformance.py\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
