"""String operators (CQL 1.5, appendix B, "String Operators"). Indexes count characters from 0; null in, null out."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

_REFERENCE: Final = re.compile(r"\\(.)|\$(?:(\d)|\{(\w+)\}|<(\w+)>)", re.DOTALL)


@lru_cache(maxsize=512)
def regex(pattern: str) -> re.Pattern[str]:
    """Return the compiled pattern: case-sensitive, `.` also matches a line break; raises ValueError for a bad one."""
    try:
        return re.compile(pattern, re.DOTALL)
    except re.error as error:
        raise ValueError(f"the regular expression is not valid: {error.msg}") from None


def combine(source: list[str | None] | None, separator: str | None = None) -> str | None:
    """Return the strings of a list joined, nulls left out; null when nothing is left."""
    if source is None:
        return None
    parts = [part for part in source if part is not None]
    return (separator or "").join(parts) if parts else None


def concatenate(*operands: str | None) -> str | None:
    """Return the strings one after the other."""
    parts = [part for part in operands if part is not None]
    return "".join(parts) if len(parts) == len(operands) else None


def ends_with(text: str | None, suffix: str | None) -> bool | None:
    """Return whether the text ends with the suffix."""
    return None if text is None or suffix is None else text.endswith(suffix)


def starts_with(text: str | None, prefix: str | None) -> bool | None:
    """Return whether the text starts with the prefix."""
    return None if text is None or prefix is None else text.startswith(prefix)


def position_of(pattern: str | None, text: str | None) -> int | None:
    """Return where the pattern (plain text) first occurs, -1 when it does not."""
    return None if pattern is None or text is None else text.find(pattern)


def last_position_of(pattern: str | None, text: str | None) -> int | None:
    """Return where the pattern (plain text) last occurs, -1 when it does not."""
    return None if pattern is None or text is None else text.rfind(pattern)


def lower(text: str | None) -> str | None:
    """Return the text in lower case."""
    return None if text is None else text.lower()


def upper(text: str | None) -> str | None:
    """Return the text in upper case."""
    return None if text is None else text.upper()


def matches(text: str | None, pattern: str | None) -> bool | None:
    """Return whether the whole text matches the regular expression."""
    return None if text is None or pattern is None else regex(pattern).fullmatch(text) is not None


def replace_matches(text: str | None, pattern: str | None, substitution: str | None) -> str | None:
    r"""Return the text with all matches replaced; `$1` and `${name}` are groups, `\$` a dollar sign."""
    if text is None or pattern is None or substitution is None:
        return None

    def filled(match: re.Match[str]) -> str:
        def group(reference: re.Match[str]) -> str:
            literal, number, *names = reference.groups()
            if literal is not None:
                return str(literal)
            name = next((name for name in names if name), None)
            key: str | int = int(number) if number else int(name) if name and name.isdigit() else name or 0
            try:
                return match.group(key) or ""
            except (IndexError, error_type):
                raise ValueError("the substitution names a group that the pattern does not have") from None

        return _REFERENCE.sub(group, substitution)

    error_type = re.error
    return regex(pattern).sub(filled, text)


def split(text: str | None, separator: str | None) -> list[str] | None:
    """Return the parts between the separators; the whole text when there is no separator."""
    if text is None:
        return None
    return text.split(separator) if separator else [text]


def split_on_matches(text: str | None, pattern: str | None) -> list[str] | None:
    """Return the parts between the matches of a regular expression."""
    if text is None:
        return None
    if pattern is None:
        return [text]
    parts, start = [], 0
    for match in regex(pattern).finditer(text):
        if match.end() > match.start():
            parts.append(text[start : match.start()])
            start = match.end()
    return [*parts, text[start:]]


def substring(text: str | None, start: int | None, length: int | None = None) -> str | None:
    """Return the text from an index, at most `length` characters; null for an index outside the text."""
    if text is None or start is None or start < 0 or start > len(text) or (start == len(text) and text):
        return None
    return text[start:] if length is None else text[start : start + max(length, 0)]


OPERATORS: Final[dict[str, Callable[..., Any]]] = {
    "Combine": combine,
    "Concatenate": concatenate,
    "EndsWith": ends_with,
    "LastPositionOf": last_position_of,
    "Lower": lower,
    "Matches": matches,
    "PositionOf": position_of,
    "ReplaceMatches": replace_matches,
    "Split": split,
    "SplitOnMatches": split_on_matches,
    "StartsWith": starts_with,
    "Substring": substring,
    "Upper": upper,
}
STATEFUL: Final[frozenset[str]] = frozenset()
