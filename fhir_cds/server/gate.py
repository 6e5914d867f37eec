"""What every call passes before it is answered: who calls, and not too often."""

from __future__ import annotations

import time

from starlette.requests import Request

from fhir_cds.server.state import state
from fhir_cds.server.trust import LOCAL, Caller


async def enter(request: Request) -> Caller:
    """Return the caller of a request; raises UnauthorizedError (bare 401) or HttpError 429."""
    service = state(request)
    caller = await service.trust.authenticate(request, service.clock().timestamp())
    name = caller.iss if caller.iss != LOCAL else f"{LOCAL} {request.client.host if request.client else ''}"
    service.rates.take(name, time.monotonic())
    return caller
