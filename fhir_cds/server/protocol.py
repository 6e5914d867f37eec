"""How bytes become requests: uvicorn's protocol over httptools, with a bound on heads, and deaf to upgrades.

httptools bounds no head: one that never ends would fill the memory. And it stops at a head that asks for HTTP/2 (h2c),
as Java's HttpClient does by default over plain http: the body behind it would be lost. A server may ignore what it does
not offer (RFC 9110 §7.8), so the line is taken out before the parser sees it.
"""

from __future__ import annotations

import re
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_LIMIT: Final = 65_536
"""The most bytes of request line and headers, give or take what the network delivers at once."""

_END: Final = b"\r\n\r\n"
_UPGRADE: Final = re.compile(rb"\r\nupgrade:[^\r\n]*", re.IGNORECASE)


class Protocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._head: int | None = 0  # bytes of the head under way; None while a body is

    def data_received(self, data: bytes) -> None:
        """Take what came; a head beyond the limit is answered with 400, and the connection closed."""
        if self._head is not None:
            self._head += len(data)
            end = data.find(_END)
            found = _UPGRADE.search(data, 0, end if end >= 0 else len(data))
            if found is not None:
                data = data[: found.start()] + data[found.end() :]
        super().data_received(data)
        if self._head is not None and self._head > HEAD_LIMIT:
            self.send_400_response("The head of the request is too large.")

    def on_headers_complete(self) -> None:
        """Note that a body follows."""
        self._head = None
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Note that the next head follows."""
        self._head = 0
        super().on_message_complete()
