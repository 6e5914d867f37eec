"""BenchCDS: this engine beside cql-execution, in the same run, on the same patients, answers compared.

    python -m benchmarks.engine.run [--bench DIR] [--node-modules DIR] [--install] [--repeat N] [--without-peer]

Everything generated (patients, value sets, ELM, answers) lives in a temporary folder. Exits with 1 when an answer
differs.
"""

from __future__ import annotations

import argparse
import gc
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from fhir_cds.authoring.helpers import fhir_helpers
from fhir_cds.authoring.translate import install, translate
from fhir_cds.cql import DateTime, Program, Quantity
from fhir_cds.cql.runtime import temporal_text

NOW = "2026-01-01T00:00:00.000+00:00"
LIBRARY = "BenchCDS"
PEER = ("cql-execution@3.3.2", "cql-exec-fhir@2.2.0")
Json = dict[str, Any]


def main() -> int:
    options = arguments()
    if options.install and not (options.node_modules / "@cqframework/cql").is_dir():
        install(options.node_modules)
    if options.install and not (options.node_modules / "cql-execution").is_dir():
        npm = ["npm", "install", "--no-save", "--no-package-lock", "--prefix", str(options.node_modules.parent), *PEER]
        subprocess.run(npm, check=True, capture_output=True)
    with tempfile.TemporaryDirectory(prefix="fhir-cds-bench-") as folder:
        work = Path(folder)
        prepare(work, options.bench, options.node_modules)
        ours = run_ours(work, options.repeat)
        print(f"fhir_cds.cql ({sys.implementation.name} {sys.version.split()[0]})")
        for name, value in ours["figures"].items():
            print(f"  {name:<52} {value}")
        if options.without_peer:
            return 0
        speed, text = run_peer(work, options.bench, options.node_modules)
        print(f"cql-execution\n  {text}")
        differing = compare(ours["answers"], work / "out_cqlexec.json")
        print(f"ratio of evaluations per CPU second, fresh patients    {ours['speed'] / speed:.1f}")
        print(f"answers that differ                                    {differing} of {ours['count']}")
        return 1 if differing else 0


def arguments() -> argparse.Namespace:
    root = Path(__file__).resolve().parents[2]
    modules = Path(os.environ.get("FHIR_CDS_NODE_MODULES", root / "node_modules"))
    parser = argparse.ArgumentParser(prog="benchmarks.engine.run", description="BenchCDS beside cql-execution")
    parser.add_argument("--bench", type=Path, default=root.parent / "shared" / "engine-bench")
    parser.add_argument("--node-modules", type=Path, default=modules)
    parser.add_argument("--install", action="store_true", help="install the translator and cql-execution with npm")
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--without-peer", action="store_true")
    return parser.parse_args()


def prepare(work: Path, bench: Path, node_modules: Path) -> None:
    """Generate the patients and translate the library, both for our engine and for the peer."""
    subprocess.run([sys.executable, str(bench / "gen.py")], cwd=work, check=True, capture_output=True)
    sources = {LIBRARY: (bench / "BenchCDS.cql").read_text(), "FHIRHelpers": fhir_helpers(node_modules)}
    translation = translate(sources, list(sources), node_modules=node_modules)
    (work / "elm").mkdir()
    for name, translated in translation.libraries.items():
        (work / "elm" / f"{name}.json").write_bytes(msgspec.json.encode(translated.elm))


