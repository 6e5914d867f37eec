"""The one form of authored JSON: two spaces, FHIR's order of elements, UTF-8, a newline at the end.

The order of elements comes from the R4B classes of fhir.resources, imported here only (they take time to load).
"""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from fhir_cds.errors import ContentError, InputError
from fhir_cds.fhir.codec import decode, encode_pretty

AUTHORED: Final = ("plandefinitions/*.json", "valuesets/*.json", "hooks/*.json")
GENERATED: Final = "Library-"

_TYPE: Final = re.compile(r"abc\.(\w+)Type\b")


def files(root: Path) -> Iterator[Path]:
    """Yield the authored JSON files of a content root, sorted; generated Library resources are left out."""
    for pattern in AUTHORED:
        yield from (path for path in sorted(root.glob(pattern)) if not path.name.startswith(GENERATED))


def formatted(path: Path) -> bytes:
    """Return the content of a file in canonical form; raises ContentError when it is not JSON."""
    try:
        return canonical(decode(path.read_bytes(), where=path.name, unique_keys=True))
    except InputError as error:
        raise ContentError(error.message, where=error.where) from None


def canonical(document: Any) -> bytes:
    """Return a JSON document in canonical form; a FHIR resource gets FHIR's order, another document keeps its own."""
    if isinstance(document, Mapping) and isinstance(document.get("resourceType"), str):
        return encode_pretty(ordered(document, document["resourceType"]))
    return encode_pretty(document)


def ordered(value: Any, kind: str) -> Any:
    """Return a FHIR element of type `kind` with its members in the order of the specification, all the way down.

    Members that the type does not have keep their place at the end (the linter reports them).
    """
    if isinstance(value, list):
        return [ordered(item, kind) for item in value]
    if not isinstance(value, Mapping):
        return value
    kind = value.get("resourceType", kind)
    places = {name: place for place, name in enumerate(("resourceType", *elements(kind)))}
    last = len(places)
    names = sorted(value, key=lambda name: (places.get(name.removeprefix("_"), last), name.startswith("_")))
    return {name: ordered(value[name], elements(kind).get(name, "")) for name in names}


@functools.cache
def elements(kind: str) -> Mapping[str, str]:
    """Return the elements of a FHIR type in order, each with the name of its own type ("" for a primitive)."""
    try:
        model = importlib.import_module("fhir.resources.R4B").get_fhir_model_class(kind) if kind else None
    except KeyError:
        model = None
    if model is None:
        return {}
    fields = {(field.alias or name): str(field.annotation) for name, field in model.model_fields.items()}
    return {name: _kind(fields.get(name, "")) for name in model.elements_sequence()}


def _kind(annotation: str) -> str:
    found = _TYPE.search(annotation)
    return found[1] if found else ""
