"""Each lint rule has content that trips exactly it; sound content trips none."""

import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fhir_cds.authoring import elm_graph, lint
from fhir_cds.authoring.fmt import canonical
from fhir_cds.authoring.lint.view import Catalogue, Content, read
from fhir_cds.errors import ContentError

PLAN = "plandefinitions/PlanDefinition-toy-1.json"
ACTIVITY = "plandefinitions/ActivityDefinition-toy-measure.json"
SYSTEM = "valuesets/CodeSystem-toy.json"
VALUE_SET = "valuesets/ValueSet-toy-temperature.json"
HOOK = "hooks/toy-fever.json"
CASES = "tests/recommendations"
TOY = "https://fhir-cds.github.io/toy"

STATEMENT = "With fever, measure the temperature again within the day."

CATALOGUE = Catalogue(
    recommendations={
        "toy2026:1": {
            "grading": {"level_of_evidence": "V", "strength": "B"},
            "action": {"direction": "for"},
            "display": "recommendation",
            "statement": STATEMENT,
            "consensus": {
                "voters": 3,
                "yes": 2,
                "no": 1,
                "category": "weak",
                "percent_yes_printed": 67,
                "percent_yes_exact": Decimal("66.67"),
            },
        }
    },
    codes=frozenset({("http://clinical", "known")}),
    unverified=frozenset(),
    facts=frozenset({"body_temperature"}),
)

Change = Callable[[Any], None]


def edited(name: str, change: Change) -> Callable[[Path], None]:
    """A breaker that changes one JSON file and leaves it in canonical form."""

    def breaker(root: Path) -> None:
        document = json.loads((root / name).read_text())
        change(document)
        (root / name).write_bytes(canonical(document))

    return breaker


def both(*breakers: Callable[[Path], None]) -> Callable[[Path], None]:
    """A breaker that does what several do."""

    def breaker(root: Path) -> None:
        for one in breakers:
            one(root)

    return breaker


def moved(name: str, other: str) -> Callable[[Path], None]:
    """A breaker that renames a file."""
    return lambda root: (root / name).rename(root / other) and None


def replaced(name: str, before: str, after: str) -> Callable[[Path], None]:
    """A breaker that changes the text of a file."""

    def breaker(root: Path) -> None:
        text = (root / name).read_text()
        assert before in text
        (root / name).write_text(text.replace(before, after))

    return breaker


def removed(name: str) -> Callable[[Path], None]:
    """A breaker that removes a file."""
    return lambda root: (root / name).unlink()


def condition(plan: Any) -> Any:
    """The expression of the plan's condition."""
    return plan["action"][0]["condition"][0]["expression"]


def extra_condition(expression: dict[str, str]) -> Change:
    """Add a second condition."""
    return lambda plan: plan["action"][0]["condition"].append({"kind": "applicability", "expression": expression})


def graded_otherwise(action: Any) -> Any:
    """A second action like the first, of another strength."""
    other = json.loads(json.dumps(action)) | {"id": "toy-1-b", "action": []}
    del other["action"]
    other["extension"][1]["valueCodeableConcept"]["coding"][0]["code"] = "C"
    return other