def run_ours(work: Path, repeat: int) -> Json:
    """Time loading, one pass over fresh patients, one patient alone; collect the answers."""
    decoder = msgspec.json.Decoder(float_hook=Decimal)
    elm = decoder.decode((work / "elm" / f"{LIBRARY}.json").read_bytes())
    valuesets = {
        url: [(s, c) for s, c in codes] for url, codes in decoder.decode((work / "valuesets.json").read_bytes()).items()
    }
    started = time.perf_counter()
    program = Program.load([elm], valuesets)
    load = time.perf_counter() - started
    bundles = decoder.decode((work / "patients.json").read_bytes())
    texts = [msgspec.json.encode(bundle) for bundle in bundles]
    patients = [[entry["resource"] for entry in bundle["entry"]] for bundle in bundles]
    names = [name for name in program.library(LIBRARY).defines if name != "Patient"]
    caches = [f for f in vars(temporal_text).values() if hasattr(f, "cache_clear")]

    def evaluate(resources: list[Json]) -> None:
        evaluation = program.evaluate(resources, NOW)
        for name in names:
            evaluation.value(LIBRARY, name)

    def fresh() -> None:
        for cache in caches:
            cache.cache_clear()

    gc.collect()
    gc.freeze()
    cold: list[float] = []
    warm: list[float] = []
    for _ in range(repeat):
        fresh()
        cold.append(cpu(lambda: [evaluate(resources) for resources in patients]))
        warm.append(cpu(lambda: [evaluate(resources) for resources in patients]))
    single: list[float] = []
    fresh()
    for resources in patients:
        started = time.perf_counter()
        evaluate(resources)
        single.append((time.perf_counter() - started) * 1000)
    decoding = cpu(lambda: [decoder.decode(text) for text in texts]) / len(texts) * 1000
    index = cpu(lambda: [program.evaluate(resources, NOW) for resources in patients]) / len(patients) * 1000
    count = len(patients) * len(names)
    speed = count / statistics.median(cold)
    single.sort()
    answers = {}
    for resources in patients:
        evaluation = program.evaluate(resources, NOW)
        answers[resources[0]["id"]] = {name: plain(evaluation.value(LIBRARY, name)) for name in names}
    figures = {
        "defines x patients": f"{len(names)} x {len(patients)} = {count}",
        "loading (ELM to compiled)": f"{load * 1000:.0f} ms",
        "evaluations per CPU second, fresh patients": f"{speed:,.0f}",
        "evaluations per CPU second, date texts seen before": f"{count / statistics.median(warm):,.0f}",
        "one patient, wall: p50, p95": f"{single[len(single) // 2]:.2f} ms, {single[int(len(single) * 0.95)]:.2f} ms",
        "of it the index of the retrieves": f"{index:.2f} ms",
        "floor: decoding the patient's JSON (msgspec, Decimal)": f"{decoding:.2f} ms",
    }
    return {"figures": figures, "speed": speed, "answers": answers, "count": count}


def cpu(work: Any) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def run_peer(work: Path, bench: Path, node_modules: Path) -> tuple[float, str]:
    """Run cql-execution over the same files; returns evaluations per CPU second and its own report."""
    environment = {**os.environ, "TZ": "UTC", "NODE_MODULES": str(node_modules)}
    command = [shutil.which("node") or "node", str(bench / "bench_cqlexec.cjs"), "1", "dump"]
    done = subprocess.run(command, cwd=work, env=environment, check=True, capture_output=True, text=True)
    report = msgspec.json.decode(done.stdout.splitlines()[0])
    return float(report["evals_per_cpu_s"]), done.stdout.strip().replace("\n", "\n  ")


def compare(answers: Json, path: Path) -> int:
    """Return how many answers differ from the peer's, printing the first ones."""
    theirs = msgspec.json.decode(path.read_bytes())
    differing = 0
    for patient, values in theirs.items():
        for name, value in values.items():
            expected = without_wrappers(value)
            if answers[patient][name] != expected:
                differing += 1
                if differing <= 5:
                    print(f"differs: {patient} {name}: {answers[patient][name]!r} here, {expected!r} there")
    return differing


def without_wrappers(value: Any) -> Any:
    """Take the peer's objects for FHIR primitives, `{value: x}`, off, and numbers to six decimals."""
    if isinstance(value, dict):
        return (
            without_wrappers(value["value"])
            if value.keys() == {"value"}
            else {k: without_wrappers(v) for k, v in value.items()}
        )
    if isinstance(value, list):
        return [without_wrappers(item) for item in value]
    return round(float(value), 6) if isinstance(value, int | float) and not isinstance(value, bool) else value


def plain(value: Any) -> Any:
    """Bring our values into the form in which the peer's script writes its own."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, DateTime):
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(value.lo // 1000)) + f".{value.lo % 1000:03d}Z"
    if isinstance(value, Quantity):
        return {"q": round(float(value.value), 6), "u": value.unit}
    if isinstance(value, dict):
        if "resourceType" in value:
            return f"{value['resourceType']}/{value['id']}"
        if "value" in value and "unit" in value:
            return {"q": float(value["value"]), "u": value["unit"]}
        return {name: plain(item) for name, item in value.items()}
    return round(float(value), 6) if isinstance(value, int | Decimal) and not isinstance(value, bool) else value


if __name__ == "__main__":
    sys.exit(main())
