"""Definitions in files of any layout: an implementation guide's folders, a Bundle, a FHIR package that is unpacked.

What is no definition (patients, examples of other types) is left alone. Nothing is checked beyond what it takes to find
the resources: such content was not written for this program.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from fhir_cds.errors import ContentError, InputError
from fhir_cds.fhir import codec, ids
from fhir_cds.fhir.types import CANONICAL_TYPES
from fhir_cds.knowledge.load import ELM_TYPE
from fhir_cds.knowledge.registry import Registry, Resource, key_of

CQL: Final = "text/cql"
_TYPES: Final = CANONICAL_TYPES | {"NamingSystem"}
_NEED_URL: Final = frozenset({"ValueSet", "CodeSystem"})
_HEADER: Final = re.compile(r'^\s*library\s+(?:[\w.]+\.)?("(?:[^"\\]|\\.)+"|\w+)', re.MULTILINE)
_COMMENTS: Final = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)


@dataclass(slots=True)
class Found:
    """What files hold: definitions by canonical (or Type/id), ELM and CQL by library name; `notes` what was left out.

    A note is about a definition (by canonical, or Type/id) or, under "", about a file.
    """

    resources: dict[str, tuple[str, Resource]] = field(default_factory=dict)
    elm: dict[str, Resource] = field(default_factory=dict)
    cql: dict[str, str] = field(default_factory=dict)
    notes: list[tuple[str, str]] = field(default_factory=list)

    def registry(self) -> Registry:
        """Return the definitions as a registry."""
        return Registry.of(self.resources.values(), need_url=False)


def collect(paths: Sequence[Path]) -> Found:
    """Return the definitions in files and below folders, in the order of their names.

    Raises ContentError for a path that is not there, and when there is no definition at all.
    """
    found = Found()
    for path in paths:
        if not path.exists():
            raise ContentError("there is no such file or folder", where=str(path))
        for file in [path] if path.is_file() else sorted(item for item in path.rglob("*") if item.is_file()):
            _read(file, file.name if path.is_file() else file.relative_to(path).as_posix(), found)
    if not found.resources:
        raise ContentError(
            "no FHIR definitions here: JSON resources or Bundles are read, XML and packed files are not",
            where=", ".join(map(str, paths)),
        )
    return found


def _read(file: Path, source: str, found: Found) -> None:
    if file.suffix == ".cql":
        _add_cql(file.read_bytes(), found, file.stem)
    if file.suffix != ".json":
        return
    try:
        document = codec.decode(file.read_bytes())
    except InputError:
        found.notes.append(("", f"{source}: not JSON, left out"))
        return
    if isinstance(document, dict) and "identifier" in (document.get("library") or ()):
        found.elm.setdefault(str(document["library"]["identifier"].get("id")), document)
    for resource in _resources(document):
        _add(resource, source, found)


def _resources(document: Any) -> Iterator[Resource]:
    """Yield a resource, or those in a Bundle or in a list, whatever its depth."""
    if isinstance(document, list):
        for item in document:
            yield from _resources(item)
    if not isinstance(document, dict):
        return
    if document.get("resourceType") != "Bundle":
        yield document
        return
    for entry in document.get("entry", ()):
        if isinstance(entry, dict) and isinstance(entry.get("resource"), dict):
            yield from _resources(entry["resource"])


def _add(resource: Resource, source: str, found: Found) -> None:
    kind = resource.get("resourceType")
    if kind not in _TYPES or (kind in _NEED_URL and not resource.get("url")):
        return
    tail = str(resource.get("url", "")).rpartition("/")[2]
    if not ids.is_id(resource.get("id")):
        resource = {**resource, "id": tail if ids.is_id(tail) else ids.content_uuid(resource)}
    key = key_of(resource)
    if key in found.resources:
        if found.resources[key][1] != resource:
            told = f"{source}: {key} is in {found.resources[key][0]} already, with other content; that one counts"
            found.notes.append((key, told))
        return
    if kind == "Library":
        resource = _with_content(resource, source, found)
    found.resources[key] = (source, resource)


def _with_content(library: Resource, source: str, found: Found) -> Resource:
    """Take the ELM and CQL in a Library's attachments; return it under the name by which its logic goes."""
    name = None
    for attachment in library.get("content", ()):
        data, kind = attachment.get("data"), attachment.get("contentType")
        if not data or kind not in {CQL, ELM_TYPE}:
            continue
        try:
            raw = base64.b64decode(data, validate=False)
            name = (_add_cql if kind == CQL else _add_elm)(raw, found) or name
        except (binascii.Error, InputError, KeyError, TypeError):
            found.notes.append(("", f"{source}: an attachment of type {kind} cannot be read"))
    return {**library, "name": name} if name else library


def _add_elm(data: bytes, found: Found) -> str:
    """Take an ELM document; return its library's name."""
    document = codec.decode(data)
    name = str(document["library"]["identifier"]["id"])
    found.elm.setdefault(name, document)
    return name


def _add_cql(data: bytes, found: Found, stem: str | None = None) -> str | None:
    """Take CQL by the name in its header, and return that.

    Of several the first counts, but before it one whose file bears the name.
    """
    text = data.decode("utf-8-sig", errors="replace")
    header = _HEADER.search(_COMMENTS.sub("", text))
    if header is None:
        return None
    name = header[1].strip('"')
    if name == stem or name not in found.cql:
        found.cql[name] = text
    return name


def included(document: Mapping[str, Any]) -> Iterable[str]:
    """Return the names of the libraries that an ELM document includes."""
    listed = document.get("library", {}).get("includes", {}).get("def", ())
    return [str(item.get("path", "")).rpartition("/")[2] for item in listed]
