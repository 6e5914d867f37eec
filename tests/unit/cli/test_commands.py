"""The commands that others script against: their JSON, and exit code 2 with what and where on bad input."""

import io
import json
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from fhir_cds.cli import demo, options
from fhir_cds.cli.config import masked
from fhir_cds.cli.main import COMMANDS, application, run
from fhir_cds.server import state
from fhir_cds.server.state import Loaded

ROOT = Path(__file__).parents[3]
PATIENTS = ROOT / "tests" / "patients"
PATIENT = str(PATIENTS / "after-resection-one-overdue.json")
NOW = ("--now", "2026-01-31")
sys.path.insert(0, str(ROOT / "tests" / "hooks"))


@pytest.fixture(scope="session")
def content() -> Loaded:
    """Return the project's content, compiled once."""
    return state.load((ROOT,), lambda: datetime(2026, 1, 31, tzinfo=UTC))


@pytest.fixture(autouse=True)
def loaded_once(content: Loaded, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let commands that name no content use the content already loaded, and no command write into the checkout."""
    monkeypatch.setenv("FHIR_CDS_FEEDBACK_URL", f"sqlite:///{tmp_path}/feedback.sqlite3")
    for module in (options, demo):
        load = module.load
        monkeypatch.setattr(module, "load", lambda folders, load=load: content if not folders else load(folders))


def output(capsysbinary: pytest.CaptureFixture[bytes], *arguments: str) -> Any:
    """Return the JSON that a command prints."""
    assert run(list(arguments)) == 0
    return json.loads(capsysbinary.readouterr().out)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the message of a command that must end with exit code 2 and print nothing else."""
    assert run(list(arguments)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err


def test_outcomes(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """Every recommendation is listed with the members that scripts rely on."""
    found = output(capsysbinary, "outcomes", "--patient", PATIENT, *NOW)
    assert len(found) > 30
    verdicts = {"applicable", "not-applicable", "unknown", "failed"}
    for item in found:
        assert item.keys() - {"issues"} == {"source", "number", "plan", "outcome", "missing", "because"}
        assert item["outcome"] in verdicts
        assert all(reason.keys() == {"define", "value", "resources"} for reason in item["because"])
    applicable = {(item["source"], item["number"]) for item in found if item["outcome"] == "applicable"}
    assert ("ibero2025", "13.1") in applicable


def test_outcomes_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    """People get a table, what applies first."""
    assert run(["outcomes", "--patient", PATIENT, *NOW, "--format", "text"]) == 0
    text = capsys.readouterr().out
    assert text.index("applicable") < text.index("not-applicable")


def test_schedule(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """Visits come as a list with windows, status, activities and source."""
    found = output(capsysbinary, "schedule", "--patient", PATIENT, *NOW)
    assert {item["status"] for item in found} >= {"completed", "overdue", "scheduled"}
    assert found[0].keys() >= {"number", "phase", "earliest", "latest", "status", "activities", "source"}
    assert all(item["source"] == "ibero2025:13.1" for item in found)


@pytest.mark.parametrize(("form", "start"), [("text", "Follow-up"), ("ics", "BEGIN:VCALENDAR")])
def test_schedule_in_other_forms(capsys: pytest.CaptureFixture[str], form: str, start: str) -> None:
    """Text and iCalendar are offered too."""
    assert run(["schedule", "--patient", PATIENT, *NOW, "--format", form]) == 0
    assert capsys.readouterr().out.startswith(start)


@pytest.mark.parametrize(("flags", "kind"), [((), "CarePlan"), (("--r5",), "Parameters")])
def test_apply(capsysbinary: pytest.CaptureFixture[bytes], flags: tuple[str, ...], kind: str) -> None:
    """The result of `$apply` is a CarePlan, as R5 a Parameters resource."""
    plan = "ibero2025-strategy-follow-up"
    found = output(capsysbinary, "apply", plan, "--patient", PATIENT, *NOW, *flags)
    assert found["resourceType"] == kind


def test_standard_input_and_ndjson(capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """A record on standard input, as a Bundle or one resource per line, gives the same answer as the file."""
    from_file = output(capsysbinary, "outcomes", "--patient", PATIENT, *NOW)
    document = Path(PATIENT).read_bytes()
    lines = "\n".join(json.dumps(entry["resource"]) for entry in json.loads(document)["entry"]).encode()
    for data in (document, lines):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        assert output(capsysbinary, "outcomes", "--patient", "-", *NOW) == from_file


BAD_FILES: dict[str, tuple[str, str]] = {
    "not json": ("{", "not JSON"),
    "empty": ("", "empty"),
    "not a bundle": ('{"resourceType": "Observation", "id": "x"}', "Bundle"),
    "no patient": ('{"resourceType": "Bundle", "type": "collection"}', "no Patient"),
    "wrong type": ('{"resourceType": "Bundle", "type": "history"}', "type"),
    "two patients": (
        json.dumps(
            {
                "resourceType": "Bundle",
                "type": "collection",
                "entry": [{"resource": {"resourceType": "Patient", "id": name}} for name in "ab"],
            }
        ),
        "2 Patients",
    ),
    "another's data": (
        json.dumps(
            {
                "resourceType": "Bundle",
                "type": "collection",
                "entry": [
                    {"resource": {"resourceType": "Patient", "id": "a"}},
                    {"resource": {"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/b"}}},
                ],
            }
        ),
        "another patient",
    ),
}


@pytest.mark.parametrize("command", [("outcomes",), ("schedule",), ("apply", "ibero2025-pathway")])
@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files(capsys: pytest.CaptureFixture[str], tmp_path: Path, command: tuple[str, ...], name: str) -> None:
    """A file that is not one patient's record: exit code 2, one line with the file's name and the reason."""
    text, reason = BAD_FILES[name]
    file = tmp_path / "patient.json"
    file.write_text(text)
    message = refused(capsys, *command, "--patient", str(file), *NOW)
    assert reason in message
    assert "patient.json" in message


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("outcomes",), "--patient"),
        (("outcomes", "--patient", "/no/such/file"), "/no/such/file"),
        (("outcomes", "--patient", PATIENT, "--subject", "Patient/1"), "not both"),
        (("outcomes", "--fhir-server", "http://127.0.0.1:9"), "--subject"),
        (("outcomes", "--patient", PATIENT, "--now", "soon"), "now"),
        (("apply", "no-such-plan", "--patient", PATIENT), "no-such-plan"),
        (("outcomes", "--fhir-server", "nonsense", "--subject", "Patient/1"), "fhirServer"),
        (("outcomes", "--fhir-server", "http://127.0.0.1:9/fhir", "--subject", "Patient/1"), "FHIR server"),
        (("outcomes", "--fhir-server", "http://127.0.0.1:9/fhir", "--subject", "Group/1"), "subject"),
        (("outcomes", "--patient", PATIENT, "--content", "/no/such/folder"), "/no/such/folder"),
        (("demo", "--patient", "nobody", "--stop"), "nobody"),
        (("demo", "--patients", "/no/such/folder", "--stop"), "/no/such/folder"),
        (("serve", "--host", "192.0.2.1"), "issuers"),
        (("serve", "--config", "/no/such/file"), "/no/such/file"),
        (("config", "show", "--config", "/no/such/file"), "/no/such/file"),
        (("feedback", "report", "--since", "yesterday"), "--since"),
    ],
)
def test_bad_arguments(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], reason: str) -> None:
    """Wrong arguments: exit code 2, one line that says what and where."""
    assert reason in refused(capsys, *arguments)


