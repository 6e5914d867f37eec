"""One CDS Hooks service as content defines it: its discovery entry and the plans behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from fhir_cds.errors import ContentError

PLANS: Final = "org.fhir-cds.plans"
OPTIONAL: Final = "org.fhir-cds.optional-prefetch"


@dataclass(frozen=True, slots=True)
class Service:
    """A service of `hooks/<id>.json`.

    `entry` is what discovery shows (CDS Hooks 2.0 §Discovery): the file without our own extensions. `plans` are the
    canonicals behind the service, `optional` the prefetch keys without which it still answers (with a gap).
    """

    id: str
    hook: str
    entry: Mapping[str, Any]
    prefetch: Mapping[str, str]
    plans: tuple[str, ...]
    optional: frozenset[str]
    source: str


def service_of(document: Any, source: str) -> Service:
    """Return the service that a file of `hooks/` defines; raises ContentError naming the file and the member."""
    if not isinstance(document, dict):
        raise ContentError("a discovery entry must be an object", where=source)
    for member in ("hook", "id", "description"):
        if not isinstance(document.get(member), str) or not document[member]:
            raise ContentError(f"{member} must be a non-empty string", where=source)
    prefetch = document.get("prefetch", {})
    if not isinstance(prefetch, dict) or not all(isinstance(query, str) and query for query in prefetch.values()):
        raise ContentError("prefetch must map keys to FHIR queries", where=source)
    extension = document.get("extension", {})
    if not isinstance(extension, dict):
        raise ContentError("extension must be an object", where=source)
    plans = _strings(extension.get(PLANS, []), PLANS, source)
    if not plans:
        raise ContentError(f"extension.{PLANS} must name the plans behind the service", where=source)
    optional = frozenset(_strings(extension.get(OPTIONAL, []), OPTIONAL, source))
    if not optional <= prefetch.keys():
        unknown = ", ".join(sorted(optional - prefetch.keys()))
        raise ContentError(f"extension.{OPTIONAL} names keys that prefetch lacks: {unknown}", where=source)
    shown = {key: value for key, value in extension.items() if key not in {PLANS, OPTIONAL}}
    entry = {key: value for key, value in document.items() if key != "extension"}
    if shown:
        entry["extension"] = shown
    frozen = MappingProxyType(dict(prefetch))
    return Service(document["id"], document["hook"], MappingProxyType(entry), frozen, plans, optional, source)


def _strings(value: Any, member: str, source: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise ContentError(f"extension.{member} must be a list of strings", where=source)
    return tuple(value)
