"""Answers as part of the record: what completed responses to questionnaires of the content say, as resources.

A response counts when it is completed or amended; one in progress, stopped or entered in error does not. What cannot
be read (another version of the questionnaire, an answer of another type than the item's) is a gap, never silence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from fhir_cds.data.forms import ANSWERS, BASE, Form, Forms, Item, Setting
from fhir_cds.data.record import Gap, PatientRecord, Resource
from fhir_cds.fhir import element, ids, reference

Json = Mapping[str, Any]

KIND: Final = "QuestionnaireResponse"
COUNTED: Final = frozenset({"completed", "amended"})

_DERIVED: Final = frozenset({"Observation", "MedicationStatement"})
_OF_PATIENT: Final = frozenset({"AllergyIntolerance", "BodyStructure", "FamilyMemberHistory", "Immunization"})
_PATIENT: Final = "patient"
_AUTHORED: Final[Mapping[str, str]] = {"Observation": "effectiveDateTime", "MedicationStatement": "dateAsserted"}
_CHOICE_TYPES: Final[Mapping[str, str]] = {
    "valueBoolean": "Boolean",
    "valueInteger": "Integer",
    "valueDate": "DateTime",
    "valueDateTime": "DateTime",
    "valueTime": "Time",
    "valueString": "String",
    "valueUri": "String",
    "valueCoding": "CodeableConcept",
    "valueQuantity": "Quantity",
}
"""Answer -> the type it takes in a choice element such as value[x] or performed[x]."""


def answered(record: PatientRecord, forms: Forms) -> PatientRecord:
    """Return the record with what its responses say; a response to a form that is not ours stays as it is."""
    found: list[Resource] = []
    gaps: list[Gap] = []
    responses = [item for item in record.resources if item["resourceType"] == KIND and item.get("status") in COUNTED]
    taken = _extracted(record.resources) if responses else frozenset()
    for response in responses:
        canonical = response.get("questionnaire")
        if not isinstance(canonical, str) or reference.of(response) in taken:
            continue
        form = forms.find(canonical)
        if form is not None:
            made, lacking = extract(response, form, record.subject)
            found += made
            gaps += lacking
        elif forms.knows(canonical):
            gaps.append(Gap(KIND, f"{reference.of(response)} answers another version of the questionnaire"))
    if not found and not gaps:
        return record
    resources = tuple(sorted((*record.resources, *found), key=reference.of))
    return replace(record, resources=resources, gaps=(*record.gaps, *gaps))


def _extracted(resources: Sequence[Json]) -> frozenset[str]:
    """Return the responses from which resources of the record were made already, by whoever keeps the record."""
    derived = [part.get("reference") for item in resources for part in item.get("derivedFrom") or ()]
    sources = [str(item.get("meta", {}).get("source", "")).partition("#")[0] for item in resources]
    return frozenset(str(name) for name in (*derived, *sources) if str(name).startswith(f"{KIND}/"))


def extract(response: Json, form: Form, subject: str) -> tuple[list[Resource], list[Gap]]:
    """Return (resources, gaps) of a response to a form: about `subject`, derived from the response, in its order."""
    source = _Source(response, subject)
    for node in _walk(response.get("item")):
        item = form.items.get(str(node.get("linkId")))
        if item is None:
            source.gap(f"{node.get('linkId')} is no item of the questionnaire")
            continue
        if item.codes:
            for kind, value in source.answers(node, item):
                source.add(_observation(item.codes, kind, value))
        for start in item.starts:
            filler = _Filler(start.definition, form, source)
            if node.get("answer") or filler.says(node):
                source.add(filler.resource(start.kind, node))
    return source.made, source.gaps


class _Source:
    """One response: what was made of it so far, and what could not be read."""

    def __init__(self, response: Json, subject: str) -> None:
        self.response = response
        self.subject = subject
        self.made: list[Resource] = []
        self.gaps: list[Gap] = []
        self.name = f"{KIND}/{response.get('id')}"

    def gap(self, reason: str) -> None:
        """Note what cannot be read."""
        self.gaps.append(Gap(KIND, f"{self.name}: {reason}"))

    def answers(self, node: Json, item: Item) -> Iterator[tuple[str, Any]]:
        """Yield the element name and value of each answer that fits the item; the others are gaps."""
        for answer in node.get("answer") or ():
            found = [(key, value) for key, value in answer.items() if key.startswith("value")]
            if len(found) == 1 and found[0][0] in ANSWERS.get(item.type, ()):
                yield _measured(*found[0], item)
            else:
                self.gap(f"{item.link} has an answer that is no {item.type}")

    def add(self, made: Resource) -> None:
        """Keep a resource, with its id, its subject, its day, and where it comes from."""
        kind = made["resourceType"]
        made["id"] = _id(str(self.response.get("id")), len(self.made) + 1)
        made["meta"] = {**made.get("meta", {}), "source": self.name}
        made[_PATIENT if kind in _OF_PATIENT else "subject"] = {"reference": self.subject}
        authored = self.response.get("authored")
        if authored and kind in _AUTHORED and not any(key.startswith("effective") for key in made):
            made[_AUTHORED[kind]] = authored
        if kind in _DERIVED:
            made["derivedFrom"] = [{"reference": self.name}]
        if kind == "Observation" and "author" in self.response:
            made["performer"] = [self.response["author"]]
        self.made.append(made)


class _Filler:
    """Fills one resource: the elements of one definition, from an item and those below it."""

    def __init__(self, definition: str, form: Form, source: _Source) -> None:
        self._definition = definition
        self._form = form
        self._source = source

    def says(self, node: Json) -> bool:
        """Say whether an item or one below it answers an element of the definition: what is only shown does not."""
        item = self._form.items.get(str(node.get("linkId")))
        own = item is not None and self._target(item) is not None and bool(node.get("answer"))
        return own or any(self.says(child) for child in node.get("item") or ())

    def _target(self, item: Item) -> Setting | None:
        """Return the element of this definition that takes the answer of an item."""
        return item.target if item.target is not None and item.target.definition == self._definition else None

    def resource(self, kind: str, node: Json) -> Resource:
        """Return the resource that begins at an item of the response."""
        made: Resource = {"resourceType": kind}
        if not self._definition.startswith(BASE):
            made["meta"] = {"profile": [self._definition]}
        return self._filled(made, node, ("", ""))

    def _filled(self, made: Resource, node: Json, root: tuple[str, str]) -> Resource:
        """Return the resource with what an item and those below it set; `root` says which part a group fills."""
        item = self._form.items.get(str(node.get("linkId")))
        if item is None or not (node.get("answer") or self.says(node)):
            return made
        target = self._target(item)
        if target is not None and item.type == "group":
            place = _placed(target.path, root)
            root = (target.path, f"{place}[{len(element.get(made, place) or ())}]")
        for setting in item.fixed:
            if setting.definition == self._definition:
                path = _placed(setting.path, root)
                made = element.set_value(made, path, setting.value, fhir_type=setting.type)
        if target is not None and item.type != "group":
            made = self._answer(made, node, item, _placed(target.path, root))
        for child in node.get("item") or ():
            made = self._filled(made, child, root)
        return made

    def _answer(self, made: Resource, node: Json, item: Item, path: str) -> Resource:
        """Return the resource with the answer of an item at a path."""
        found = list(self._source.answers(node, item))
        if len(found) > 1:
            self._source.gap(f"{item.link} has several answers for one element")
        if len(found) != 1:
            return made
        kind, value = found[0]
        name = path.removesuffix("[x]").rpartition(".")[2]
        if name in element.CHOICES:
            return element.set_value(made, path, _chosen(kind, value), fhir_type=_CHOICE_TYPES[kind])
        return element.set_value(made, path, value["code"] if kind == "valueCoding" and name != "coding" else value)


def _observation(codes: Sequence[Json], kind: str, value: Any) -> Resource:
    """Return the Observation of an answer: what was asked, what was said."""
    made: Resource = {"resourceType": "Observation", "status": "final", "code": {"coding": [dict(c) for c in codes]}}
    return {**made, f"value{_CHOICE_TYPES[kind]}": _chosen(kind, value)}


def _measured(kind: str, value: Any, item: Item) -> tuple[str, Any]:
    """Return a number as a Quantity where the item has a unit, and where a decimal has none to go to."""
    if kind in {"valueInteger", "valueDecimal"} and (item.unit is not None or kind == "valueDecimal"):
        unit = item.unit or {}
        names = {
            "unit": unit.get("display") or unit.get("code"),
            "system": unit.get("system"),
            "code": unit.get("code"),
        }
        return "valueQuantity", {"value": value, **{key: text for key, text in names.items() if text}}
    return kind, value


def _chosen(kind: str, value: Any) -> Any:
    """Return an answer as the value of a choice element: a Coding as a concept."""
    return {"coding": [value]} if kind == "valueCoding" else value


def _placed(path: str, root: tuple[str, str]) -> str:
    """Return a path below the part that a group fills: `component.code` -> `component[1].code`."""
    above, actual = root
    return actual + path.removeprefix(above) if above and path.startswith(f"{above}.") else path


def _walk(nodes: Any) -> Iterator[Json]:
    """Yield the items of a response, each before those below it, those below answers too."""
    for node in nodes or ():
        yield node
        yield from _walk(node.get("item"))
        for answer in node.get("answer") or ():
            yield from _walk(answer.get("item"))


def _id(response: str, number: int) -> str:
    """Return the id of what a response says at a place: that of the response with a number."""
    name = f"{response}.{number}"
    return name if ids.is_id(name) else ids.stable_uuid(response, str(number))
