"""What the answers of a questionnaire become: SDC extraction, from a QuestionnaireResponse to resources.

Two mechanisms of Structured Data Capture 4.0 (hl7.org/fhir/uv/sdc/extraction.html), both driven by the Questionnaire:

- observation-based: an item with `observationExtract` and `code` gives an Observation for each answer;
- definition-based: an item with `definitionExtract` gives one resource for each time it is answered; items at or below
  it set the elements that their `definition` names, `definitionExtractValue` sets fixed values.

Expressions in either are refused: content holds the names of defines and nothing else. Where the Questionnaire does not
say it, a resource is about the subject of the response; an Observation is of the day it was authored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from fhir_cds.errors import ContentError
from fhir_cds.fhir import element
from fhir_cds.fhir.types import RESOURCE_TYPES
from fhir_cds.knowledge.registry import Registry, canonical_of

Json = Mapping[str, Any]

_SDC: Final = "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-"
OBSERVATION_EXTRACT: Final = f"{_SDC}observationExtract"
DEFINITION_EXTRACT: Final = f"{_SDC}definitionExtract"
DEFINITION_VALUE: Final = f"{_SDC}definitionExtractValue"
UNIT: Final = "http://hl7.org/fhir/StructureDefinition/questionnaire-unit"
BASE: Final = "http://hl7.org/fhir/StructureDefinition/"

ANSWERS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "boolean": frozenset({"valueBoolean"}),
        "decimal": frozenset({"valueDecimal", "valueInteger"}),
        "integer": frozenset({"valueInteger"}),
        "date": frozenset({"valueDate"}),
        "dateTime": frozenset({"valueDateTime", "valueDate"}),
        "time": frozenset({"valueTime"}),
        "string": frozenset({"valueString"}),
        "text": frozenset({"valueString"}),
        "url": frozenset({"valueUri"}),
        "choice": frozenset({"valueCoding"}),
        "open-choice": frozenset({"valueCoding", "valueString"}),
        "quantity": frozenset({"valueQuantity"}),
    }
)
"""Type of an item -> the answers that fit it (R4 Questionnaire.item.type); references and files are not kept."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One element to set: the definition (canonical) it belongs to, its path; a fixed value, its type."""

    definition: str
    path: str
    value: Any = None
    type: str | None = None


