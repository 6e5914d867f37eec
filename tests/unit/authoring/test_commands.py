"""The authors' commands from the command line: what they print and how they end."""

import shutil
from pathlib import Path

import pytest

from fhir_cds.cli.main import run

PLAN = "plandefinitions/PlanDefinition-toy-1.json"
CASE = "tests/recommendations/toy-1/1-no-fever.yaml"


def spoil(root: Path, name: str, before: str, after: str) -> None:
    """Change the text of a file."""
    text = (root / name).read_text()
    assert before in text
    (root / name).write_text(text.replace(before, after))


@pytest.fixture
def nowhere(tmp_path: Path) -> str:
    """A folder without node modules."""
    return str(tmp_path / "nowhere")


def test_build_with_nothing_to_do(toy: Path, nowhere: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Fresh content builds without Node.js and writes nothing."""
    assert run(["build", "--root", str(toy), "--node-modules", nowhere]) == 0
    assert "0 libraries translated, 0 files written" in capsys.readouterr().out


def test_build_check_says_what_it_lacks(toy: Path, nowhere: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Without the translator the check is not passed in silence: exit code 2 and a plain sentence."""
    assert run(["build", "--check", "--root", str(toy), "--node-modules", nowhere]) == 2
    assert "was not checked" in capsys.readouterr().err


@pytest.mark.node
def test_build_check_finds_stale_files(toy: Path, node_modules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A changed define makes the check fail until it is built."""
    command = ["build", "--root", str(toy), "--node-modules", str(node_modules)]
    assert run([*command, "--check"]) == 0
    spoil(toy, "plandefinitions/cql/ToyLogic.cql", "38.0", "38.5")
    assert run([*command, "--check"]) == 1
    assert "ToyLogic.json: differs" in capsys.readouterr().err
    assert run(command) == 0
    assert "1 libraries translated" in capsys.readouterr().out
    assert run([*command, "--check"]) == 0


@pytest.mark.node
def test_build_prints_cql_errors_with_their_place(
    toy: Path, node_modules: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """CQL that does not translate ends with file, line and column, and leaves the old files alone."""
    before = (toy / "plandefinitions/cql/elm/ToyLogic.json").read_bytes()
    spoil(toy, "plandefinitions/cql/ToyLogic.cql", '"Threshold Of Fever"\n', '"Threshold"\n')
    assert run(["build", "--root", str(toy), "--node-modules", str(node_modules)]) == 2
    assert "ToyLogic.cql:17:31: " in capsys.readouterr().err
    assert (toy / "plandefinitions/cql/elm/ToyLogic.json").read_bytes() == before


def test_lint_prints_findings_and_fails(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Sound content ends with 0 and a count of rules, a finding with 1 and its line."""
    assert run(["lint", "--root", str(toy)]) == 0
    assert "no finding" in capsys.readouterr().out
    spoil(toy, PLAN, "Measure the temperature again", "TODO")
    assert run(["lint", "--root", str(toy), "--rule", "C006"]) == 1
    assert f"C006 {PLAN} title: placeholder" in capsys.readouterr().out


def test_lint_lists_its_rules(capsys: pytest.CaptureFixture[str]) -> None:
    """Every rule is listed with its sentence."""
    assert run(["lint", "--rules"]) == 0
    assert "C001  a file is called" in capsys.readouterr().out


def test_fmt_checks_and_writes(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The check names the file and changes nothing; without it the file is put in order."""
    sound = (toy / PLAN).read_bytes()
    spoil(toy, PLAN, '  "id"', '    "id"')
    assert run(["fmt", "--check", "--root", str(toy)]) == 1
    assert f"{PLAN}: not in canonical form" in capsys.readouterr().out
    assert run(["fmt", "--root", str(toy)]) == 0
    assert (toy / PLAN).read_bytes() == sound


def test_test_reports_cases(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Titles and results are printed; a case that differs shows how it came about and ends with 1."""
    assert run(["test", "--root", str(toy)]) == 0
    assert "5 cases: 5 as expected, 0 not" in capsys.readouterr().out
    spoil(toy, CASE, "37.9", "38.9")
    assert run(["test", "--root", str(toy)]) == 1
    printed = capsys.readouterr().out
    assert "NOT  Just below 38 degrees" in printed
    assert '| ToyLogic."Recommendation 1 applies" = yes' in printed


def test_test_counts_cases_that_cannot_be_read(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A case with a slip in it is not left out of the count."""
    spoil(toy, CASE, "title:", "titel:")
    assert run(["test", "--root", str(toy)]) == 1
    printed = capsys.readouterr().out
    assert "cannot be read: toy-1/1-no-fever.yaml" in printed
    assert "5 cases: 4 as expected, 1 not" in printed


def test_test_of_nothing_is_an_error(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A selection that matches no case does not pass."""
    assert run(["test", "--root", str(toy), "no-such-plan"]) == 2
    assert "no-such-plan" in capsys.readouterr().err


def test_mutate_lists_survivors(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Survivors stand under their define; too few caught ends with 1."""
    (toy / "tests/recommendations/toy-1/1-fever.yaml").unlink()
    command = ["mutate", "--root", str(toy), "--library", "ToyLogic"]
    assert run([*command, "--fail-under", "99"]) == 1
    printed = capsys.readouterr().out
    assert 'ToyLogic."Fever"' in printed
    assert "survived: ToyLogic.cql:17:3-17:50 GreaterOrEqual becomes Greater" in printed
    assert run([*command, "--define", "Recommendation 1 applies", "--fail-under", "99"]) == 0
    assert "ToyLogic: 4 of 4 mutants caught (100.0 %), 0 explained, 0 not" in capsys.readouterr().out


def test_mutate_reads_explanations(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A survivor needs an explanation with --explained; it still does not count as caught, and must not be stale."""
    (toy / "tests/recommendations/toy-1/1-fever.yaml").unlink()
    command = ["mutate", "--root", str(toy), "--define", "Fever", "--explained"]
    assert run(command) == 1
    survivor = next(line for line in capsys.readouterr().out.splitlines() if "survived" in line)
    change, text = "GreaterOrEqual becomes Greater", survivor.partition("becomes Greater: ")[2]
    entry = f"[[survivor]]\ndefine = 'ToyLogic.Fever'\nchange = '{change}'\ntext = '{text}'\nreason = 'Why not.'\n"
    explanations = toy / "tests/recommendations/survivors.toml"
    explanations.write_text(entry)
    assert run(command) == 0
    printed = capsys.readouterr().out
    assert "survived" not in printed
    assert "1 explained, 0 not" in printed
    assert run([*command, "--fail-under", "99"]) == 1
    explanations.write_text(entry.replace(change, "GreaterOrEqual becomes Less"))
    capsys.readouterr()
    assert run(command[:-1]) == 1
    assert "explains no survivor: ToyLogic.Fever: GreaterOrEqual becomes Less" in capsys.readouterr().out


def test_sheet_writes_and_checks(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Pages are written once, checked, and removed with their recommendation."""
    assert run(["sheet", "--check", "--root", str(toy)]) == 1
    assert run(["sheet", "--root", str(toy)]) == 0
    assert run(["sheet", "--check", "--root", str(toy)]) == 0
    leftover = toy / "docs/recommendations/gone.md"
    leftover.write_text("")
    assert run(["sheet", "--check", "--root", str(toy)]) == 1
    assert "no such recommendation" in capsys.readouterr().err
    assert run(["sheet", "--root", str(toy)]) == 0
    assert not leftover.exists()


def test_package_prints_digests(toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both files are written, and their digests say which logic a site runs."""
    out = tmp_path / "dist"
    assert run(["package", "--root", str(toy), "--out", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sorted(path.name for path in out.iterdir()) == sorted(Path(line.split()[1]).name for line in lines)
    assert {len(line.split()[0]) for line in lines} == {64}


def test_content_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder without content gives a message and exit code 2, for every command."""
    shutil.rmtree(tmp_path, ignore_errors=True)
    tmp_path.mkdir()
    for command in ("lint", "test", "sheet", "mutate", "package", "build"):
        assert run([command, "--root", str(tmp_path)]) == 2, command
        assert capsys.readouterr().err.strip(), command
