"""Run the official FHIRPath R4 tests and print the figures: `python -m tests.spec.fhirpath_suite`.

See README.md in this folder for the rules. Exit status 0 only when every test passes but those of
`fhirpath_exceptions.toml`.
"""

from __future__ import annotations

import sys
import tomllib
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

from fhir_cds.cql.fhirpath import FhirPathError, compile_path
from fhir_cds.fhir.codec import decode

HERE: Final = Path(__file__).parent
SUITE: Final = HERE.parents[1].parent / "shared" / "fhirpath-tests"
NOW: Final = "2026-01-31T12:30:15.250+00:00"
TOLERANCE: Final = Decimal("0.00000001")


@dataclass(frozen=True, slots=True)
class Case:
    """One test: id (group/name), input file, expression and expected (type, text); `invalid` when it must fail."""

    id: str
    input: str | None
    expression: str
    expected: tuple[tuple[str | None, str], ...]
    invalid: bool
    predicate: bool
    ordered: bool


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one test; `problem` is None when it passed."""

    case: Case
    problem: str | None


def cases(suite: Path) -> list[Case]:
    """Read the tests in order; a name that occurs again in its group gets a number."""
    found: list[Case] = []
    used: Counter[str] = Counter()
    root = ET.parse(suite / "tests-fhir-r4.xml").getroot()  # noqa: S314 - the published test file
    for group in root.iter("group"):
        for test in group.iter("test"):
            expression = test.find("expression")
            if expression is None:
                raise ValueError(f"{test.get('name')} has no expression")
            name = f"{group.get('name')}/{test.get('name')}"
            used[name] += 1
            found.append(
                Case(
                    name if used[name] == 1 else f"{name}#{used[name]}",
                    test.get("inputfile"),
                    expression.text or "",
                    tuple((output.get("type"), output.text or "") for output in test.findall("output")),
                    "invalid" in expression.attrib,
                    test.get("predicate") == "true",
                    test.get("ordered") != "false",
                )
            )
    return found


def same(got: tuple[str, Any], expected: tuple[str | None, str]) -> bool:
    """Compare one item strictly: its type, and its value as the expected text says it."""
    (kind, value), (wanted, text) = got, expected
    space, _, name = kind.partition(".")
    if wanted is None:
        return _same_literal(kind, value, text)
    if name != wanted and not (space == "System" and name.lower() == wanted.lower()):
        return False
    if isinstance(value, bool):
        return text == ("true" if value else "false")
    if isinstance(value, int | Decimal):
        return _close(value, text)
    return str(value) == text.removeprefix("@")


def _same_literal(kind: str, value: Any, text: str) -> bool:
    """Compare with a text without type: a literal of FHIRPath itself."""
    for wanted, literal in compile_path(text).typed(None):
        if isinstance(literal, int | Decimal) and not isinstance(literal, bool):
            return isinstance(value, int | Decimal) and _close(value, text)
        return wanted == kind and str(value) == str(literal)
    return False


def _close(value: int | Decimal, text: str) -> bool:
    try:
        return abs(Decimal(value) - Decimal(text)) <= TOLERANCE
    except InvalidOperation:
        return False


def judge(case: Case, inputs: Mapping[str, Any]) -> Result:
    """Evaluate one test and compare."""
    try:
        resource = inputs[case.input.replace(".xml", ".json")] if case.input else None
        got = compile_path(case.expression).typed(resource, now=NOW)
    except FhirPathError as error:
        return Result(case, None if case.invalid else f"error: {error}")
    except Exception as error:  # an engine error of any other kind is a failure even where a failure is expected
        return Result(case, f"crash: {type(error).__name__}: {error}")
    if case.invalid:
        return Result(case, f"expected a failure, got {got!r}")
    if case.predicate:
        got = [("System.Boolean", bool(got))]
    matches = len(got) == len(case.expected) and (
        all(same(a, b) for a, b in zip(got, case.expected, strict=True))
        if case.ordered
        else all(any(same(a, b) for a in got) for b in case.expected)
    )
    return Result(case, None if matches else f"expected {list(case.expected)!r}, got {got!r}")


def run(suite: Path = SUITE) -> list[Result]:
    """Run the whole suite."""
    inputs = {path.name: decode(path.read_bytes()) for path in sorted(suite.glob("*.json"))}
    return [judge(case, inputs) for case in cases(suite)]


def exceptions() -> dict[str, str]:
    """Return the tests that do not pass, each with its reason."""
    with (HERE / "fhirpath_exceptions.toml").open("rb") as file:
        listed: dict[str, str] = tomllib.load(file)["fhirpath"]
    return listed


def surprises(results: Sequence[Result], listed: Mapping[str, str]) -> list[str]:
    """Return what is not as listed: failures not listed, listed tests that pass or do not exist."""
    failed = {result.case.id: result.problem for result in results if result.problem is not None}
    known = {result.case.id for result in results}
    return [
        *(f"fails: {name}: {problem}" for name, problem in failed.items() if name not in listed),
        *(f"listed, but passes: {name}" for name in listed if name in known and name not in failed),
        *(f"listed, but there is no such test: {name}" for name in listed if name not in known),
    ]


def main() -> int:
    """Run, print and tell by the exit status whether all is as expected."""
    if not SUITE.is_dir():
        sys.stdout.write("The FHIRPath tests are not beside this repository (../shared/fhirpath-tests): nothing run.\n")
        return 0
    results = run()
    good = sum(result.problem is None for result in results)
    wrong = surprises(results, exceptions())
    figure = f"{good:5} of {len(results):5}  = {good / len(results):.2%} of the official FHIRPath R4 tests"
    sys.stdout.write("\n".join([figure, *wrong]) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
