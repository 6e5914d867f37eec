"""Facts as a physician can read them, made into FHIR R4 resources (docs/guide/cases.md).

`Condition: {code: LOCAL#some-code, onset: 2021-03-10}` becomes a Condition with codings, defaults and a subject.
Prefixes, defaults and extension names come from a content file; this module knows the form of FHIR's elements only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, NoReturn

from fhir_cds.errors import InputError
from fhir_cds.fhir.types import RESOURCE_TYPES

UCUM: Final = "http://unitsofmeasure.org"
SUBJECT: Final = "@patient"

_CODING: Final = re.compile(r"(?P<system>https?://[^\s#]+|[A-Z][A-Z0-9]*)#(?P<code>\S+)(?:\s+(?P<display>.+))?")
_QUANTITY: Final = re.compile(r"(?:(?P<comparator><=?|>=?)\s*)?(?P<value>-?\d+(?:\.\d+)?)\s+(?P<unit>[^\s]+)")
_DATE: Final = re.compile(r"\d{4}(?:-\d{2}(?:-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:\d{2}))?)?)?")
_REFERENCE: Final = re.compile(r"(?P<type>[A-Z][A-Za-z]+)/[A-Za-z0-9.-]{1,64}")

# What an element holds, by its name; where resource types differ, by `Type.element`.
_SHAPES_OF: Final[Mapping[str, str]] = {
    "concept": """code clinicalStatus verificationStatus severity statusReason method outcome morphology location type
        relationship achievementStatus summary Observation.bodySite Procedure.category MedicationStatement.category""",
    "concepts": """category bodySite interpretation reasonCode locationQualifier conclusionCode complication
        procedureCode Encounter.type AllergyIntolerance.category""",
    "coding": "Encounter.class",
    "codings": "ImagingStudy.modality",
    "reference": """subject patient encounter asserter recorder requester actor individual context author custodian
        Observation.specimen Procedure.location""",
    "references": """focus reasonReference basedOn partOf derivedFrom hasMember addresses result report assessment
        supportingInfo Observation.performer DiagnosticReport.specimen""",
    "choice": "onset abatement effective performed value medication occurrence deceased",
    "period": "period",
    "quantity": "dose doseQuantity",
}
_SHAPES: Final = {name: shape for shape, names in _SHAPES_OF.items() for name in names.split()}

# Elements with elements of their own, written in shorthand too.
_PARTS: Final = frozenset(
    {
        "Appointment.participant",
        "CarePlan.activity",
        "CarePlan.activity.detail",
        "Condition.evidence",
        "Condition.stage",
        "FamilyMemberHistory.condition",
        "Observation.component",
        "Procedure.performer",
    }
)
_SINGLE_PARTS: Final = frozenset({"CarePlan.activity.detail"})
_DATED_CHOICES: Final = frozenset({"onset", "abatement", "effective", "performed", "occurrence"})
_AGED: Final = frozenset({"onset", "abatement"})


@dataclass(frozen=True, slots=True)
class Words:
    """The vocabulary of a content: code system prefixes, systems of plain words, extension names, defaults by type."""

    systems: Mapping[str, str]
    systems_of: Mapping[str, str]
    extensions: Mapping[str, str]
    defaults: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, document: Any) -> Words:
        """Return the words of a `shorthand.yaml`; raises InputError for an unknown section."""
        sections = {"systems", "systems_of", "extensions", "defaults"}
        if not isinstance(document, Mapping) or not set(document) <= sections:
            raise InputError(f"the sections are {', '.join(sorted(sections))}", where="shorthand.yaml")
        return cls(**{name: document.get(name) or {} for name in sorted(sections)})


def resources(
    facts: Sequence[Any], words: Words, where: str, patient: str | None = None, taken: Collection[str] = ()
) -> list[dict[str, Any]]:
    """Return the FHIR resources of a list of facts.

    `patient` is the id of a Patient that is already there, `taken` the `Type/id` that a fact without id may not get.
    Raises InputError naming fact and element.
    """
    pairs = [_pair(fact, f"{where} facts[{index}]") for index, fact in enumerate(facts)]
    own = [body for kind, body in pairs if kind == "Patient"]
    if len(own) > 1:
        raise InputError("more than one Patient", where=where)
    subject = (own[0].get("id") if own else None) or patient or "patient-1"
    made: list[dict[str, Any]] = []
    if not own and patient is None:
        made.append({"resourceType": "Patient", "id": subject})
    used = {*taken, *(f"{kind}/{body['id']}" for kind, body in pairs if "id" in body)}
    for index, (kind, body) in enumerate(pairs):
        name = subject if kind == "Patient" else body.get("id") or _free_id(kind, used)
        writer = _Writer(words, f"Patient/{subject}", f"{where} facts[{index}]")
        elements = {**words.defaults.get(kind, {}), **body}
        made.append({"resourceType": kind, "id": name, **writer.elements(kind, elements)})
    return made


def _free_id(kind: str, used: set[str]) -> str:
    number = 1
    while f"{kind}/{kind.lower()}-{number}" in used:
        number += 1
    used.add(f"{kind}/{kind.lower()}-{number}")
    return f"{kind.lower()}-{number}"


def _pair(fact: Any, where: str) -> tuple[str, Mapping[str, Any]]:
    if not isinstance(fact, Mapping) or len(fact) != 1:
        raise InputError("a fact is written `ResourceType: {element: value}`", where=where)
    ((kind, body),) = fact.items()
    if kind not in RESOURCE_TYPES:
        raise InputError(f"{kind} is no resource type", where=where)
    if body is not None and not isinstance(body, Mapping):
        raise InputError(f"{kind}: elements are expected", where=where)
    return kind, body or {}


@dataclass(frozen=True, slots=True)
class _Writer:
    """Writes the elements of one fact."""

    words: Words
    subject: str
    where: str

    def elements(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the FHIR elements at `path` (a type, or `Type.part`)."""
        made: dict[str, Any] = {}
        for name, value in body.items():
            if value is None or name == "id":
                continue
            if url := self.words.extensions.get(f"{path}.{name}"):
                made.setdefault("extension", []).append({"url": url, **self.choice("value", value, path)})
            else:
                made.update(self.element(path, name, value))
        return made

    def element(self, path: str, name: str, value: Any) -> dict[str, Any]:
        """Return one element under its FHIR name (a choice element gets its type)."""
        at = f"{path}.{name}"
        if at in _PARTS:
            parts = value if isinstance(value, list) else [value]
            written = [self.elements(at, part) for part in parts]
            return {name: written[0] if at in _SINGLE_PARTS else written}
        shape = _SHAPES.get(at, _SHAPES.get(name))
        if shape is None and any(self.is_coding(one) for one in (value if isinstance(value, list) else [value])):
            self.fail(at, "this element has no shorthand for codes; write it as FHIR")
        if shape is None or _is_fhir(value):
            return {name: value}
        if shape == "choice":
            return self.choice(name, value, at)
        return {name: self.shaped(shape, value, at)}

    def shaped(self, shape: str, value: Any, at: str) -> Any:
        """Return a value as the data type that the element holds."""
        many = value if isinstance(value, list) else [value]
        makers: Mapping[str, Callable[[], Any]] = {
            "concept": lambda: self.concept(many, at),
            "concepts": lambda: [self.concept([one], at) for one in many],
            "coding": lambda: self.coding(value, at) or {"code": str(value)},
            "codings": lambda: [self.coding(one, at) or {"code": str(one)} for one in many],
            "reference": lambda: self.reference(value, at),
            "references": lambda: [self.reference(one, at) for one in many],
            "period": lambda: _period(value),
            "quantity": lambda: quantity(value),
        }
        made = makers[shape]()
        return made if made is not None else self.fail(at, f"a {shape} is expected")

    def choice(self, name: str, value: Any, at: str) -> dict[str, Any]:
        """Return `name` + type of the value, in the form the value has."""
        if isinstance(value, bool):
            return {f"{name}Boolean": value}
        if isinstance(value, int) and name in _DATED_CHOICES:
            value = str(value)
        if isinstance(value, int):
            return {f"{name}Integer": value}
        if isinstance(value, Decimal):
            self.fail(at, "a decimal needs a unit")
        makers: Mapping[str, Callable[[], Any]] = {
            "Reference": lambda: self.reference(value, at) if is_reference(value) or value == SUBJECT else None,
            "CodeableConcept": lambda: self.codes(value, at, only_text=name == "medication"),
            "DateTime": lambda: value if is_date(value) else None,
            "Period": lambda: _period(value),
            "Range": lambda: _range(value),
            "Quantity": lambda: quantity(value),
            "String": lambda: value if isinstance(value, str) else None,
        }
        for kind, maker in makers.items():
            made = maker()
            if made is not None:
                return {f"{name}{'Age' if kind == 'Quantity' and name in _AGED else kind}": made}
        return self.fail(at, "this value has no shorthand; write the element with its type, as FHIR")

    def codes(self, value: Any, at: str, *, only_text: bool) -> dict[str, Any] | None:
        """Return a concept if the value is coded (or may be text only), else None."""
        many = value if isinstance(value, list) else [value]
        coded = all(isinstance(one, str) and _CODING.fullmatch(one) for one in many)
        text = only_text and isinstance(value, str) and not is_reference(value)
        return self.concept(many, at) if coded or text else None

    def concept(self, values: Sequence[Any], at: str) -> dict[str, Any]:
        """Return a CodeableConcept of several codings, or of text alone."""
        codings = [coding for value in values if (coding := self.coding(value, at))]
        if codings and len(codings) == len(values):
            return {"coding": codings}
        if len(values) == 1 and isinstance(values[0], str):
            return {"text": values[0]}
        return self.fail(at, "a concept is one or more `SYSTEM#code`, or text")

    def coding(self, value: Any, at: str) -> dict[str, Any] | None:
        """Return the Coding of `SYSTEM#code display`, or of a plain word whose system the content names."""
        if not isinstance(value, str):
            return None
        if found := _CODING.fullmatch(value):
            prefix = found["system"]
            system = prefix if "://" in prefix else self.words.systems.get(prefix)
            if system is None:
                self.fail(at, f"the prefix {prefix} is not in shorthand.yaml")
            made = {"system": system, "code": found["code"], "display": found["display"]}
            return {key: part for key, part in made.items() if part}
        system = self.words.systems_of.get(at)
        return {"system": system, "code": value} if system else None

    def is_coding(self, value: Any) -> bool:
        """Say whether a value is `SYSTEM#code` of a prefix that the content names."""
        found = _CODING.fullmatch(value) if isinstance(value, str) else None
        return found is not None and found["system"] in self.words.systems

    def reference(self, value: Any, at: str) -> dict[str, Any]:
        """Return the Reference of `Type/id`."""
        text = self.subject if value == SUBJECT else value
        if not is_reference(text):
            self.fail(at, "a reference is written Type/id")
        return {"reference": text}

    def fail(self, at: str, message: str) -> NoReturn:
        """Raise InputError at an element of this fact."""
        raise InputError(message, where=f"{self.where} {at}")


