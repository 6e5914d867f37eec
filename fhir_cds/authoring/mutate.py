"""`fhir-cds mutate`: can the cases fail? Each mutant of the logic is run against the cases that reach it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from fhir_cds.authoring import helpers, runner
from fhir_cds.authoring.cases import Case
from fhir_cds.authoring.elm_form import definitions
from fhir_cds.authoring.elm_graph import Logic, Name
from fhir_cds.authoring.lint.logic import library_of, named
from fhir_cds.authoring.lint.view import Content, Json, actions, read
from fhir_cds.authoring.mutants import Mutant, applied, borrow, mutants
from fhir_cds.cql import Program
from fhir_cds.data.record import PatientRecord
from fhir_cds.errors import ContentError
from fhir_cds.knowledge.load import load
from fhir_cds.reasoning.engine import Engine
from fhir_cds.reasoning.graph import graph
from fhir_cds.terminology import local

CAUGHT: Final = "caught"
SURVIVED: Final = "survived"
STILLBORN: Final = "stillborn"
UNREACHED: Final = "unreached"


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a mutant; `by` is the case that caught it.

    `survived`: the cases that reach it all passed; `unreached`: no case reaches its define; `stillborn`: the logic does
    not compile with it, so nobody would ship it.
    """

    mutant: Mutant
    end: str
    by: str = ""


@dataclass(slots=True)
class Bench:
    """Content and cases made ready for many runs; `kills` remembers which cases catch most, to try them first."""

    sound: Engine
    code_sets: Mapping[str, frozenset[tuple[str, str]]]
    content: Content
    cases: tuple[Case, ...]
    needs: Mapping[str, frozenset[Name]]
    records: Mapping[str, PatientRecord]
    kills: Counter[str] = field(default_factory=Counter)

    @property
    def logic(self) -> Logic:
        """All statements of the content."""
        return self.content.logic

    def fate(self, mutant: Mutant) -> Fate:
        """Return what becomes of a mutant."""
        reaching = [case for case in self.cases if mutant.define in self.needs[_key(case)]]
        if not reaching:
            return Fate(mutant, UNREACHED)
        reaching.sort(key=lambda case: (-self.kills[_key(case)], len(self.needs[_key(case)])))
        try:
            engine = self.engine(mutant, reaching)
        except ContentError:
            return Fate(mutant, STILLBORN)
        for case in reaching:
            if not runner.run(engine, case, self.records[_key(case)]).passed:
                self.kills[_key(case)] += 1
                return Fate(mutant, CAUGHT, _key(case))
        return Fate(mutant, SURVIVED)

    def engine(self, mutant: Mutant, cases: Iterable[Case]) -> Engine:
        """Return the engine with a mutant in it, of the defines alone that these cases need (compiles faster)."""
        needed = frozenset(name for case in cases for name in self.needs[_key(case)])
        documents = dict(self.logic.documents)
        documents[mutant.define.library] = applied(documents[mutant.define.library], mutant)
        program = Program.load([_pruned(document, needed) for document in documents.values()], self.code_sets)
        return replace(self.sound, program=program, graph=graph(program.libraries))


def bench(root: Path) -> Bench:
    """Return the content and the cases under a root that pass as they stand; raises ContentError if one does not."""
    knowledge, content = load([root]), read(root)
    sound = Engine.load(knowledge)
    failing = [case.id for case in content.cases if not runner.run(sound, case).passed]
    if failing or content.broken:
        raise ContentError(f"cases must pass before mutants are tried: {', '.join(failing) or 'unreadable case'}")
    plans = {str(file.document.get("id")): file.document for file in content.of("PlanDefinition")}
    needs = {_key(case): needed(content.logic, plans, case) for case in content.cases}
    records = {_key(case): runner.record(sound, case) for case in content.cases}
    return Bench(sound, local.code_sets(knowledge.registry), content, content.cases, needs, records)


def needed(logic: Logic, plans: Mapping[str, Json], case: Case) -> frozenset[Name]:
    """Return every define that a case may evaluate: what its plans name and what it looks at itself."""
    ids = [*case.expect.outcomes, *([case.plan] if case.plan else [])]
    start = [name for plan in ids for name in _own(plans[plan], schedule=case.expect.schedule is not None)]
    for text in case.expect.defines:
        library, dot, name = text.partition(".")
        owner = library_of(plans[case.plan]) if case.plan else ""
        start.append(Name(library, name) if dot and library in logic.documents else Name(owner, text))
    return frozenset(statement.name for statement in logic.reached(start))


def _own(plan: Json, *, schedule: bool) -> list[Name]:
    """Return the defines a plan's outcome rests on: conditions of its top actions; all it names, with a schedule."""
    if schedule:
        return [name for _, name in named(plan)]
    tops = [action for path, action in actions(plan) if path.count("action[") == 1]
    return [name for action in tops for _, name in named({**plan, "action": [], "top": action.get("condition", [])})]


def _pruned(document: Json, needed: frozenset[Name]) -> dict[str, Any]:
    library = dict(document["library"])
    name = library["identifier"]["id"]
    kept = [d for d in definitions(document, "statements") if Name(name, d["name"]) in needed]
    return {**document, "library": {**library, "statements": {"def": kept}}}


def population(logic: Logic, wanted: Callable[[Name], bool] = lambda _: True) -> list[Mutant]:
    """Return every mutant of the defines that a reviewer wrote, define by define (FHIRHelpers is generated)."""
    return [
        mutant
        for library, document in logic.documents.items()
        if library != helpers.NAME
        for mutant in sorted((*mutants(document), *borrow(document, logic.documents)), key=lambda each: each.overload)
        if wanted(mutant.define)
    ]


def run(root: Path, chosen: Sequence[Mutant], jobs: int, tell: Callable[[Fate], None]) -> list[Fate]:
    """Return the fate of each mutant, in order; `tell` is called as they are known."""
    fates: list[Fate] = []
    if jobs == 1:
        _prepare(root)
        results: Iterable[Fate] = map(_fate, chosen)
        fates.extend(_told(results, tell))
    else:
        with ProcessPoolExecutor(jobs, initializer=_prepare, initargs=(root,)) as pool:
            fates.extend(_told(pool.map(_fate, chosen, chunksize=8), tell))
    return fates


def _told(results: Iterable[Fate], tell: Callable[[Fate], None]) -> Iterable[Fate]:
    for fate in results:
        tell(fate)
        yield fate


_BENCH: dict[str, Bench] = {}
"""The bench of this process: a pool starts its workers with nothing but a function."""


def _prepare(root: Path) -> None:
    _BENCH["here"] = bench(root)


def _fate(mutant: Mutant) -> Fate:
    return _BENCH["here"].fate(mutant)


def _key(case: Case) -> str:
    return f"{case.path.parent.name}/{case.id}"


def share(fates: Iterable[Fate]) -> tuple[int, int]:
    """Return (caught, all that could have been caught); stillborn mutants do not count, unreached ones do."""
    counted = [fate for fate in fates if fate.end != STILLBORN]
    return sum(fate.end == CAUGHT for fate in counted), len(counted)


def logic_of(root: Path) -> Logic:
    """Return the statements of the content under a root."""
    return read(root).logic
