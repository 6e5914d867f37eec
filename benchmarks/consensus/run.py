"""The whole consensus for one fresh record of 60 resources: verdicts, explained outcomes, loading, start of a command.

    python -m benchmarks.consensus.run [--node-modules DIR] [--repeat N] [--without-peer] [--source SOURCE ...]

Every sample patient of tests/patients is padded to 60 resources and evaluated with nothing remembered from the one
before. The peer (cql-execution) evaluates the same defines of the same ELM for the same records in the same run, and
all answers are compared. Exits with 1 when one differs for a reason that explained.toml does not give.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from benchmarks.oracle import differences, peer
from fhir_cds.cql.runtime import temporal_text
from fhir_cds.data.record import PatientRecord, from_resources, read
from fhir_cds.errors import EvaluationError
from fhir_cds.fhir import codec
from fhir_cds.followup.careplan import with_schedules
from fhir_cds.followup.schedule import schedules_in
from fhir_cds.knowledge.load import content_roots, load
from fhir_cds.reasoning import plans
from fhir_cds.reasoning.apply import apply_in, begin, instant
from fhir_cds.reasoning.assemble import careplan
from fhir_cds.reasoning.engine import Engine, Recommendation
from fhir_cds.reasoning.expressions import Define
from fhir_cds.reasoning.outcome import Verdict
from fhir_cds.reasoning.outcomes import item_of, outcome_of, outcomes_in
from fhir_cds.reasoning.plans import APPLICABILITY
from fhir_cds.server.state import settle
from fhir_cds.terminology import local

ROOT = Path(__file__).parents[2]
NOW = "2026-01-31T00:00:00.000+00:00"
SIZE = 60
CONSENSUS = ("ibero2025", "ccsf2025")
Json = dict[str, Any]


@dataclass(slots=True)
class Times:
    """Wall and CPU seconds of one kind of work: for each record those of every round."""

    wall: dict[str, list[float]] = field(default_factory=dict)
    cpu: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, work: Callable[[], Any]) -> None:
        """Do the work once and keep its times under this name."""
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        self.cpu.setdefault(name, []).append(time.process_time() - cpu)
        self.wall.setdefault(name, []).append(time.perf_counter() - wall)

    def __str__(self) -> str:
        """Return CPU over all and over each record's fastest round (what busy neighbours add left out), and wall."""
        least = [min(times) for times in self.cpu.values()]
        return f"CPU {two(self.cpu)}  fastest rounds {two({'': least})}  wall {two(self.wall)}"


def two(seconds: dict[str, list[float]]) -> str:
    """Return the 50th and the 95th percentile in milliseconds."""
    ordered = sorted(each for times in seconds.values() for each in times)
    return " ".join(f"{ordered[int(len(ordered) * share)] * 1000:.2f}" for share in (0.5, 0.95)) + " ms"


def main() -> int:
    options = arguments()
    knowledge = load(content_roots())
    engine = Engine.load(knowledge)
    records = {path.stem: record(path, engine) for path in sorted((ROOT / "tests" / "patients").glob("*.json"))}
    settle()
    version = f"{sys.implementation.name} {sys.version.split()[0]}"
    print(f"{version}, {len(records)} records of {SIZE} resources or more; p50, p95")
    for name, sources in groups(engine, options.source):
        wanted = list(dict.fromkeys(conditions(engine, sources)))
        asked = [item for item in engine.recommendations if item.source in sources]
        print(f"{name}: {len(asked)} recommendations, {len(wanted)} conditions\n  verdicts")
        print(f"    {timed(records, options.repeat, lambda one, w=wanted: verdicts(engine, one, w))}")
        print("  outcomes, with reasons and missing facts of those that apply or are not decided")
        print(f"    {timed(records, options.repeat, lambda one, a=asked: shown(engine, one, a))}")
        print("  outcomes, with reasons and missing facts of all")
        print(
            f"    {timed(records, options.repeat, lambda one, a=asked: list(outcomes_in(begin(engine, one, NOW), a)))}"
        )
    strategies = [plan for plan in engine.registry.by_type("PlanDefinition") if "-strategy-" in plan["id"]]
    pairs = {f"{name} {plan['id']}": (one, plan) for name, one in records.items() for plan in strategies}
    print(f"$apply of one strategy plan to a CarePlan as JSON: each of {len(strategies)} for each record")
    print(f"  {timed(pairs, 1, lambda pair: applied(engine, *pair))}")
    names = list(defines(engine))
    print(f"every define: {len(names)}")
    ours = timed(records, options.repeat, lambda one: every(engine, one, names))
    print(f"  {ours}")
    texts = {name: codec.encode(peer.bundle(one.resources)) for name, one in records.items()}
    systems = local.aliases(engine.registry)
    reading = timed(texts, options.repeat, lambda text: read(text, systems=systems))
    print(f"floor: reading the record from JSON\n  {reading}")
    starting()
    if options.without_peer:
        return 0
    resources = {name: one.resources for name, one in records.items()}
    theirs = peer.run(options.node_modules, knowledge.elm, engine.code_sets, resources, NOW)
    mine = sum(statistics.median(times) for times in ours.cpu.values())
    print(f"cql-execution (Node {theirs.node}), every define")
    print(f"  CPU per record {theirs.cpu / len(records) * 1000:.2f} ms; ratio to ours {theirs.cpu / mine:.0f}")
    answers = {name: every(engine, one, names) for name, one in records.items()}
    known = differences.read(Path(__file__).with_name("explained.toml"))
    return differences.report(len(records) * len(names), differences.between(answers, theirs.answers), known)


