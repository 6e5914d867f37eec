"""One answer: the plans behind a service applied to a record, projected to cards. Pure: no clock, no network."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fhir_cds.cards import contexts
from fhir_cds.cards.cards import chosen, recommendations_of, with_orders
from fhir_cds.cards.discovery import Offer
from fhir_cds.cards.facts import Facts
from fhir_cds.cards.outgoing import Card, Response
from fhir_cds.cards.projection import Projection
from fhir_cds.data.record import PatientRecord, assemble, normalised
from fhir_cds.fhir import reference
from fhir_cds.followup.careplan import proposal
from fhir_cds.followup.schedule import schedules_in, with_visits
from fhir_cds.reasoning.apply import apply_in, begin
from fhir_cds.reasoning.outcome import Applied
from fhir_cds.reasoning.session import Context
from fhir_cds.server.state import Loaded
from fhir_cds.server.store import CardRow

_CAPITAL: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Advice:
    """What a service answers, and what is kept of it."""

    response: Response
    applied: tuple[Applied, ...]
    rows: tuple[CardRow, ...]
    gaps: tuple[str, ...]
    failed: int
    subject: str
    now: str


@dataclass(frozen=True, slots=True)
class Question:
    """One call of a service, its data gathered.

    `context` is the checked context: its resources (draft orders, appointments …) reach the logic as CQL parameters
    named after the member (`draftOrders` → "Draft Orders"). `instance` is the hookInstance. `trial`: see Projection.
    """

    offer: Offer
    record: PatientRecord
    now: str
    context: Mapping[str, Any]
    instance: str
    trial: bool = False


def advise(content: Loaded, question: Question, app_url: str | None = None) -> Advice:
    """Return the cards of a service for one patient as of `now`.

    Raises NotFoundError for a plan that is not there; what fails in a plan is on a card.
    """
    offer, now, context = question.offer, question.now, question.context
    sent = carried(offer.service.hook, context, question.record, content.systems)
    final = _final(offer.service.hook, sent)
    record = with_final(question.record, final)
    asked = Context(
        encounter=_reference("Encounter", context.get("encounterId")),
        practitioner=_practitioner(context.get("userId")),
        parameters={parameter_name(name): resources for name, resources in sent.items()},
        left_out=offer.left_out,
    )
    session = begin(content.engine, record, now, asked)
    applied = tuple(with_visits(session, apply_in(session, plan)) for plan in offer.service.plans)
    gaps = tuple(f"{gap.key}: {gap.reason}" for gap in record.gaps)
    projection = Projection(
        facts=Facts(
            content.fact_texts, _named(session.by_reference, sent), content.authored.names, content.fact_places
        ),
        seed=f"{question.instance}|{offer.service.id}|{record.subject}",
        gaps=gaps,
        override_reasons=offer.override_reasons,
        careplans=tuple(
            plan
            for one in applied
            for schedule in schedules_in(session, one)
            if (plan := proposal(schedule)) is not None
        ),
        left_out=offer.left_out,
        about=frozenset(reference.of(resource) for resource in final),
        app_url=app_url,
        authored=content.authored,
        forms=content.forms.asks,
        subject=record.subject,
        now=now,
        trial=question.trial,
    )
    shown = chosen(applied, projection)
    ordered = with_orders(shown, projection)
    cards = tuple(card for card, _ in ordered)
    rows = _rows(ordered, recommendations_of(cards, shown))
    return Advice(Response.of(cards=cards), applied, rows, gaps, len(session.failed), record.subject, now)


def _named(recorded: Mapping[str, Any], sent: Mapping[str, list[dict[str, Any]]]) -> Mapping[str, Any]:
    """Return the resources that a card may name, by `Type/id`: those of the record, and what the context carries."""
    if not sent:
        return recorded
    return {**recorded, **{reference.of(one): one for resources in sent.values() for one in resources}}


def carried(
    hook: str, context: Mapping[str, Any], record: PatientRecord, systems: Mapping[str, str]
) -> dict[str, list[dict[str, Any]]]:
    """Return the resources that a context carries, by member, in the form that the record has too.

    Raises InputError when one of them is about another patient.
    """
    found = {
        name: normalised(contexts.resources(context, name), systems=systems, where=f"context.{name}")
        for name in contexts.carriers(hook, context)
    }
    for name, resources in found.items():
        assemble([("record", [record.patient]), (f"context.{name}", resources)], subject=record.subject)
    return found


def _final(hook: str, sent: Mapping[str, Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return what the hook reports as recorded just now (new problems), as opposed to drafts."""
    return [resource for field in contexts.HOOKS.get(hook, ()) if field.final for resource in sent.get(field.name, ())]


def with_final(record: PatientRecord, final: Sequence[dict[str, Any]]) -> PatientRecord:
    """Return the record with resources recorded just now, in place of older versions of them."""
    if not final:
        return record
    names = {(resource["resourceType"], resource["id"]) for resource in final}
    kept = [item for item in record.resources if (item["resourceType"], item["id"]) not in names]
    return assemble([("record", kept), ("context", final)], subject=record.subject, gaps=record.gaps)


def parameter_name(member: str) -> str:
    """Return the CQL parameter of a context member.

    >>> parameter_name("draftOrders")
    'Draft Orders'
    """
    return " ".join(word.capitalize() for word in _CAPITAL.split(member))


def _rows(
    ordered: Sequence[tuple[Card, tuple[str, ...]]], recommendations: Mapping[str, tuple[str, ...]]
) -> tuple[CardRow, ...]:
    """Return what is kept of each card; it comes with the orders that it asks for and another one offers."""
    asked = {name for _, orders in ordered for name in orders}
    offered = {
        name: suggestion.uuid
        for card, _ in ordered
        if asked
        for suggestion in card.suggestions or ()
        for action in suggestion.actions or ()
        if action.resource is not None and (name := reference.of(action.resource)) in asked
    }
    return tuple(
        CardRow(
            card.uuid,
            card.indicator,
            tuple(suggestion.uuid for suggestion in card.suggestions or ()),
            recommendations.get(card.uuid, ()),
            tuple(dict.fromkeys(offered[name] for name in orders if name in offered)),
        )
        for card, orders in ordered
    )


def _reference(kind: str, identifier: object) -> str | None:
    """Return `Type/id`, None without an id."""
    return f"{kind}/{identifier}" if isinstance(identifier, str) else None


def _practitioner(user: object) -> str | None:
    """Return the user when it is a practitioner or a practitioner's role."""
    return user if isinstance(user, str) and user.startswith("Practitioner") else None
