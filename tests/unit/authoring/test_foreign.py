"""Content that was not written for this program: found in any layout, translated where that is possible."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from fhir_cds.authoring import foreign
from fhir_cds.authoring.translate import TranslationError
from fhir_cds.cli.main import run
from fhir_cds.errors import ContentError, NotFoundError
from fhir_cds.knowledge import loose

BASE = "http://example.org/guide"
MODULES = Path(os.environ.get("FHIR_CDS_NODE_MODULES", "node_modules")).absolute()
ADULT = """
library Screening version '1.0.0'
using FHIR version '4.0.1'
include FHIRHelpers version '4.0.1' called FHIRHelpers
include Ages called Ages
context Patient
define "Is Adult": Ages."Age" >= 18
"""
AGES = """
library Ages
using FHIR version '4.0.1'
include FHIRHelpers version '4.0.1' called FHIRHelpers
context Patient
define "Age": AgeInYearsAt(@2026-01-31)
"""


def plan(define: str = "Is Adult", **more: Any) -> dict[str, Any]:
    """Return a plan with one action whose condition is a define."""
    expression = {"language": "text/cql-identifier", "expression": define}
    action = {"id": "a", "title": "Screen", "condition": [{"kind": "applicability", "expression": expression}]}
    head = {"resourceType": "PlanDefinition", "id": "screen", "url": f"{BASE}/PlanDefinition/screen", "name": "Screen"}
    return {**head, "status": "active", "library": [f"{BASE}/Library/Screening"], "action": [action], **more}


def library(**more: Any) -> dict[str, Any]:
    """Return the Library of the plan, without content."""
    head = {"resourceType": "Library", "id": "Screening", "url": f"{BASE}/Library/Screening", "name": "Screening"}
    return {**head, "status": "active", "type": {"text": "logic"}, **more}


def attached(text: str) -> list[dict[str, Any]]:
    """Return the content of a Library with CQL."""
    return [{"contentType": "text/cql", "data": base64.b64encode(text.encode()).decode()}]


def write(folder: Path, files: dict[str, Any]) -> Path:
    """Write files of any depth; texts as they are, all else as JSON."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def bundle(*resources: Any) -> dict[str, Any]:
    """Return a Bundle of type transaction."""
    return {"resourceType": "Bundle", "type": "transaction", "entry": [{"resource": item} for item in resources]}


ELM = {
    "library": {
        "identifier": {"id": "Screening", "version": "1"},
        "schemaIdentifier": {"id": "urn:hl7-org:elm", "version": "r1"},
        "usings": {"def": [{"localIdentifier": "System", "uri": "urn:hl7-org:elm-types:r1"}]},
        "statements": {
            "def": [
                {
                    "name": "Is Adult",
                    "expression": {
                        "type": "Literal",
                        "value": "true",
                        "valueType": "{urn:hl7-org:elm-types:r1}Boolean",
                    },
                }
            ]
        },
    }
}


@pytest.mark.parametrize("named", ["Library/Screening", "Library/Screening|1", f"{BASE}/Library/Screening|1"])
def test_a_canonical_may_be_relative(tmp_path: Path, named: str) -> None:
    """Library/x and Library/x|1 name the library with that id; another version does not."""
    files = {"plan.json": plan(library=[named]), "library.json": library(version="1"), "Screening.json": ELM}
    loaded = foreign.load([write(tmp_path, files)], "screen")
    assert (sorted(loaded.knowledge.elm), loaded.notes) == (["Screening"], ())
    (tmp_path / "plan.json").write_text(json.dumps(plan(library=["Library/Screening|2"])))
    other = foreign.load([tmp_path], "screen")
    assert (sorted(other.knowledge.elm), len(other.notes) > 0) == ([], True)


