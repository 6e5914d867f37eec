"""What a definition needs of the content, for CRMI `$package` (apply.md IO-03)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from fhir_cds.knowledge.registry import Registry, Resource, canonical_of

_NEEDED: Final = frozenset({"depends-on", "composed-of"})
_SKIPPED: Final = frozenset({"text", "data"})
_RELATIVE: Final = re.compile(r"[A-Z][A-Za-z]+/[A-Za-z0-9.-]{1,64}(\|\S+)?\Z")


def closure(registry: Registry, definition: Resource) -> list[Resource]:
    """Return a definition and all resources of the content that it names, directly or through others.

    Named is a resource wherever its canonical stands: a library, an activity, a nested plan, a value set, a code
    system, the definition of an extension; a NamingSystem by a URI that it is about. Of related artifacts those count
    that it depends on or is composed of.
    """
    found = {_key(definition): definition}
    seen: set[str] = set()
    pending = [definition]
    while pending:
        for text in _texts(pending.pop()):
            other = registry.find(text)
            seen.add(text)
            if other is not None and _key(other) not in found:
                found[_key(other)] = other
                pending.append(other)
    named = [item for item in registry.by_type("NamingSystem") if _uris(item) & seen]
    return [*found.values(), *named]


def _uris(naming: Resource) -> set[str]:
    return {str(unique.get("value")) for unique in naming.get("uniqueId", ())}


def _key(resource: Resource) -> str:
    return canonical_of(resource) if "url" in resource else f"{resource['resourceType']}/{resource.get('id', '')}"


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in a resource that could be a canonical."""
    if isinstance(value, str):
        if value.startswith(("http:", "https:", "urn:")) or _RELATIVE.match(value):
            yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            if key == "relatedArtifact":
                yield from _texts([artifact for artifact in item if artifact.get("type") in _NEEDED])
            elif key not in _SKIPPED:
                yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
