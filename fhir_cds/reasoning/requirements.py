"""What data a plan reads: R4 `$data-requirements` (apply.md IO-03), from the retrieves of the defines that it names."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any, Final

from fhir_cds.cql import Code, Retrieve
from fhir_cds.errors import ContentError
from fhir_cds.fhir import codec, ids
from fhir_cds.fhir.types import BY_PATIENT
from fhir_cds.reasoning import check, expressions, plans
from fhir_cds.reasoning.convert import coding
from fhir_cds.reasoning.engine import Engine
from fhir_cds.reasoning.expressions import Define
from fhir_cds.reasoning.outcome import Json

_LIBRARY_TYPE: Final = "http://terminology.hl7.org/CodeSystem/library-type"


def data_requirements(engine: Engine, plan: str | Json) -> dict[str, Any]:
    """Return a module-definition Library whose `dataRequirement` is all that a plan and those nested in it read.

    An ActivityDefinition counts as a plan of its own. Raises NotFoundError for a plan that is not in the content.
    """
    definition = engine.plan(plan) if isinstance(plan, str) else plan
    found: dict[bytes, dict[str, Any]] = {}
    related: dict[str, None] = {}
    for one in _definitions(engine, definition, ()):
        related.update(dict.fromkeys(_depends(one)))
        for requirement in (*_inputs(one), *_retrieved(engine, one)):
            found.setdefault(codec.canonical(requirement), requirement)
    made: dict[str, Any] = {
        "resourceType": "Library",
        "id": ids.stable_uuid("data-requirements", plans.canonical(definition)),
        "status": definition.get("status", "active"),
        "type": {"coding": [{"system": _LIBRARY_TYPE, "code": "module-definition"}]},
    }
    if related:
        made["relatedArtifact"] = [{"type": "depends-on", "resource": canonical} for canonical in related]
    if found:
        made["dataRequirement"] = [found[key] for key in sorted(found)]
    return made


def types_read(engine: Engine, definition: Json) -> tuple[str, ...]:
    """Return the types of resource that a plan, an activity or a Library's defines read, sorted."""
    if definition["resourceType"] == "Library":
        name = str(definition.get("name") or definition["id"])
        reads = [
            retrieve.type
            for library in engine.program.libraries
            if library.name == name
            for define in library.defines
            for retrieve in engine.program.retrieves(name, define)
        ]
        return tuple(sorted(set(reads)))
    listed = data_requirements(engine, definition).get("dataRequirement", ())
    return tuple(sorted({str(requirement["type"]) for requirement in listed if requirement.get("type")}))


def queries(engine: Engine, definition: Json, covered: Collection[str | None] = ()) -> list[tuple[str, str]]:
    """Return (key, `Type?patient={id}`) for what a definition reads of a patient, but for the types `covered`."""
    kinds = [kind for kind in types_read(engine, definition) if kind in BY_PATIENT and kind not in covered]
    return [(kind, f"{kind}?patient={{id}}") for kind in kinds]


def _definitions(engine: Engine, definition: Json, above: tuple[str, ...]) -> Iterator[Json]:
    canonical = plans.canonical(definition)
    if canonical in above:
        return
    yield definition
    contained = {f"#{item.get('id')}": item for item in definition.get("contained", ())}
    for _, action in plans.walk(definition):
        named = action.get("definitionCanonical")
        target = (contained.get(named) or engine.registry.find(str(named))) if named else None
        if target is not None and target["resourceType"] == "PlanDefinition":
            yield from _definitions(engine, target, (*above, canonical))
        elif target is not None and target["resourceType"] == "ActivityDefinition":
            yield target


def _reads(engine: Engine, definition: Json) -> Iterator[Retrieve]:
    for _, expression in check.named_expressions(definition):
        try:
            meaning = expressions.meaning(expression, definition, engine.registry)
        except ContentError:  # applying the plan reports it
            continue
        if isinstance(meaning, Define) and meaning in engine.graph:
            yield from engine.program.retrieves(meaning.library, meaning.name)


def _retrieved(engine: Engine, definition: Json) -> Iterator[dict[str, Any]]:
    return (requirement(one) for one in _reads(engine, definition))


def requirement(retrieve: Retrieve) -> dict[str, Any]:
    """Return a retrieve as a DataRequirement."""
    made: dict[str, Any] = {"type": retrieve.type}
    if retrieve.code_path and retrieve.valueset:
        made["codeFilter"] = [{"path": retrieve.code_path, "valueSet": retrieve.valueset}]
    elif retrieve.code_path and retrieve.codes:
        codes: Iterable[Code] = retrieve.codes
        made["codeFilter"] = [{"path": retrieve.code_path, "code": [coding(code) for code in codes]}]
    return made


def _inputs(definition: Json) -> Iterator[dict[str, Any]]:
    for _, action in plans.walk(definition):
        for wanted in action.get("input", ()):
            yield {key: value for key, value in wanted.items() if key not in {"id", "extension"}}


def _depends(definition: Json) -> Iterator[str]:
    yield from (str(canonical) for canonical in definition.get("library", ()))
    for _, action in plans.walk(definition):
        if action.get("definitionCanonical") and not str(action["definitionCanonical"]).startswith("#"):
            yield str(action["definitionCanonical"])
