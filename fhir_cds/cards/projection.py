"""What the cards of one call need besides the applied plans."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fhir_cds.cards.authored import Authored
from fhir_cds.cards.facts import Facts
from fhir_cds.cards.outgoing import OverrideReason
from fhir_cds.reasoning.outcome import Json


@dataclass(frozen=True, slots=True)
class Projection:
    """What the cards need besides the applied plans.

    `seed` makes the uuids unique to a call (its hookInstance); `gaps` are names of data that could not be read;
    `careplans` are the dated plans (with contained orders) of the schedules; `left_out` are urls of plans without card.
    `authored` is what is known of the content, `forms` the canonicals of the questionnaires that ask for facts, by
    fact; `subject` and `now` are whom and when the call is about.
    `trial`: the client knows the trial-use members of the 3.0 ballot (`actionSelectionBehavior`).
    Where `about` names resources (`Type/id`), only decisions that rest on one of them, or that failed, get a card.
    """

    facts: Facts = field(default_factory=Facts)
    seed: str = ""
    gaps: tuple[str, ...] = ()
    override_reasons: tuple[OverrideReason, ...] = ()
    careplans: tuple[Json, ...] = ()
    left_out: frozenset[str] = frozenset()
    about: frozenset[str] = frozenset()
    app_url: str | None = None
    authored: Authored = field(default_factory=Authored)
    forms: Mapping[str, str] = field(default_factory=dict)
    subject: str = ""
    now: str = ""
    trial: bool = False
