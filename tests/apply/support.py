"""Logic made of Python functions in the shape of the engine's Program, and small plans: tests without a translator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fhir_cds.errors import EvaluationError
from fhir_cds.knowledge.registry import Registry
from fhir_cds.reasoning.apply import apply_plan
from fhir_cds.reasoning.engine import Engine
from fhir_cds.reasoning.outcome import Applied, AppliedAction
from fhir_cds.reasoning.session import Context
from fhir_cds.reasoning.tree import walk

BASE = "http://example.org"
NOW = "2026-01-31T00:00:00+00:00"
SCAN = f"{BASE}/ActivityDefinition/scan"
CONTEXT = Context(encounter="Encounter/e", practitioner="Practitioner/d", organization="Organization/o")


@dataclass(frozen=True)
class Info:
    library: str
    name: str
    slot: int
    references: tuple[tuple[str, str], ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    result_type: str | None = "{urn:hl7-org:elm-types:r1}Boolean"


@dataclass(frozen=True)
class Compiled:
    name: str
    defines: Mapping[str, Info]
    parameters: tuple[str, ...] = ()


@dataclass(frozen=True)
class Define:
    """A define: its value (or a function of the evaluation), what it names, its fact."""

    value: Any
    names: tuple[str, ...] = ()
    fact: str | None = None
    resources: tuple[str, ...] = ()
    type: str = "Boolean"


class FakeEvaluation:
    def __init__(self, program: FakeProgram, resources: Sequence[Any], parameters: Mapping[str, Any]) -> None:
        self.program, self.all, self.parameters = program, resources, parameters

    def value(self, library: str, define: str) -> Any:
        value = self.program.defines[define].value
        if isinstance(value, Exception):
            raise EvaluationError("it broke", library=library, define=define, locator="1:1-1:2")
        return value(self) if callable(value) else value

    def at(self, slot: int) -> Any:
        (library,) = self.program.libraries
        return self.value(library.name, list(self.program.defines)[slot])

    def resources(self, library: str, define: str) -> tuple[str, ...]:
        return self.program.defines[define].resources


class FakeProgram:
    def __init__(self, defines: Mapping[str, Define], library: str = "Logic", parameters: tuple[str, ...] = ()) -> None:
        self.defines = defines
        self.counted = 0
        infos = {
            name: Info(
                library,
                name,
                slot,
                tuple((library, other) for other in define.names),
                {"fact": define.fact} if define.fact else {},
                "{urn:hl7-org:elm-types:r1}" + define.type,
            )
            for slot, (name, define) in enumerate(defines.items())
        }
        self.libraries = (Compiled(library, infos, parameters),)

    def evaluate(self, resources: Sequence[Any], now: Any, parameters: Mapping[str, Any] | None = None) -> Any:
        self.counted += 1
        return FakeEvaluation(self, resources, parameters or {})


@dataclass(frozen=True)
class FakeRecord:
    subject: str = "Patient/p"
    resources: tuple[dict[str, Any], ...] = ({"resourceType": "Patient", "id": "p", "birthDate": "1960-05-31"},)


def library(name: str = "Logic") -> dict[str, Any]:
    return {"resourceType": "Library", "id": name, "url": f"{BASE}/Library/{name}", "version": "1", "name": name}


def plan(*actions: dict[str, Any], key: str = "plan", **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "PlanDefinition",
        "id": key,
        "url": f"{BASE}/PlanDefinition/{key}",
        "version": "1",
        "status": "active",
        "library": [f"{BASE}/Library/Logic"],
        "action": list(actions),
        **more,
    }


def activity(key: str = "scan", kind: str = "ServiceRequest", **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "ActivityDefinition",
        "id": key,
        "url": f"{BASE}/ActivityDefinition/{key}",
        "version": "1",
        "status": "active",
        "kind": kind,
        "library": [f"{BASE}/Library/Logic"],
        **more,
    }


def when(define: str, language: str = "text/cql-identifier", **more: Any) -> dict[str, Any]:
    return {"kind": "applicability", "expression": {"language": language, "expression": define, **more}}


def action(key: str, *conditions: dict[str, Any], **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"id": key, "title": key.title(), **more}
    return {**made, "condition": list(conditions)} if conditions else made


VALUES: dict[str, Define] = {
    "Yes": Define(True),
    "No": Define(False),
    "Null": Define(None),
    "Broken": Define(RuntimeError()),
    "Text": Define("text", type="String"),
    "Two": Define([True, True], type="List"),
}


def engine(
    *resources: dict[str, Any], defines: Mapping[str, Define] | None = None, strict: bool = True, **more: Any
) -> Engine:
    program = FakeProgram({**VALUES, **(defines or {})}, **more)
    items = [(f"{r['resourceType']}-{r['id']}.json", r) for r in (library(), *resources)]
    return Engine.of(Registry.of(items), program, strict=strict)


def run(
    subject: dict[str, Any],
    *others: dict[str, Any],
    defines: Mapping[str, Define] | None = None,
    context: Context | None = None,
    record: Any = None,
    **more: Any,
) -> Applied:
    """Apply an inline plan."""
    made = engine(*others, defines=defines, **more)
    return apply_plan(made, subject, record or FakeRecord(), NOW, context or Context())


def by_id(applied: Applied) -> dict[str, AppliedAction]:
    return {found.id: found for found in walk(applied.actions)}


def verdicts(applied: Applied) -> dict[str, str]:
    return {name: found.outcome.verdict.value for name, found in by_id(applied).items()}


def group_of(careplan: dict[str, Any]) -> dict[str, Any]:
    root = careplan["activity"][0]["reference"]["reference"].removeprefix("#")
    return next(r for r in careplan["contained"] if r["id"] == root)


def dynamic(path: str, define: str) -> dict[str, Any]:
    return {"path": path, "expression": {"language": "text/cql-identifier", "expression": define}}
