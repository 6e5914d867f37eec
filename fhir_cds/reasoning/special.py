"""What some kinds of request need beyond the common elements (R4 resource definitions)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from fhir_cds.reasoning import participants, plans
from fhir_cds.reasoning.outcome import Json
from fhir_cds.reasoning.sources import Sources, absent, when

CPG_ACTIVITY: Final = "http://hl7.org/fhir/uv/cpg/CodeSystem/cpg-activity-type"
COLLECT: Final = "collect-information"
_COLLECT_WITH: Final = "cpg-collectWith"
_SHOWN: Final = frozenset({"documentation", "justification"})
_FORECAST: Final = "http://terminology.hl7.org/CodeSystem/immunization-recommendation-status"


def _appointment(source: Sources, made: dict[str, Any]) -> None:
    who = participants.performers(source.session, source.first("participant") or ())
    actors: list[dict[str, Any]] = [{"reference": source.session.subject}, *who.references]
    if source.definition.get("location"):
        actors.append(source.definition["location"])
    unique = list({str(actor): actor for actor in actors}.values())
    made["participant"] = [
        *({"actor": actor, "status": "needs-action"} for actor in unique),
        *({"type": [role], "status": "needs-action"} for role in who.roles),
    ]
    timing = when(source)
    if timing is not None and timing[0] == "Period":
        made["requestedPeriod"] = [timing[1]]
    elif timing is not None and timing[0] == "DateTime":
        made["requestedPeriod"] = [{"start": timing[1]}]


def _appointment_response(_source: Sources, made: dict[str, Any]) -> None:
    made["participantStatus"] = "needs-action"


def _care_plan(source: Sources, made: dict[str, Any]) -> None:
    timing = when(source)
    if timing is not None and timing[0] == "Period":
        made["period"] = timing[1]


def _claim(source: Sources, made: dict[str, Any]) -> None:
    made["use"] = "predetermination"
    made["insurance"] = [{"sequence": 1, "focal": True, "coverage": absent()}]
    product = plans.choice(source.definition, "product")
    if product is not None and product[0] == "productCodeableConcept":
        item: dict[str, Any] = {"sequence": 1, "productOrService": product[1]}
        if source.definition.get("quantity"):
            item["quantity"] = source.definition["quantity"]
        made["item"] = [item]


def _communication_request(source: Sources, made: dict[str, Any]) -> None:
    code = source.definition.get("code") or {}
    text = source.first("description") or code.get("text") or source.definition.get("title")
    payload: list[dict[str, Any]] = [{"contentString": text}] if text else []
    payload += [{"contentAttachment": attachment} for attachment in _attachments(source)]
    if payload:
        made["payload"] = payload


def _contract(source: Sources, made: dict[str, Any]) -> None:
    timing = when(source)
    if timing is not None and timing[0] == "Period":
        made["applies"] = timing[1]


def _product(source: Sources) -> Json | None:
    """Return what is given, as a concept: the product, else the code of the definition."""
    product = plans.choice(source.definition, "product")
    concept: Json | None = source.definition.get("code")
    return product[1] if product and product[0] == "productCodeableConcept" else concept


def _immunization_recommendation(source: Sources, made: dict[str, Any]) -> None:
    recommendation: dict[str, Any] = {}
    vaccine = _product(source)
    if vaccine:
        recommendation["vaccineCode"] = [vaccine]
    else:
        recommendation["targetDisease"] = absent()
    recommendation["forecastStatus"] = {"coding": [{"system": _FORECAST, "code": "due"}]}
    if source.first("description"):
        recommendation["description"] = source.first("description")
    timing = when(source)
    if timing is not None and timing[0] == "DateTime":
        recommendation["dateCriterion"] = [{"code": {"text": "due"}, "value": timing[1]}]
    made["recommendation"] = [recommendation]


def _medication_request(source: Sources, made: dict[str, Any]) -> None:
    dosages = [dict(dosage) for dosage in source.definition.get("dosage", ())]
    timing = when(source)
    if timing is not None and timing[0] == "Timing":
        dosages = [{"timing": timing[1], **dosage} for dosage in dosages or [{}]]
    if dosages:
        made["dosageInstruction"] = dosages
    dispense: dict[str, Any] = {}
    if timing is not None and timing[0] == "Period":
        dispense["validityPeriod"] = timing[1]
    elif timing is not None and timing[0] == "DateTime":
        dispense["validityPeriod"] = {"start": timing[1]}
    if source.definition.get("quantity"):
        dispense["quantity"] = source.definition["quantity"]
    if dispense:
        made["dispenseRequest"] = dispense


def _nutrition_order(source: Sources, made: dict[str, Any]) -> None:
    diet: dict[str, Any] = {}
    kind = _product(source)
    if kind:
        diet["type"] = [kind]
    timing = when(source)
    if timing is not None:
        diet["schedule"] = [timing[1] if timing[0] == "Timing" else _as_timing(*timing)]
    if diet:
        made["oralDiet"] = diet


def _attachments(source: Sources) -> list[Json]:
    """Return the documentation and justification of an activity as Attachments."""
    listed = [item for item in source.definition.get("relatedArtifact", ()) if item.get("type") in _SHOWN]
    return [
        item.get("document") or {"url": item["url"], **({"title": item["display"]} if "display" in item else {})}
        for item in listed
        if item.get("document") or item.get("url")
    ]


def _task(source: Sources, made: dict[str, Any]) -> None:
    kind = source.definition.get("code") or {"coding": [{"system": CPG_ACTIVITY, "code": COLLECT}]}
    form = plans.extension_value(source.definition, _COLLECT_WITH)
    inputs = [{"type": kind, "valueCanonical": form}] if form else []
    inputs += [{"type": kind, "valueAttachment": attachment} for attachment in _attachments(source)]
    if inputs:
        made["input"] = inputs
    questionnaire = source.session.engine.registry.find(str(form), "Questionnaire") if form else None
    if questionnaire is not None:
        made["focus"] = {"reference": f"Questionnaire/{questionnaire['id']}"}
    timing = when(source)
    if timing is not None:
        made["restriction"] = {"period": _as_period(*timing)} if timing[0] != "Timing" else _restriction(timing[1])
        if not made["restriction"]:
            del made["restriction"]


def _vision_prescription(source: Sources, made: dict[str, Any]) -> None:
    product = plans.choice(source.definition, "product")
    code = product[1] if product and product[0] == "productCodeableConcept" else source.definition.get("code")
    made["lensSpecification"] = [{"product": code or absent(), "_eye": absent()}]


def _as_period(suffix: str, value: Any) -> Any:
    return value if suffix == "Period" else {"start": value, "end": value}


def _as_timing(suffix: str, value: Any) -> dict[str, Any]:
    return {"event": [value]} if suffix == "DateTime" else {"repeat": {"boundsPeriod": value}}


def _restriction(timing: Mapping[str, Any]) -> dict[str, Any]:
    repeat = timing.get("repeat", {})
    made: dict[str, Any] = {}
    if repeat.get("count"):
        made["repetitions"] = repeat["count"]
    if repeat.get("boundsPeriod"):
        made["period"] = repeat["boundsPeriod"]
    return made


SPECIAL: Final[Mapping[str, Callable[[Sources, dict[str, Any]], None]]] = MappingProxyType(
    {
        "Appointment": _appointment,
        "AppointmentResponse": _appointment_response,
        "CarePlan": _care_plan,
        "Claim": _claim,
        "CommunicationRequest": _communication_request,
        "Contract": _contract,
        "ImmunizationRecommendation": _immunization_recommendation,
        "MedicationRequest": _medication_request,
        "NutritionOrder": _nutrition_order,
        "Task": _task,
        "VisionPrescription": _vision_prescription,
    }
)