@dataclass(frozen=True, slots=True)
class Start:
    """A resource that begins at an item: its definition and its type."""

    definition: str
    kind: str


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a questionnaire: its answers, what becomes of them.

    `codes` are those of an Observation, `starts` the resources that begin here, `target` the element that takes the
    answer (or, for a group, the part that its items fill), `fixed` the values set with it.
    """

    link: str
    type: str
    codes: tuple[Json, ...] = ()
    unit: Json | None = None
    starts: tuple[Start, ...] = ()
    target: Setting | None = None
    fixed: tuple[Setting, ...] = ()


@dataclass(frozen=True, slots=True)
class Form:
    """A questionnaire as read for extraction: its canonical and its items by linkId."""

    canonical: str
    items: Mapping[str, Item]
    questionnaire: Json = field(compare=False)


@dataclass(frozen=True, slots=True)
class Forms:
    """The questionnaires of the content, by url and by `url|version`."""

    by_canonical: Mapping[str, Form]
    asks: Mapping[str, str]
    """The canonical of the questionnaire that has an item, by linkId."""

    @classmethod
    def of(cls, registry: Registry) -> Forms:
        """Return the forms of a registry; raises ContentError for one whose extraction cannot be done as written."""
        found: dict[str, Form] = {}
        for questionnaire in registry.by_type("Questionnaire"):
            form = form_of(questionnaire)
            found[form.canonical] = form
            if registry.find(questionnaire["url"]) is questionnaire:
                found[questionnaire["url"]] = form
        asks = {link: form.canonical for form in found.values() for link in form.items}
        return cls(MappingProxyType(found), MappingProxyType(asks))

    def find(self, canonical: str) -> Form | None:
        """Return the form that a response names, None when it is not here in that version."""
        return self.by_canonical.get(canonical.partition("#")[0])

    def knows(self, canonical: str) -> bool:
        """Say whether the questionnaire is here in any version."""
        url = canonical.partition("#")[0].partition("|")[0]
        return url in self.by_canonical


def form_of(questionnaire: Json) -> Form:
    """Return a questionnaire read for extraction; raises ContentError naming the item."""
    where = f"Questionnaire/{questionnaire.get('id')}"
    inherited = bool(_flag(questionnaire))
    items = {item.link: item for node in questionnaire.get("item", ()) for item in _items(node, inherited, (), where)}
    return Form(canonical_of(questionnaire), MappingProxyType(items), questionnaire)


def _items(node: Json, inherited: bool, open_: tuple[str, ...], where: str) -> Iterator[Item]:
    """Yield an item and those below it; `open_` are the definitions whose resources began above."""
    place = f"{where} {node.get('linkId')}"
    own = _flag(node)
    extracted = inherited if own is None else own
    starts = tuple(_start(node, extension, place) for extension in _extensions(node, DEFINITION_EXTRACT))
    begun = (*open_, *(start.definition for start in starts))
    kind = str(node.get("type"))
    codes = tuple(node.get("code", ())) if extracted else ()
    if own and not codes:
        raise ContentError("observationExtract needs a code", where=place)
    fixed = tuple(_fixed(extension, place) for extension in _extensions(node, DEFINITION_VALUE))
    target = _setting(node["definition"], place) if begun and "definition" in node else None
    for setting in (*fixed, *((target,) if target else ())):
        if setting.definition not in begun:
            raise ContentError(f"no resource of {setting.definition} begins here or above", where=place)
    if (codes or target) and kind not in ANSWERS and kind != "group":
        raise ContentError(f"an answer of type {kind} cannot be extracted", where=place)
    unit = next((e.get("valueCoding") for e in _extensions(node, UNIT)), None)
    yield Item(str(node.get("linkId")), kind, codes if kind in ANSWERS else (), unit, starts, target, fixed)
    for child in node.get("item", ()):
        yield from _items(child, bool(extracted), begun, where)


def _flag(node: Json) -> bool | None:
    """Return what `observationExtract` says at a place, None when it says nothing there."""
    return next((bool(e.get("valueBoolean")) for e in _extensions(node, OBSERVATION_EXTRACT)), None)


def _start(node: Json, extension: Json, place: str) -> Start:
    """Return the resource that begins at an item; a profile does not say its type, what is set in it does."""
    parts = {part["url"]: part for part in extension.get("extension", ())}
    if set(parts) != {"definition"}:
        raise ContentError("definitionExtract holds a definition, and no expression", where=place)
    definition = str(parts["definition"].get("valueCanonical"))
    named = _kinds(node, f"{definition}#")
    kind = definition.removeprefix(BASE) if definition.startswith(BASE) else next(named, "")
    if kind not in RESOURCE_TYPES:
        raise ContentError(f"{definition}: what type of resource it is, nothing here says", where=place)
    return Start(definition, kind)


def _kinds(node: Json, prefix: str) -> Iterator[str]:
    """Yield the resource types in what is set, at and below an item, under a definition."""
    texts = [str(node.get("definition", ""))]
    texts += [str(p.get("valueUri")) for e in _extensions(node, DEFINITION_VALUE) for p in e.get("extension", ())]
    yield from (text.removeprefix(prefix).partition(".")[0] for text in texts if text.startswith(prefix))
    for child in node.get("item", ()):
        yield from _kinds(child, prefix)


def _fixed(extension: Json, place: str) -> Setting:
    """Return the element and value of a definitionExtractValue."""
    parts = {part["url"]: part for part in extension.get("extension", ())}
    if set(parts) != {"definition", "fixed-value"}:
        raise ContentError("definitionExtractValue holds a definition and a fixed value, no expression", where=place)
    setting = _setting(str(parts["definition"].get("valueUri")), place)
    ((key, value),) = [(key, value) for key, value in parts["fixed-value"].items() if key.startswith("value")]
    return Setting(setting.definition, setting.path, value, key.removeprefix("value"))


def _setting(text: str, place: str) -> Setting:
    """Return the definition and path of `canonical#Type.element`."""
    definition, _, path = text.partition("#")
    kind = path.partition(".")[0]
    if kind not in RESOURCE_TYPES or "." not in path:
        raise ContentError(f"{text} names no element of a resource", where=place)
    element.parse(path, kind)
    return Setting(definition, path)


def _extensions(node: Json, url: str) -> Sequence[Json]:
    """Return the extensions of a node with this url."""
    return [extension for extension in node.get("extension", ()) if extension.get("url") == url]