def arguments() -> argparse.Namespace:
    modules = Path(os.environ.get("FHIR_CDS_NODE_MODULES", ROOT / "node_modules"))
    parser = argparse.ArgumentParser(prog="benchmarks.consensus.run", description="The consensus for one patient")
    parser.add_argument("--node-modules", type=Path, default=modules, help="where cql-execution and cql-exec-fhir are")
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--source", action="append", help="source of a group of recommendations timed by itself")
    parser.add_argument("--without-peer", action="store_true")
    return parser.parse_args()


def record(path: Path, engine: Engine) -> PatientRecord:
    """Return a sample patient with what any hospital has of her besides: 60 resources or more."""
    own = read(path.read_bytes(), systems=local.aliases(engine.registry))
    padding = [unrelated(number, own.subject) for number in range(max(0, SIZE - len(own.resources)))]
    return from_resources([*own.resources, *padding], subject=own.subject)


def unrelated(number: int, subject: str) -> Json:
    """Return a laboratory result, prescription or encounter that has nothing to do with the guideline."""
    day = f"20{20 + number % 6}-{number % 12 + 1:02}-{number % 28 + 1:02}"
    about = {"subject": {"reference": subject}, "id": f"padding-{number}"}
    if number % 3 == 0:
        drug = {
            "system": "http://www.nlm.nih.gov/research/umls/rxnorm",
            "code": "314076",
            "display": "lisinopril 10 MG",
        }
        concept = {"medicationCodeableConcept": {"coding": [drug]}, "authoredOn": day}
        return {"resourceType": "MedicationRequest", "status": "completed", "intent": "order", **concept, **about}
    if number % 3 == 1:
        kind = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"}
        period = {"start": f"{day}T09:00:00+01:00", "end": f"{day}T09:30:00+01:00"}
        return {"resourceType": "Encounter", "status": "finished", "class": kind, "period": period, **about}
    coding = {"system": "http://loinc.org", "code": "718-7", "display": "Hemoglobin [Mass/volume] in Blood"}
    value = {"value": Decimal("13.2"), "unit": "g/dL", "system": "http://unitsofmeasure.org", "code": "g/dL"}
    found = {"code": {"coding": [coding]}, "effectiveDateTime": f"{day}T08:30:00+01:00", "valueQuantity": value}
    return {"resourceType": "Observation", "status": "final", **found, **about}


