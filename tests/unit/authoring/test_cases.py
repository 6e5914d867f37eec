"""Cases: read strictly, run against the engine, and able to fail."""

from dataclasses import replace
from pathlib import Path

import pytest

from fhir_cds.authoring import cases, runner
from fhir_cds.errors import InputError, NotFoundError
from fhir_cds.knowledge.load import load
from fhir_cds.reasoning.engine import Engine

FEVER = cases.CASES / "toy-1/1-fever.yaml"


def run(root: Path, path: Path = FEVER) -> runner.Result:
    """The result of one case of a content root."""
    return runner.run(Engine.load(load([root])), cases.load(root / path, cases.words(root)))


def edit(root: Path, before: str, after: str, path: Path = FEVER) -> None:
    """Change a case file."""
    text = (root / path).read_text()
    assert before in text
    (root / path).write_text(text.replace(before, after))


def test_a_guideline_of_files_alone_passes_its_cases(toy: Path) -> None:
    """A guideline is added without touching Python: every case of the toy guideline comes out as expected."""
    engine = Engine.load(load([toy]))
    results = [runner.run(engine, case) for case in cases.load_all(toy) if isinstance(case, cases.Case)]
    assert len(results) == 5
    assert [result.differences for result in results] == [()] * 5


@pytest.mark.parametrize(
    ("before", "after", "difference"),
    [
        ("outcome: applicable", "outcome: not-applicable", "toy-1: expected not-applicable, got applicable"),
        ("outcome: applicable", "outcome: unknown\n  missing: []", "expected unknown, got applicable"),
        ("Fever: true", "Fever: false", 'ToyLogic."Fever": expected False, got True'),
        ("38.0 Cel\n    Toy", "38.1 Cel\n    Toy", "Threshold Of Fever"),
        ("observation-1", "observation-2", "Last Temperature"),
        ("earliest: 2026-04-01", "earliest: 2026-04-02", "visit 1 earliest: expected 2026-04-02, got 2026-04-01"),
        ("status: scheduled", "status: overdue", "visit 1 status"),
        ("    - ...\n", "", "schedule: expected 1 visits"),
        ("value: 38.0", "value: 37.0", "expected applicable, got not-applicable"),
    ],
)
def test_wrong_expectations_fail(toy: Path, before: str, after: str, difference: str) -> None:
    """Each kind of expectation fails when it is wrong, and says how."""
    edit(toy, before, after)
    assert difference in "\n".join(run(toy).differences)


def test_unknown_must_name_what_is_missing(toy: Path) -> None:
    """A case that expects unknown without saying which facts are missing does not pass; nor one that names others."""
    path = cases.CASES / "toy-1/1-unknown.yaml"
    edit(toy, "missing: [body_temperature]", "missing: [pulse]", path)
    assert run(toy, path).differences == ("toy-1: expected missing pulse, got body_temperature",)
    edit(toy, "  missing: [pulse]\n", "", path)
    assert "must say which facts are missing (body_temperature)" in run(toy, path).differences[0]


def test_a_difference_shows_how_it_came_about(toy: Path) -> None:
    """Under a wrong outcome stands the why-tree, down to the resource."""
    edit(toy, "value: 38.0", "value: 37.0")
    why = run(toy).why
    assert 'ToyLogic."Fever" = no' in why
    assert "Observation/observation-1" in why


def test_errors_are_differences(toy: Path) -> None:
    """A define that is not there fails the case with its name; it does not end the run."""
    edit(toy, "    Fever: true", "    Nonsense: true")
    assert "Nonsense" in run(toy).differences[0]


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("id: 1-fever", "id: other", "id is not the file's name"),
        ("title:", "titel:", "unknown key: titel"),
        ("guideline: toy2026 1\n", "", "missing key: guideline"),
        ("now: 2026-03-05", "now: 2026-03", "now is a day"),
        ("outcome: applicable", "outcome: yes", "an outcome is one of"),
        ("outcome: applicable", "outcom: applicable", "unknown key in expect: outcom"),
        ("earliest:", "earlyest:", "unknown key in a visit: earlyest"),
        ("facts:", "remove: [Observation/x]\nfacts:", "remove: Observation/x is not in the patient"),
    ],
)
def test_case_files_are_read_strictly(toy: Path, before: str, after: str, message: str) -> None:
    """A slip in a case is an error, never an expectation that is quietly not checked."""
    edit(toy, before, after)
    with pytest.raises(InputError, match=message):
        cases.load(toy / FEVER, cases.words(toy))


def test_a_patient_to_start_from(toy: Path) -> None:
    """Facts of a base patient are kept, taken away, replaced by id, and added to."""
    base = toy / cases.CASES / "stories/base.yaml"
    base.with_suffix(".txt").write_text("")
    patients = toy / "tests/patients"
    patients.mkdir()
    (patients / "one.yaml").write_text(
        "facts:\n"
        "  - Observation: {id: a, code: TOY#temperature, value: 36 Cel, effective: 2026-03-01}\n"
        "  - Observation: {id: b, code: TOY#temperature, value: 37 Cel, effective: 2026-03-02}\n"
    )
    edit(
        toy,
        "facts:",
        "patient: ../../patients/one.yaml\nremove: [Observation/a]\nfacts:\n"
        "  - Observation: {id: b, code: TOY#temperature, value: 40 Cel, effective: 2026-03-02}",
    )
    case = cases.load(toy / FEVER, cases.words(toy))
    values = {resource["id"]: resource.get("valueQuantity", {}).get("value") for resource in case.resources}
    assert values == {"patient-1": None, "b": 40, "observation-1": values["observation-1"]}


def test_selection(toy: Path) -> None:
    """Cases are found by plan, by id, by file and by folder; a word that fits none is an error."""
    assert len(cases.find(toy)) == 5
    assert len(cases.find(toy, ["toy-1"])) == 4
    assert [path.stem for path in cases.find(toy, ["1-fever"])] == ["1-fever"]
    assert cases.find(toy, [str(toy / FEVER)]) == [toy / FEVER]
    assert len(cases.find(toy, [str((toy / FEVER).parent), "fever-comes"])) == 5
    with pytest.raises(NotFoundError, match="nothing-like-it"):
        cases.find(toy, ["nothing-like-it"])


def test_a_case_may_set_what_a_site_may_set() -> None:
    """A CQL parameter by its name changes the answer; a name that no library has is a difference."""
    root = Path(__file__).parents[3]
    engine = Engine.load(load([root]))
    folder = root / cases.CASES / "tarpswg2018-check-metastasectomy"
    case = cases.load(folder / "performance-not-suitable.yaml", cases.words(root))
    assert runner.run(engine, case).passed
    without = replace(case, parameters={})
    assert any("got not-applicable" in text for text in runner.run(engine, without).differences)
    misspelt = replace(case, parameters={"Worst Grade": 1})
    assert any("no library has the parameter Worst Grade" in text for text in runner.run(engine, misspelt).differences)
