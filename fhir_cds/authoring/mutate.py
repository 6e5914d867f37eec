"""`fhir-cds mutate`: can the cases fail? Each mutant of the logic is run against the cases that reach it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from fhir_cds.authoring import helpers, runner
from fhir_cds.authoring.cases import Case
from fhir_cds.authoring.elm_form import definitions
from fhir_cds.authoring.elm_graph import Logic, Name, logic
from fhir_cds.authoring.lint.logic import library_of, named
from fhir_cds.authoring.lint.view import Content, Json, actions, read
from fhir_cds.authoring.mutants import Mutant, applied, mutants
from fhir_cds.authoring.schemata import armed, switched
from fhir_cds.cql import Program
from fhir_cds.data.record import PatientRecord
from fhir_cds.errors import ContentError
from fhir_cds.knowledge.load import load
from fhir_cds.reasoning.engine import Engine
from fhir_cds.terminology import local

CAUGHT: Final = "caught"
SURVIVED: Final = "survived"
STILLBORN: Final = "stillborn"
UNREACHED: Final = "unreached"
BATCH: Final = 150


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a mutant.

    `survived`: the cases that reach it all passed; `unreached`: no case reaches its define; `stillborn`: the logic does
    not compile with it, so nobody would ship it.
    """

    mutant: Mutant
    end: str

    @property
    def alive(self) -> bool:
        """Say whether no case noticed it."""
        return self.end in {SURVIVED, UNREACHED}


