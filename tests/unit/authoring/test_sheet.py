"""Pages for physicians, canonical JSON and packages: derived from content, the same each time."""

import io
import json
import tarfile
from pathlib import Path

import pytest

from fhir_cds.authoring import fmt, package, sheet
from fhir_cds.authoring.lint.view import read
from fhir_cds.errors import ContentError
from fhir_cds.knowledge.load import load
from fhir_cds.reasoning.engine import Engine

CASE = "tests/recommendations/toy-1/1-no-fever.yaml"


def pages(root: Path) -> dict[Path, bytes]:
    """All pages of a content root."""
    return sheet.sheets(read(root), Engine.load(load([root])))


@pytest.fixture
def page(toy: Path) -> str:
    """The page of the toy recommendation."""
    return pages(toy)[sheet.SHEETS / "toy-1.md"].decode()


@pytest.mark.parametrize(
    "said",
    [
        "# 1 Measure the temperature again",
        "| Level of evidence, strength | V, B |",
        "| Vote | 2 of 3 yes (66.67 %), weak |",
        "The toy guideline, 2026.",
        "It applies when **Recommendation 1 applies** is true",
        'define "Fever":\n  Facts."Body Temperature" >= "Threshold Of Fever"',
        "Fever begins at 38 degrees.",
        "| body_temperature | Body Temperature | The last measured temperature; unknown when none is on record. |",
        "Every month for three months (every 1 month, month 0 to 3)",
        "ServiceRequest: Measure the body temperature",
        "[Body temperature](../../valuesets/ValueSet-toy-temperature.json) | 1 | toy",
        "No temperature on record - unknown | unknown: body_temperature | as expected",
        "The last measurement counts | not-applicable | as expected",
    ],
)
def test_a_page_says_all_that_a_reviewer_needs(page: str, said: str) -> None:
    """Grade, vote, citation, conditions in words and CQL, facts, orders, phases, codes and cases stand on the page."""
    assert said in page


def test_open_points_lead_to_where_they_are_handled(toy: Path) -> None:
    """An ambiguity of a plan stands in the table with its handling, its plan, and the cases that name it."""
    path = toy / "plandefinitions/PlanDefinition-toy-1.json"
    plan = json.loads(path.read_text())
    parts = (("id", "A01"), ("title", "How hot"), ("handling", "ask"))
    plan["extension"] = [
        {
            "url": "https://fhir-cds.github.io/toy/StructureDefinition/recommendation-ambiguity",
            "extension": [{"url": url, "valueString": text} for url, text in parts],
        }
    ]
    path.write_text(json.dumps(plan))
    (toy / CASE).write_text((toy / CASE).read_text().replace("title: ", "title: (A01) "))
    table = pages(toy)[sheet.SHEETS / sheet.OPEN_POINTS].decode()
    assert f"| A01 | How hot | ask | [toy-1](toy-1.md) | - | [1-no-fever](../../{CASE}) | - |" in table


def test_the_index_traces_each_recommendation_to_its_results(toy: Path) -> None:
    """The index has source, plan, define and the results of the cases; a case that differs is counted."""
    cells = ("toy2026 1", "[Measure the temperature again](toy-1.md)", "V B", "recommendation")
    line = f"| {' | '.join((*cells, 'ToyLogic: Recommendation 1 applies'))} |"
    assert f"{line} 5 of 5 |" in pages(toy)[sheet.SHEETS / sheet.INDEX].decode()
    (toy / CASE).write_text((toy / CASE).read_text().replace("37.9", "38.9"))
    assert f"{line} 4 of 5 |" in pages(toy)[sheet.SHEETS / sheet.INDEX].decode()