def groups(engine: Engine, chosen: Sequence[str] | None) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield the sources asked for as one group (the consensus on liver metastases by default), then all of them."""
    yield " + ".join(chosen or CONSENSUS), frozenset(chosen or CONSENSUS)
    yield "all sources", frozenset(item.source for item in engine.recommendations)


def conditions(engine: Engine, sources: frozenset[str]) -> Iterator[Define]:
    """Yield the defines on which the recommendations of some sources rest."""
    for recommendation in engine.recommendations:
        for _, action in plans.walk(recommendation.plan) if recommendation.source in sources else ():
            for condition in action.get("condition", ()):
                if condition.get("kind") == APPLICABILITY:
                    meaning = engine.meaning(condition["expression"], recommendation.plan)
                    if isinstance(meaning, Define):
                        yield meaning


def defines(engine: Engine) -> Iterator[Define]:
    """Yield every define of every library."""
    for library in engine.program.libraries:
        yield from (Define(library.name, name) for name in library.defines if name != "Patient")


def verdicts(engine: Engine, one: PatientRecord, wanted: Sequence[Define]) -> list[Any]:
    """Return the value of each condition."""
    evaluation = engine.evaluate(one.resources, instant(NOW), {})
    return [evaluation.value(*define) for define in wanted]


def shown(engine: Engine, one: PatientRecord, asked: Sequence[Recommendation]) -> list[dict[str, Any]]:
    """Return the outcomes that a reader is shown, in their JSON form: those that do not apply are left out."""
    session = begin(engine, one, NOW)
    decided = ((item, outcome_of(session, item.plan)) for item in asked)
    return [
        item_of(item.source, item.number, item.plan["id"], outcome)
        for item, outcome in decided
        if outcome.verdict is not Verdict.NOT_APPLICABLE
    ]


def all_outcomes(engine: Engine, one: PatientRecord, asked: Sequence[Recommendation]) -> list[dict[str, Any]]:
    """Return the outcomes of recommendations in their JSON form."""
    return list(outcomes_in(begin(engine, one, NOW), asked))


def applied(engine: Engine, one: PatientRecord, plan: Any) -> bytes:
    """Return the CarePlan of a plan for a record as JSON, with the dates of its schedules."""
    session = begin(engine, one, NOW)
    found = apply_in(session, plan)
    return codec.encode(with_schedules(careplan(found), schedules_in(session, found)))


def every(engine: Engine, one: PatientRecord, names: Sequence[Define]) -> dict[str, Any]:
    """Return the value of every define; {"error": text} where it fails."""
    evaluation = engine.evaluate(one.resources, instant(NOW), {})
    found: dict[str, Any] = {}
    for define in names:
        try:
            found[f"{define.library}.{define.name}"] = evaluation.value(*define)
        except EvaluationError as error:
            found[f"{define.library}.{define.name}"] = {peer.ERROR: error.message}
    return found


def timed(records: dict[str, Any], repeat: int, work: Callable[[Any], Any]) -> Times:
    """Time some work on each record, as if it were the first ever seen: no date text is remembered."""
    caches = [item for item in vars(temporal_text).values() if hasattr(item, "cache_clear")]
    times = Times()
    for one in records.values():
        work(one)
    for _ in range(repeat):
        for name, one in records.items():
            for cache in caches:
                cache.cache_clear()
            times.add(name, lambda one=one: work(one))
    return times


def starting() -> None:
    """Print what loading costs in a process of its own, and one command from start to end."""
    code = (
        "import time; t=[time.process_time()]\n"
        "from fhir_cds import cql\nfrom fhir_cds.knowledge.load import content_roots, load\n"
        "from fhir_cds.reasoning.engine import Engine\nfrom fhir_cds.terminology import local\n"
        "t.append(time.process_time()); k = load(content_roots()); t.append(time.process_time())\n"
        "s = local.code_sets(k.registry); p = cql.Program.load(k.elm.values(), s); t.append(time.process_time())\n"
        "Engine.of(k.registry, p, s); t.append(time.process_time())\n"
        "print(*(round((b - a) * 1000) for a, b in zip(t, t[1:])))"
    )
    rows = [[int(word) for word in run([sys.executable, "-c", code])[0].split()] for _ in range(3)]
    imports, reading, compiling, checking = (statistics.median(column) for column in zip(*rows, strict=True))
    print(f"cold start, CPU: imports {imports} ms, reading content {reading} ms, ELM to compiled {compiling} ms,")
    print(f"  cross-checks and tables {checking} ms")
    patient = ROOT / "tests" / "patients" / "liver-recurrence.json"
    command = [sys.executable, "-m", "fhir_cds.cli.main", "outcomes", "--patient", str(patient), "--now", NOW[:10]]
    walls = []
    for _ in range(3):
        started = time.perf_counter()
        _, cpu = run(command)
        walls.append((time.perf_counter() - started, cpu))
    print(f"fhir-cds outcomes, start to end: {min(walls)[0]:.2f} s, CPU {min(walls)[1]:.2f} s (best of 3)")


def run(command: Sequence[str]) -> tuple[str, float]:
    """Run a command in the project's folder; return what it prints and its CPU seconds."""
    before = os.times()
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    after = os.times()
    used = after.children_user - before.children_user + after.children_system - before.children_system
    return done.stdout, used


if __name__ == "__main__":
    sys.exit(main())