@dataclass(slots=True)
class Bench:
    """Content and cases made ready for many runs; `kills` counts which cases catch, by define, to try them first."""

    sound: Engine
    code_sets: Mapping[str, frozenset[tuple[str, str]]]
    content: Content
    reaching: Mapping[Name, tuple[Case, ...]]
    records: Mapping[str, PatientRecord]
    kills: dict[Name, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    @property
    def logic(self) -> Logic:
        """All statements of the content."""
        return self.content.logic

    def fates(self, batch: Sequence[Mutant]) -> list[Fate]:
        """Return what becomes of each mutant of a batch; where one does not compile, the batch is halved."""
        try:
            engine = self.engine(batch)
        except ContentError:
            if len(batch) == 1:
                return [Fate(batch[0], STILLBORN)]
            half = len(batch) // 2
            return [*self.fates(batch[:half]), *self.fates(batch[half:])]
        return [self._fate(engine, mutant, switched(batch, number)) for number, mutant in enumerate(batch)]

    def _fate(self, engine: Engine, mutant: Mutant, switches: Mapping[str, int]) -> Fate:
        kills = self.kills[mutant.define]
        cases = self.reaching.get(mutant.define, ())
        for case in sorted(cases, key=lambda case: -kills[key(case)]):
            if not runner.run(engine, case, self.records[key(case)], switches).passed:
                kills[key(case)] += 1
                return Fate(mutant, CAUGHT)
        return self._alone(mutant, cases) if cases else Fate(mutant, UNREACHED)

    def _alone(self, mutant: Mutant, cases: Iterable[Case]) -> Fate:
        """Return the fate of a mutant that no case caught in a batch.

        The facts that are missing follow the references of defines, and a batch has those of all its versions: so a
        mutant that refers to less is run by itself against the cases that expect facts to be missing.
        """
        documents = self.logic.documents
        library = mutant.define.library
        changed = {**documents, library: applied(documents[library], mutant)}
        if logic(changed).statements.get(mutant.define) != self.logic.statements.get(mutant.define):
            engine = self._engine(changed)
            for case in cases:
                asked = any(verdicts.missing for verdicts in case.expect.outcomes.values())
                if asked and not runner.run(engine, case, self.records[key(case)]).passed:
                    return Fate(mutant, CAUGHT)
        return Fate(mutant, SURVIVED)

    def engine(self, batch: Sequence[Mutant]) -> Engine:
        """Return the engine with a batch of mutants in it."""
        return self._engine(armed(self.logic.documents, batch))

    def _engine(self, documents: Mapping[str, Json]) -> Engine:
        program = Program.load(documents.values(), self.code_sets)
        return Engine.of(self.sound.registry, program, self.sound.code_sets, strict=False)


def bench(root: Path) -> Bench:
    """Return the content and the cases under a root that pass as they stand; raises ContentError if one does not."""
    knowledge, content = load([root]), read(root)
    sound = Engine.load(knowledge)
    failing = [case.id for case in content.cases if not runner.run(sound, case).passed]
    if failing or content.broken:
        raise ContentError(f"cases must pass before mutants are tried: {', '.join(failing) or 'unreadable case'}")
    plans = {str(file.document.get("id")): file.document for file in content.of("PlanDefinition")}
    needs = [(case, needed(content.logic, plans, case)) for case in content.cases]
    reaching: dict[Name, list[Case]] = defaultdict(list)
    for case, names in sorted(needs, key=lambda pair: len(pair[1])):
        for name in names:
            reaching[name].append(case)
    for name in _parameters(content.logic):
        reaching[name] = [case for case, _ in needs]
    records = {key(case): runner.record(sound, case) for case in content.cases}
    tuples = {name: tuple(cases) for name, cases in reaching.items()}
    return Bench(sound, local.code_sets(knowledge.registry), content, tuples, records)


def _parameters(logic: Logic) -> list[Name]:
    return [
        Name(library, definition["name"])
        for library, document in logic.documents.items()
        for definition in definitions(document, "parameters")
    ]


def needed(logic: Logic, plans: Mapping[str, Json], case: Case) -> frozenset[Name]:
    """Return every define that a case may evaluate: what its plans name and what it looks at itself."""
    ids = [*case.expect.outcomes, *([case.plan] if case.plan else [])]
    schedules = case.expect.schedules
    start = [name for plan in {*ids, *schedules} for name in _own(plans[plan], schedule=plan in schedules)]
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


def population(logic: Logic, wanted: Callable[[Name], bool] = lambda _: True) -> list[Mutant]:
    """Return every mutant of the defines that a reviewer wrote, define by define (FHIRHelpers is generated)."""
    return [
        mutant
        for library, document in logic.documents.items()
        if library != helpers.NAME
        for mutant in mutants(document, logic.documents)
        if wanted(mutant.define)
    ]


def run(root: Path, chosen: Sequence[Mutant], jobs: int, tell: Callable[[Fate], None]) -> list[Fate]:
    """Return the fate of each mutant, in order; `tell` is called as they are known."""
    fates: list[Fate] = []
    _BENCH["here"] = bench(root)
    if jobs == 1:
        for batch in _batches(chosen):
            fates.extend(_told(_fates(batch), tell))
    else:  # a forked process has the bench already
        with ProcessPoolExecutor(jobs, mp_context=get_context("fork")) as pool:
            for found in pool.map(_fates, _batches(chosen)):
                fates.extend(_told(found, tell))
    return fates


def _batches(chosen: Sequence[Mutant]) -> list[Sequence[Mutant]]:
    """Return the mutants in parts of one library each, whole defines together."""
    batches: list[list[Mutant]] = []
    for (library, _), group in groupby(chosen, key=lambda mutant: (mutant.define.library, mutant.place)):
        if not batches or len(batches[-1]) >= BATCH or batches[-1][0].define.library != library:
            batches.append([])
        batches[-1].extend(group)
    return list(batches)


def _told(results: Iterable[Fate], tell: Callable[[Fate], None]) -> Iterable[Fate]:
    for fate in results:
        tell(fate)
        yield fate


_BENCH: dict[str, Bench] = {}
"""The bench of this process and of those forked from it."""


def _fates(batch: Sequence[Mutant]) -> list[Fate]:
    return _BENCH["here"].fates(batch)


def key(case: Case) -> str:
    """Return how a case is named: its folder and its id."""
    return f"{case.path.parent.name}/{case.id}"


def share(fates: Iterable[Fate]) -> tuple[int, int]:
    """Return (caught, all that could have been caught); stillborn mutants do not count, unreached ones do."""
    counted = [fate for fate in fates if fate.end != STILLBORN]
    return sum(fate.end == CAUGHT for fate in counted), len(counted)


def logic_of(root: Path) -> Logic:
    """Return the statements of the content under a root."""
    return read(root).logic