def test_unknown_command_and_option(capsys: pytest.CaptureFixture[str]) -> None:
    """Usage errors end with exit code 2 as well."""
    assert run(["nothing"]) == 2
    assert run(["outcomes", "--format", "xml"]) == 2
    assert "nothing" in capsys.readouterr().err


def test_every_command_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    """Each command that is installed is in the help, in the order of the table."""
    assert run(["--help"]) == 0
    text = capsys.readouterr().out
    names = [command.name or command.callback.__name__ for command in application().registered_commands]
    assert set(names) <= {name.replace("_", "-") for name in COMMANDS} | set(COMMANDS)
    assert "demo" in text


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """The version is printed alone."""
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.count(".") == 2


def test_demo(capsys: pytest.CaptureFixture[str]) -> None:
    """The demonstration prints patient, cards, dates and addresses, and ends."""
    assert run(["demo", "--stop", "--port", "0"]) == 0
    text = capsys.readouterr().out
    for part in ("Patient/", "overdue", "2025-11-20", "/cds-services", "/sandbox/fhir"):
        assert part in text


def test_demo_lists_patients(capsys: pytest.CaptureFixture[str]) -> None:
    """`--patient list` names the samples."""
    assert run(["demo", "--patient", "list"]) == 0
    assert capsys.readouterr().out.split() == sorted(path.stem for path in PATIENTS.glob("*.json"))


