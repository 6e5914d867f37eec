"""What the documents say is so."""

import re
import subprocess
from pathlib import Path

import pytest
import typer

from fhir_cds import errors
from fhir_cds.authoring.lint import RULES, STALE
from fhir_cds.cli.main import COMMANDS, application

from .sources import ROOT

DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs/guide").glob("*.md")),
    *sorted((ROOT / "docs/adr").glob("*.md")),
]
COMMAND = re.compile(r"(?:^|[`\s])(?:\./dev )?fhir-cds ([a-z][a-z-]*)")
LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)")


def commands() -> set[str]:
    """The commands that the program has."""
    return set(typer.main.get_command(application()).commands)


def named(path: Path) -> str:
    """A document's path below the checkout."""
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_commands_in_documents_exist(path: Path) -> None:
    """Every `fhir-cds …` that a document tells a reader to type is a command."""
    assert set(COMMAND.findall(path.read_text())) <= commands()


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_links_lead_somewhere(path: Path) -> None:
    """Every relative link in a document leads to a file of the checkout."""
    assert [link for link in LINK.findall(path.read_text()) if not (path.parent / link).exists()] == []


def test_every_command_is_described() -> None:
    """docs/guide/commands.md has a line for each command."""
    text = (ROOT / "docs/guide/commands.md").read_text()
    assert [name for name in sorted(commands()) if f"`fhir-cds {name}" not in text] == []
    assert {name.replace("_", "-") for name in COMMANDS} >= commands()


def test_every_error_is_described() -> None:
    """docs/guide/commands.md has a line for each class of the error tree."""
    text = (ROOT / "docs/guide/commands.md").read_text()
    classes = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert len(classes) >= 9
    assert [kind.__name__ for kind in classes if f"`{kind.__name__}`" not in text] == []


def test_every_lint_rule_is_described() -> None:
    """docs/guide/lint.md has a line for each rule, in the words of the rule."""
    text = (ROOT / "docs/guide/lint.md").read_text()
    for code, rule in RULES.items():
        sentence = " ".join((rule.__doc__ or "").partition(": ")[2].split())
        assert f"| {code} | {sentence} |" in text
    assert f"| {STALE} |" in text


def test_invariants_name_their_tests() -> None:
    """Each numbered invariant of ARCHITECTURE.md names at least one test file that exists."""
    text = (ROOT / "ARCHITECTURE.md").read_text().partition("## Invariants")[2].partition("\n## ")[0]
    found = re.split(r"^(?=\d+\. )", text, flags=re.MULTILINE)[1:]
    assert [int(entry.partition(".")[0]) for entry in found] == list(range(1, 11))
    for entry in found:
        tests = re.findall(r"`(tests/[\w/]+(?:\.py)?)`", entry)
        assert tests, entry
        assert [test for test in tests if not (ROOT / test).exists()] == [], entry


def test_readme_is_short_and_names_both_commands() -> None:
    """The README has at most 150 lines and the two commands that need nothing but Python and git."""
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 150
    assert "./dev run" in text
    assert "./dev test" in text


def test_decisions_are_numbered_once() -> None:
    """Each decision record begins with its number, and no number stands twice."""
    records = sorted((ROOT / "docs/adr").glob("*.md"))
    numbers = [path.name[:4] for path in records]
    assert len(set(numbers)) == len(numbers)
    assert [path.name for path in records if not path.read_text().startswith(f"# {path.name[:4]} ")] == []


def test_no_registry_address_is_tracked() -> None:
    """No tracked file names a package registry: pip and npm use what the machine has configured."""
    pattern = r'"resolved": *"https?://|registry *= *"?https?://|--(extra-)?index-url +https?://'
    done = subprocess.run(
        ["git", "grep", "-lIE", pattern, "--", ".", ":!tests/architecture", ":!.ci/run"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == ""