def test_any_layout(tmp_path: Path) -> None:
    """Definitions are found in folders of any depth, in Bundles and in lists; what is no definition is left alone."""
    guide = write(
        tmp_path,
        {
            "input/resources/plan.json": plan(),
            "bundles/b.json": bundle(library(), bundle({"resourceType": "ValueSet", "url": f"{BASE}/ValueSet/v"})),
            "list.json": [
                {"resourceType": "Patient", "id": "p"},
                {"resourceType": "Questionnaire", "url": f"{BASE}/q"},
            ],
            "input/cql/Screening.cql": ADULT,
            "elm/Other.json": {"library": {"identifier": {"id": "Other"}}},
            "broken.json": "{",
            "number.json": "7",
        },
    )
    found = loose.collect([guide])
    kinds = sorted(item["resourceType"] for item in found.registry())
    assert kinds == ["Library", "PlanDefinition", "Questionnaire", "ValueSet"]
    assert found.registry().get("ValueSet", f"{BASE}/ValueSet/v")["id"] == "v"
    assert (list(found.cql), list(found.elm)) == (["Screening"], ["Other"])
    assert found.notes == [("", "broken.json: not JSON, left out")]


def test_the_name_of_the_logic_counts(tmp_path: Path) -> None:
    """A Library goes by the name in its CQL; a file that bears the name goes before another with the same header."""
    text = "/* library Wrong */ // library Wrong\nlibrary \"My Logic\" version '1'\n"
    one = library(name="something-else", content=attached(text))
    guide = write(tmp_path, {"l.json": one, "A-errors.cql": "library A\n// errors", "A.cql": "library A\n// right"})
    found = loose.collect([guide])
    assert found.registry().get("Library", "Screening")["name"] == "My Logic"
    assert found.cql["A"].endswith("right")


def test_twice_with_other_content_is_said(tmp_path: Path) -> None:
    """Of two resources with one canonical the first counts, and the reader is told when the plan needs it."""
    guide = write(
        tmp_path, {"a.json": plan(library=[], action=[]), "b.json": plan(library=[], action=[], title="Other")}
    )
    made = foreign.load([guide], "screen")
    assert "title" not in made.plan
    assert len(made.notes) == 1
    assert "b.json" in made.notes[0]
    write(tmp_path, {"c.json": {**library(), "title": "x"}, "d.json": {**library(), "title": "y"}})
    assert len(foreign.load([guide], "screen").notes) == 1


@pytest.mark.node
def test_cql_is_translated_with_what_it_includes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """CQL in files and in attachments gives logic; the command applies the plan by id, url or name."""
    guide = write(
        tmp_path / "guide", {"plan.json": plan(), "l.json": library(content=attached(ADULT)), "Ages.cql": AGES}
    )
    person = {"resourceType": "Patient", "id": "p", "birthDate": "1990-05-01"}
    patient = write(tmp_path, {"p.json": person}) / "p.json"
    for name in ("screen", "Screen", f"{BASE}/PlanDefinition/screen"):
        options = ["--content", str(guide), "--patient", str(patient), "--node-modules", str(MODULES)]
        assert run(["apply", name, *options]) == 0
        made = json.loads(capsys.readouterr().out)
        assert [action["id"] for action in made["contained"][0]["action"]] == ["a"]
    write(tmp_path, {"p.json": {**person, "birthDate": "2020-05-01"}})
    assert run(["apply", "screen", *options]) == 0
    assert "action" not in json.loads(capsys.readouterr().out)["contained"][0]


@pytest.mark.node
def test_what_does_not_translate(tmp_path: Path) -> None:
    """CQL with errors is refused with library, line and column; missing value sets are all named."""
    guide = write(
        tmp_path,
        {"plan.json": plan(), "l.json": library(), "Screening.cql": ADULT, "Ages.cql": "library Ages\ndefine X: y"},
    )
    with pytest.raises(TranslationError, match=r"Ages\.cql:2:"):
        foreign.load([guide], "screen", MODULES)
    sets = "\n".join(f"valueset \"{name}\": '{BASE}/ValueSet/{name}'" for name in ("a", "b"))
    text = ADULT.replace("context Patient", f"{sets}\ncontext Patient")
    write(
        tmp_path,
        {"Screening.cql": text, "Ages.cql": AGES, "a.json": {"resourceType": "ValueSet", "url": f"{BASE}/ValueSet/a"}},
    )
    with pytest.raises(ContentError, match="2 value sets") as caught:
        foreign.load([guide], "screen", MODULES)
    assert f"{BASE}/ValueSet/a: cannot be expanded here" in caught.value.message
    assert f"{BASE}/ValueSet/b: not in the files" in caught.value.message