def test_config_masks_secrets(capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings in force are printed, secrets are not."""
    monkeypatch.setenv("FHIR_CDS_HASH_KEY", "Planted")
    monkeypatch.setenv("FHIR_CDS_FEEDBACK_URL", "postgresql://u:Planted@h/d")
    shown = output(capsysbinary, "config", "show")
    assert shown["mode"] == "auto (development)"
    assert "Planted" not in json.dumps(shown)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:///f", "sqlite:///f"),
        ("postgresql://u:p@h/d", "postgresql://u:********@h/d"),
        (
            "postgresql:///d?user=u&password=p&sslpassword=q",
            "postgresql:///d?user=u&password=********&sslpassword=********",
        ),
    ],
)
def test_masked(url: str, shown: str) -> None:
    """Only the password of a URL is hidden."""
    assert masked(url) == shown


def test_config_describe(capsys: pytest.CaptureFixture[str]) -> None:
    """Every setting is described with its environment variable."""
    assert run(["config", "describe"]) == 0
    said = capsys.readouterr().out
    assert "public_url (FHIR_CDS_PUBLIC_URL)\n" in said
    assert "port (FHIR_CDS_PORT) [8080]\n" in said


@pytest.fixture
def feedback_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return a function that fills a store, which the settings then name."""
    url = f"sqlite:///{tmp_path}/f.sqlite3"
    monkeypatch.setenv("FHIR_CDS_FEEDBACK_URL", url)

    def fill() -> None:
        from fhir_cds.cards.messages import parse_feedback
        from fhir_cds.server.store import Answer, CardRow, Store

        at = datetime(2026, 1, 31, tzinfo=UTC)
        store = Store(url)
        row = CardRow("c1", "info", (), ("guide:<1>",))
        store.keep([Answer("a", at, "svc", "patient-view", "iss", "", 1, (row,))])
        reason = {"reason": {"code": "too-late", "system": "https://e.org"}}
        item = {"card": "c1", "outcome": "overridden", "outcomeTimestamp": at.isoformat(), "overrideReason": reason}
        store.feedback("svc", "iss", parse_feedback({"feedback": [item]}).feedback, at)
        store.close()

    return fill


@pytest.mark.parametrize("form", ["text", "csv", "html", "json"])
def test_feedback_report(
    capsysbinary: pytest.CaptureFixture[bytes], feedback_store: Callable[[], None], form: str
) -> None:
    """The report gives rates and reasons in every form; the page escapes what it shows."""
    feedback_store()
    assert run(["feedback", "report", "--format", form]) == 0
    text = capsysbinary.readouterr().out.decode()
    assert "too-late" in text
    assert ("guide:&lt;1&gt;" if form == "html" else "guide:<1>") in text


@pytest.mark.parametrize("command", ["report", "purge"])
def test_a_feedback_store_that_is_not_there(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str
) -> None:
    """In the wrong folder nothing is reported as if no card had been shown, and no empty store is left there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FHIR_CDS_FEEDBACK_URL", "sqlite:///f.sqlite3")
    assert run(["feedback", command]) == 2
    assert "no store at f.sqlite3" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_feedback_report_before_the_first_card(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A store in which nothing is yet says so."""
    from fhir_cds.server.store import Store

    url = f"sqlite:///{tmp_path}/f.sqlite3"
    Store(url).close()
    monkeypatch.setenv("FHIR_CDS_FEEDBACK_URL", url)
    assert run(["feedback", "report"]) == 0
    assert "No cards have been shown yet." in capsys.readouterr().out


def test_feedback_page_speaks_the_words_of_the_content() -> None:
    """The page has titles, the texts of reasons, months, marks few answers, and escapes what callers sent."""
    from fhir_cds.cli.feedback_page import names_of, page
    from fhir_cds.knowledge.load import content_roots
    from fhir_cds.knowledge.load import load as load_content
    from fhir_cds.server.store import Count, Month

    names = names_of(load_content(content_roots((), {})))
    known = next(iter(names.reasons))
    counts = (
        Count("ibero2025:13.1", 40, 20, 10, ((known, 9), ("x|<b>", 1))),
        Count("gone:1", 3, 1, 0),
    )
    months = (Month("2026-01", 30, 15, 5), Month("2026-02", 13, 6, 5))
    text = page(counts, months, names, date(2026, 3, 1), None)
    assert names.recommendations["ibero2025:13.1"][0] in text
    assert "Ibero-American consensus 2025, 13.1" in text
    assert names.reasons[known] in text
    assert "&lt;b&gt;" in text
    assert text.count("few answers") == 1
    assert "not in the content any more" in text
    assert "67 %" in text
    assert "49 %" in text
    assert all(month.month in text for month in months)


def test_feedback_csv_holds_no_formula(capsys: pytest.CaptureFixture[str]) -> None:
    """A reason that a spreadsheet would run as a formula is quoted."""
    from fhir_cds.cli.feedback import _csv
    from fhir_cds.cli.feedback_page import Names
    from fhir_cds.server.store import Count

    _csv((Count("=1+1", 1, 0, 1, (("@x|y", 1),)),), Names())
    assert capsys.readouterr().out.splitlines()[1] == "'=1+1,'=1+1,1,0,1,'@x|y,1"


def test_feedback_purge(capsys: pytest.CaptureFixture[str], feedback_store: Callable[[], None]) -> None:
    """What is within the retention time stays."""
    feedback_store()
    assert run(["feedback", "purge"]) == 0
    assert "0 rows" in capsys.readouterr().out


def test_survey(capsysbinary: pytest.CaptureFixture[bytes], tmp_path: Path) -> None:
    """Many records: how many recommendations apply, are open or failed, for whom, and how many cards."""
    for name in ("no-cancer", "after-resection-one-overdue"):
        (tmp_path / f"{name}.json").write_bytes((PATIENTS / f"{name}.json").read_bytes())
    found = output(capsysbinary, "survey", str(tmp_path), *NOW, "--format", "json", "--jobs", "2")
    assert found["records"] == 2
    assert found["outcomes"]["applicable"] > 0
    assert [Path(item["file"]).stem for item in found["concerned"]] == ["after-resection-one-overdue"]
    assert found["concerned"][0]["cards"] == found["cards"] > 0
    assert found["recommendations"]["ibero2025:13.1"] == {"applicable": 1}


def test_survey_of_nobody_concerned(capsys: pytest.CaptureFixture[str]) -> None:
    """A patient without the disease gives no outcome that shows, and no card."""
    assert run(["survey", str(PATIENTS / "no-cancer.json"), *NOW, "--jobs", "1"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("1 records: 0 applicable, ")
    assert text.rstrip().endswith("0 failed; 0 cards")


def test_survey_with_a_record_that_cannot_be_read(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A record that cannot be read is named with its reason, the others are looked at, and the exit code is 1."""
    (tmp_path / "a.json").write_text('{"resourceType": "Bundle", "type": "collection"}')
    (tmp_path / "b.json").write_bytes((PATIENTS / "no-cancer.json").read_bytes())
    assert run(["survey", str(tmp_path), *NOW, "--jobs", "1"]) == 1
    text = capsys.readouterr().out
    assert text.startswith("1 records: ")
    assert "a.json  not read: a.json: holds no Patient" in text


def test_survey_of_an_empty_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A folder without records is a mistake."""
    assert "no record" in refused(capsys, "survey", str(tmp_path), *NOW)


LACKING = str(PATIENTS / "lesion-count-missing.json")


def test_questionnaire(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """The form asks for what is missing first; the response begun names the form; the needs name what they decide."""
    form = output(capsysbinary, "questionnaire", "--patient", LACKING, *NOW)
    needs = output(capsysbinary, "questionnaire", "--patient", LACKING, *NOW, "--format", "needs")
    begun = output(capsysbinary, "questionnaire", "--patient", LACKING, *NOW, "--format", "response")
    assert form["item"][0]["linkId"] == "missing"
    assert [item["linkId"] for item in form["item"][0]["item"]] == [fact for step in needs for fact in step["facts"]]
    assert begun["questionnaire"] == form["derivedFrom"][0]
    assert any("ibero2025:1.1" in step["decides"] for step in needs)


def test_needs_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    """People read the texts of the facts and the numbers of the recommendations."""
    assert run(["questionnaire", "--patient", LACKING, *NOW, "--format", "text"]) == 0
    assert "Number of metastatic lesions  → ibero2025:1.1" in capsys.readouterr().out


def completed(tmp_path: Path, **elements: Any) -> str:
    """Return the file of a response with a lesion count."""
    count = {"linkId": "metastasis_count.all", "answer": [{"valueInteger": 2}]}
    held = {
        "resourceType": "QuestionnaireResponse",
        "status": "completed",
        "questionnaire": "https://fhir-cds.github.io/sarcoma/Questionnaire/sarcoma-facts",
        "authored": "2026-01-30",
        "item": [{"linkId": "metastases", "item": [{"linkId": "metastasis_count", "item": [count]}]}],
        **elements,
    }
    path = tmp_path / "answers.json"
    path.write_text(json.dumps(held))
    return str(path)


def test_what_answers_change(capsysbinary: pytest.CaptureFixture[bytes], tmp_path: Path) -> None:
    """Answers are read with the record; what they change is printed with what it was before."""
    found = output(capsysbinary, "questionnaire", "--patient", LACKING, *NOW, "--answers", completed(tmp_path))
    changed = {f"{item['source']}:{item['number']}": item for item in found}
    assert changed["ibero2025:1.1"]["outcome"] == "applicable"
    assert changed["ibero2025:1.1"]["before"] == {"outcome": "unknown", "missing": ["metastasis_count"]}


def test_answers_that_do_not_count(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A response in progress, or to another form, is refused rather than read as no change."""
    for elements in ({"status": "in-progress"}, {"questionnaire": "http://example.org/Questionnaire/other"}):
        file = completed(tmp_path, **elements)
        assert "nothing in it" in refused(capsys, "questionnaire", "--patient", LACKING, *NOW, "--answers", file)


def test_a_questionnaire_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    """The form is named by id or canonical."""
    assert "no such questionnaire" in refused(capsys, "questionnaire", "--patient", LACKING, "--questionnaire", "x")