def _is_fhir(value: Any) -> bool:
    return isinstance(value, Mapping) or (isinstance(value, list) and any(isinstance(one, Mapping) for one in value))


def is_date(value: Any) -> bool:
    """Say whether this is the text of a FHIR date or dateTime, of any precision."""
    return isinstance(value, str) and _DATE.fullmatch(value) is not None


def is_reference(value: Any) -> bool:
    """Say whether this is the text of a local reference, `Type/id`."""
    found = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    return found is not None and found["type"] in RESOURCE_TYPES


def quantity(value: Any) -> dict[str, Any] | None:
    """Return the Quantity of `4.2 cm` or `< 3 mm` (UCUM), None for anything else."""
    found = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    number = found["value"]
    made: dict[str, Any] = {"value": Decimal(number) if "." in number else int(number)}
    if found["comparator"]:
        made["comparator"] = found["comparator"]
    return {**made, "unit": found["unit"], "system": UCUM, "code": found["unit"]}


def _period(value: Any) -> dict[str, Any] | None:
    start, dots, end = value.partition("..") if isinstance(value, str) else ("", "", "")
    if not dots or not (start or end) or not all(is_date(part) for part in (start, end) if part):
        return None
    return {key: part for key, part in (("start", start), ("end", end)) if part}


def _range(value: Any) -> dict[str, Any] | None:
    low, dots, high = value.partition("..") if isinstance(value, str) else ("", "", "")
    ends = {"low": quantity(low.strip()), "high": quantity(high.strip())}
    return {key: end for key, end in ends.items() if end} or None if dots else None
