"""Who takes part in an action: references where the call says who, else the kind of performer (apply.md PA-01)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from fhir_cds.reasoning.outcome import Json
from fhir_cds.reasoning.session import Session


class Performers(NamedTuple):
    """The people an action is for: `references` known, `roles` of those that are not."""

    references: tuple[dict[str, Any], ...]
    roles: tuple[Json, ...]


def performers(session: Session, participants: Iterable[Json]) -> Performers:
    """Return who the participants (R4 action.participant, ActivityDefinition.participant) are."""
    known: list[dict[str, Any]] = []
    roles: list[Json] = []
    for participant in participants:
        reference = reference_of(session, participant)
        if reference is not None and reference not in known:
            known.append(reference)
        elif reference is None and participant.get("role"):
            roles.append(participant["role"])
    return Performers(tuple(known), tuple(roles))


def reference_of(session: Session, participant: Json) -> dict[str, Any] | None:
    """Return the reference that a participant stands for, None when the call does not say who it is."""
    given = participant.get("actorReference") or participant.get("typeReference")
    if given:
        return dict(given)
    kind = participant.get("type")
    if kind == "patient":
        return {"reference": session.subject}
    if kind == "practitioner" and session.context.practitioner:
        return {"reference": session.context.practitioner}
    return None


def requester(session: Session) -> dict[str, Any] | None:
    """Return who asks: the practitioner of the call, else its organization (IN-05)."""
    who = session.context.practitioner or session.context.organization
    return {"reference": who} if who else None
