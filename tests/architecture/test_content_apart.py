"""The engine knows no medicine; the content knows no Python."""

import json
import re
from pathlib import Path

import pytest

from .sources import MODULES, ROOT, literals, name

BASE = json.loads((ROOT / "plandefinitions/cql/metadata.json").read_text())["url"]
MEDICINE = re.compile(
    r"metasta|resect|lesion|biops|\bliver|hepat|chemother|tumou?r|oncolog|surge|cancer|sarcoma|leiomyo|carcinoma|\bGIST\b",
    re.IGNORECASE,
)
# Words of medicine in strings, with the reason why each is no knowledge.
ALLOWED = {
    "Sarcoma guidelines that run: CDS Hooks, $apply and follow-up from FHIR records.": "what the program calls itself",
    "after-resection-one-overdue": "the file name of a sample patient",
}


def codes() -> dict[str, str]:
    """Code -> file, for every code that a value set or code system of the content lists."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "valuesets").glob("*.json")):
        document = json.loads(path.read_text())
        parts = [*document.get("compose", {}).get("include", []), document]
        for concept in (concept for part in parts for concept in part.get("concept", ())):
            found[concept["code"]] = path.name
    return found


CODES = codes()
# A local code that is a plain English word (yes, stable) says nothing; one with a digit or a dash does.
TELLING = {code for code in CODES if re.search(r"[0-9-]", code)}


def test_there_are_codes_to_look_for() -> None:
    """The list that the next tests search for is that of the content."""
    assert len(TELLING) > 300


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_no_clinical_code_or_canonical(path: Path) -> None:
    """No code of a value set and no canonical of our content stands in Python."""
    found = [
        (line, token)
        for line, text in literals(path)
        for token in re.findall(r"[A-Za-z0-9./-]+", text)
        if token in TELLING
    ]
    found += [(line, text) for line, text in literals(path) if BASE in text]
    assert found == []


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_no_sentence_of_medicine(path: Path) -> None:
    """No string in Python speaks of tumours or their treatment."""
    said = [(line, text) for line, text in literals(path) if MEDICINE.search(text) and text not in ALLOWED]
    assert [(line, text) for line, text in said if name(path) != "fhir/types.py" and "deliver" not in text] == []


def resources() -> list[Path]:
    """Every authored JSON file of the content."""
    found = [*(ROOT / "plandefinitions").glob("*.json"), *(ROOT / "valuesets").glob("*.json")]
    return sorted(path for path in found if not path.name.startswith("Library-"))


def test_content_names_defines_only() -> None:
    """An expression in content is the name of a define: no CQL, no FHIRPath, no Python."""
    languages = {
        language for path in resources() for language in re.findall(r'"language": "([^"]+)"', path.read_text())
    }
    assert languages == {"text/cql-identifier"}


def test_content_folders_hold_no_programs() -> None:
    """Content is JSON and CQL."""
    folders = ("plandefinitions", "valuesets", "hooks")
    kinds = {path.suffix for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()}
    assert kinds == {".json", ".cql", ".stamp"}
