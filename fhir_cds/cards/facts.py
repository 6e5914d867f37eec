"""How facts read on a card: their name from the content, their value, the date and the resources they come from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from msgspec import Struct, field

from fhir_cds.cards import markdown, words
from fhir_cds.knowledge.registry import Registry
from fhir_cds.reasoning.outcome import Json, Reason

DATES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "Condition": ("onsetDateTime", "onsetPeriod", "recordedDate"),
        "Observation": ("effectiveDateTime", "effectivePeriod", "effectiveInstant", "issued"),
        "Procedure": ("performedDateTime", "performedPeriod"),
        "DiagnosticReport": ("effectiveDateTime", "effectivePeriod", "issued"),
        "ImagingStudy": ("started",),
        "Encounter": ("period",),
        "Specimen": ("receivedTime",),
        "Appointment": ("start",),
        "ServiceRequest": ("occurrenceDateTime", "occurrencePeriod", "authoredOn"),
        "MedicationRequest": ("authoredOn",),
        "MedicationAdministration": ("effectiveDateTime", "effectivePeriod"),
        "MedicationStatement": ("effectiveDateTime", "effectivePeriod", "dateAsserted"),
        "CarePlan": ("period", "created"),
        "QuestionnaireResponse": ("authored",),
        "DocumentReference": ("date",),
        "Patient": (),
    }
)
"""Elements that date a resource clinically, best first (R4)."""

_DEFAULT_DATES: Final = ("date", "recorded", "authoredOn", "issued")
_TAG: Final = re.compile(
    r" \((disorder|procedure|finding|situation|observable entity|regime/therapy|morphologic abnormality|substance)\)$"
)
"""The semantic tag at the end of a SNOMED CT fully specified name: not for readers."""

_CODES: Final = ("code", "vaccineCode", "medicationCodeableConcept", "type")
_LONGEST_LIST: Final = 4
LONGEST: Final = 200
"""The most characters of a value: a whole note may stand where a display belongs."""


class Line(Struct, frozen=True):
    """A fact on a card: what makes it the same fact (its id, else its define, and the value), and how it reads."""

    reason: Reason
    same: tuple[str, str]
    text: str


class Facts(Struct, frozen=True):
    """What the cards know of facts: their texts (from the content) and the resources of the record (`Type/id`).

    `names` are defines as they stand on a card, escaped; one that is not among them is escaped on the spot. `places` is
    the order in which facts are asked for.
    """

    texts: Mapping[str, str] = MappingProxyType({})
    resources: Mapping[str, Json] = MappingProxyType({})
    names: Mapping[str, str] = MappingProxyType({})
    places: Mapping[str, int] = MappingProxyType({})
    _lines: dict[int, Line] = field(default_factory=dict)
    _sources: dict[str, str] = field(default_factory=dict)

    def text(self, fact: str) -> str:
        """Return the text of a fact by its id."""
        return self.texts.get(fact, readable(fact))

    def place(self, fact: str) -> int:
        """Return where the content's questionnaire asks for a fact; one that it does not ask for comes last."""
        return self.places.get(fact, len(self.places))

    def lines(self, grounds: Iterable[Iterable[Reason]]) -> list[str]:
        """Return each fact with a value on a line: its define (in the content's words), value, date and resources.

        Two defines of one fact with the same value stand once.
        """
        found: dict[tuple[str, str], str] = {}
        known = self._lines
        for reasons in grounds:
            for reason in reasons:
                if reason.value is None:
                    continue
                line = known.get(id(reason))  # the cards of one call show the same facts again and again
                if line is None:  # it holds the reason, so that its identity stays its own
                    line = known[id(reason)] = self._line(reason)
                found.setdefault(line.same, line.text)
        return list(found.values())

    def _line(self, reason: Reason) -> Line:
        """Return one fact as a line."""
        value = self.value(reason)
        value = markdown.escape(value if len(value) <= LONGEST else markdown.fit(value, LONGEST))
        said = [value] if value else []
        if reason.resources:
            known = self._sources
            said.append(", ".join([known.get(ref) or self._source(ref) for ref in reason.resources[:_LONGEST_LIST]]))
        name = self.names.get(reason.define) or markdown.escape(reason.define)
        return Line(reason, (reason.fact or reason.define, value), f"{name} — {' · '.join(said)}")

    def _source(self, ref: str) -> str:
        """Return how a resource reads: its name and its own date, so that no date is taken for that of another."""
        when, name = markdown.escape(dated(self.resources.get(ref))), markdown.code(ref)
        found = self._sources[ref] = words.OF_DAY.format(name, when) if when else name
        return found

    def value(self, reason: Reason) -> str:
        """Return the value of a define in words, with what its first resource is about where the value is only yes."""
        if reason.value is not True:
            return words.NO if reason.value is False else self.shown(reason.value)
        about = coded_text(self.resources.get(reason.resources[0])) if reason.resources else ""
        return f"{words.YES}: {about}" if about else words.YES

    def shown(self, value: Any) -> str:
        """Return any JSON value of a define in words; a reference to a resource as what that is about."""
        if isinstance(value, bool):
            return words.YES if value else words.NO
        if value is None:
            return words.NONE_FOUND
        if isinstance(value, dict):
            return self._object(value)
        if isinstance(value, (list, tuple)):
            return self._list(value)
        return str(value)

    def _list(self, values: Sequence[Any]) -> str:
        """Return a list as its items, or their number when they are many."""
        if not values:
            return words.NONE_FOUND
        texts = dict.fromkeys(self.shown(value) for value in values)
        return "; ".join(texts) if len(texts) <= _LONGEST_LIST else words.ITEMS.format(len(values))

    def _object(self, value: Json) -> str:
        """Return what a structured value says: a quantity, an interval, a reference, a code, or its parts."""
        if "value" in value and "unit" in value:
            unit = value["unit"]
            return str(value["value"]) if unit in {"1", None} else f"{value['value']} {unit}"
        if "low" in value or "high" in value:
            return words.RANGE.format(self.shown(value.get("low")), self.shown(value.get("high")))
        if "reference" in value:
            return coded_text(self.resources.get(value["reference"])) or str(value["reference"])
        if "resourceType" in value or "coding" in value or "code" in value or "codes" in value:
            return coded_text(value) or concept_text(value)
        return "; ".join(f"{key} {self.shown(part)}" for key, part in value.items() if part is not None)


