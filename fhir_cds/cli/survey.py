"""`fhir-cds survey`: every recommendation and every card, over folders of records, in parallel."""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from fhir_cds.cli import options
from fhir_cds.cli.options import Format
from fhir_cds.data.answers import answered
from fhir_cds.data.record import PatientRecord, read
from fhir_cds.errors import FhirCdsError, InputError
from fhir_cds.reasoning.outcome import Verdict
from fhir_cds.reasoning.outcomes import outcomes
from fhir_cds.server import state
from fhir_cds.server.advice import Question, advise

HOOK: Final = "patient-view"
_ENDS: Final = (".json", ".ndjson")
_SHOWN: Final = (Verdict.APPLICABLE, Verdict.UNKNOWN, Verdict.FAILED)
_FAILED: Final = 1


@dataclass(frozen=True, slots=True)
class Finding:
    """What one record gave: the recommendations by verdict and the number of cards, or why it could not be read."""

    file: str
    verdicts: dict[str, list[str]]
    cards: int = 0
    error: str | None = None

    @property
    def concerned(self) -> bool:
        """Say whether anything is shown, open or failed for the patient."""
        return bool(self.cards) or any(self.verdicts.get(verdict) for verdict in _SHOWN)


@dataclass(frozen=True, slots=True)
class _Work:
    """What every process of the survey holds: forked, never sent."""

    content: state.Loaded
    now: str


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(survey)


def survey(
    *,
    folders: Annotated[list[Path], typer.Argument(help="Folders of records, one patient per *.json or *.ndjson.")],
    now: options.Now = None,
    jobs: Annotated[int | None, typer.Option("--jobs", min=1, help="Processes [one per CPU].")] = None,
    form: Annotated[Format, typer.Option("--format", help="Output.")] = Format.TEXT,
    content: options.Content = None,
) -> None:
    """Ask all recommendations of many records: how many apply, are open or failed, for whom, and how many cards.

    Ends with 1 when a record could not be read or a recommendation failed.
    """
    work = _Work(state.load(options.roots(content), state.utc_now), options.moment(now))
    files = list(_files(folders))
    found = list(_all(work, files, jobs or os.cpu_count() or 1))
    summary = summarised(found)
    if form is Format.JSON:
        options.emit(summary)
    else:
        _print(summary)
    if summary["unreadable"] or summary["outcomes"][Verdict.FAILED]:
        raise typer.Exit(_FAILED)


def look(work: _Work, file: Path) -> Finding:
    """Return what one record gives."""
    content = work.content
    try:
        held = read(file.read_bytes(), where=file.name, systems=content.systems, limit=options.LARGEST_FILE)
        record = answered(held, content.forms)
        verdicts: dict[str, list[str]] = {}
        for item in outcomes(content.engine, record, work.now):
            verdicts.setdefault(item["outcome"], []).append(f"{item['source']}:{item['number']}")
        return Finding(str(file), verdicts, _cards(work, record))
    except FhirCdsError as error:
        return Finding(str(file), {}, error=str(error))
    except OSError as error:
        return Finding(str(file), {}, error=str(error.strerror))


def summarised(found: Sequence[Finding]) -> dict[str, Any]:
    """Return the counts over all records, and the records for which there is anything to see."""
    by_recommendation: dict[str, Counter[str]] = {}
    for finding in found:
        for verdict in _SHOWN:
            for name in finding.verdicts.get(verdict, ()):
                by_recommendation.setdefault(name, Counter())[verdict.value] += 1
    return {
        "records": sum(finding.error is None for finding in found),
        "outcomes": {v.value: sum(len(finding.verdicts.get(v, ())) for finding in found) for v in Verdict},
        "cards": sum(finding.cards for finding in found),
        "recommendations": {name: dict(counts) for name, counts in by_recommendation.items()},
        "concerned": [
            {"file": f.file, "cards": f.cards, **{v.value: f.verdicts.get(v, []) for v in _SHOWN}}
            for f in found
            if f.concerned
        ],
        "unreadable": [{"file": f.file, "error": f.error} for f in found if f.error is not None],
    }


def _files(folders: Sequence[Path]) -> Iterator[Path]:
    """Yield the files of records, sorted within each folder; raises InputError where there is none."""
    for folder in folders:
        found = [folder] if folder.is_file() else sorted(p for p in folder.rglob("*") if p.suffix in _ENDS)
        if not found:
            raise InputError("no record (*.json, *.ndjson) is here", where=str(folder))
        yield from found


_held: list[_Work] = []


def _all(work: _Work, files: Sequence[Path], jobs: int) -> Iterator[Finding]:
    """Yield what each record gives, in order; the content is loaded once and shared by fork."""
    steps = Console(stderr=True)
    if jobs == 1:
        yield from (look(work, file) for file in track(files, "records", console=steps, transient=True))
        return
    _held[:] = [work]
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        answers = pool.imap(_one, files, chunksize=8)
        yield from track(answers, "records", total=len(files), console=steps, transient=True)


def _one(file: Path) -> Finding:
    return look(_held[0], file)


def _cards(work: _Work, record: PatientRecord) -> int:
    """Return how many cards the services of the content show when the record is opened."""
    context = {"patientId": record.subject.partition("/")[2]}
    offers = [offer for offer in work.content.offers if offer.service.hook == HOOK]
    questions = [Question(offer, record, work.now, context, HOOK) for offer in offers]
    return sum(len(advise(work.content, question).response.cards) for question in questions)


def _print(summary: dict[str, Any]) -> None:
    """Print the summary for people."""
    console = Console()
    counts = ", ".join(f"{number} {verdict}" for verdict, number in summary["outcomes"].items())
    console.print(f"{summary['records']} records: {counts}; {summary['cards']} cards", highlight=False, soft_wrap=True)
    table = Table("Recommendation", *(verdict.value for verdict in _SHOWN), box=None, pad_edge=False)
    for name, found in summary["recommendations"].items():
        table.add_row(name, *(str(found.get(verdict.value, 0)) for verdict in _SHOWN))
    if summary["recommendations"]:
        console.print(table)
    for item in summary["concerned"]:
        told = "; ".join(
            f"{verdict.value}: {', '.join(item[verdict.value])}" for verdict in _SHOWN if item[verdict.value]
        )
        console.print(f"{item['file']}  {item['cards']} cards  {told}", highlight=False, markup=False, soft_wrap=True)
    for item in summary["unreadable"]:
        console.print(f"{item['file']}  not read: {item['error']}", highlight=False, markup=False, soft_wrap=True)
