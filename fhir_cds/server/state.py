"""What the running service holds: the loaded content (replaced whole on reload) and what lives with the process."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fhir_cds.cards.authored import Authored
from fhir_cds.cards.discovery import Offer, document, offers
from fhir_cds.cards.facts import places, texts
from fhir_cds.data.forms import Forms
from fhir_cds.data.usual import Usual
from fhir_cds.knowledge.load import Knowledge
from fhir_cds.knowledge.load import load as knowledge_of
from fhir_cds.reasoning.engine import Engine
from fhir_cds.terminology.local import aliases

if TYPE_CHECKING:  # what loads content need not import a web server
    from starlette.requests import Request

    from fhir_cds.data.client import Connections
    from fhir_cds.server.limits import RateLimit
    from fhir_cds.server.metrics import Metrics
    from fhir_cds.server.settings import Settings
    from fhir_cds.server.store import Answer, Store
    from fhir_cds.server.traces import Traces
    from fhir_cds.server.trust import Trust

Clock = Callable[[], datetime]

_GC_THRESHOLDS: Final = (100_000, 50, 1000)


@dataclass(frozen=True, slots=True)
class Loaded:
    """The content in use: engine, services, the discovery document with its ETag, and the texts of the facts.

    `usual` goes by service id and hook.
    """

    knowledge: Knowledge
    engine: Engine
    offers: tuple[Offer, ...]
    discovery: bytes
    etag: str
    fact_texts: Mapping[str, str]
    fact_places: Mapping[str, int]
    authored: Authored
    systems: Mapping[str, str]
    usual: Mapping[tuple[str, str], Usual]
    forms: Forms
    started: datetime

    def offered(self, service_id: str) -> tuple[Offer, ...]:
        """Return the offers under one id: one per hook."""
        return tuple(offer for offer in self.offers if offer.service.id == service_id)


@dataclass(slots=True)
class State:
    """The process's state; `loaded` is the only member that changes, by assignment."""

    settings: Settings
    loaded: Loaded
    clock: Clock
    connections: Connections
    trust: Trust
    rates: RateLimit
    metrics: Metrics
    store: Store
    audit: Callable[[Answer], None]
    traces: Traces

    def now(self) -> str:
        """Return the instant of evaluation as ISO text with offset: the one place where a clock is read."""
        return self.clock().isoformat(timespec="milliseconds")


def utc_now() -> datetime:
    """Return the present instant."""
    return datetime.now(UTC)


def load(roots: Sequence[Path], clock: Clock) -> Loaded:
    """Return the content of some folders, loaded, compiled and checked; raises ContentError naming file and place."""
    return derive(knowledge_of(roots), clock)


def derive(knowledge: Knowledge, clock: Clock, engine: Engine | None = None) -> Loaded:
    """Return content with its engine and what the service derives from it; raises ContentError."""
    offered = offers(knowledge.services)
    made = engine or Engine.load(knowledge)
    for offer in offered:
        for plan in offer.service.plans:
            knowledge.registry.resolve(plan, "PlanDefinition", where=offer.service.source)
    body, etag = document(offered)
    registry = knowledge.registry
    systems = aliases(registry)
    asked = texts(registry)
    return Loaded(
        knowledge=knowledge,
        engine=made,
        offers=offered,
        discovery=body,
        etag=etag,
        fact_texts=asked,
        fact_places=places(asked),
        authored=Authored.of(made),
        systems=systems,
        usual={(offer.service.id, offer.service.hook): Usual(offer.service.prefetch, systems) for offer in offered},
        forms=Forms.of(registry),
        started=clock(),
    )


def settle() -> None:
    """Freeze what has been loaded out of the garbage collector's sight and let it run seldom.

    The cyclic collector over the content was the 99th percentile of the response time (13 ms instead of 1.3 ms). Called
    again after a reload it lets go of the content before.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)


def state(request: Request) -> State:
    """Return the state of the application a request came to."""
    found: State = request.app.state.fhir_cds
    return found


def loaded(request: Request) -> Loaded:
    """Return the content in use at the start of a request."""
    return state(request).loaded
