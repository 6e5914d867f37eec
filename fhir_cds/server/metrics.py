"""What the service counts about itself, in the Prometheus text format; labels hold no patient data."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable
from functools import cache
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """The counters of one application; the child of each set of labels is looked up once."""

    def __init__(self) -> None:
        own = self._registry = CollectorRegistry()
        calls = Counter("fhir_cds_calls", "Calls by route and status.", ("route", "status"), registry=own)
        seconds = Histogram("fhir_cds_call_seconds", "Time to answer.", ("route",), buckets=_BUCKETS, registry=own)
        cards = Counter("fhir_cds_cards", "Cards given.", ("service", "indicator"), registry=own)
        gaps = Counter("fhir_cds_gaps", "Data that could not be read.", ("service",), registry=own)
        feedback = Counter("fhir_cds_feedback", "Feedback items.", ("outcome",), registry=own)
        self._calls, self._seconds = cache(calls.labels), cache(seconds.labels)
        self._cards, self._gaps = cache(cards.labels), cache(gaps.labels)
        self._feedback = cache(feedback.labels)
        self._failed = Counter("fhir_cds_failed_outcomes", "Recommendations that could not be evaluated.", registry=own)
        self._plans = Gauge("fhir_cds_plans", "PlanDefinitions in use.", registry=own)

    def call(self, route: str, status: int, seconds: float) -> None:
        """Count one call."""
        self._calls(route, status).inc()
        self._seconds(route).observe(seconds)

    def answer(self, service: str, indicators: Iterable[str], gaps: int, failed: int) -> None:
        """Count one answer: its cards by indicator, the data that could not be read, what could not be evaluated."""
        for indicator, number in Tally(indicators).items():
            self._cards(service, indicator).inc(number)
        self._gaps(service).inc(gaps)
        self._failed.inc(failed)

    def feedback(self, outcomes: Iterable[str]) -> None:
        """Count feedback items by outcome."""
        for outcome in outcomes:
            self._feedback(outcome).inc()

    def plans(self, number: int) -> None:
        """Say how many plans are in use."""
        self._plans.set(number)

    def text(self) -> bytes:
        """Return all counters as text."""
        return generate_latest(self._registry)
