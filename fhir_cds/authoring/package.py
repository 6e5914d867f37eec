"""Content in the forms that servers take: a transaction Bundle, and a FHIR package (package.tgz).

Both are made from the files alone, byte for byte the same each time.
"""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from fhir_cds.authoring import build
from fhir_cds.authoring.lint.view import File, Json, read
from fhir_cds.fhir.bundle import transaction
from fhir_cds.fhir.codec import decode, encode, encode_pretty

FHIR_VERSION: Final = "4.0.1"


def bundle(files: Sequence[File]) -> dict[str, Any]:
    """Return an R4 transaction that puts every resource under its own id (update as create)."""
    return transaction(dict(file.document) for file in files)


def tarball(files: Sequence[File], about: Mapping[str, Any], base: str) -> bytes:
    """Return a FHIR NPM package: `package/package.json`, `.index.json` and one file per resource.

    `about` has name, version and title of the package. Times and owners are left out, so that the same content gives
    the same bytes.
    """
    manifest = {
        "name": about["name"],
        "version": about["version"],
        "type": "IG",
        "title": about["title"],
        "description": about["title"],
        "license": "Apache-2.0",
        "canonical": base,
        "fhirVersions": [FHIR_VERSION],
        "dependencies": {"hl7.fhir.r4.core": FHIR_VERSION},
    }
    listed = {"index-version": 1, "files": [_entry(file) for file in files]}
    members = [("package/package.json", encode_pretty(manifest)), ("package/.index.json", encode_pretty(listed))]
    members += [(f"package/{file.path.name}", encode_pretty(file.document)) for file in files]
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return gzip.compress(plain.getvalue(), mtime=0)


def _entry(file: File) -> Json:
    held = {name: file.document.get(name) for name in ("id", "url", "version", "kind", "type")}
    texts = {name: value for name, value in held.items() if isinstance(value, str)}
    return {"filename": file.path.name, "resourceType": file.kind, **texts}


def package(root: Path) -> dict[str, bytes]:
    """Return file name -> bytes of the Bundle and the package of the content under `root`."""
    content = read(root)
    about = decode((root / build.METADATA).read_bytes())["package"]
    name = f"{about['name']}-{about['version']}"
    return {
        f"{name}.bundle.json": encode(bundle(content.files)) + b"\n",
        f"{name}.tgz": tarball(content.files, about, content.base),
    }
