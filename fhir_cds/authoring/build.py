"""`fhir-cds build`: CQL in, ELM and Library resources out; every output recomputed and compared by `--check`.

Authored: `plandefinitions/cql/*.cql` and `plandefinitions/cql/metadata.json` (what all our Library resources share).
Generated: `FHIRHelpers.cql`, `cql/elm/<Name>.json`, `cql/elm/elm.stamp` and `plandefinitions/Library-<Name>.json`.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fhir_cds.authoring import elm_form, helpers
from fhir_cds.authoring.translate import (
    MODEL_INFO,
    OPTIONS,
    SIGNATURE_LEVEL,
    Note,
    TranslatorMissingError,
    missing,
    requirements,
    translate,
)
from fhir_cds.errors import ContentError
from fhir_cds.fhir.codec import decode, encode_pretty
from fhir_cds.knowledge.load import ELM_TYPE

CQL: Final = Path("plandefinitions/cql")
ELM: Final = CQL / "elm"
STAMP: Final = ELM / "elm.stamp"
METADATA: Final = CQL / "metadata.json"

CQL_TYPE: Final = "text/cql"
_INCLUDE: Final = re.compile(r'^\s*include\s+"?([A-Za-z_]\w*)"?', re.MULTILINE)
_TAG: Final = re.compile(r"^\s*//\s*@(\w+):\s*(.*?)\s*$", re.MULTILINE)
_LIBRARY: Final = re.compile(r"^\s*library\s", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Source:
    """One CQL library: its text, the names it includes and the tags of its header (`// @title: …`)."""

    name: str
    text: str
    includes: tuple[str, ...]
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Built:
    """All generated files (path below the content root -> bytes), which libraries were translated, and warnings."""

    files: Mapping[Path, bytes]
    translated: tuple[str, ...]
    warnings: tuple[Note, ...]


def build(root: Path, node_modules: Path, *, reuse: bool = True) -> Built:
    """Compute every generated file of the content under `root`; write nothing.

    With `reuse`, ELM whose stamp still matches is taken as it stands; without, all is translated again.
    Raises ContentError for content that cannot be built, TranslatorMissingError when translation is needed and Node.js
    or the pinned translator is not there.
    """
    sources = read_sources(root, node_modules)
    digests = {name: digest(name, sources) for name in sources}
    ready = fresh_elm(root, digests) if reuse else {}
    wanted = [name for name in sources if name not in ready]
    warnings: list[Note] = []
    if wanted:
        answer = translate({s.name: s.text for s in sources.values()}, wanted, node_modules=node_modules)
        for name, done in answer.libraries.items():
            ready[name] = elm_form.text(elm_form.stripped(done.elm))
            warnings.extend(done.warnings)
    documents = {name: decode(ready[name]) for name in sources}
    files = {ELM / f"{name}.json": ready[name] for name in sources}
    files[STAMP] = encode_pretty(stamp(digests, ready))
    metadata = read_metadata(root)
    for name, source in sources.items():
        path = Path("plandefinitions") / f"Library-{name}.json"
        files[path] = encode_pretty(library_resource(source, documents, ready[name], metadata))
    if helpers.NAME in sources:
        files[CQL / f"{helpers.NAME}.cql"] = sources[helpers.NAME].text.encode()
    return Built(files, tuple(wanted), tuple(warnings))


def read_metadata(root: Path) -> Mapping[str, Any]:
    """Return what all Library resources of the content share; raises ContentError when the file is not there."""
    try:
        found: Mapping[str, Any] = decode((root / METADATA).read_bytes(), where=str(METADATA))
    except OSError as error:
        raise ContentError(f"cannot be read: {error.strerror}", where=str(METADATA)) from None
    return found


def read_sources(root: Path, node_modules: Path) -> dict[str, Source]:
    """Return the CQL libraries under `root` by name; FHIRHelpers is generated where the model info can be read."""
    folder = root / CQL
    texts = {path.stem: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.cql"))}
    if not texts:
        raise ContentError("no CQL library found", where=str(CQL))
    if (node_modules / MODEL_INFO).is_file():
        texts[helpers.NAME] = helpers.fhir_helpers(node_modules)
    sources = {name: _source(name, texts[name]) for name in sorted(texts)}
    for source in sources.values():
        for included in source.includes:
            if included not in sources:
                raise ContentError(f"includes {included}, which is not there", where=f"{source.name}.cql")
    return sources


def _source(name: str, text: str) -> Source:
    found = _LIBRARY.search(text)
    header = text[: found.start()] if found else ""
    return Source(name, text, tuple(_INCLUDE.findall(text)), dict(_TAG.findall(header)))


def closure(name: str, sources: Mapping[str, Source]) -> tuple[str, ...]:
    """Return the names of the library and of all it includes, directly or not, sorted."""
    seen: set[str] = set()
    todo = [name]
    while todo:
        current = todo.pop()
        if current not in seen:
            seen.add(current)
            todo.extend(sources[current].includes)
    return tuple(sorted(seen))


def digest(name: str, sources: Mapping[str, Source]) -> str:
    """Return the sha256 of all that decides a library's ELM: its CQL, what it includes, translator and options."""
    parts = [requirements()["@cqframework/cql"], SIGNATURE_LEVEL, *OPTIONS]
    parts += [f"{included}\n{sources[included].text}" for included in closure(name, sources)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def stamp(digests: Mapping[str, str], elm: Mapping[str, bytes]) -> dict[str, Any]:
    """Return the stamp of the ELM folder: translator, options and, per library, what it was made from and is."""
    return {
        "translator": requirements()["@cqframework/cql"],
        "options": list(OPTIONS),
        "signatureLevel": SIGNATURE_LEVEL,
        "libraries": {
            name: {"source": digests[name], "elm": hashlib.sha256(elm[name]).hexdigest()} for name in sorted(digests)
        },
    }


def fresh_elm(root: Path, digests: Mapping[str, str]) -> dict[str, bytes]:
    """Return the committed ELM whose stamp still matches both the CQL and the file itself."""
    if not (root / STAMP).is_file():
        return {}
    stamped: Mapping[str, Mapping[str, str]] = decode((root / STAMP).read_bytes())["libraries"]
    found: dict[str, bytes] = {}
    for name, source in digests.items():
        path = root / ELM / f"{name}.json"
        entry = stamped.get(name)
        if entry and entry["source"] == source and path.is_file():
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() == entry["elm"]:
                found[name] = content
    return found


def library_resource(
    source: Source, documents: Mapping[str, Mapping[str, Any]], elm: bytes, metadata: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the R4 Library resource that carries the CQL and the ELM of one library."""
    base = metadata["url"]
    own = documents[source.name]
    versions = {name: document["library"]["identifier"].get("version") for name, document in documents.items()}
    uses = [f"{base}/Library/{name}|{versions[name]}" for name in sorted(source.includes)]
    uses += sorted({definition["id"] for definition in elm_form.definitions(own, "valueSets")})
    resource: dict[str, Any] = {
        "resourceType": "Library",
        "id": source.name,
        "meta": metadata["meta"],
        "url": f"{base}/Library/{source.name}",
        "version": versions[source.name],
        "name": source.name,
        "title": source.tags.get("title", source.name),
        "status": metadata["status"],
        "experimental": metadata["experimental"],
        "type": metadata["type"],
        "date": metadata.get("date"),
        "publisher": metadata["publisher"],
        "description": source.tags.get("description"),
        "useContext": metadata.get("useContext"),
        "copyright": metadata["copyright"],
        "relatedArtifact": [{"type": "depends-on", "resource": canonical} for canonical in uses],
        "dataRequirement": elm_form.data_requirements(own, documents),
        "content": _content(source, elm),
    }
    return {key: value for key, value in resource.items() if value not in (None, [])}


def embedded(source: Source, elm: bytes) -> dict[str, str]:
    """Return content type -> base64 data of what a Library resource carries."""
    return {entry["contentType"]: entry["data"] for entry in _content(source, elm)}


def _content(source: Source, elm: bytes) -> list[dict[str, str]]:
    return [_attachment(CQL_TYPE, source.text.encode()), _attachment(ELM_TYPE, elm)]


def _attachment(content_type: str, data: bytes) -> dict[str, str]:
    # Attachment.hash is defined by FHIR as the SHA-1 of the data.
    sha1 = hashlib.sha1(data, usedforsecurity=False).digest()
    return {
        "contentType": content_type,
        "data": base64.b64encode(data).decode(),
        "hash": base64.b64encode(sha1).decode(),
    }


def stale(root: Path, built: Built) -> list[str]:
    """Return what differs between the generated files as committed and as built, one sentence each."""
    complaints = []
    for path, content in sorted(built.files.items()):
        file = root / path
        if not file.is_file():
            complaints.append(f"{path}: missing")
        elif file.read_bytes() != content:
            complaints.append(f"{path}: differs from what its CQL gives")
    complaints += [f"{path}: no CQL library of that name" for path in orphans(root, built.files)]
    return complaints


def orphans(root: Path, files: Iterable[Path]) -> list[Path]:
    """Return generated files whose CQL library is gone."""
    known = set(files)
    there = [*(root / ELM).glob("*.json"), *(root / "plandefinitions").glob("Library-*.json")]
    return sorted(path for path in (file.relative_to(root) for file in there) if path not in known)


def write(root: Path, built: Built) -> list[Path]:
    """Write what changed, remove orphans; return the paths touched."""
    touched: list[Path] = []
    for path, content in sorted(built.files.items()):
        file = root / path
        if not file.is_file() or file.read_bytes() != content:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            touched.append(path)
    for path in orphans(root, built.files):
        (root / path).unlink()
        touched.append(path)
    return touched


def check(root: Path, node_modules: Path) -> Sequence[str]:
    """Translate everything again and return the differences; raises TranslatorMissingError when that cannot be done."""
    if problem := missing(node_modules):
        raise TranslatorMissingError(f"{problem}: the ELM cannot be translated again, so it was not checked")
    return stale(root, build(root, node_modules, reuse=False))
