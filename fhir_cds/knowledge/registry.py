"""All resources of the content, by canonical and version, and by type and id. Immutable once built.

>>> registry = Registry.of([
...     ("a.json", {"resourceType": "ValueSet", "id": "v", "url": "http://example.org/v", "version": "0.9.0"}),
...     ("b.json", {"resourceType": "ValueSet", "id": "v", "url": "http://example.org/v", "version": "0.10.0"})])
>>> registry.resolve("http://example.org/v")["version"], registry.resolve("http://example.org/v|0.9.0")["version"]
('0.10.0', '0.9.0')
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from fhir_cds.errors import ContentError, NotFoundError
from fhir_cds.fhir import ids, reference
from fhir_cds.fhir.types import CANONICAL_TYPES, RESOURCE_TYPES

Resource = dict[str, Any]
VersionKey = tuple[tuple[int, int, str], ...]

_PART: Final = re.compile(r"[.+]")
_NUMBER, _END, _WORD = 2, 1, 0  # 1.0.0 is later than 1.0.0-draft, and earlier than 1.0.0.1


def version_key(version: str) -> VersionKey:
    """Return a key that sorts versions: numbers by value, a pre-release (`-draft`) before its release (semver §11).

    >>> sorted(["1.10.0", "1.9.0", "1.10.0-draft", ""], key=version_key)
    ['', '1.9.0', '1.10.0-draft', '1.10.0']
    """
    release, _, pre = version.partition("-")
    parts = [_part(text) for text in _PART.split(release)] if release else []
    words = [_part(text) for text in _PART.split(pre)] if pre else []
    tail: list[tuple[int, int, str]] = [(_WORD, 0, ""), *words] if pre else [(_END, 0, "")]
    return tuple(parts + tail) if release else ()


def _part(text: str) -> tuple[int, int, str]:
    return (_NUMBER, int(text), "") if text.isascii() and text.isdigit() else (_WORD, 0, text)


def canonical_of(resource: Mapping[str, Any]) -> str:
    """Return `url|version`, or the url alone where the resource has no version."""
    url: str = resource["url"]
    return f"{url}|{resource['version']}" if resource.get("version") else url


def key_of(resource: Mapping[str, Any]) -> str:
    """Return the one name of a resource: its canonical, `Type/id` where it has no url."""
    return canonical_of(resource) if resource.get("url") else reference.of(resource)


def split_canonical(canonical: str) -> tuple[str, str | None]:
    """Return (url, version) of a canonical; a fragment is cut off.

    >>> split_canonical("http://example.org/v|2"), split_canonical("http://example.org/v#x")
    (('http://example.org/v', '2'), ('http://example.org/v', None))
    """
    url, bar, version = canonical.partition("#")[0].partition("|")
    return url, (version if bar else None)


@dataclass(frozen=True, slots=True)
class Registry:
    """The content's resources. Build it with `Registry.of`; treat the resources as read-only."""

    resources: tuple[Resource, ...]
    sources: Mapping[str, str]
    _canonicals: Mapping[str, Resource]
    _latest: Mapping[str, Resource]
    _ids: Mapping[str, Resource]

    @classmethod
    def of(cls, items: Iterable[tuple[str, Any]], *, need_url: bool = True) -> Registry:
        """Return the registry of (source name, resource) pairs.

        Where `need_url` is false, a canonical may also be relative (`Library/x|1`).
        Raises ContentError naming the source: not an R4 resource, no id, a canonical resource without url (unless
        `need_url` is false), two with the same url and version, or two different things with the same type and id.
        """
        canonicals: dict[str, Resource] = {}
        latest: dict[str, Resource] = {}
        by_id: dict[str, Resource] = {}
        sources: dict[str, str] = {}
        for source, value in items:
            resource = _checked(source, value, need_url=need_url)
            local, key = reference.of(resource), key_of(resource)
            if key in canonicals:
                raise ContentError(f"{key} is already defined in {sources[key]}", where=source)
            same = by_id.get(local)
            if same is not None and same.get("url") != resource.get("url"):
                raise ContentError(f"{local} is already defined with another url in {sources[local]}", where=source)
            canonicals[key] = resource
            sources[key] = source
            if same is None or _later(resource, same):
                by_id[local] = resource
                sources[local] = source
            url = resource.get("url")
            if url is not None and (url not in latest or _later(resource, latest[url])):
                latest[url] = resource
                sources[url] = source
        ordered = tuple(canonicals[key] for key in sorted(canonicals))
        if not need_url:
            _add_relative(by_id, canonicals, latest)
        frozen = MappingProxyType
        return cls(ordered, frozen(sources), frozen(canonicals), frozen(latest), frozen(by_id))

    def find(self, canonical: str, resource_type: str | None = None) -> Resource | None:
        """Return the resource that `url|version`, or `url` (the latest version), names; None when it is not here."""
        url, version = split_canonical(canonical)
        found = self._latest.get(url) if version is None else self._canonicals.get(f"{url}|{version}")
        if found is None or (resource_type is not None and found["resourceType"] != resource_type):
            return None
        return found

    def resolve(self, canonical: str, resource_type: str | None = None, *, where: str | None = None) -> Resource:
        """Return what `find` finds; raises ContentError when it is not in the content, `where` says who asks."""
        found = self.find(canonical, resource_type)
        if found is None:
            raise ContentError(f"{resource_type or 'resource'} {canonical} is not in the content", where=where)
        return found

    def by_id(self, resource_type: str, logical_id: str) -> Resource:
        """Return the resource with this type and id (the latest version); raises NotFoundError."""
        found = self._ids.get(f"{resource_type}/{logical_id}")
        if found is None:
            raise NotFoundError("not in the content", where=f"{resource_type}/{logical_id}")
        return found

    def get(self, resource_type: str, name: str) -> Resource:
        """Return a resource by id or by canonical, whichever `name` is; raises NotFoundError."""
        return self.find(name, resource_type) or self.by_id(resource_type, name)

    def by_type(self, resource_type: str) -> tuple[Resource, ...]:
        """Return all resources of a type, sorted by canonical; of several versions every one."""
        return tuple(resource for resource in self.resources if resource["resourceType"] == resource_type)

    def source(self, resource: Mapping[str, Any]) -> str:
        """Return the name of the file a resource came from."""
        return self.sources[key_of(resource)]

    def __iter__(self) -> Iterator[Resource]:
        return iter(self.resources)

    def __len__(self) -> int:
        return len(self.resources)


def _later(resource: Resource, other: Resource) -> bool:
    return version_key(resource.get("version", "")) > version_key(other.get("version", ""))


def _add_relative(by_id: Mapping[str, Resource], canonicals: dict[str, Resource], latest: dict[str, Resource]) -> None:
    """Let `Type/id` and `Type/id|version` name a resource, as a canonical relative to a server would."""
    for local, resource in by_id.items():
        latest.setdefault(local, resource)
        if resource.get("version"):
            canonicals.setdefault(f"{local}|{resource['version']}", resource)


def _checked(source: str, value: Any, *, need_url: bool) -> Resource:
    if not isinstance(value, dict) or value.get("resourceType") not in RESOURCE_TYPES:
        raise ContentError("not a resource of FHIR R4", where=source)
    kind = value["resourceType"]
    if not ids.is_id(value.get("id")):
        raise ContentError(f"a {kind} in the content needs an id", where=source)
    for element in ("url", "version"):
        if element in value and (not isinstance(value[element], str) or not value[element]):
            raise ContentError(f"{kind}/{value['id']}.{element} must be a string", where=source)
    if need_url and kind in CANONICAL_TYPES and "url" not in value:
        raise ContentError(f"{kind}/{value['id']} has no url", where=source)
    return value
