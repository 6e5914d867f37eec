"""Around each call: it is counted, a fault of ours is answered, a call of a service goes straight to its handler."""

from __future__ import annotations

import time
from typing import Final

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fhir_cds.errors import FhirCdsError
from fhir_cds.server.cds_hooks import CALLED, SERVICES
from fhir_cds.server.errors import handle_known, handle_unknown
from fhir_cds.server.metrics import Metrics

_OTHER: Final = "other"


class Watch:
    """Middleware next to the routes. What EHRs wait for, `POST /cds-services/{id}`, does not pass through them.

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
            if _calls_service(scope):
                scope["route"] = CALLED
                await _straight(scope, receive, noting)
            else:
                await self._app(scope, receive, noting)
        except Exception as error:
            answer = await handle_unknown(Request(scope), error)
            if not status:
                await answer(scope, receive, noting)
        finally:
            path = getattr(scope.get("route"), "path", None) or ("/sandbox" if "sandbox" in scope["path"] else _OTHER)
            self._metrics.call(path, status or 500, time.perf_counter() - started)


def _calls_service(scope: Scope) -> bool:
    """Say whether a call is `POST /cds-services/{id}`; puts the id where the routes would."""
    if scope["method"] != "POST" or scope.get("root_path"):
        return False
    before, found, service = scope["path"].partition(SERVICES)
    if before or not found or not service or "/" in service:
        return False
    scope["path_params"] = {"service": service}
    return True


async def _straight(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a call of a service, an error of the tree as the routes would."""
    try:
        await CALLED.app(scope, receive, send)
    except FhirCdsError as error:
        answer = await handle_known(Request(scope), error)
        await answer(scope, receive, send)
