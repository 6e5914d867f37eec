"""The service as one ASGI application: routes, errors, CORS; nothing here knows medicine."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from fhir_cds import __version__
from fhir_cds.data.client import Connections
from fhir_cds.data.guard import Guard
from fhir_cds.data.transport import Limits
from fhir_cds.errors import FhirCdsError
from fhir_cds.server import cds_hooks, fhir_api, openapi, sandbox
from fhir_cds.server import state as states
from fhir_cds.server.audit import Audit
from fhir_cds.server.errors import HANDLERS, json_response
from fhir_cds.server.keys import check_files
from fhir_cds.server.limits import RateLimit
from fhir_cds.server.metrics import CONTENT_TYPE, Metrics
from fhir_cds.server.retention import retained
from fhir_cds.server.settings import Settings
from fhir_cds.server.state import Clock, Loaded, State, loaded, state
from fhir_cds.server.store import Store
from fhir_cds.server.traces import Collected, Traces, Tracing, exported
from fhir_cds.server.trust import FirstUse, Trust
from fhir_cds.server.watch import Watch

log: Final = logging.getLogger("fhir_cds.server")

_EXPOSED: Final = ("ETag", "Retry-After")


def create_app(
    content: Loaded, settings: Settings, *, clock: Clock = states.utc_now, traces: Traces | None = None
) -> Starlette:
    """Return the service over loaded content; `clock` gives the instant of evaluation, `traces` go before the settings.

    Raises InputError when the store, the sandbox folder or a key file cannot be used, or traces cannot be sent.
    """
    check_files(settings.issuers)
    traces = traces or exported(settings.trace_url)
    store = Store(settings.feedback_url)
    audit = Audit(store)
    service = State(
        settings=settings,
        loaded=content,
        clock=clock,
        connections=connections(settings),
        trust=Trust(settings, first_use=shared_tokens(store) if settings.workers > 1 else None),
        rates=RateLimit(
            settings.rate_per_minute, {i.iss: i.rate_per_minute for i in settings.issuers if i.rate_per_minute}
        ),
        metrics=Metrics(),
        store=store,
        audit=audit,
        traces=traces,
    )
    service.metrics.plans(len(content.knowledge.registry.by_type("PlanDefinition")))

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with retained(service):
            yield
        await service.connections.close()
        await asyncio.to_thread(audit.close)
        store.close()
        await asyncio.to_thread(traces.close)

    routes: list[BaseRoute] = [
        *cds_hooks.ROUTES,
        *fhir_api.ROUTES,
        Route("/health", health),
        Route("/ready", ready),
        Route("/metrics", metrics),
        Route("/openapi.json", open_api),
    ]
    if settings.sandbox is not None:
        routes.append(Mount("/sandbox/fhir", sandbox.application(sandbox.Store.load(settings.sandbox))))
    middleware = [Middleware(Tracing, traces=traces)] if isinstance(traces, Collected) else []
    if settings.cors_origins:
        middleware.append(
            Middleware(
                CORSMiddleware,
                allow_origins=list(settings.cors_origins),
                allow_methods=["GET", "POST"],
                allow_headers=["Authorization", "Content-Type", "If-None-Match", "Prefer"],
                expose_headers=list(_EXPOSED),
            )
        )
    middleware.append(Middleware(Watch, metrics=service.metrics))
    app = Starlette(routes=routes, exception_handlers=HANDLERS, middleware=middleware, lifespan=lifespan)
    app.router.redirect_slashes = False  # a caller must not be led on, token and record, to whatever Host was named
    app.state.fhir_cds = service
    return app


def shared_tokens(store: Store) -> FirstUse:
    """Return the memory of used token ids that several workers share."""

    async def first_use(iss: str, jti: str, expires: float, now: float) -> bool:
        return await asyncio.to_thread(store.first_use, iss, jti, expires, now)

    return first_use


def connections(settings: Settings) -> Connections:
    """Return the pool of FHIR connections that the settings allow."""
    guard = Guard(
        allowed=settings.fhir_servers,
        loopback=settings.development,
        private_addresses=settings.fhir_private_addresses,
    )
    limits = Limits(call_seconds=settings.fhir_timeout_seconds, total_seconds=settings.budget_seconds)
    return Connections(guard, limits)


async def reload(app: Starlette, roots: Sequence[Path]) -> None:
    """Load the content again and use it from the next request on; on an error the old content stays in use."""
    service: State = app.state.fhir_cds
    try:
        fresh = await asyncio.to_thread(states.load, roots, service.clock)
    except FhirCdsError as error:
        log.exception("content was not reloaded", extra={"error": error.message, "place": error.where})
        return
    service.loaded = fresh
    states.settle()
    service.metrics.plans(len(fresh.knowledge.registry.by_type("PlanDefinition")))
    log.info("content reloaded", extra={"plans": len(fresh.knowledge.registry.by_type("PlanDefinition"))})


async def health(_request: Request) -> Response:
    """Answer that the process is alive."""
    return json_response({"status": "ok", "version": __version__})


async def ready(request: Request) -> Response:
    """Answer that calls can be taken: content loaded and the store writable; 503 otherwise."""
    await asyncio.to_thread(state(request).store.ping)
    content = loaded(request)
    return json_response(
        {
            "status": "ready",
            "services": [f"{offer.service.id} ({offer.service.hook})" for offer in content.offers],
            "plans": len(content.knowledge.registry.by_type("PlanDefinition")),
            "recommendations": len(content.engine.recommendations),
        }
    )


async def metrics(request: Request) -> Response:
    """Answer the counters in Prometheus text format."""
    return Response(state(request).metrics.text(), headers={"Content-Type": CONTENT_TYPE})


async def open_api(request: Request) -> Response:
    """Answer the OpenAPI document."""
    base = state(request).settings.public_url or str(request.base_url)
    return json_response(openapi.document(loaded(request).offers, base))
