"""Mutants: each is a wrong that cases should notice; the count says how many they do."""

import json
from pathlib import Path

import pytest

from fhir_cds.authoring import cases, mutants, mutate, schemata, survivors
from fhir_cds.errors import ContentError


def changes(expression: dict) -> list[str]:
    """What is done to one expression, in words."""
    document = {
        "library": {"identifier": {"id": "L"}, "statements": {"def": [{"name": "D", "expression": expression}]}}
    }
    return [mutant.change for mutant in mutants.mutants(document)]


INTEGER = {"type": "Literal", "valueType": "{urn:hl7-org:elm-types:r1}Integer", "value": "5"}
TEXT = {"type": "Literal", "valueType": "{urn:hl7-org:elm-types:r1}String", "value": "5"}
TRUE = {"type": "Literal", "valueType": "{urn:hl7-org:elm-types:r1}Boolean", "value": "true"}
A, B, C = ({"type": "ExpressionRef", "name": name} for name in "ABC")
A_AND_B = {"type": "And", "operand": [A, B]}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ({"type": "LessOrEqual", "operand": []}, ["LessOrEqual becomes Less", "LessOrEqual becomes Greater"]),
        (A_AND_B, ["And becomes Or", "the right side of And is left out", "the left side of And is left out"]),
        ({"type": "Coalesce", "operand": [A, B]}, [f"member {at} of Coalesce is left out" for at in (1, 2)]),
        ({"type": "List", "element": [A, B, C]}, [f"member {at} of List is left out" for at in (1, 2, 3)]),
        ({"type": "List", "element": [A]}, []),
        (
            {"type": "Case", "caseItem": [{"when": A, "then": B}, {"when": B, "then": A}], "else": C},
            ["when 1 is left out", "when 2 is left out"],
        ),
        ({"type": "If", "condition": A, "then": B, "else": C}, ["If becomes its then", "If becomes its else"]),
        ({"type": "Query", "source": [], "where": A}, ["where is left out"]),
        ({"type": "IsTrue", "operand": A}, ["IsTrue becomes IsFalse", "IsTrue is left out"]),
        (TRUE, ["true becomes false"]),
        (
            {"type": "As", "asType": "{urn:hl7-org:elm-types:r1}Boolean", "operand": {"type": "Null"}},
            ["null becomes false"],
        ),
        ({"type": "As", "asType": "{urn:hl7-org:elm-types:r1}Date", "operand": {"type": "Null"}}, []),
        ({"type": "Not", "operand": {"type": "ExpressionRef"}}, ["Not is left out"]),
        ({"type": "Exists", "operand": {}}, ["Exists becomes Not Exists"]),
        (INTEGER, ["5 becomes 6", "5 becomes 4"]),
        (TEXT, []),
        ({"type": "Quantity", "value": 6, "unit": "months"}, ["6 months becomes 7", "6 months becomes 5"]),
        (
            {"type": "Interval", "lowClosed": True, "highClosed": False},
            ["lowClosed becomes false", "highClosed becomes true"],
        ),
    ],
)
def test_what_is_changed(expression: dict, expected: list[str]) -> None:
    """Comparisons, boolean operators, thresholds and bounds are turned, parts left out, unknown made no; text stays."""
    assert changes(expression) == expected


def test_what_a_chain_keeps() -> None:
    """Each member of a chain is left out once, and the others stay."""
    expression = {"type": "And", "operand": [A_AND_B, C]}
    document = {
        "library": {"identifier": {"id": "L"}, "statements": {"def": [{"name": "D", "expression": expression}]}}
    }
    rest = [mutant.replacement for mutant in mutants.mutants(document) if "left out" in mutant.change]
    assert rest == [A_AND_B, A, B]  # without C, without B, without A