BREAKERS: list[tuple[str, Callable[[Path], None]]] = [
    ("C001", moved(ACTIVITY, "plandefinitions/ActivityDefinition-measure.json")),
    ("C001", moved(HOOK, "hooks/fever.json")),
    ("C002", edited(SYSTEM, lambda d: d.update(name="toy words"))),
    ("C003", edited(PLAN, extra_condition({"language": "text/cql-identifier", "expression": "Cough"}))),
    ("C003", edited(PLAN, extra_condition({"language": "text/cql-identifier", "expression": "Threshold Of Fever"}))),
    ("C004", edited(PLAN, extra_condition({"language": "text/fhirpath", "expression": "true"}))),
    ("C005", edited(ACTIVITY, lambda d: d.update(library=[f"{TOY}/Library/Gone"]))),
    ("C005", edited(ACTIVITY, lambda d: d.update(library=[f"{TOY}/Library/ToyLogic|9.9.9"]))),
    ("C006", edited(ACTIVITY, lambda d: d.update(description="TODO"))),
    ("C007", replaced("plandefinitions/cql/ToyLogic.cql", "Fever begins", "Fever starts")),
    ("C008", edited(HOOK, lambda d: d["prefetch"].pop("drugs"))),
    ("C008", edited(HOOK, lambda d: d["prefetch"].update(visits="Encounter?patient=1"))),
    ("C009", edited(HOOK, lambda d: d.update(hook="order-sign"))),
    ("C010", edited(VALUE_SET, lambda d: d["compose"]["include"][0]["concept"][0].pop("display"))),
    ("C010", edited(VALUE_SET, lambda d: d["compose"]["include"][0].pop("concept"))),
    ("C011", edited(PLAN, lambda d: d.pop("relatedArtifact"))),
    ("C012", edited(PLAN, lambda d: d["action"][0]["action"][0].update(id="toy-1"))),
    ("C012", edited(PLAN, lambda d: d["action"][0]["action"][0].pop("id"))),
    ("C012", edited(PLAN, lambda d: d["action"][0].update(goalId=["other"]))),
    ("C014", removed(f"{CASES}/toy-1/1-unknown.yaml")),
    ("C016", edited(ACTIVITY, lambda d: d.pop("date"))),
    ("C017", replaced(ACTIVITY, '  "status"', '    "status"')),
    ("C021", edited(PLAN, lambda d: d["action"][0].update(title="x" * 140))),
    ("C022", edited(PLAN, lambda d: d["action"][0]["extension"][2]["extension"][1].update(valueUnsignedInt=1))),
    ("C022", edited(PLAN, lambda d: d["action"][0]["extension"][2]["extension"][3].update(valueDecimal=50))),
    ("C022", edited(PLAN, lambda d: d["identifier"][0].update(value="toy2027:1"))),
    ("C023", edited(ACTIVITY, lambda d: d.update(surprise=1))),
    ("C023", edited(PLAN, lambda d: d.update(subjectCanonical="http://x"))),
    ("C024", edited(ACTIVITY, lambda d: d.update(subjectReference={"reference": "Group/none"}))),
    ("C025", edited(SYSTEM, lambda d: d["concept"].append(d["concept"][0]))),
    ("C025", both(edited(ACTIVITY, lambda d: (d.pop("kind"), d.pop("meta"))), edited(PLAN, lambda d: d.pop("meta")))),
    ("C026", replaced(f"{CASES}/toy-1/1-hidden.yaml", "title:", "titel:")),
    ("C026", replaced(f"{CASES}/toy-1/1-hidden.yaml", "{medication:", "{surprise: 1, medication:")),
    ("C027", edited(PLAN, lambda d: d.pop("type"))),
    ("C027", edited(PLAN, lambda d: d["meta"].update(profile=["http://unheard/of"]))),
    ("C030", edited(PLAN, lambda d: d.update(description="Measure."))),
    ("C030", edited(PLAN, lambda d: d["action"][0].update(description=f"{STATEMENT} Twice."))),
    ("C030", edited(PLAN, lambda d: d["action"].append(graded_otherwise(d["action"][0])))),
]


def test_a_marked_note_may_follow_the_graded_text(toy: Path) -> None:
    """What is added to a statement is marked as ours (C030)."""
    note = f"{STATEMENT} Our note, not part of the source: twice."
    edited(PLAN, lambda d: d["action"][0].update(description=note))(toy)
    assert found(replace(read(toy), catalogue=CATALOGUE)) == {}


@pytest.fixture
def sound(toy: Path) -> Content:
    """The content of the toy guideline, with its catalogue."""
    return replace(read(toy), catalogue=CATALOGUE)


def found(content: Content) -> dict[str, list[str]]:
    """Findings by rule."""
    rules: dict[str, list[str]] = {}
    for finding in lint.run(content):
        rules.setdefault(finding.rule, []).append(str(finding))
    return rules


def test_sound_content_has_no_finding(sound: Content) -> None:
    """The toy guideline passes every rule."""
    assert found(sound) == {}


@pytest.mark.parametrize(("rule", "breaker"), BREAKERS, ids=[f"{rule}-{at}" for at, (rule, _) in enumerate(BREAKERS)])
def test_a_rule_is_tripped_by_its_fault_alone(toy: Path, rule: str, breaker: Callable[[Path], None]) -> None:
    """Content broken in one way trips the rule for it and no other."""
    breaker(toy)
    assert list(found(replace(read(toy), catalogue=CATALOGUE))) == [rule]


def in_memory(sound: Content, library: str, change: Change) -> Content:
    """The content with a change to the ELM of one library."""
    documents = {name: json.loads(json.dumps(document)) for name, document in sound.logic.documents.items()}
    change(documents[library]["library"])
    return replace(sound, logic=elm_graph.logic(documents))


def statement(library: Any, name: str) -> Any:
    """One define of a library."""
    return next(d for d in library["statements"]["def"] if d["name"] == name)


def prose(library: Any) -> None:
    """A define that holds a sentence."""
    text = {
        "type": "Literal",
        "valueType": "{urn:hl7-org:elm-types:r1}String",
        "value": "Please measure it again, soon.",
    }
    statement(library, "Fever")["expression"]["operand"].append(text)


@pytest.mark.parametrize(
    ("rule", "library", "change"),
    [
        ("C013", "ToyLogic", prose),
        ("C018", "ToyLogic", lambda library: library["statements"]["def"].append({"name": "Cough", "locator": "1:1"})),
        ("C020", "ToyFacts", lambda library: library["codes"]["def"][0].update(id="aspirin")),
        (
            "C028",
            "ToyFacts",
            lambda library: statement(library, "Body Temperature")["annotation"][0]["t"][0].update(value="x"),
        ),
    ],
)
def test_rules_about_logic(sound: Content, rule: str, library: str, change: Change) -> None:
    """Rules that read the ELM trip on the fault for which they are, and no other does."""
    assert list(found(in_memory(sound, library, change))) == [rule]


