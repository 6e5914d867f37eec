"""Read and set an element by its path, as PlanDefinition.dynamicValue names it (R4 §9.18.8.4).

>>> order = {"resourceType": "CommunicationRequest"}
>>> set_value(order, "payload[0].contentString", "Call the patient")["payload"]
[{'contentString': 'Call the patient'}]
>>> set_value({"resourceType": "ServiceRequest"}, "category", {"text": "imaging"})["category"]
[{'text': 'imaging'}]

Nothing is changed in place: `set_value` returns a copy that shares what it does not change.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from fhir_cds.errors import ContentError

Json = Mapping[str, Any]

_STEP: Final = re.compile(
    r"""(?P<name>[A-Za-z]\w*)
        (?:\(\s*['"]?(?P<url>[^'")]+)['"]?\s*\))?      # extension('url')
        (?:\[(?P<index>\d+)\])?
        (?:\.ofType\((?P<type>\w+)\))?
        (?:\.|$)""",
    re.VERBOSE,
)
_CHOICE_SUFFIX: Final = re.compile(r"\[x\]$")
MAX_INDEX: Final = 1000

_TYPES: Final = """
Base64Binary Boolean Canonical Code Date DateTime Decimal Id Instant Integer Markdown Oid PositiveInt String Time
UnsignedInt Uri Url Uuid Address Age Annotation Attachment CodeableConcept Coding ContactPoint Count Distance Duration
HumanName Identifier Money Period Quantity Range Ratio Reference SampledData Signature Timing ContactDetail Contributor
DataRequirement Expression ParameterDefinition RelatedArtifact TriggerDefinition UsageContext Dosage Meta
"""
CHOICE_TYPES: Final = frozenset(_TYPES.split())

_CHOICES: Final = """
abatement asNeeded bounds collected content deceased definition diagnosis dose due effective fastingStatus medication
multipleBirth occurrence onset performed product rate reported scheduled serviced start timing value
"""
CHOICES: Final = frozenset(_CHOICES.split())
"""Elements `name[x]` of the resources that `$apply` makes and of their parts."""

# Elements that repeat (0..*), where the path gives no index: of the resources that are made here, and of an action.
_REPEATED_AT_TOP: Final[Mapping[str, str]] = {
    "Appointment": "basedOn participant reasonCode reasonReference requestedPeriod serviceCategory serviceType slot "
    "specialty supportingInformation",
    "CarePlan": "activity addresses basedOn careTeam category contributor goal instantiatesCanonical instantiatesUri "
    "partOf replaces supportingInfo",
    "Claim": "careTeam diagnosis insurance item procedure related supportingInfo",
    "CommunicationRequest": "about basedOn category medium payload reasonCode reasonReference recipient replaces",
    "Condition": "bodySite category evidence stage",
    "Contract": "alias authority domain friendly instantiatesUri legal relevantHistory rule signer site subType "
    "subject supportingInfo term",
    "DeviceRequest": "basedOn instantiatesCanonical instantiatesUri insurance parameter priorRequest reasonCode "
    "reasonReference relevantHistory supportingInfo",
    "Goal": "addresses category outcomeCode outcomeReference target",
    "ImmunizationRecommendation": "recommendation",
    "MedicationRequest": "basedOn category detectedIssue dosageInstruction eventHistory instantiatesCanonical "
    "instantiatesUri insurance reasonCode reasonReference supportingInformation",
    "MedicationStatement": "basedOn derivedFrom dosage partOf reasonCode reasonReference",
    "NutritionOrder": "allergyIntolerance excludeFoodModifier foodPreferenceModifier instantiates "
    "instantiatesCanonical instantiatesUri supplement",
    "Observation": "basedOn category component derivedFrom focus hasMember interpretation partOf performer "
    "referenceRange",
    "Procedure": "basedOn bodySite complication complicationDetail focalDevice followUp instantiatesCanonical "
    "instantiatesUri partOf performer reasonCode reasonReference report usedCode usedReference",
    "RequestGroup": "action basedOn instantiatesCanonical instantiatesUri reasonCode reasonReference replaces",
    "ServiceRequest": "basedOn bodySite category instantiatesCanonical instantiatesUri insurance locationCode "
    "locationReference orderDetail performer reasonCode reasonReference relevantHistory replaces specimen "
    "supportingInfo",
    "SupplyRequest": "parameter reasonCode reasonReference supplier",
    "Task": "basedOn input insurance output partOf performerType relevantHistory",
    "VisionPrescription": "lensSpecification",
    "action": "action code condition documentation dynamicValue goalId input output participant reason relatedAction "
    "trigger",
}
_REPEATED: Final = {kind: frozenset(names.split()) for kind, names in _REPEATED_AT_TOP.items()}
_REPEATED_AT_ROOT: Final = frozenset({"identifier", "note", "contained"})
_REPEATED_ANYWHERE: Final = frozenset(
    [
        "additionalInstruction",
        "coding",
        "dayOfWeek",
        "doseAndRate",
        "event",
        "extension",
        "given",
        "line",
        "modifierExtension",
        "participant",
        "referenceRange",
        "security",
        "tag",
        "telecom",
        "timeOfDay",
        "when",
    ]
)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a path: an element, which of several, the url that selects an extension."""

    name: str
    index: int | None = None
    url: str | None = None


