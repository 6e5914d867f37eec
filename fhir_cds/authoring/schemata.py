"""Many mutants in one program: each changed define chooses by two parameters which wording is in force.

Compiling is what a mutant costs most; so a batch is compiled once, and each of its mutants switched on by its number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, Final

from fhir_cds.authoring.mutants import Json, Mutant, Step, replaced

PLACE: Final = "Define With A Mutant"
WORDING: Final = "Mutant In Force"
_INTEGER: Final = "{urn:hl7-org:elm-types:r1}Integer"
_BOOLEAN: Final = "{urn:hl7-org:elm-types:r1}Boolean"


def armed(documents: Mapping[str, Json], batch: Sequence[Mutant]) -> dict[str, Any]:
    """Return the documents with all mutants of a batch in them, none in force; those of one define stand together."""
    found: dict[str, Any] = dict(documents)
    for (library, place), group in groupby(enumerate(batch), key=lambda item: _home(item[1])):
        mutants = list(group)
        sound = documents[library]["library"]
        for step in place[1:]:
            sound = sound[step]
        first = mutants[0][0]
        versions = {
            number: replaced(sound, mutant.path[len(place) :], mutant.replacement) for number, mutant in mutants
        }
        found[library] = replaced(found[library], place, _chosen(sound, first, versions))
    for library in {mutant.define.library for mutant in batch}:
        found[library] = _with_switches(found[library])
    return found


def switched(batch: Sequence[Mutant], number: int) -> dict[str, int]:
    """Return the parameters that put one mutant of a batch in force."""
    first = next(at for at, mutant in enumerate(batch) if _home(mutant) == _home(batch[number]))
    return {PLACE: first, WORDING: number}


def _home(mutant: Mutant) -> tuple[str, tuple[Step, ...]]:
    return mutant.define.library, mutant.place


def _chosen(sound: Json, first: int, versions: Mapping[int, Any]) -> dict[str, Any]:
    kind = {key: sound[key] for key in ("resultTypeName", "resultTypeSpecifier", "locator") if key in sound}
    items = [{"when": _literal(number), "then": version} for number, version in versions.items()]
    here = {"type": "Equal", "resultTypeName": _BOOLEAN, "operand": [_parameter(PLACE), _literal(first)]}
    mutated = {"type": "Case", **kind, "comparand": _parameter(WORDING), "caseItem": items, "else": sound}
    return {"type": "If", **kind, "condition": here, "then": mutated, "else": sound}


def _parameter(name: str) -> dict[str, Any]:
    return {"type": "ParameterRef", "name": name, "resultTypeName": _INTEGER}


def _literal(number: int) -> dict[str, Any]:
    return {"type": "Literal", "valueType": _INTEGER, "value": str(number), "resultTypeName": _INTEGER}


def _with_switches(document: Json) -> dict[str, Any]:
    library = document["library"]
    own = library.get("parameters", {}).get("def", [])
    switches = [{"name": name, "accessLevel": "Public", "parameterType": _INTEGER} for name in (PLACE, WORDING)]
    return {**document, "library": {**library, "parameters": {"def": [*own, *switches]}}}