def texts(registry: Registry) -> Mapping[str, str]:
    """Return the text of each fact of the content, as it is asked for: that of the questionnaire item with its id."""
    found: dict[str, str] = {}
    for questionnaire in registry.by_type("Questionnaire"):
        pending = list(reversed(questionnaire.get("item", ())))
        while pending:
            item = pending.pop()
            pending += reversed(item.get("item", ()))
            if item.get("linkId") and item.get("text"):
                found[str(item["linkId"])] = str(item["text"])
    return MappingProxyType(found)


def places(asked: Mapping[str, str]) -> Mapping[str, int]:
    """Return the place of each fact among the texts of the content."""
    return MappingProxyType({fact: place for place, fact in enumerate(asked)})


def readable(fact: str) -> str:
    """Return a fact id as words, for content that gives no text."""
    return fact.replace("_", " ").replace("-", " ")


def dated(resource: Json | None) -> str:
    """Return the clinical date of a resource as `YYYY-MM-DD` (or its shorter partial form), "" when it has none."""
    if resource is None:
        return ""
    for element in DATES.get(str(resource.get("resourceType")), _DEFAULT_DATES):
        value = resource.get(element)
        if isinstance(value, dict):
            value = value.get("start") or value.get("end")
        if isinstance(value, str) and value:
            return value[:10]
    return ""


def coded_text(resource: Json | None) -> str:
    """Return what a resource is about: the text or display of its code, "" when it has none."""
    if resource is None:
        return ""
    for element in _CODES:
        concept = resource.get(element)
        if isinstance(concept, dict) and (text := concept_text(concept)):
            return text
    return ""


def concept_text(concept: Json) -> str:
    """Return text, else the first display, else the first code of a CodeableConcept (or Coding)."""
    codings: Sequence[Json] = concept.get("coding") or concept.get("codes") or (concept,)
    found = concept.get("text") or next((coding["display"] for coding in codings if coding.get("display")), None)
    text = str(found or next((coding["code"] for coding in codings if coding.get("code")), ""))
    return _TAG.sub("", text)