def test_codes_that_nobody_verified(toy: Path) -> None:
    """A clinical code that the catalogue lacks, or lists without a source, is reported (C020)."""
    part = {"system": "http://clinical", "concept": [{"code": "known", "display": "Known"}]}
    edited(VALUE_SET, lambda d: d["compose"]["include"].append(part))(toy)
    content = read(toy)
    assert found(replace(content, catalogue=CATALOGUE)) == {}
    unverified = replace(CATALOGUE, unverified=CATALOGUE.codes)
    assert list(found(replace(content, catalogue=unverified))) == ["C020"]
    other = replace(CATALOGUE, codes=frozenset({("http://clinical", "other")}))
    assert list(found(replace(content, catalogue=other))) == ["C020"]


def test_a_plan_that_applies_itself(toy: Path) -> None:
    """A ring of plans is reported (C019)."""
    edited(PLAN, lambda d: d.pop("meta"))(toy)
    edited(PLAN, lambda d: d["action"][0]["action"].append({"id": "again", "definitionCanonical": d["url"]}))(toy)
    assert list(found(replace(read(toy), catalogue=CATALOGUE))) == ["C019"]


def test_case_names(toy: Path) -> None:
    """A case that does not begin with its recommendation's number is reported (C015)."""
    path = toy / CASES / "toy-1/1-hidden.yaml"
    path.write_text(path.read_text().replace("id: 1-hidden", "id: hidden"))
    path.rename(path.with_name("hidden.yaml"))
    assert list(found(replace(read(toy), catalogue=CATALOGUE))) == ["C015"]


def test_what_was_not_recommended_orders_nothing(toy: Path) -> None:
    """A plan shown as "no consensus" may not define an activity (C029)."""
    edited(PLAN, lambda d: d["action"][0]["extension"][4].update(valueCode="no-consensus"))(toy)
    entry = {**CATALOGUE.recommendations["toy2026:1"], "display": "no-consensus"}
    assert list(found(replace(read(toy), catalogue=replace(CATALOGUE, recommendations={"toy2026:1": entry})))) == [
        "C029"
    ]


AMBIGUITY = {
    "url": f"{TOY}/StructureDefinition/recommendation-ambiguity",
    "extension": [{"url": "id", "valueString": "A01"}],
}


def test_every_open_point_is_carried(toy: Path) -> None:
    """An ambiguity that no plan carries is reported, and one that the catalogue does not know (C031)."""
    assert list(found(replace(read(toy), catalogue=replace(CATALOGUE, points=frozenset({"A01"}))))) == ["C031"]
    edited(PLAN, lambda d: d.update(extension=[*d.get("extension", ()), AMBIGUITY]))(toy)
    assert found(replace(read(toy), catalogue=replace(CATALOGUE, points=frozenset({"A01"})))) == {}
    assert list(found(replace(read(toy), catalogue=CATALOGUE))) == ["C031"]


def test_every_rule_has_a_test() -> None:
    """No rule is without content that trips it."""
    elsewhere = {"C013", "C015", "C018", "C019", "C020", "C028", "C029", "C031"}
    assert {rule for rule, _ in BREAKERS} | elsewhere == set(lint.RULES)


def test_excuses(toy: Path) -> None:
    """An excuse with a reason covers its finding; one that covers none is itself a finding."""
    edited(ACTIVITY, lambda d: d.pop("date"))(toy)
    excuse = '[[ignore]]\nrule = "C016"\nwhere = "toy-measure"\nreason = "a test"\n'
    (toy / lint.IGNORE_FILE).write_text(excuse)
    assert lint.lint(toy) == []
    (toy / lint.IGNORE_FILE).write_text(excuse.replace("toy-measure", "nowhere"))
    assert [finding.rule for finding in lint.lint(toy)] == ["C016", "C000"]


def test_excuses_for_the_catalogue_wait_for_it(toy: Path) -> None:
    """Without the catalogue an excuse for a rule that reads it is not stale; with it, it is."""
    text = '[[ignore]]\nrule = "C022"\nwhere = "toy-1"\nreason = "a test"\n'
    (toy / lint.IGNORE_FILE).write_text(text)
    assert lint.lint(toy) == []
    content = replace(read(toy), catalogue=CATALOGUE)
    assert [finding.rule for finding in lint.run(content, lint.excuses(toy))] == ["C000"]


@pytest.mark.parametrize("text", ["[[ignore]]\nrule = 'C016'\n", "[[ignore]]\nrule='C999'\nwhere=''\nreason=''\n", "x"])
def test_excuses_without_reason_are_refused(toy: Path, text: str) -> None:
    """An excuse names a rule that exists, a place and a reason."""
    (toy / lint.IGNORE_FILE).write_text(text)
    with pytest.raises(ContentError, match=r"lint\.toml"):
        lint.lint(toy)


def test_broken_json_is_an_error_not_a_pass(toy: Path) -> None:
    """Content that cannot be read ends the linter with the file's name."""
    (toy / PLAN).write_text("{")
    with pytest.raises(ContentError, match=r"PlanDefinition-toy-1\.json"):
        lint.lint(toy)