def parse(path: str, kind: str = "") -> tuple[Step, ...]:
    """Return the steps of a path; a leading `kind` (the resource type) is dropped. Raises ContentError.

    >>> parse("code.coding[0]")
    (Step(name='code', index=None, url=None), Step(name='coding', index=0, url=None))
    >>> parse("ServiceRequest.occurrence.ofType(dateTime)", "ServiceRequest")
    (Step(name='occurrenceDateTime', index=None, url=None),)
    """
    text = _CHOICE_SUFFIX.sub("", path.strip())
    steps: list[Step] = []
    at = 0
    while at < len(text):
        found = _STEP.match(text, at)
        if found is None or (found["url"] and found["name"] not in {"extension", "modifierExtension"}):
            raise ContentError("a path of elements is expected, like code.coding[0]", where=path)
        of_type = found["type"] or ""
        index = None if found["index"] is None else int(found["index"])
        if index is not None and index > MAX_INDEX:
            raise ContentError(f"an index above {MAX_INDEX}", where=path)
        steps.append(Step(found["name"] + of_type[:1].upper() + of_type[1:], index, found["url"]))
        at = found.end()
    if steps and kind and steps[0] == Step(kind):
        steps = steps[1:]
    if not steps or text.endswith("."):
        raise ContentError("a path of elements is expected, like code.coding[0]", where=path)
    return tuple(steps)


def get(node: Json, path: str) -> Any:
    """Return the value at `path`, None when there is none.

    A step without index into a list of one goes to that one; `value` finds `valueQuantity` and the like. Raises
    ContentError when a step without index leads into a list of several.
    """
    value: Any = node
    for step in parse(path, str(node.get("resourceType", ""))):
        if isinstance(value, list):
            value = _only(value, path)
        if not isinstance(value, Mapping):
            return None
        value = value.get(_present(value, step.name))
        if step.url is not None:
            value = [item for item in value or [] if item.get("url") == step.url]
            value = value[0] if value else None
        if step.index is not None:
            value = value[step.index] if isinstance(value, list) and step.index < len(value) else None
    return value


def set_value(
    node: Json, path: str, value: Any, *, kind: str | None = None, fhir_type: str | None = None
) -> dict[str, Any]:
    """Return a copy of `node` with `value` at `path`; what is missing on the way is made.

    `kind` is the resource type (default: the node's own) or `action`: it tells which elements repeat. A single value
    for one that repeats becomes a list of one; a list of one for one that does not becomes the value. `fhir_type`
    (`dateTime`, `CodeableConcept`) completes a choice: `occurrence` becomes `occurrenceDateTime`, and other values of
    the same choice go. Raises ContentError: a list for a single element, an index beyond the end, a path through a
    value that has no elements.
    """
    actual = kind or str(node.get("resourceType", ""))
    return _set(node, parse(path, actual), _Edit(path, value, fhir_type), actual)


