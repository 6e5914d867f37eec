"""GitHub-flavoured Markdown without HTML: escaping of text that is not ours, tables, sentences of limited length."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Final

_SPECIAL: Final = re.compile(
    r"([\\`*_\[\]<>|~&$]|^[#+=-]|:(?=//)|(?<=\bwww)\.|(?:(?<=^\d)|(?<=^\d\d)|(?<=^\d{3}))[.)](?=\s|$))"
)
_HARMLESS: Final = re.compile(r"(?!\d{1,3}[.)])[A-Za-z0-9(][A-Za-z0-9 ,;:.%/()'+-]*(?<! )")
"""Text that `_SPECIAL` changes at "://" and "www." only, and `plain` at double spaces only: seen in a quarter of the
time that it takes to look for all that they change."""

_DATE: Final = re.compile(r"\b\d{4}-\d{2}(-\d{2})?\b")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]+")
_TURNING: Final = re.compile(r"[\u202a-\u202e\u2066-\u2069]")
_UNSAFE: Final = re.compile(r"[\s()<>\[\]\\|`\"']")


def plain(text: str) -> str:
    """Return text on one line: control characters and line breaks become single spaces.

    Characters that turn the direction of what follows them are left out: they would turn the rest of the card too.
    """
    if text.isprintable() and "  " not in text and text[:1] != " " and text[-1:] != " ":
        return text
    return " ".join(_CONTROL.sub(" ", _TURNING.sub("", text)).split())


def escape(text: str) -> str:
    """Return text that GFM shows as it stands: no markup, link, table cell, HTML or autolink can come of it."""
    if _HARMLESS.fullmatch(text) and "  " not in text and "://" not in text and "www." not in text:
        return text
    return _escaped(plain(text))


def _escaped(text: str) -> str:
    """Return one line with a backslash before what is special; GFM links an address of mail in spite of one.

    A word joiner, which nobody sees, keeps the parts of such an address from each other.
    """
    return _SPECIAL.sub(r"\\\1", text).replace("@", "@\u2060")


def unbroken(text: str) -> str:
    """Return text whose dates a narrow table cell does not break: their hyphens become non-breaking ones."""
    return _DATE.sub(lambda found: found[0].replace("-", "\u2011"), text)


def code(text: str) -> str:
    """Return text as a code span, fit for a table cell."""
    return f"`{plain(text).replace('`', '').replace('|', '')}`"


def link(text: str, url: str) -> str:
    """Return a link; characters that could break out of it are percent-encoded."""
    safe = _UNSAFE.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), url)
    return f"[{escape(text)}]({safe})"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; cells must already be escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell or " " for cell in line) + " |" for line in lines)


def bullets(items: Collection[str]) -> str:
    """Return a bulleted list, "" without items; they must already be escaped."""
    return "- " + "\n- ".join(items) if items else ""


def section(title: str, body: str) -> str:
    """Return a titled part of a card."""
    return f"**{title}**\n\n{body}"


def fit(text: str, limit: int) -> str:
    """Return one line of at most `limit` characters, cut at a word with an ellipsis when it is longer."""
    flat = plain(text)
    if len(flat) <= limit:
        return flat
    cut = flat[: limit - 1]
    word = cut.rsplit(" ", 1)[0] if " " in cut else cut
    return word.rstrip(" ,;:.-") + "…"
