"""The Message operator (CQL 1.5, appendix B, "Errors and Messages")."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Message:
    """What a library had to say: `severity` is Trace, Message or Warning (an Error is raised instead)."""

    severity: str
    code: str | None
    text: str | None


class MessageError(Exception):
    """A Message of severity Error whose condition holds; the text is the library's own."""


def message(state: Any, source: Any, condition: bool | None, *said: str | None) -> Any:
    """Return the source; when the condition is true, record the message or, at severity Error, raise MessageError.

    `said` is code, severity and message text, each of which may be missing.
    """
    if condition is not True:
        return source
    code, severity, text = (*said, None, None, None)[:3]
    if severity == "Error":
        raise MessageError(": ".join(part for part in (code, text) if part) or "Error")
    state.messages.append(Message(severity or "Message", code, text))
    return source


OPERATORS: Final[dict[str, Callable[..., Any]]] = {"Message": message}
STATEFUL: Final[frozenset[str]] = frozenset({"Message"})