@dataclass(frozen=True, slots=True)
class _Edit:
    """What is set, and the whole path for messages."""

    path: str
    value: Any
    fhir_type: str | None


def _set(node: Json, steps: tuple[Step, ...], edit: _Edit, kind: str = "") -> dict[str, Any]:
    step, rest = steps[0], steps[1:]
    name = step.name
    if not rest and name in CHOICES and edit.fhir_type:
        name += edit.fhir_type[:1].upper() + edit.fhir_type[1:]
    elif rest:
        name = _present(node, name)
    copy = {key: item for key, item in node.items() if key == name or not _same_choice(key, name)}
    copy[name] = _value_at(copy.get(name), step, rest, edit, repeated=_repeats(kind, name))
    return copy


def _value_at(existing: Any, step: Step, rest: tuple[Step, ...], edit: _Edit, *, repeated: bool) -> Any:
    if step.url is not None:
        return _set_extension(existing, step.url, rest, edit)
    if rest:
        if repeated or isinstance(existing, list) or step.index is not None:
            return _set_in_list(existing, step, rest, edit)
        return _set(_object(existing, edit.path), rest, edit)
    if step.index is not None:
        return _placed(existing, step.index, edit.value, edit.path)
    if repeated:
        return edit.value if isinstance(edit.value, list) else [edit.value]
    if not isinstance(edit.value, list):
        return edit.value
    if len(edit.value) != 1:
        raise ContentError("several values for an element that holds one", where=edit.path)
    return edit.value[0]


def _set_in_list(existing: Any, step: Step, rest: tuple[Step, ...], edit: _Edit) -> list[Any]:
    items = existing if isinstance(existing, list) else []
    if step.index is None and len(items) > 1:
        raise ContentError("leads into a list of several: an index is needed", where=edit.path)
    index = step.index or 0
    inner = _object(items[index] if index < len(items) else None, edit.path)
    return _placed(items, index, _set(inner, rest, edit), edit.path)


def _set_extension(existing: Any, url: str, rest: tuple[Step, ...], edit: _Edit) -> list[Any]:
    items = list(existing or [])
    at = next((index for index, item in enumerate(items) if item.get("url") == url), len(items))
    inner = items[at] if at < len(items) else {"url": url}
    new = _set(inner, rest, edit) if rest else edit.value
    return [*items[:at], new, *items[at + 1 :]]


def _placed(existing: Any, index: int, value: Any, path: str) -> list[Any]:
    items = existing if isinstance(existing, list) else []
    if index > len(items):
        raise ContentError("the index is beyond the end of the list", where=path)
    return [*items[:index], value, *items[index + 1 :]]


def _object(value: Any, path: str) -> Json:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ContentError("leads through a value that has no elements", where=path)
    return value


def _only(items: list[Any], path: str) -> Any:
    if len(items) > 1:
        raise ContentError("leads into a list of several: an index is needed", where=path)
    return items[0] if items else None


def _repeats(kind: str, name: str) -> bool:
    if name in _REPEATED_ANYWHERE:
        return True
    return bool(kind) and (name in _REPEATED.get(kind, ()) or (kind != "action" and name in _REPEATED_AT_ROOT))


def _present(node: Json, name: str) -> str:
    """Return the name under which a choice element is there, `name` itself for any other."""
    if name in node or name not in CHOICES:
        return name
    return next((key for key in node if _choice_of(key) == name), name)


def _same_choice(key: str, name: str) -> bool:
    base = _choice_of(name)
    return base is not None and _choice_of(key) == base


def _choice_of(key: str) -> str | None:
    for at, letter in enumerate(key):
        if letter.isupper() and key[at:] in CHOICE_TYPES and key[:at] in CHOICES:
            return key[:at]
    return None
