"""Search over the content's canonical resources (R4 §3.1.1): parameters, modifiers, order, pages, subsets."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from fhir_cds.errors import InputError

Resource = dict[str, Any]
Test = Callable[[Resource, str], bool]

PAGE: Final = 50
LARGEST_PAGE: Final = 500
_COMMON: Final = "resourceType id meta implicitRules name status date publisher contact useContext jurisdiction"
_CANONICAL: Final = f"{_COMMON} url identifier version title experimental"
SUMMARY: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "ActivityDefinition": frozenset(f"{_CANONICAL} description effectivePeriod kind code doNotPerform".split()),
        "CodeSystem": frozenset(
            f"{_CANONICAL} caseSensitive compositional content count filter hierarchyMeaning property supplements "
            "valueSet versionNeeded".split()
        ),
        "Library": frozenset(f"{_CANONICAL} description effectivePeriod type content".split()),
        "NamingSystem": frozenset(f"{_COMMON} kind uniqueId".split()),
        "OperationDefinition": frozenset(
            f"{_CANONICAL} affectsState base code instance kind resource system type".replace("identifier ", "").split()
        ),
        "PlanDefinition": frozenset(f"{_CANONICAL} description effectivePeriod type".split()),
        "Questionnaire": frozenset(f"{_CANONICAL} effectivePeriod code subjectType".split()),
        "StructureDefinition": frozenset(
            f"{_CANONICAL} abstract baseDefinition context contextInvariant derivation fhirVersion keyword kind "
            "type".split()
        ),
        "ValueSet": frozenset(f"{_CANONICAL} immutable".split()),
    }
)
"""The types that are served, each with the elements that R4 marks as belonging to its summary."""
MANDATORY: Final[Mapping[str, str]] = MappingProxyType(
    {
        "CodeSystem": "content",
        "Library": "type",
        "NamingSystem": "name kind date uniqueId",
        "OperationDefinition": "name kind code system type instance",
        "StructureDefinition": "url name kind abstract type",
    }
)
"""Elements that R4 requires beside the status, and a subset keeps."""
_SUMMARIES: Final = ("true", "false", "text", "data", "count")
_SORTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "_id": "id",
        "url": "url",
        "name": "name",
        "title": "title",
        "status": "status",
        "version": "version",
        "date": "date",
    }
)
# _totalMethod is what fhirpy sends beside _count=0; the total is always exact here.
_CONTROL: Final = frozenset(
    {"_count", "_offset", "_summary", "_elements", "_format", "_total", "_totalMethod", "_pretty", "_sort"}
)
_SUBSETTED: Final = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}
_UNESCAPED_COMMA: Final = re.compile(r"(?<!\\),")


def _starts(own: str, asked: str) -> bool:
    return own.casefold().startswith(asked.casefold())


def _contains(own: str, asked: str) -> bool:
    return asked.casefold() in own.casefold()


def _equals(own: str, asked: str) -> bool:
    return own == asked


def _element(name: str, compare: Callable[[str, str], bool]) -> Test:
    """Return a test of a plain element."""
    return lambda resource, asked: name in resource and compare(str(resource[name]), asked)


def _string(name: str) -> dict[str, Test]:
    """Return a string parameter with its modifiers."""
    return {"": _element(name, _starts), "contains": _element(name, _contains), "exact": _element(name, _equals)}


def _code(name: str) -> dict[str, Test]:
    """Return a token parameter of a code; its system, where given, is not looked at: a code element has one only."""
    plain: Test = lambda resource, asked: resource.get(name) == asked.rpartition("|")[2]  # noqa: E731
    return {"": plain, "not": lambda resource, asked: not plain(resource, asked)}


def _concept(name: str, inner: str | None = None) -> dict[str, Test]:
    """Return a token parameter of CodeableConcepts: `system|code`, `|code`, `system|` or `code`."""

    def meets(resource: Resource, asked: str) -> bool:
        found = resource.get(name, [])
        listed = found if isinstance(found, list) else [found]
        concepts = [item.get(inner, {}) if inner else item for item in listed]
        codings = [coding for concept in concepts for coding in concept.get("coding", [concept])]
        return any(_token(asked, coding.get("system", ""), coding.get("code", "")) for coding in codings)

    return {"": meets, "not": lambda resource, asked: not meets(resource, asked)}


def _token(asked: str, system: str, code: str) -> bool:
    wanted, bar, value = asked.rpartition("|")
    return value in {code, ""} and wanted == system if bar else value == code


def _identified(resource: Resource, asked: str) -> bool:
    return any(_token(asked, item.get("system", ""), item.get("value", "")) for item in resource.get("identifier", []))


def _canonical(resource: Resource, asked: str) -> bool:
    url, bar, version = asked.partition("|")
    return resource.get("url") == url and (not bar or resource.get("version") == version)


def _dated(resource: Resource, asked: str) -> bool:
    """Compare dates as texts of the precision asked for, by prefix."""
    prefix, wanted = (asked[:2], asked[2:]) if asked[:2] in _COMPARE else ("eq", asked)
    own = str(resource.get("date", ""))[: len(wanted)]
    return bool(own) and _COMPARE[prefix](own, wanted)


_COMPARE: Final[Mapping[str, Callable[[str, str], bool]]] = MappingProxyType(
    {
        "eq": lambda own, asked: own == asked,
        "ne": lambda own, asked: own != asked,
        "gt": lambda own, asked: own > asked,
        "ge": lambda own, asked: own >= asked,
        "lt": lambda own, asked: own < asked,
        "le": lambda own, asked: own <= asked,
    }
)


@dataclass(frozen=True, slots=True)
class SearchParameter:
    """A search parameter: its FHIR type, and its tests by modifier ("" is none)."""

    type: str
    tests: Mapping[str, Test]


SEARCH: Final[Mapping[str, SearchParameter]] = MappingProxyType(
    {
        "_id": SearchParameter("token", {"": _element("id", _equals)}),
        "url": SearchParameter("uri", {"": _canonical, "below": _element("url", str.startswith)}),
        "version": SearchParameter("token", {"": _element("version", _equals)}),
        "name": SearchParameter("string", _string("name")),
        "title": SearchParameter("string", _string("title")),
        "status": SearchParameter("token", _code("status")),
        "date": SearchParameter("date", {"": _dated}),
        "publisher": SearchParameter("string", _string("publisher")),
        "description": SearchParameter("string", _string("description")),
        "identifier": SearchParameter("token", {"": _identified}),
        "topic": SearchParameter("token", _concept("topic")),
        "type": SearchParameter("token", _concept("type")),
        "context": SearchParameter("token", _concept("useContext", "valueCodeableConcept")),
        "context-type": SearchParameter("token", _concept("useContext", "code")),
        "jurisdiction": SearchParameter("token", _concept("jurisdiction")),
    }
)
"""Search parameters of every type."""

_NOT_OF: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "NamingSystem": frozenset({"url", "version", "title", "identifier", "topic"}),
        "OperationDefinition": frozenset({"identifier", "topic", "type", "context", "context-type"}),
        "StructureDefinition": frozenset({"topic", "type"}),
        "CodeSystem": frozenset({"topic", "type"}),
        "ValueSet": frozenset({"topic", "type"}),
        "Questionnaire": frozenset({"topic", "type"}),
        "ActivityDefinition": frozenset({"type"}),
    }
)


def offered(kind: str) -> dict[str, SearchParameter]:
    """Return the search parameters of a type: those whose element it has."""
    return {name: found for name, found in SEARCH.items() if name not in _NOT_OF.get(kind, ())}


def matches(
    resources: Iterable[Resource], kind: str, pairs: Iterable[tuple[str, str]], *, lenient: bool = False
) -> tuple[list[Resource], list[str]]:
    """Return (the resources that meet all parameters, names passed over); commas mean or.

    Raises InputError for a parameter, modifier or order that is not offered: to pass it over would widen the answer
    unnoticed. `lenient` (header `Prefer: handling=lenient`) does pass it over.
    """
    found, passed = list(resources), []
    parameters = offered(kind)
    for name, value in pairs:
        if name in _CONTROL:
            continue
        plain, _, modifier = name.partition(":")
        test = parameters[plain].tests.get(modifier) if plain in parameters else None
        if test is None and modifier == "missing" and plain in parameters:
            test = _missing(plain)
        if test is None:
            if not lenient:
                raise InputError(f"not offered; offered are {', '.join(parameters)}", where=name)
            passed.append(name)
            continue
        choices = [choice.replace("\\,", ",") for choice in _UNESCAPED_COMMA.split(value)]
        meets = all if modifier == "not" else any
        found = [resource for resource in found if meets(test(resource, choice) for choice in choices)]
    return found, passed


def _missing(name: str) -> Test:
    element = {"_id": "id", "context": "useContext", "context-type": "useContext"}.get(name, name)
    return lambda resource, asked: (element not in resource) == (asked == "true")


def ordered(found: Sequence[Resource], order: str | None) -> list[Resource]:
    """Return resources in the order of `_sort`; raises InputError for a key that is not offered."""
    listed = list(found)
    for key in reversed(order.split(",") if order else []):
        element = _SORTS.get(key.removeprefix("-"))
        if element is None:
            raise InputError(f"sorts by {', '.join(_SORTS)}", where="_sort")
        listed.sort(key=partial(_text, element), reverse=key.startswith("-"))
    return listed


def _text(element: str, resource: Resource) -> str:
    return str(resource.get(element, ""))


def whole(text: str | None, default: int, where: str) -> int:
    """Return a count or offset; raises InputError."""
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InputError("must be a whole number", where=where)
    return int(text)


def cut(resource: Resource, given: Mapping[str, str]) -> Resource:
    """Return a resource as `_summary` or `_elements` want it, marked as a subset where it was cut.

    Raises InputError for another `_summary`.
    """
    summary = given.get("_summary", "false")
    if summary not in _SUMMARIES:
        raise InputError(f"one of {', '.join(_SUMMARIES)} is expected", where="_summary")
    kind = resource["resourceType"]
    least = {"resourceType", "id", "meta", "status", *MANDATORY.get(kind, "").split()}
    if given.get("_elements"):
        kept = {*least, *given["_elements"].split(",")}
    elif summary == "true":
        kept = {*SUMMARY[kind]}
    elif summary == "text":
        kept = {*least, "text"}
    elif summary == "data":
        kept = set(resource) - {"text"}
    else:
        return resource
    made = {key: value for key, value in resource.items() if key in kept}
    meta = made.get("meta", {})
    return {**made, "meta": {**meta, "tag": [*meta.get("tag", []), _SUBSETTED]}}
