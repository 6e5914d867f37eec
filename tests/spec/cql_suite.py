"""Run the official CQL tests against the engine and print the figures: `python -m tests.spec.cql_suite`.

See README.md in this folder for the rules. Exit status 0 only when every test passes but those of `exceptions.toml`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import msgspec

from fhir_cds.authoring.translate import OPTIONS, TRANSLATOR, missing
from fhir_cds.cql import DateTime, Program
from fhir_cds.errors import FhirCdsError

from . import cql_literal as literal

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
SUITE: Final = ROOT.parent / "shared" / "cql-tests"
NODE_MODULES: Final = Path(os.environ.get("FHIR_CDS_NODE_MODULES", ROOT / "node_modules"))
NAMESPACE: Final = "{http://hl7.org/fhirpath/tests}"
NOW: Final = DateTime.of((2026, 1, 31, 12, 30, 15, 250), 0)
CALLS: Final = {"Now()": NOW}


@dataclass(frozen=True, slots=True)
class Case:
    """One test: its id (file/group/name), the expression, the expected text; `invalid` when it must fail."""

    id: str
    expression: str
    expected: str | None
    invalid: bool

    @property
    def file(self) -> str:
        """The file that the test stands in."""
        return self.id.partition("/")[0]


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one test; `problem` is None when it passed."""

    case: Case
    problem: str | None


def cases(suite: Path) -> list[Case]:
    """Read the test files in the order of their names."""
    found = []
    for path in sorted(suite.glob("*.xml")):
        root = ET.parse(path).getroot()  # noqa: S314 - the published test files
        for group in root.iter(f"{NAMESPACE}group"):
            for test in group.iter(f"{NAMESPACE}test"):
                expression = test.find(f"{NAMESPACE}expression")
                if expression is None or expression.text is None:
                    raise ValueError(f"{path.name}: {test.get('name')} has no expression")
                output = test.find(f"{NAMESPACE}output")
                name = f"{root.get('name')}/{group.get('name')}/{test.get('name')}"
                invalid = expression.get("invalid", "false") != "false"
                found.append(Case(name, expression.text, None if output is None else output.text, invalid))
    repeated = [name for name, count in Counter(case.id for case in found).items() if count > 1]
    if repeated:
        raise ValueError(f"test ids that are not unique: {repeated}")
    return found


def translated(tests: Sequence[Case]) -> Mapping[str, Any]:
    """Return per library (T0, T1, …) its ELM, or None with the errors; kept in the temporary folder between runs."""
    sources = {
        f"T{number}": f"library T{number}\ndefine Result:\n  {case.expression}\n" for number, case in enumerate(tests)
    }
    job = {"nodeModules": str(NODE_MODULES), "options": OPTIONS, "sources": sources, "translate": list(sources)}
    key = msgspec.json.encode([sources, OPTIONS]) + b"".join(
        (TRANSLATOR / name).read_bytes() for name in ("translate.mjs", "package.json")
    )
    kept = Path(tempfile.gettempdir()) / "fhir-cds-spec" / f"{hashlib.sha256(key).hexdigest()}.json"
    if not kept.is_file():
        if problem := missing(NODE_MODULES):
            raise RuntimeError(problem)
        done = subprocess.run(
            [shutil.which("node") or "node", str(TRANSLATOR / "translate.mjs")],
            input=msgspec.json.encode(job),
            capture_output=True,
            check=True,
        )
        kept.parent.mkdir(parents=True, exist_ok=True)
        partial = kept.with_suffix(f".{os.getpid()}")
        partial.write_bytes(done.stdout)
        partial.replace(kept)
    libraries: Mapping[str, Any] = msgspec.json.Decoder(float_hook=Decimal).decode(kept.read_bytes())["libraries"]
    return libraries


def evaluate(library: Mapping[str, Any], name: str) -> Any:
    """Return the value of the define `Result`; raises what the engine raises."""
    return Program.load([library], {}).evaluate([], now=NOW).value(name, "Result")


def judge(case: Case, name: str, answer: Mapping[str, Any]) -> Result:
    """Evaluate one test and compare."""
    if answer["errors"] or answer["elm"] is None:
        first = answer["errors"][0]["message"]
        return Result(case, None if case.invalid else f"does not translate: {first}")
    try:
        value = evaluate(answer["elm"], name)
    except FhirCdsError as error:
        return Result(case, None if case.invalid else f"{type(error).__name__}: {error}")
    except Exception as error:  # an engine error of any other kind is a failure even where a failure is expected
        return Result(case, f"crash: {type(error).__name__}: {error}")
    if case.invalid:
        return Result(case, f"expected a failure, got {value!r}")
    expected = literal.parse(case.expected or "null", CALLS)
    return Result(case, None if literal.same(expected, value) else f"expected {expected!r}, got {value!r}")


def exceptions() -> dict[str, str]:
    """Return the tests that do not pass, each with its reason."""
    with (HERE / "exceptions.toml").open("rb") as file:
        listed: dict[str, str] = tomllib.load(file)["cql"]
    return listed


def run(suite: Path = SUITE) -> list[Result]:
    """Run the whole suite."""
    tests = cases(suite)
    libraries = translated(tests)
    return [judge(case, f"T{number}", libraries[f"T{number}"]) for number, case in enumerate(tests)]


def surprises(results: Sequence[Result], listed: Mapping[str, str]) -> list[str]:
    """Return what is not as `exceptions.toml` says: failures not listed, listed tests that pass or do not exist."""
    failed = {result.case.id: result.problem for result in results if result.problem is not None}
    known = {result.case.id for result in results}
    return [
        *(f"fails: {name}: {problem}" for name, problem in failed.items() if name not in listed),
        *(f"listed, but passes: {name}" for name in listed if name in known and name not in failed),
        *(f"listed, but there is no such test: {name}" for name in listed if name not in known),
    ]


def report(results: Sequence[Result]) -> str:
    """Return the figures per file and in all."""
    total = Counter(result.case.file for result in results)
    passed = Counter(result.case.file for result in results if result.problem is None)
    lines = [f"{passed[file]:5} of {total[file]:5}  {file}" for file in sorted(total)]
    good, count = passed.total(), total.total()
    return "\n".join([*lines, f"{good:5} of {count:5}  = {good / count:.2%} of the official CQL tests"])


def main() -> int:
    """Run, print and tell by the exit status whether all is as expected."""
    if not SUITE.is_dir():
        sys.stdout.write("The official CQL tests are not beside this repository (../shared/cql-tests): nothing run.\n")
        return 0
    results = run()
    wrong = surprises(results, exceptions())
    sys.stdout.write("\n".join([report(results), *wrong]) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