def test_value_sets_are_swapped() -> None:
    """A value set becomes the next one of its library, also where the reference has no type (InValueSet)."""
    included = {"library": {"valueSets": {"def": [{"name": "A"}, {"name": "B"}]}}}
    document = {
        "library": {
            "identifier": {"id": "L"},
            "includes": {"def": [{"localIdentifier": "C", "path": "Concepts"}]},
            "statements": {
                "def": [
                    {"name": "D", "expression": {"type": "InValueSet", "valueset": {"name": "B", "libraryName": "C"}}}
                ]
            },
        }
    }
    (mutant,) = (each for each in mutants.mutants(document, {"Concepts": included}) if each.change.startswith('"'))
    assert mutant.change == '"B" becomes "A"'
    changed = mutants.applied(document, mutant)
    assert changed["library"]["statements"]["def"][0]["expression"]["valueset"]["name"] == "A"
    assert document["library"]["statements"]["def"][0]["expression"]["valueset"]["name"] == "B"  # type: ignore[index]


MORE_CASES = {
    "1-what-counts": """
id: 1-what-counts
title: A preliminary value does not count, a corrected one does; another drug hides no fever
guideline: toy2026 1
now: 2026-03-05
facts:
  - MedicationStatement: {medicationCodeableConcept: {text: Vitamin D}}
  - Observation: {code: TOY#temperature, value: 37.2 Cel, effective: 2026-03-04, status: preliminary}
  - Observation: {code: TOY#temperature, value: 38.6 Cel, effective: 2026-03-03, status: amended}
expect:
  outcome: applicable
""",
    "1-undated": """
id: 1-undated
title: A value without a date does not count
guideline: toy2026 1
now: 2026-03-05
facts:
  - Observation: {code: TOY#temperature, value: 38.6 Cel}
expect:
  outcome: unknown
  missing: [body_temperature]
""",
}


@pytest.mark.parametrize("jobs", [1, 2])
def test_good_cases_catch_every_mutant_of_the_toy(toy: Path, jobs: int) -> None:
    """The toy guideline's cases, and two of what counts, notice each slip, also with several processes."""
    for name, text in MORE_CASES.items():
        (toy / cases.CASES / f"toy-1/{name}.yaml").write_text(text)
    chosen = mutate.population(mutate.logic_of(toy))
    assert len(chosen) >= 10
    told: list[mutate.Fate] = []
    fates = mutate.run(toy, chosen, jobs, told.append)
    assert [str(fate.mutant) for fate in fates if fate.end != mutate.CAUGHT] == []
    assert told == fates
    assert mutate.share(fates) == (len(chosen), len(chosen))


def test_missing_cases_let_mutants_live(toy: Path) -> None:
    """Without the case on the boundary the threshold may move: the survivor names define and place."""
    (toy / cases.CASES / "toy-1/1-fever.yaml").unlink()
    chosen = mutate.population(mutate.logic_of(toy), lambda name: name.name in {"Fever", "Threshold Of Fever"})
    ends = {fate.mutant.change: fate.end for fate in mutate.run(toy, chosen, 1, lambda _: None)}
    assert ends["38 Cel becomes 37"] == mutate.CAUGHT
    assert ends["GreaterOrEqual becomes Greater"] == mutate.SURVIVED
    assert any(str(mutant).startswith("ToyLogic.cql:") for mutant in chosen)


def test_unreached_defines_count_against_the_cases(toy: Path) -> None:
    """A define that no case reaches is reported, and is not counted as caught."""
    for path in (toy / cases.CASES).glob("*/*.yaml"):
        path.unlink()
    chosen = mutate.population(mutate.logic_of(toy))
    fates = mutate.run(toy, chosen, 1, lambda _: None)
    assert {fate.end for fate in fates} == {mutate.UNREACHED}
    assert mutate.share(fates) == (0, len(chosen))


def test_failing_cases_are_refused(toy: Path) -> None:
    """A case that fails as things stand would catch everything: it must be mended first."""
    path = toy / cases.CASES / "toy-1/1-no-fever.yaml"
    path.write_text(path.read_text().replace("37.9", "38.9"))
    with pytest.raises(ContentError, match="1-no-fever"):
        mutate.bench(toy)


