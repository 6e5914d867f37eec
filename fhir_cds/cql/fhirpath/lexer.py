"""Tokens of FHIRPath (FHIRPath N1, "Lexical Elements" and appendix "Grammar")."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from fhir_cds.cql.fhirpath.errors import FhirPathError

MAX_LENGTH: Final = 20_000
_TOKEN: Final = re.compile(
    r"""
      (?P<space>     \s+ | //[^\r\n]* | /\*.*?\*/ )
    | (?P<datetime>  @\d{4}(?:-\d\d(?:-\d\d)?)?T(?:\d\d(?::\d\d(?::\d\d(?:\.\d+)?)?)?(?:Z|[+-]\d\d:\d\d)?)? )
    | (?P<date>      @\d{4}(?:-\d\d(?:-\d\d)?)? )
    | (?P<time>      @T\d\d(?::\d\d(?::\d\d(?:\.\d+)?)?)? )
    | (?P<number>    \d+(?:\.\d+)? )
    | (?P<name>      [A-Za-z_][A-Za-z0-9_]* )
    | (?P<quoted>    `(?:[^`\\]|\\.)*` )
    | (?P<string>    '(?:[^'\\]|\\.)*' )
    | (?P<special>   \$(?:this|index|total)\b )
    | (?P<symbol>    <= | >= | != | !~ | [-+*/&|<>=~.,()\[\]{}%] )
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE: Final = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_ESCAPED: Final[dict[str, str]] = {
    "'": "'", '"': '"', "`": "`", "\\": "\\", "/": "/", "f": "\f", "n": "\n", "r": "\r", "t": "\t",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Token:
    """A token: `kind` is a group of the pattern, or "end"; `text` is unescaped, without quotes."""

    kind: str
    text: str
    position: int


def tokenize(expression: str) -> list[Token]:
    """Return the tokens of an expression, the last one of kind "end"; raises FhirPathError."""
    if len(expression) > MAX_LENGTH:
        raise FhirPathError(f"the expression is longer than {MAX_LENGTH} characters")
    tokens, at = [], 0
    while at < len(expression):
        match = _TOKEN.match(expression, at)
        if match is None or (expression.startswith("/*", at) and match.lastgroup != "space"):
            raise FhirPathError(f"unexpected {expression[at]!r}", expression, at)
        kind, text = match.lastgroup or "", match.group()
        if kind in ("quoted", "string"):
            text = _unescaped(expression, text, at)
        if kind != "space":
            tokens.append(Token(kind, text, at))
        at = match.end()
    return [*tokens, Token("end", "", at)]


def _unescaped(expression: str, text: str, at: int) -> str:
    def plain(match: re.Match[str]) -> str:
        code = match.group(1)
        if code[0] == "u" and len(code) > 1:
            return chr(int(code[1:], 16))
        if code not in _ESCAPED:
            raise FhirPathError(f"unknown escape \\{code}", expression, at + match.start() + 1)
        return _ESCAPED[code]

    return _ESCAPE.sub(plain, text[1:-1])
