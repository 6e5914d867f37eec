"""What the service counts about itself, in the Prometheus text format; labels hold no patient data."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """The counters of one application."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.calls = Counter(
            "fhir_cds_calls", "Calls by route and status.", ("route", "status"), registry=self._registry
        )
        self.seconds = Histogram(
            "fhir_cds_call_seconds", "Time to answer.", ("route",), buckets=_BUCKETS, registry=self._registry
        )
        self.cards = Counter("fhir_cds_cards", "Cards given.", ("service", "indicator"), registry=self._registry)
        self.gaps = Counter("fhir_cds_gaps", "Data that could not be read.", ("service",), registry=self._registry)
        self.failed = Counter(
            "fhir_cds_failed_outcomes", "Recommendations that could not be evaluated.", registry=self._registry
        )
        self.feedback = Counter("fhir_cds_feedback", "Feedback items.", ("outcome",), registry=self._registry)
        self.plans = Gauge("fhir_cds_plans", "PlanDefinitions in use.", registry=self._registry)

    def call(self, route: str, status: int, seconds: float) -> None:
        """Count one call."""
        self.calls.labels(route, str(status)).inc()
        self.seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """Return all counters as text."""
        return generate_latest(self._registry)