@pytest.mark.parametrize(
    ("files", "name", "error", "says"),
    [
        ({"readme.txt": "x"}, "screen", ContentError, "no FHIR definitions here"),
        ({"plan.json": plan()}, "other", NotFoundError, "there are 1: screen"),
        ({"plan.json": plan(), "l.json": library()}, "screen", ContentError, "neither CQL nor ELM .*: Screening"),
        (
            {"plan.json": plan(), "l.json": library(), "Screening.cql": ADULT},
            "screen",
            ContentError,
            "libraries .*: Ages",
        ),
        (
            {"plan.json": plan(), "l.json": library(), "Screening.cql": ADULT, "Ages.cql": AGES},
            "screen",
            ContentError,
            "CQL and no ELM: Ages, Screening; to translate: no folder of the translator is named",
        ),
    ],
)
def test_what_is_missing_is_named(
    tmp_path: Path, files: dict[str, Any], name: str, error: type[ContentError], says: str
) -> None:
    """Plan, library and translator that are not there are named, each by its own error."""
    with pytest.raises(error, match=says):
        foreign.load([write(tmp_path, files)], name)
    with pytest.raises(ContentError, match="no such file"):
        foreign.load([tmp_path / "nowhere"], name)


def test_a_fault_of_the_plan_is_an_issue(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A library that is not in the files fails its action only; the reader is told, and the rest is applied."""
    free = {"id": "b", "title": "Free"}
    guide = write(tmp_path / "guide", {"plan.json": plan(action=[*plan()["action"], free])})
    patient = write(tmp_path, {"p.json": {"resourceType": "Patient", "id": "p"}}) / "p.json"
    assert run(["apply", "screen", "--content", str(guide), "--patient", str(patient)]) == 0
    output = capsys.readouterr()
    made = json.loads(output.out)
    assert [action["id"] for action in made["contained"][0]["action"]] == ["b"]
    assert f"Library {BASE}/Library/Screening is not in the content" in output.err
    outcome = next(item for item in made["contained"] if item["resourceType"] == "OperationOutcome")
    assert outcome["issue"][0]["expression"] == ["PlanDefinition.action[0].condition[0]"]


def test_a_plan_without_url(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A plan without canonical is found by its id, and its timings are dated from the day given."""
    drug = {"resourceType": "ActivityDefinition", "id": "d", "status": "draft", "dosage": [{"text": "once"}]}
    rule = {"repeat": {"count": 3, "period": 21, "periodUnit": "d", "frequency": 1}}
    action = {"title": "Dose", "timingTiming": rule, "definitionCanonical": "#d"}
    made = {"resourceType": "PlanDefinition", "id": "R1", "status": "draft", "contained": [drug], "action": [action]}
    guide = write(tmp_path / "guide", {"r1.json": made})
    patient = write(tmp_path, {"p.json": {"resourceType": "Patient", "id": "p"}}) / "p.json"
    common = ["--content", str(guide), "--patient", str(patient)]
    assert run(["apply", "R1", *common, "--start", "2026-02-02"]) == 0
    doses = [
        item for item in json.loads(capsys.readouterr().out)["contained"] if item["resourceType"] == "MedicationRequest"
    ]
    dates = [dose["dosageInstruction"][0].get("timing", {}).get("event") for dose in doses]
    assert [date for date in dates if date] == [["2026-02-02"], ["2026-02-23"], ["2026-03-16"]]
    assert run(["apply", "R1", *common, "--start", "Monday"]) == 2
    assert "--start" in capsys.readouterr().err
