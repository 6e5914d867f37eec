"""ActivityDefinition/$apply: a request resource for the patient (apply.md DF-08, DF-09; R4 §9.17.8).

What the action says goes before what the ActivityDefinition says: code, timing, priority, participant. What R4 requires
and nobody knows is there with a data-absent-reason, so that the resource is valid and says what is open.
"""

from __future__ import annotations

from typing import Any, Final

from fhir_cds.fhir import ids
from fhir_cds.reasoning import participants, plans
from fhir_cds.reasoning.kinds import KINDS, Kind
from fhir_cds.reasoning.outcome import Json
from fhir_cds.reasoning.session import Session
from fhir_cds.reasoning.sources import Sources, absent, put, when
from fhir_cds.reasoning.special import SPECIAL

INSTANTIATES: Final = "http://hl7.org/fhir/StructureDefinition/workflow-instantiatesCanonical"
_NOBODY: Final[Json] = {}


def realise(
    session: Session, definition: Json, action: Json = _NOBODY, path: str = "ActivityDefinition", seed: str = ""
) -> dict[str, Any] | None:
    """Return the request that `definition` makes for the session's patient; None, with an issue, for an unknown kind.

    `seed` tells apart the requests that several actions make of one definition (AL-07).
    """
    name = str(definition.get("kind") or "")
    if not name and definition.get("dosage"):
        name = "MedicationRequest"
        text = "the ActivityDefinition has no kind; its dosage makes it a MedicationRequest"
        session.issues.append(plans.content_issue("warning", "incomplete", text, definition, path))
    kind = KINDS.get(name)
    if kind is None:
        text = f'the kind "{name}" is no request' if name else "the ActivityDefinition has no kind"
        session.issues.append(plans.content_issue("error", "not-supported", text, definition, path))
        return None
    if definition.get("transform") or action.get("transform"):
        text = "transform is not carried out: the request is made from the elements"
        session.issues.append(plans.content_issue("warning", "not-supported", text, definition, f"{path}.transform"))
    source = Sources(session, definition, action, path, kind)
    made: dict[str, Any] = {
        "resourceType": name,
        "id": ids.stable_uuid(seed, plans.canonical(definition), session.subject, session.today),
    }
    if definition.get("profile"):
        made["meta"] = {"profile": [definition["profile"]]}
    _state(source, made)
    _what(source, made)
    _who(source, made)
    _when(source, made)
    special = SPECIAL.get(name)
    if special is not None:
        special(source, made)
    _complete(kind, made)
    return made


def _state(source: Sources, made: dict[str, Any]) -> None:
    kind, definition, context = source.kind, source.definition, source.session.context
    canonical = plans.canonical(definition)
    if definition.get("url"):
        if kind.instantiates is not None:
            put(made, kind.instantiates, canonical)
        else:
            made["extension"] = [{"url": INSTANTIATES, "valueCanonical": canonical}]
    if kind.status is not None:
        made["status"] = context.status if kind.status == "draft" else kind.status
    if kind.intent:
        made["intent"] = definition.get("intent") or context.intent
    if kind.priority and source.first("priority"):
        made["priority"] = source.first("priority")
    if kind.do_not_perform and "doNotPerform" in definition:
        made["doNotPerform"] = definition["doNotPerform"]


def _what(source: Sources, made: dict[str, Any]) -> None:
    kind, definition = source.kind, source.definition
    # What to do is the definition's to say: an action's code, as CPG has it, classifies the action (R4 §9.17.8).
    code = definition.get("code") or source.action.get("code")
    put(made, kind.code, code[0] if isinstance(code, list) and code else code)
    product = plans.choice(definition, "product")
    if product is not None and kind.product:
        for suffix in ("CodeableConcept", "Reference"):
            made.pop(f"{kind.product}{suffix}", None)
        made[kind.product + product[0].removeprefix("product")] = product[1]
    put(made, kind.quantity, definition.get("quantity"))
    put(made, kind.body_site, definition.get("bodySite"))
    put(made, kind.reason, source.action.get("reason"))
    put(made, kind.title, source.first("title"))
    put(made, kind.text, source.first("description") or definition.get("title"))


def _who(source: Sources, made: dict[str, Any]) -> None:
    kind, session = source.kind, source.session
    put(made, kind.subject, {"reference": session.subject})
    who = participants.performers(session, source.first("participant") or ())
    put(made, kind.performer, [dict(reference) for reference in who.references])
    put(made, kind.performer_type, list(who.roles))
    put(made, kind.requester, participants.requester(session))
    if session.context.encounter:
        put(made, kind.encounter, {"reference": session.context.encounter})
    put(made, kind.location, source.definition.get("location"))
    for name in kind.dates:
        made[name] = session.now if name != "created" or made["resourceType"] != "CarePlan" else session.today


def _when(source: Sources, made: dict[str, Any]) -> None:
    timing = when(source)
    if timing is not None and source.kind.occurrence:
        made[source.kind.occurrence + timing[0]] = timing[1]
    as_needed = plans.choice(source.definition, "asNeeded")
    if as_needed is not None and made["resourceType"] == "ServiceRequest":
        made[as_needed[0]] = as_needed[1]


def _complete(kind: Kind, made: dict[str, Any]) -> None:
    for slot in kind.required:
        base = slot.name.removesuffix("CodeableConcept")
        if slot.name not in made and f"{base}Reference" not in made:
            made[slot.name] = absent()
