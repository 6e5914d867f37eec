"""Around each call: it is counted, and a fault of ours is answered."""

from __future__ import annotations

import time
from typing import Final

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fhir_cds.server.errors import handle_unknown
from fhir_cds.server.metrics import Metrics

_OTHER: Final = "other"


class Watch:
    """Middleware next to the routes.

    A fault of ours is answered here, not by the server beneath: its text could hold patient data, and would be logged.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on; count it by route and status, the route being the template: the path could hold ids."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 0

        async def noting(message: Message) -> None:
            nonlocal status
            status = status or message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except Exception as error:
            answer = await handle_unknown(Request(scope), error)
            if not status:
                await answer(scope, receive, noting)
        finally:
            path = getattr(scope.get("route"), "path", None) or ("/sandbox" if "sandbox" in scope["path"] else _OTHER)
            self._metrics.call(path, status or 500, time.perf_counter() - started)
