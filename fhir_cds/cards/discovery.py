"""Discovery: the entries of `hooks/*.json`, in a stable order, with an ETag that changes when they do."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from msgspec import ValidationError, convert

from fhir_cds.cards.contexts import HOOKS
from fhir_cds.cards.outgoing import Discovery, OverrideReason, ServiceEntry
from fhir_cds.errors import ContentError
from fhir_cds.fhir import codec
from fhir_cds.knowledge.service import Service

NAMESPACE: Final = "org.fhir-cds."
"""Members of an entry's extension that steer this service; they are not sent to clients."""

OVERRIDE_REASONS: Final = "org.fhir-cds.override-reasons"
"""The member that lists the Codings a clinician may give for not following a card."""

LEFT_OUT: Final = "org.fhir-cds.leave-out"
"""The member that lists plans inside the service's plans whose card another service on the same hook gives."""

_TOKEN: Final = re.compile(r"\{\{([^{}]*)\}\}")
_QUERY: Final = re.compile(r"[A-Z][A-Za-z]+(/[^?]+|\?.+)")
_USER_TOKENS: Final = frozenset(
    {"userPractitionerId", "userPractitionerRoleId", "userPatientId", "userRelatedPersonId"}
)


@dataclass(frozen=True, slots=True)
class Offer:
    """One service as offered: what clients see of it, and the content's definition behind it."""

    entry: ServiceEntry
    service: Service
    override_reasons: tuple[OverrideReason, ...] = ()
    left_out: frozenset[str] = frozenset()

    @property
    def required(self) -> frozenset[str]:
        """The prefetch keys it cannot do without."""
        return frozenset(self.service.prefetch) - self.service.optional


def offers(services: Iterable[Service]) -> tuple[Offer, ...]:
    """Return the services of the content checked as discovery entries, ordered by id, then hook.

    Raises ContentError naming the file: a member that is wrong, a template that clients cannot fill, two entries for
    one id and hook.
    """
    found: dict[tuple[str, str], Offer] = {}
    for service in services:
        offer = _offer(service)
        key = (service.id, service.hook)
        if key in found:
            raise ContentError(f"a second entry for service {service.id} on {service.hook}", where=service.source)
        found[key] = offer
    return tuple(found[key] for key in sorted(found))


def document(offered: Sequence[Offer]) -> tuple[bytes, str]:
    """Return the discovery document as JSON and its ETag."""
    body = codec.encode(Discovery.of(services=tuple(offer.entry for offer in offered)))
    return body, f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def _offer(service: Service) -> Offer:
    """Return one service checked."""
    extension: Mapping[str, Any] = service.entry.get("extension") or {}
    public = {key: value for key, value in extension.items() if not key.startswith(NAMESPACE)}
    try:
        entry = convert({**service.entry, "extension": public or None}, ServiceEntry)
        reasons = tuple(convert(reason, OverrideReason) for reason in extension.get(OVERRIDE_REASONS, ()))
    except ValidationError as error:
        raise ContentError(str(error), where=service.source) from None
    for key, template in service.prefetch.items():
        _check_template(template, service.hook, f"{service.source}: prefetch.{key}")
    return Offer(entry, service, reasons, frozenset(extension.get(LEFT_OUT, ())))


def _check_template(template: str, hook: str, where: str) -> None:
    """Raise ContentError for a template that is no read or search, or has a token its hook does not give (P1 to P3)."""
    if not _QUERY.fullmatch(template):
        raise ContentError("a prefetch template is a relative read or a type search", where=where)
    fields = HOOKS.get(hook)
    allowed = {f"context.{field.name}" for field in fields if field.token} if fields else None
    for token in _TOKEN.findall(template):
        if token in _USER_TOKENS or (allowed is None and token.startswith("context.")):
            continue
        if allowed is None or token not in allowed:
            raise ContentError(f"the token {{{{{token}}}}} is not one that {hook} gives", where=where)
