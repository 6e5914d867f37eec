"""A questionnaire for one patient: what is missing first, what is known filled in (SDC population).

An item is filled by the define that its `initialExpression` names, else by the latest Observation with its code. A fact
that is missing is not filled, even where the record holds an old or contradicting statement about it. Nothing is
required: an answer that is forced invites a guess.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from fhir_cds import cql
from fhir_cds.data.forms import UNIT, Form
from fhir_cds.errors import EvaluationError
from fhir_cds.reasoning.convert import UCUM
from fhir_cds.reasoning.expressions import Define
from fhir_cds.reasoning.needs import Need
from fhir_cds.reasoning.outcome import Json
from fhir_cds.reasoning.session import Session

INITIAL: Final = "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-initialExpression"
MISSING: Final = "missing"
MISSING_TEXT: Final = "Missing facts, those that decide most recommendations first"

_USABLE: Final = frozenset({"final", "amended", "corrected", "preliminary"})
_PLAIN: Final[Mapping[str, tuple[str, type | tuple[type, ...]]]] = {
    "boolean": ("valueBoolean", bool),
    "integer": ("valueInteger", int),
    "date": ("valueDate", str),
    "dateTime": ("valueDateTime", str),
    "text": ("valueString", str),
    "string": ("valueString", str),
}


def questionnaire(session: Session, form: Form, steps: Sequence[Need]) -> dict[str, Any]:
    """Return the questionnaire of a form for the patient of a session: missing facts first, known ones filled in.

    It is derived from the form and has no canonical of its own; responses name the form's.
    """
    order = [fact for step in steps for fact in step.facts]
    values = _Values(session, form, order)
    base = {
        key: value for key, value in form.questionnaire.items() if key not in {"id", "url", "version", "item", "meta"}
    }
    facts = {node["linkId"]: node for node in _nodes(form.questionnaire["item"]) if node["linkId"] in order}
    asked = [_filled(facts[fact], values) for fact in order if fact in facts]
    groups = [_without(node, facts) for node in form.questionnaire["item"]]
    rest = [_filled(node, values) for node in groups if node is not None]
    first = [{"linkId": MISSING, "text": MISSING_TEXT, "type": "group", "item": asked}] if asked else []
    return {**base, "derivedFrom": [form.canonical], "item": [*first, *rest]}


def response(session: Session, form: Form, steps: Sequence[Need]) -> dict[str, Any]:
    """Return a response in progress with what the record tells, in the form's own structure."""
    values = _Values(session, form, [fact for step in steps for fact in step.facts])
    items = [made for node in form.questionnaire["item"] if (made := _answers(node, values)) is not None]
    return {
        "resourceType": "QuestionnaireResponse",
        "questionnaire": form.canonical,
        "status": "in-progress",
        "subject": {"reference": session.subject},
        "authored": session.now,
        **({"item": items} if items else {}),
    }


class _Values:
    """The value of each item as far as the record tells it."""

    def __init__(self, session: Session, form: Form, missing: Collection[str]) -> None:
        self._session = session
        self._form = form
        self.missing = frozenset(missing)

    def of(self, node: Json) -> dict[str, Any] | None:
        """Return the answer (`value[x]`) to an item, None when the record does not tell."""
        expression = next((e["valueExpression"] for e in node.get("extension", ()) if e["url"] == INITIAL), None)
        if expression is not None:
            return _answer(node, self._define(expression))
        codes = self._form.items[node["linkId"]].codes
        return _answer(node, self._observed(codes)) if codes else None

    def _define(self, expression: Json) -> Any:
        meaning = self._session.meaning(expression, self._form.questionnaire)
        if not isinstance(meaning, Define):
            return None
        try:
            return cql.to_json(self._session.evaluation.value(*meaning))
        except EvaluationError:
            return None

    def _observed(self, codes: Sequence[Json]) -> Any:
        """Return the value of the latest observation with one of the codes."""
        wanted = {(code.get("system"), code.get("code")) for code in codes}
        found = [
            item
            for item in self._session.resources
            if item["resourceType"] == "Observation"
            and item.get("status") in _USABLE
            and wanted & {(c.get("system"), c.get("code")) for c in item.get("code", {}).get("coding", ())}
        ]
        latest: Json = max(found, key=_day, default={})
        return next((value for key, value in latest.items() if key.startswith("value")), None)


