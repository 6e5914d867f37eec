"""OpenTelemetry traces, when `trace_url` is set (extra `otel`); else nothing is imported and nothing is done.

One span per call, named by method and route template, and one for each step in it. Spans hold what the log may hold
(ids of services and hooks, counts, statuses) and no more: attributes not in `ATTRIBUTES` are refused, an exception
appears by its type. A `traceparent` of the caller is continued; nothing is passed on to FHIR servers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fhir_cds import __version__
from fhir_cds.errors import InputError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

NAME: Final = "fhir_cds"
ATTRIBUTES: Final = frozenset({"service", "hook", "cards", "gaps", "failed", "resources", "items", "error"})
_NOTHING: Final = nullcontext()


class Traces:
    """Traces that are switched off: spans that are none."""

    def span(self, name: str, **attributes: str | int) -> AbstractContextManager[None]:
        """Return the span of a step inside the present one."""
        return _NOTHING

    def close(self) -> None:
        """Send what has been collected."""


OFF: Final = Traces()


class Collected(Traces):
    """Traces that a tracer provider collects and exports."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry import trace  # noqa: PLC0415
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

        self._api = trace
        self._provider = provider
        self._tracer = provider.get_tracer(NAME, __version__)
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def span(self, name: str, **attributes: str | int) -> Iterator[None]:
        """Record a step; a fault in it is noted by its type."""
        if strangers := attributes.keys() - ATTRIBUTES:
            raise ValueError(f"not an attribute of spans: {', '.join(sorted(strangers))}")
        named = {f"{NAME}.{key}": value for key, value in attributes.items()}
        with self._tracer.start_as_current_span(
            name, attributes=named, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield
            except BaseException as error:
                span.set_attribute(f"{NAME}.error", type(error).__name__)
                span.set_status(self._api.StatusCode.ERROR)
                raise

    @contextmanager
    def call(self, scope: Scope) -> Iterator[dict[str, Any]]:
        """Record a call of the service; its status is put into the dict that is given."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        parent = self._propagator.extract({"traceparent": headers.get("traceparent", "")})
        outcome: dict[str, Any] = {"status": 500}
        with self._tracer.start_as_current_span(
            scope["method"], context=parent, kind=self._api.SpanKind.SERVER, record_exception=False
        ) as span:
            try:
                yield outcome
            finally:
                route = getattr(scope.get("route"), "path", None) or "other"
                span.update_name(f"{scope['method']} {route}")
                span.set_attribute("http.request.method", scope["method"])
                span.set_attribute("http.route", route)
                span.set_attribute("http.response.status_code", outcome["status"])
                if outcome["status"] >= 500:
                    span.set_status(self._api.StatusCode.ERROR)

    def close(self) -> None:
        """Send what has been collected and stop."""
        self._provider.shutdown()


class Tracing:
    """Middleware that records every call; it is in the application only where traces are collected."""

    def __init__(self, app: ASGIApp, traces: Collected) -> None:
        self._app = app
        self._traces = traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on inside a span."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with self._traces.call(scope) as outcome:

            async def noting(message: Message) -> None:
                if message["type"] == "http.response.start":
                    outcome["status"] = message["status"]
                await send(message)

            await self._app(scope, receive, noting)


def exported(url: str | None) -> Traces:
    """Return traces that are sent to an OTLP/HTTP address, none without one.

    Raises InputError when the extra is not installed.
    """
    if url is None:
        return OFF
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError:
        raise InputError("traces need the extra: pip install fhir-cds[otel]", where="trace_url") from None
    provider = TracerProvider(resource=Resource.create({"service.name": NAME, "service.version": __version__}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=url)))
    return Collected(provider)
