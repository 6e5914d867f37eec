"""CDS Hooks over HTTP: discovery, the call of a service, feedback (2.0, valid under the 3.0 ballot)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from fhir_cds.cards import contexts
from fhir_cds.cards.discovery import Offer
from fhir_cds.cards.messages import Request as CdsRequest
from fhir_cds.cards.messages import parse_feedback, parse_request
from fhir_cds.data.answers import answered
from fhir_cds.data.client import Connections
from fhir_cds.data.gather import gather
from fhir_cds.data.prefetch import unasked
from fhir_cds.data.record import PatientRecord
from fhir_cds.errors import InputError, NotFoundError
from fhir_cds.fhir import codec, ids
from fhir_cds.server.advice import Advice, Question, advise
from fhir_cds.server.errors import JSON, json_response
from fhir_cds.server.gate import enter
from fhir_cds.server.http import read_json
from fhir_cds.server.state import Loaded, State, loaded, state
from fhir_cds.server.store import Answer, patient_hash
from fhir_cds.server.trust import Caller

AT_ONCE: Final = 500
"""Up to so many resources are evaluated in a few milliseconds: less than a thread would wait for the interpreter."""

_CARDS: Final = ((b"content-type", JSON.encode()), (b"cache-control", b"no-store"))

log: Final = logging.getLogger("fhir_cds.server.cds_hooks")


async def discovery(request: Request) -> Response:
    """Answer `GET /cds-services` with the services, in a stable order; 304 when the client has them already."""
    await enter(request)
    content = loaded(request)
    headers = {"ETag": content.etag, "Cache-Control": "no-cache"}
    if content.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(content.discovery, headers=headers, media_type=JSON)


class Call:
    """Answers `POST /cds-services/{id}` with cards; an ASGI application, as this is what EHRs wait for."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the cards as JSON; raises as `called`."""
        body = await called(Request(scope, receive, send))
        headers = [*_CARDS, (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


async def called(request: Request) -> bytes:
    """Return the JSON of the cards that a call asks for.

    Raises NotFoundError for an unknown id, InputError for a wrong request, MissingDataError for needed data that
    cannot be had.
    """
    started = time.perf_counter()
    caller = await enter(request)
    service = state(request)
    content = service.loaded
    offered = content.offered(request.path_params["service"])
    if not offered:
        raise NotFoundError("there is no such service; see /cds-services", where="cds-services")
    message = parse_request(await read_json(request, service.settings.body_limit_bytes))
    offer = _by_hook(offered, message.hook)
    context = contexts.check(message.hook, message.context)
    with service.traces.span("gather", service=offer.service.id, hook=message.hook):
        record = await _record(service.connections, content, offer, message, context)
    question = Question(offer, record, service.now(), context, str(message.hook_instance), caller.trial)
    with service.traces.span("advise", resources=len(record.resources)):
        advice = await _advice(content, question, service.settings.smart_app_url)
    body = codec.encode(advice.response)
    _note(service, caller, question, advice, round((time.perf_counter() - started) * 1000))
    return body


async def feedback(request: Request) -> Response:
    """Answer `POST /cds-services/{id}/feedback`: 200 with an empty object, once the items are durable."""
    caller = await enter(request)
    service = state(request)
    name = request.path_params["service"]
    if not loaded(request).offered(name):
        raise NotFoundError("there is no such service; see /cds-services", where="cds-services")
    message = parse_feedback(await read_json(request, service.settings.body_limit_bytes))
    received = datetime.fromisoformat(service.now())
    with service.traces.span("store", items=len(message.feedback)):
        new = await asyncio.to_thread(service.store.feedback, name, caller.iss, message.feedback, received)
    service.metrics.feedback(item.outcome for item in message.feedback)
    log.info("feedback", extra={"service": name, "issuer": caller.iss, "items": len(message.feedback), "new": new})
    return json_response({})


async def _advice(content: Loaded, question: Question, app_url: str | None) -> Advice:
    """Return the advice; a large record is worked on in a thread, so that other calls are not held up."""
    if len(question.record.resources) <= AT_ONCE:
        return advise(content, question, app_url)
    return await asyncio.to_thread(advise, content, question, app_url)


def _by_hook(offered: Sequence[Offer], hook: str) -> Offer:
    """Return the offer for a hook; raises InputError when the service does not answer it."""
    for offer in offered:
        if offer.service.hook == hook:
            return offer
    hooks = ", ".join(offer.service.hook for offer in offered)
    raise InputError(f"this service answers {hooks}, not the hook of this request", where="hook")


async def _record(
    connections: Connections, content: Loaded, offer: Offer, message: CdsRequest, context: dict[str, Any]
) -> PatientRecord:
    """Return the patient's record from prefetch and the client's FHIR server."""
    token = message.fhir_authorization.access_token if message.fhir_authorization else None
    strangers = unasked(offer.service.prefetch, message.prefetch)
    if strangers:
        log.info(
            "prefetch keys that were not asked for", extra={"service": offer.service.id, "unasked": len(strangers)}
        )
    record = await gather(
        offer.service.prefetch,
        context,
        message.prefetch,
        connections=connections,
        fhir_server=message.fhir_server,
        token=token,
        optional=offer.service.optional,
        systems=content.systems,
        usual=content.usual[offer.service.id, offer.service.hook],
    )
    return answered(record, content.forms)


def _note(service: State, caller: Caller, question: Question, advice: Advice, milliseconds: int) -> None:
    """Log, count and keep one answer: ids, numbers and times."""
    offered = question.offer.service
    indicators = (card.indicator for card in advice.response.cards)
    service.metrics.answer(offered.id, indicators, len(advice.gaps), advice.failed)
    log.info(
        "answered",
        extra={
            "service": offered.id,
            "hook": offered.hook,
            "hook_instance": question.instance,
            "issuer": caller.iss,
            "tenant": caller.tenant,
            "jti": caller.jti,
            "cards": len(advice.response.cards),
            "gaps": len(advice.gaps),
            "milliseconds": milliseconds,
        },
    )
    key = service.settings.hash_key.get_secret_value()
    service.audit(
        Answer(
            id=ids.stable_uuid("answer", question.instance, offered.id, question.now),
            at=datetime.fromisoformat(question.now).astimezone(UTC),
            service=offered.id,
            hook=offered.hook,
            issuer=caller.iss,
            patient=patient_hash(key, caller.iss, question.record.subject),
            milliseconds=milliseconds,
            cards=advice.rows,
        )
    )


ROUTES: Final = (
    Route("/cds-services", discovery),
    Route("/cds-services/{service}", Call(), methods=["POST"]),
    Route("/cds-services/{service}/feedback", feedback, methods=["POST"]),
)
