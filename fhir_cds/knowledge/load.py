"""Read content folders into one immutable `Knowledge`.

A content root holds `plandefinitions/` (with `cql/elm/` inside), `valuesets/` and `hooks/`; anything else in it is left
alone. Every file of these folders is read, in the order of its name, so the same content gives the same registry.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from fhir_cds.errors import ContentError, InputError
from fhir_cds.fhir import codec
from fhir_cds.knowledge.registry import Registry, Resource
from fhir_cds.knowledge.service import Service, service_of

ENVIRONMENT: Final = "FHIR_CDS_CONTENT"
ELM_TYPE: Final = "application/elm+json"

_RESOURCE_FOLDERS: Final = ("plandefinitions", "valuesets")
_HOOKS: Final = "hooks"
_ELM: Final = Path("plandefinitions", "cql", "elm")
_PACKAGE: Final = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Knowledge:
    """The content: its resources, the ELM document of each CQL library by name, and its CDS Hooks services."""

    registry: Registry
    elm: Mapping[str, Resource]
    services: tuple[Service, ...]
    roots: tuple[Path, ...] = ()


def content_roots(explicit: Sequence[Path] = (), environment: Mapping[str, str] | None = None) -> tuple[Path, ...]:
    """Return the folders to load: the first of these sources that is given.

    `explicit` (`--content`, all of them); `FHIR_CDS_CONTENT` in `environment` (several joined by the platform's path
    separator); the checkout around the package; the copy in the wheel. So a site's own content takes the place of ours,
    and naming both loads both. Raises ContentError for a folder that is not there or holds no content.
    """
    variable = (environment or {}).get(ENVIRONMENT, "")
    named = tuple(explicit) or tuple(Path(part) for part in variable.split(os.pathsep) if part)
    if named:
        for root in named:
            if not is_root(root):
                folders = ", ".join((*_RESOURCE_FOLDERS, _HOOKS))
                raise ContentError(f"no content here: a folder with {folders} is expected", where=str(root))
        return named
    for root in (_PACKAGE.parent, _PACKAGE / "_content"):
        if is_root(root):
            return (root,)
    raise ContentError("no content is installed with the package; name a folder with --content")


def load(roots: Sequence[Path]) -> Knowledge:
    """Return everything the folders hold.

    Raises ContentError naming the file: not JSON, not a resource, a canonical or a library that is there twice.
    """
    registry = Registry.of(_resources(roots))
    services = tuple(service_of(document, source) for source, document in _documents(roots, Path(_HOOKS)))
    return Knowledge(registry, MappingProxyType(_elm(roots, registry)), services, tuple(roots))


def is_root(path: Path) -> bool:
    """Say whether a folder is laid out as content of this program."""
    return any((path / folder).is_dir() for folder in (*_RESOURCE_FOLDERS, _HOOKS))


def _resources(roots: Sequence[Path]) -> Iterator[tuple[str, Any]]:
    for folder in _RESOURCE_FOLDERS:
        yield from _documents(roots, Path(folder))


def _documents(roots: Sequence[Path], folder: Path) -> Iterator[tuple[str, Any]]:
    for root in roots:
        for path in sorted((root / folder).glob("*.json")):
            name = path.relative_to(root).as_posix()
            try:
                yield name, codec.decode(path.read_bytes(), unique_keys=folder != _ELM)
            except InputError as error:
                raise ContentError(error.message, where=name) from None
            except OSError as error:
                raise ContentError(f"cannot be read: {error.strerror}", where=name) from None


def _elm(roots: Sequence[Path], registry: Registry) -> dict[str, Resource]:
    documents: dict[str, Resource] = {}
    origin: dict[str, str] = {}
    for source, document in _documents(roots, _ELM):
        name = _library_name(document, source)
        if name in documents:
            raise ContentError(f"the CQL library {name} is already in {origin[name]}", where=source)
        documents[name], origin[name] = document, source
    for library in registry.by_type("Library"):
        if library.get("name") in documents:
            continue
        for content in library.get("content", ()):
            if content.get("contentType") == ELM_TYPE and "data" in content:
                source = registry.source(library)
                document = _embedded(content["data"], source)
                documents.setdefault(_library_name(document, source), document)
    return documents


def _embedded(data: str, source: str) -> Any:
    try:
        return codec.decode(base64.b64decode(data, validate=True))
    except (binascii.Error, ValueError):
        raise ContentError("content.data is not base64", where=source) from None
    except InputError as error:
        raise ContentError(f"content.data: {error.message}", where=source) from None


def _library_name(document: Any, source: str) -> str:
    try:
        name = document["library"]["identifier"]["id"]
    except (KeyError, TypeError):
        raise ContentError("not an ELM library: library.identifier.id is missing", where=source) from None
    if not isinstance(name, str) or not name:
        raise ContentError("library.identifier.id must be a name", where=source)
    return name