def _day(observation: Json) -> str:
    """Return when an observation was made, "" where nobody says it."""
    return str(observation.get("effectiveDateTime", ""))


def _answer(node: Json, value: Any) -> dict[str, Any] | None:
    """Return a value as the answer of an item of its type, None where it is none."""
    kind = node["type"]
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if kind == "choice":
        return _choice(node, value)
    if kind in {"quantity", "decimal"}:
        return _quantity(node, value)
    name, wanted = _PLAIN.get(kind, ("", ()))
    if not isinstance(value, wanted) or isinstance(value, bool) != (kind == "boolean"):
        return None
    return {name: str(value)[:10] if kind == "date" else value}


def _choice(node: Json, value: Any) -> dict[str, Any] | None:
    """Return the coding of a concept that the item offers; any of it where a value set is offered."""
    codings = value.get("coding") or value.get("codes") or () if isinstance(value, Mapping) else ()
    if "answerOption" not in node:
        return next(({"valueCoding": dict(coding)} for coding in codings), None)
    held = {(coding.get("system"), coding.get("code")) for coding in codings}
    offered = (option["valueCoding"] for option in node["answerOption"])
    return next(({"valueCoding": c} for c in offered if (c.get("system"), c.get("code")) in held), None)


def _quantity(node: Json, value: Any) -> dict[str, Any] | None:
    """Return a number with the unit of the item; a quantity in another unit is none."""
    unit = next((e["valueCoding"] for e in node.get("extension", ()) if e["url"] == UNIT), None)
    held = value.get("code") or value.get("unit") if isinstance(value, Mapping) else None
    number = value.get("value") if isinstance(value, Mapping) else value
    if number is None or isinstance(number, bool | str) or (held and unit and held != unit.get("code")):
        return None
    if unit is None:
        return {"valueDecimal": number} if node["type"] == "decimal" else {"valueQuantity": {"value": number}}
    name = unit.get("display") or unit["code"]
    return {"valueQuantity": {"value": number, "unit": name, "system": unit.get("system", UCUM), "code": unit["code"]}}


def _filled(node: Json, values: _Values) -> dict[str, Any]:
    """Return an item with its initial value, and those below it; below a missing fact nothing is filled."""
    if node["linkId"] in values.missing:
        return dict(node)
    made = dict(node)
    answer = values.of(node) if node["type"] not in {"group", "display"} else None
    if answer is not None:
        made["extension"] = [e for e in node.get("extension", ()) if e["url"] != INITIAL]
        if not made["extension"]:
            del made["extension"]
        if "answerOption" in node:
            made["answerOption"] = [
                {**option, "initialSelected": True} if option.items() >= answer.items() else option
                for option in node["answerOption"]
            ]
        else:
            made["initial"] = [answer]
    if "item" in node:
        made["item"] = [_filled(child, values) for child in node["item"]]
    return made


def _answers(node: Json, values: _Values) -> dict[str, Any] | None:
    """Return the item of a response, None when nothing in it is known."""
    if node["linkId"] in values.missing:
        return None
    below = [part for child in node.get("item", ()) if (part := _answers(child, values)) is not None]
    answer = values.of(node) if node["type"] not in {"group", "display"} else None
    if answer is None and not below:
        return None
    made: dict[str, Any] = {"linkId": node["linkId"], "text": node["text"]}
    if answer is not None:
        made["answer"] = [answer]
    if below:
        made["item"] = below
    return made


def _nodes(nodes: Sequence[Json]) -> Iterator[Json]:
    """Yield items, each before those below it."""
    for node in nodes:
        yield node
        yield from _nodes(node.get("item", ()))


def _without(node: Json, taken: Collection[str]) -> dict[str, Any] | None:
    """Return an item without those that are asked elsewhere, None when nothing is left of it."""
    if node["linkId"] in taken:
        return None
    if "item" not in node:
        return dict(node)
    left = [made for child in node["item"] if (made := _without(child, taken)) is not None]
    return {**node, "item": left} if left else None