def test_stale_pages_are_named(toy: Path) -> None:
    """A missing page, a page whose plan changed and a page without a plan are each reported."""
    made = pages(toy)
    assert [text.split(": ")[1] for text in sheet.stale(toy, made)] == ["missing"] * 3
    for path, content in made.items():
        (toy / path).parent.mkdir(parents=True, exist_ok=True)
        (toy / path).write_bytes(content)
    assert list(sheet.stale(toy, made)) == []
    (toy / sheet.SHEETS / "gone.md").write_text("")
    plan = toy / "plandefinitions/PlanDefinition-toy-1.json"
    plan.write_text(plan.read_text().replace('"Measure the temperature again"', '"Measure it again"'))
    complaints = [text.partition(": ")[2] for text in sheet.stale(toy, pages(toy))]
    assert complaints == ["differs from plan, CQL, value sets or cases"] * 2 + ["no such recommendation"]


@pytest.mark.parametrize(
    ("repeat", "words"),
    [
        ({"period": 3, "periodMax": 4, "periodUnit": "mo"}, "every 3 to 4 months"),
        ({"period": 1, "periodUnit": "a", "boundsRange": {"low": {"value": 5}}}, "every 1 year from year 5 on"),
    ],
)
def test_phases_in_words(repeat: dict, words: str) -> None:
    """A phase is told as people say it."""
    assert sheet.interval(repeat) == words


def test_canonical_form_orders_elements_and_keeps_decimals(tmp_path: Path) -> None:
    """Elements come in FHIR's order at every depth, extensions of primitives beside them, decimals as written."""
    path = tmp_path / "x.json"
    path.write_text(
        '{"status":"active","id":"a","resourceType":"PlanDefinition","_title":{"id":"t"},"title":"T",'
        '"action":[{"title":"x","id":"1","extension":[{"valueDecimal":1.10,"url":"u"}]}]}'
    )
    document = fmt.formatted(path)
    assert list(json.loads(document)) == ["resourceType", "id", "title", "_title", "status", "action"]
    assert list(json.loads(document)["action"][0]) == ["id", "extension", "title"]
    assert b'"url": "u",\n          "valueDecimal": 1.10' in document
    path.write_bytes(document)
    assert fmt.formatted(path) == document


def test_a_discovery_entry_keeps_its_own_order(tmp_path: Path) -> None:
    """What is no FHIR resource is indented, not reordered."""
    path = tmp_path / "x.json"
    path.write_text('{"id":"b","hook":"a"}')
    assert fmt.formatted(path) == b'{\n  "id": "b",\n  "hook": "a"\n}\n'


@pytest.mark.parametrize("text", ["{", '{"a":1,"a":2}'])
def test_what_is_not_json_is_refused(tmp_path: Path, text: str) -> None:
    """Broken JSON and a key given twice are errors with the file's name."""
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(ContentError, match=r"x\.json"):
        fmt.formatted(path)


def test_the_transaction_puts_everything_under_its_own_id(toy: Path) -> None:
    """Every resource is there once, what is named before what names it."""
    content = package.package(toy)
    bundle = json.loads(content["fhir-cds.toy-0.1.0.bundle.json"])
    urls = [entry["request"]["url"] for entry in bundle["entry"]]
    assert sorted(urls) == sorted(f"{file.kind}/{file.document['id']}" for file in read(toy).files)
    assert urls[0] == "CodeSystem/toy"
    assert urls[-1] == "PlanDefinition/toy-1"
    assert {entry["request"]["method"] for entry in bundle["entry"]} == {"PUT"}


def test_the_package_opens_and_is_the_same_each_time(toy: Path) -> None:
    """The FHIR package has manifest, index and one file per resource, and the same bytes on every run."""
    first, second = (package.package(toy)["fhir-cds.toy-0.1.0.tgz"] for _ in range(2))
    assert first == second
    with tarfile.open(fileobj=io.BytesIO(first)) as archive:
        names = archive.getnames()
        manifest = json.load(archive.extractfile("package/package.json"))  # type: ignore[arg-type]
        index = json.load(archive.extractfile("package/.index.json"))  # type: ignore[arg-type]
    assert manifest["name"] == "fhir-cds.toy"
    assert manifest["fhirVersions"] == ["4.0.1"]
    assert {f"package/{entry['filename']}" for entry in index["files"]} == set(names[2:])
    assert len(names) == 2 + len(read(toy).files)
