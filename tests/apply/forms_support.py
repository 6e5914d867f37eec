"""Responses to the questionnaire of the content, from linkIds and plain values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from fhir_cds.authoring import cases
from fhir_cds.data.answers import answered
from fhir_cds.data.forms import Forms
from fhir_cds.data.record import PatientRecord, from_resources
from fhir_cds.knowledge.load import load
from fhir_cds.reasoning.engine import Engine
from fhir_cds.terminology.local import aliases

ROOT = Path(__file__).parents[2]
NOW = "2026-01-31T00:00:00+00:00"
TODAY = "2026-01-30T10:00:00+00:00"
KEYS = {"text": "valueString", "string": "valueString", "choice": "valueCoding"}


@lru_cache
def engine() -> Engine:
    return Engine.load(load([ROOT]))


@lru_cache
def forms() -> Forms:
    return Forms.of(engine().registry)


def questionnaire() -> dict[str, Any]:
    (found,) = engine().registry.by_type("Questionnaire")
    return found


def items(nodes: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[dict[str, Any], tuple[str, ...]]]:
    """Yield each item with the linkIds above it."""
    for node in nodes:
        yield node, above
        yield from items(node.get("item", ()), (*above, node["linkId"]))


@lru_cache
def places() -> Mapping[str, tuple[dict[str, Any], tuple[str, ...]]]:
    return {node["linkId"]: (node, above) for node, above in items(questionnaire()["item"])}


def base(name: str, remove: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Return the resources of a patient that cases start from."""
    vocabulary = cases.words(ROOT)
    document = {"patient": f"../../patients/cases/{name}.yaml", "remove": list(remove)}
    return cases.patient(document, ROOT / "tests/recommendations/stories/x.yaml", vocabulary, {})


def response(answers: list[tuple[str, Any]], **elements: Any) -> dict[str, Any]:
    """Return a completed response; a question that is answered again opens its group again."""
    top: list[dict[str, Any]] = []
    for link, value in answers:
        node, above = places()[link]
        level = top
        for name in above:
            same = [item for item in level if item["linkId"] == name]
            group = same[-1] if same and not (name == above[-1] and link in _links(same[-1])) else None
            if group is None:
                group = {"linkId": name, "item": []}
                level.append(group)
            level = group["item"]
        level.append({"linkId": link, "answer": [answer(node, value)]})
    return {
        "resourceType": "QuestionnaireResponse",
        "id": "answers",
        "questionnaire": f"{questionnaire()['url']}|{questionnaire()['version']}",
        "status": "completed",
        "subject": {"reference": "Patient/p"},
        "authored": TODAY,
        "item": top,
        **elements,
    }


def _links(node: dict[str, Any]) -> list[str]:
    return [item["linkId"] for item in node["item"]]


def answer(node: dict[str, Any], value: Any) -> dict[str, Any]:
    """Return an answer of the item's type; a choice is named by its code."""
    kind = node["type"]
    if kind == "choice":
        return {"valueCoding": next(coding for coding in choices(node) if coding["code"] == value)}
    if kind == "quantity":
        unit = next(e["valueCoding"] for e in node["extension"] if e["url"].endswith("questionnaire-unit"))
        return {"valueQuantity": {"value": value, "unit": unit["code"], "system": unit["system"], "code": unit["code"]}}
    return {KEYS.get(kind, f"value{kind.capitalize()}"): value}


def choices(node: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the codings that an item offers."""
    if "answerOption" in node:
        return [option["valueCoding"] for option in node["answerOption"]]
    value_set = engine().registry.resolve(node["answerValueSet"], "ValueSet")
    return [{key: c[key] for key in ("system", "code", "display")} for c in value_set["expansion"]["contains"]]


def record(resources: list[dict[str, Any]]) -> PatientRecord:
    """Return the record as the reader gives it, answers included."""
    return answered(from_resources(resources, systems=aliases(engine().registry)), forms())


def value(held: PatientRecord, define: str) -> Any:
    """Return the value of `Library.Define` for a record."""
    library, _, name = define.partition(".")
    return engine().evaluate(held.resources, NOW, {}).value(library, name)