def test_the_default_of_a_parameter_is_a_threshold() -> None:
    """A parameter's default moves like any other threshold."""
    default = {"type": "Quantity", "value": 6, "unit": "weeks"}
    document = {"library": {"identifier": {"id": "L"}, "parameters": {"def": [{"name": "P", "default": default}]}}}
    assert [(mutant.define, mutant.change) for mutant in mutants.mutants(document)] == [
        (("L", "P"), "6 weeks becomes 7"),
        (("L", "P"), "6 weeks becomes 5"),
    ]


def test_a_batch_gives_what_each_mutant_gives_alone(toy: Path) -> None:
    """Mutants compiled together and switched on by number meet the same end as each in a program of its own."""
    (toy / cases.CASES / "toy-1/1-fever.yaml").unlink()
    chosen = mutate.population(mutate.logic_of(toy))
    bench = mutate.bench(toy)
    together = [fate.end for fate in bench.fates(chosen)]
    assert together == [bench.fates([mutant])[0].end for mutant in chosen]
    assert {mutate.CAUGHT, mutate.SURVIVED} <= set(together)


def test_one_that_does_not_compile_does_not_take_its_batch_with_it(toy: Path) -> None:
    """A batch that does not compile is halved until the mutant at fault is alone."""
    chosen = mutate.population(mutate.logic_of(toy))
    broken = mutants.Mutant(chosen[1].define, "", "nonsense", chosen[1].path, {"type": "NoSuchNode"})
    bench = mutate.bench(toy)
    alone = [fate.end for fate in bench.fates(chosen)]
    ends = [fate.end for fate in bench.fates([*chosen[:2], broken, *chosen[2:]])]
    assert ends == [*alone[:2], mutate.STILLBORN, *alone[2:]]


def test_no_mutant_is_in_force_until_it_is_switched_on(toy: Path) -> None:
    """With its mutants in it and none in force, the logic gives what the cases expect."""
    bench = mutate.bench(toy)
    chosen = mutate.population(bench.content.logic)
    engine = bench.engine(chosen)
    assert bench.content.cases
    assert all(mutate.runner.run(engine, case).passed for case in bench.content.cases)
    assert schemata.switched(chosen, 1)[schemata.WORDING] == 1


def explain(toy: Path, **entry: str) -> None:
    """Write one explained survivor."""
    lines = "\n".join(f"{key} = {json.dumps(value)}" for key, value in entry.items())
    (toy / survivors.FILE).write_text(f"[[survivor]]\n{lines}\n")


def test_a_survivor_is_named_by_the_text_of_the_cql(toy: Path) -> None:
    """An entry names define, change and text, not a line number: it holds while the text does."""
    mutant = next(m for m in mutate.population(mutate.logic_of(toy)) if m.change == "GreaterOrEqual becomes Greater")
    wrong = survivors.Sources.read(toy).wrong(mutant)
    assert wrong.define == "ToyLogic.Fever"
    assert ">=" in wrong.text
    explain(toy, **wrong._asdict(), reason="For the test.")
    assert survivors.explained(toy) == {wrong: "For the test."}


@pytest.mark.parametrize("missing", ["define", "change", "text", "reason"])
def test_an_entry_that_lacks_something_is_refused(toy: Path, missing: str) -> None:
    """Each part of an entry is needed."""
    entry = {"define": "D", "change": "c", "text": "t", "reason": "r"}
    explain(toy, **{key: value for key, value in entry.items() if key != missing})
    with pytest.raises(ContentError, match=missing):
        survivors.explained(toy)


def test_an_empty_reason_is_none(toy: Path) -> None:
    """A reason that says nothing is refused."""
    explain(toy, define="D", change="c", text="t", reason=" ")
    with pytest.raises(ContentError, match="empty"):
        survivors.explained(toy)


def test_stale_entries() -> None:
    """An entry is stale when no mutant has its name, or when the mutant was tried and caught; not when not tried."""
    caught, alive, untried, gone = (survivors.Wrong("L.D", name, "x") for name in "abcd")
    entries = [caught, alive, untried, gone]
    assert survivors.stale(entries, [caught, alive, untried], [caught, alive], [alive]) == [caught, gone]
