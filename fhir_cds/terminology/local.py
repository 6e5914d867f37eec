"""Value sets expanded from the content alone: no terminology server, no code that is not written down.

A ValueSet gives its codes by an expansion or by an extensional compose (codes listed, other value sets of the content,
whole code systems of the content); a filter would need a terminology server, so it is refused when content loads.

>>> from fhir_cds.knowledge.registry import Registry
>>> registry = Registry.of([("v.json", {"resourceType": "ValueSet", "id": "v", "url": "http://example.org/v",
...     "compose": {"include": [{"system": "http://loinc.org", "concept": [{"code": "1-8"}]}]}})])
>>> code_sets(registry)["http://example.org/v"]
frozenset({('http://loinc.org', '1-8')})
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from fhir_cds.errors import ContentError, NotFoundError
from fhir_cds.knowledge.registry import Registry, Resource, canonical_of

CodeKey = tuple[str, str]

_OID: Final = "urn:oid:"


@dataclass(frozen=True, slots=True)
class Member:
    """One code of a value set; `display` is None where the content gives none."""

    system: str
    code: str
    display: str | None = None
    version: str | None = None


def aliases(registry: Registry) -> Mapping[str, str]:
    """Return other URIs of code systems -> the preferred URI, from the content's NamingSystem resources.

    `uniqueId` with `preferred` true is the URI to use; the others (type uri or oid) name the same system.
    Raises ContentError for a NamingSystem without one preferred URI, or a URI that stands for two systems.
    """
    table: dict[str, str] = {}
    for naming in registry.by_type("NamingSystem"):
        where = registry.source(naming)
        if naming.get("kind") != "codesystem":
            continue
        unique = [item for item in naming.get("uniqueId", []) if isinstance(item, dict)]
        preferred = [_uri(item) for item in unique if item.get("preferred") is True]
        if len(preferred) != 1:
            raise ContentError("exactly one uniqueId must be preferred", where=where)
        for uri in (_uri(item) for item in unique):
            if uri != preferred[0] and table.setdefault(uri, preferred[0]) != preferred[0]:
                raise ContentError(f"{uri} already stands for {table[uri]}", where=where)
    chained = sorted(uri for uri in table.values() if uri in table)
    if chained:
        raise ContentError(f"{chained[0]} is preferred in one NamingSystem and an alias in another")
    return MappingProxyType(table)


def _uri(item: Mapping[str, Any]) -> str:
    value = str(item.get("value", ""))
    return value if item.get("type") != "oid" or value.startswith(_OID) else _OID + value


def code_sets(registry: Registry) -> Mapping[str, frozenset[CodeKey]]:
    """Return canonical -> its (system, code) pairs for every ValueSet, under `url|version` and, the latest, `url`.

    Systems go by their preferred URI (see `aliases`). Raises ContentError, naming file and element, for a value set
    that cannot be expanded from the content.
    """
    expander = Expander(registry, aliases(registry))
    sets: dict[str, frozenset[CodeKey]] = {}
    for valueset in registry.by_type("ValueSet"):
        codes = frozenset((member.system, member.code) for member in expander.members(valueset))
        sets[canonical_of(valueset)] = codes
        if registry.find(valueset["url"]) is valueset:
            sets[valueset["url"]] = codes
    return MappingProxyType(sets)


@dataclass(frozen=True, slots=True)
class Expander:
    """Expands the value sets of one registry; remembers what it has expanded."""

    registry: Registry
    alias: Mapping[str, str]
    _done: dict[str, tuple[Member, ...]] = field(default_factory=dict)

    def members(self, valueset: Resource, above: tuple[str, ...] = ()) -> tuple[Member, ...]:
        """Return the codes of `valueset`, sorted by system and code; `above` are the value sets being expanded."""
        key = canonical_of(valueset)
        if key in above:
            raise ContentError("the value set includes itself", where=self.registry.source(valueset))
        if key not in self._done:
            found = self._expanded(valueset, (*above, key))
            self._done[key] = tuple(found[code] for code in sorted(found))
        return self._done[key]

    def _expanded(self, valueset: Resource, above: tuple[str, ...]) -> dict[CodeKey, Member]:
        where = self.registry.source(valueset)
        compose, expansion = valueset.get("compose"), valueset.get("expansion")
        listed = isinstance(compose, dict) and bool(compose.get("include")) and not _has_filter(compose)
        if isinstance(compose, dict) and listed and (expansion is None or self._is_local(compose)):
            result: dict[CodeKey, Member] = {}
            for index, part in enumerate(compose["include"]):
                for key, member in self._part(part, f"{where}: compose.include[{index}]", above).items():
                    result.setdefault(key, member)
            for index, part in enumerate(compose.get("exclude", [])):
                for key in self._part(part, f"{where}: compose.exclude[{index}]", above):
                    result.pop(key, None)
            return result
        if isinstance(expansion, dict) and "contains" in expansion:
            if _is_partial(expansion):
                raise ContentError("the expansion is one page of several", where=f"{where}: expansion")
            return {(item.system, item.code): item for item in self._contains(expansion["contains"], where)}
        raise ContentError("cannot be expanded here: neither a list of codes nor an expansion", where=where)

    def _is_local(self, compose: Mapping[str, Any]) -> bool:
        """Say whether everything that a compose names is written down in it or in the content."""
        parts = [*compose["include"], *compose.get("exclude", [])]
        return all(
            ("system" not in part or part.get("concept") or self.registry.find(part["system"], "CodeSystem"))
            and all(self.registry.find(canonical, "ValueSet") for canonical in part.get("valueSet", []))
            for part in parts
        )

    def _contains(self, items: list[dict[str, Any]], where: str) -> Iterator[Member]:
        for item in items:
            if "code" in item and not item.get("abstract"):
                yield self._member(item.get("system"), item, f"{where}: expansion")
            yield from self._contains(item.get("contains", []), where)

    def _part(self, part: dict[str, Any], where: str, above: tuple[str, ...]) -> dict[CodeKey, Member]:
        """Return the codes of one include or exclude: those of its system, in all of its value sets (R4 §4.9.5)."""
        selections: list[dict[CodeKey, Member]] = []
        if "system" in part:
            concepts = part.get("concept") or self._whole_system(part, where)
            found = [self._member(part["system"], concept, where) for concept in concepts]
            selections.append({(member.system, member.code): member for member in found})
        for canonical in part.get("valueSet", []):
            other = self.registry.resolve(canonical, "ValueSet", where=where)
            selections.append({(member.system, member.code): member for member in self.members(other, above)})
        if not selections:
            raise ContentError("names neither a system nor a value set", where=where)
        first, *rest = selections
        return {key: member for key, member in first.items() if all(key in other for other in rest)}

    def _whole_system(self, part: dict[str, Any], where: str) -> list[dict[str, Any]]:
        system = self.registry.find(part["system"], "CodeSystem")
        if system is None or system.get("content") != "complete":
            raise ContentError("a whole code system can be included only if the content holds all of it", where=where)
        return list(concepts_of(system))

    def _member(self, system: Any, item: Mapping[str, Any], where: str) -> Member:
        code = item.get("code")
        if not isinstance(system, str) or not system or not isinstance(code, str) or not code:
            raise ContentError("a code and its system are expected", where=where)
        return Member(self.alias.get(system, system), code, item.get("display"), item.get("version"))


def concepts_of(system: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every concept of a CodeSystem, the nested ones after their parent."""
    for concept in system.get("concept", ()):
        yield concept
        yield from concepts_of(concept)


