"""Mutants: each is a wrong that cases should notice; the count says how many they do."""

from pathlib import Path

import pytest

from fhir_cds.authoring import cases, mutants, mutate
from fhir_cds.errors import ContentError

SOURCES = {"library": {"identifier": {"id": "L"}, "statements": {"def": []}}}


def changes(expression: dict) -> list[str]:
    """What is done to one expression, in words."""
    document = {
        "library": {"identifier": {"id": "L"}, "statements": {"def": [{"name": "D", "expression": expression}]}}
    }
    return [mutant.change for mutant in mutants.mutants(document)]


INTEGER = {"type": "Literal", "valueType": "{urn:hl7-org:elm-types:r1}Integer", "value": "5"}
TEXT = {"type": "Literal", "valueType": "{urn:hl7-org:elm-types:r1}String", "value": "5"}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ({"type": "LessOrEqual", "operand": []}, ["LessOrEqual becomes Less", "LessOrEqual becomes Greater"]),
        ({"type": "And", "operand": []}, ["And becomes Or"]),
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
    """Comparisons, boolean operators, existence, thresholds and bounds are changed; text is not."""
    assert changes(expression) == expected


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
    (mutant,) = mutants.borrow(document, {"Concepts": included})
    assert mutant.change == '"B" becomes "A"'
    changed = mutants.applied(document, mutant)
    assert changed["library"]["statements"]["def"][0]["expression"]["valueset"]["name"] == "A"
    assert document["library"]["statements"]["def"][0]["expression"]["valueset"]["name"] == "B"  # type: ignore[index]


def test_good_cases_catch_every_mutant_of_the_toy(toy: Path) -> None:
    """The toy guideline's cases notice each slip, also with several processes."""
    chosen = mutate.population(mutate.logic_of(toy))
    assert len(chosen) >= 10
    told: list[mutate.Fate] = []
    fates = mutate.run(toy, chosen, 1, told.append)
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
