"""SDC over HTTP: `Questionnaire/$populate` and `QuestionnaireResponse/$extract`, for forms of the content."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from fhir_cds.data.answers import COUNTED, KIND, extract
from fhir_cds.data.forms import Form
from fhir_cds.data.gather import subject_of
from fhir_cds.errors import InputError, NotFoundError
from fhir_cds.fhir import ids, issues
from fhir_cds.reasoning import populate
from fhir_cds.reasoning.apply import begin
from fhir_cds.reasoning.needs import needs
from fhir_cds.reasoning.outcomes import outcomes
from fhir_cds.server import operations
from fhir_cds.server.errors import FHIR_JSON, json_response
from fhir_cds.server.gate import enter
from fhir_cds.server.invocation import invocation
from fhir_cds.server.parameters import Given, given
from fhir_cds.server.state import Loaded, loaded, state
from fhir_cds.server.subjects import records

Resource = dict[str, Any]

_NOTHING_MORE: Final = {"resourceType": "Library", "id": "nothing-more"}
"""A definition that reads nothing: a record is read as the services read it."""


async def fill(request: Request) -> Response:
    """Answer `Questionnaire[/id]/$populate`: the response begun, the questionnaire for the patient, and gaps."""
    await enter(request)
    asked_for = await given(request, operations.POPULATE)
    service, content = state(request), loaded(request)
    form = _form(request, content, asked_for)
    asked = invocation(asked_for)
    (record,) = await records(service, content, asked, _NOTHING_MORE, limit=1)
    now = asked.now or service.now()

    def work() -> list[Resource]:
        steps = needs(outcomes(content.engine, record, now))
        session = begin(content.engine, record, now)
        return [
            {"name": "response", "resource": populate.response(session, form, steps)},
            {"name": "questionnaire", "resource": populate.questionnaire(session, form, steps)},
        ]

    made = await asyncio.to_thread(work)
    return _parameters(made, [f"{gap.key}: {gap.reason}" for gap in record.gaps])


async def take(request: Request) -> Response:
    """Answer `QuestionnaireResponse/$extract`: what a completed response says, as a transaction of resources."""
    await enter(request)
    asked_for = await given(request, operations.EXTRACT)
    response = asked_for.resource("questionnaire-response")
    if response is None or response.get("resourceType") != KIND:
        raise InputError(f"a {KIND} is expected", where="questionnaire-response")
    if response.get("status") not in COUNTED:
        raise InputError("a response that is completed or amended is expected", where=f"{KIND}.status")
    form = loaded(request).forms.find(str(response.get("questionnaire")))
    if form is None:
        raise NotFoundError("the questionnaire is not in the content in that version", where=f"{KIND}.questionnaire")
    about = response.get("subject")
    subject = subject_of(about.get("reference") if isinstance(about, dict) else None, f"{KIND}.subject")
    named = {"id": ids.content_uuid(response), **response}
    made, gaps = extract(named, form, subject)
    entries = [_entry(item) for item in made]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    found = [{"name": "return", "resource": bundle}] if entries else []
    return _parameters(found, [gap.reason for gap in gaps])


def _form(request: Request, content: Loaded, asked: Given) -> Form:
    """Return the form of a call: that of the address, else that of the parameters; never both."""
    name, canonical = request.path_params.get("id"), asked.text("questionnaire")
    if (name is None) == (canonical is None):
        raise InputError("name the questionnaire once: its id in the address, or its canonical", where="questionnaire")
    if name is not None:
        canonical = str(content.knowledge.registry.by_id("Questionnaire", name)["url"])
    form = content.forms.find(str(canonical))
    if form is None:
        raise NotFoundError("there is no such questionnaire in the content", where="questionnaire")
    return form


def _entry(made: Resource) -> Resource:
    """Return an entry that creates a resource; the server gives the id."""
    kind = made["resourceType"]
    return {
        "fullUrl": f"urn:uuid:{ids.stable_uuid(kind, made['id'])}",
        "resource": {key: value for key, value in made.items() if key != "id"},
        "request": {"method": "POST", "url": kind},
    }


def _parameters(found: list[Resource], gaps: list[str]) -> Response:
    """Return the answer, with what could not be read as issues; without a result they say so."""
    told = [issues.issue("warning", "incomplete", gap) for gap in gaps]
    if told or not found:
        found = [*found, {"name": "issues", "resource": issues.outcome(told)}]
    return json_response({"resourceType": "Parameters", "parameter": found}, media_type=FHIR_JSON)


HANDLERS: Final = ((operations.POPULATE, fill), (operations.EXTRACT, take))