def _has_filter(compose: Mapping[str, Any]) -> bool:
    return any(part.get("filter") for part in (*compose["include"], *compose.get("exclude", [])))


def _is_partial(expansion: Mapping[str, Any]) -> bool:
    return bool(expansion.get("offset")) or (expansion.get("total", 0) > 0 and not expansion["contains"])


def expand(registry: Registry, canonical: str, text: str = "", offset: int = 0, count: int | None = None) -> Resource:
    """Return the ValueSet with its expansion, as `$expand` (R4 §4.9.18.1) answers.

    `text` keeps the codes whose code or display contains it, whatever the case; `offset` and `count` give one page.
    The timestamp is left out: it would make equal calls give different answers. Raises NotFoundError, ContentError.
    """
    valueset = registry.find(canonical, "ValueSet")
    if valueset is None:
        raise NotFoundError("no such value set in the content", where="url")
    members = Expander(registry, aliases(registry)).members(valueset)
    wanted = text.casefold()
    kept = [item for item in members if wanted in item.code.casefold() or wanted in (item.display or "").casefold()]
    page = kept[offset:] if count is None else kept[offset : offset + count]
    contains = [_shown(item) for item in page]
    expansion: dict[str, Any] = {"total": len(kept), "offset": offset}
    if contains:
        expansion["contains"] = contains
    return {**valueset, "expansion": expansion}


def _shown(member: Member) -> dict[str, Any]:
    shown = {"system": member.system, "version": member.version, "code": member.code, "display": member.display}
    return {key: value for key, value in shown.items() if value is not None}


def validate_code(registry: Registry, canonical: str, system: str, code: str) -> Resource:
    """Return Parameters that say whether the value set holds the code, as `$validate-code` answers (R4 §4.9.18.2).

    Raises NotFoundError when the content has no such value set.
    """
    valueset = registry.find(canonical, "ValueSet")
    if valueset is None:
        raise NotFoundError("no such value set in the content", where="url")
    table = aliases(registry)
    wanted = (table.get(system, system), code)
    found = [item for item in Expander(registry, table).members(valueset) if (item.system, item.code) == wanted]
    answer: list[dict[str, Any]] = [{"name": "result", "valueBoolean": bool(found)}]
    if found and found[0].display:
        answer.append({"name": "display", "valueString": found[0].display})
    if not found:
        answer.append({"name": "message", "valueString": "the code is not in the value set"})
    return {"resourceType": "Parameters", "parameter": answer}


def lookup(registry: Registry, system: str, code: str) -> Resource:
    """Return Parameters describing a code of a CodeSystem in the content, as `$lookup` answers (R4 §4.8.13.1).

    Raises NotFoundError when the content does not hold the system or the code.
    """
    codesystem = registry.find(aliases(registry).get(system, system), "CodeSystem")
    if codesystem is None:
        raise NotFoundError("no such code system in the content", where="system")
    for concept in concepts_of(codesystem):
        if concept.get("code") == code:
            answer = [{"name": "name", "valueString": codesystem.get("name") or codesystem["id"]}]
            if codesystem.get("version"):
                answer.append({"name": "version", "valueString": codesystem["version"]})
            answer.append({"name": "display", "valueString": concept.get("display") or code})
            if concept.get("definition"):
                answer.append({"name": "definition", "valueString": concept["definition"]})
            return {"resourceType": "Parameters", "parameter": answer}
    raise NotFoundError("no such code in the code system", where="code")
