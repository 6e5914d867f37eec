"""OperationOutcome issues (R4 §2.29): making them, and telling how grave they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

Issue = Mapping[str, Any]


def issue(severity: str, code: str, diagnostics: str, *expression: str) -> dict[str, Any]:
    """Return one issue. `severity` is fatal, error, warning or information; `expression` are FHIRPaths.

    >>> issue("warning", "incomplete", "not all pages", "conditions")
    {'severity': 'warning', 'code': 'incomplete', 'diagnostics': 'not all pages', 'expression': ['conditions']}
    """
    made: dict[str, Any] = {"severity": severity, "code": code, "diagnostics": diagnostics}
    return {**made, "expression": list(expression)} if expression else made


def is_grave(item: Issue) -> bool:
    """Say whether an issue is an error; one without a known severity is."""
    return item.get("severity") not in {"warning", "information"}


def grave(items: Iterable[Issue]) -> tuple[Issue, ...]:
    """Return the issues that are errors."""
    return tuple(item for item in items if is_grave(item))


def outcome(items: Iterable[Issue]) -> dict[str, Any]:
    """Return an OperationOutcome of the issues; without any it says that all is well."""
    listed = [dict(item) for item in items]
    return {
        "resourceType": "OperationOutcome",
        "issue": listed or [issue("information", "informational", "no issues")],
    }


def codes(items: Iterable[Issue]) -> str:
    """Return the issue codes, for messages: codes are FHIR's own words and hold no patient data."""
    known = sorted({str(item.get("code")) for item in items if str(item.get("code")) in ISSUE_CODES})
    return ", ".join(known) or "no known code"


_ISSUE_CODES: Final = """
invalid structure required value invariant security login unknown expired forbidden suppressed processing
not-supported duplicate multiple-matches not-found deleted too-long code-invalid extension too-costly
business-rule conflict transient lock-error no-store exception timeout incomplete throttled informational
"""
ISSUE_CODES: Final = frozenset(_ISSUE_CODES.split())
"""The R4 value set issue-type."""
