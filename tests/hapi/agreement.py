"""`$apply` on a real HAPI FHIR server and here, case by case: `python -m tests.hapi.agreement [--stored]`.

HAPI evaluates at its own today. So each record is moved in time by as many days as lie between the day it was written
for and the server's today, and both engines see the moved record as of today. The record goes with the call (`data`,
`useServerData` false), or is stored first and read by HAPI from its database (`--stored`: some ten times slower, for
every retrieve of the logic is then a search). What is compared, and what is not, stands in `fhir_cds.authoring.parity`.

Prints each disagreement and the figure; exit code 0 only when there is none.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parent))
import hapi_server
import publishing
from peer import Reply, Server

from fhir_cds.authoring import cases, parity, runner
from fhir_cds.authoring.cases import Case
from fhir_cds.data.record import from_resources
from fhir_cds.fhir import bundle, codec
from fhir_cds.reasoning import assemble
from fhir_cds.reasoning.apply import apply_plan
from fhir_cds.reasoning.session import Context
from fhir_cds.server import state
from fhir_cds.server.state import Loaded

ROOT: Final = Path(__file__).parents[2]
SAMPLE_DAY: Final = date(2026, 1, 31)
"""The day that the sample patients were written for."""

PATHWAY: Final = "ibero2025-pathway"
"""The pathway with most plans below it."""

Resource = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Patient:
    """A record as both engines see it, with the orders under review (in no record yet)."""

    resources: tuple[Resource, ...]
    drafts: tuple[Resource, ...] = ()

    @property
    def subject(self) -> str:
        """`Patient/id`."""
        return next(f"Patient/{item['id']}" for item in self.resources if item["resourceType"] == "Patient")


@dataclass(frozen=True, slots=True)
class Answer:
    """One plan for one case: where HAPI and we differ, in words (nowhere: we agree)."""

    case: str
    plan: str
    differences: tuple[str, ...]


def patient_of(content: Loaded, case: Case, today: date) -> Patient:
    """Return the patient of a case, moved in time from the case's day to another."""
    days = (today - date.fromisoformat(case.now[:10])).days
    held = runner.record(content.engine, case).resources
    return Patient(
        tuple(parity.shifted(item, days) for item in held), tuple(parity.shifted(item, days) for item in case.drafts)
    )


def name_of(path: Path) -> str:
    """Return a case file as `folder/name`."""
    return f"{path.parent.name}/{path.stem}"


def days_to(today: date) -> int:
    """Return the days from the day of the sample patients to another."""
    return (today - SAMPLE_DAY).days


def sample(path: Path, days: int = 0) -> Patient:
    """Return a sample patient from a file, moved in time by some days."""
    held = bundle.read(codec.decode(path.read_bytes(), where=path.name)).resources
    return Patient(tuple(parity.shifted(item, days) for item in held))


def stored(server: Server, patient: Patient, prefix: str) -> Patient:
    """Put a patient's record on the server under ids of its own, and return it so."""
    named = Patient(tuple(parity.renamed(patient.resources, prefix)), patient.drafts)
    server.put(named.resources)
    return named


def compare(server: Server, content: Loaded, plan: str, patient: Patient, *, sent: bool) -> tuple[str, ...]:
    """Return where HAPI and we differ on a plan; the record goes with the call, or (`sent` false) is on the server."""
    drafts = {runner.DRAFTS: list(patient.drafts)} if patient.drafts else {}
    reply = server.apply(plan, patient.subject, patient.resources if sent else None, drafts)
    if reply.status != 200:
        return (f"theirs answers {reply.status}: {codec.encode(reply.body)[:300].decode(errors='replace')}",)
    return differences(content, plan, patient, reply)


def of_plans(server: Server, content: Loaded, plans: Sequence[str], patient: Patient) -> dict[str, tuple[str, ...]]:
    """Return by plan where HAPI and we differ for one patient; plans are asked for side by side."""
    ask = partial(compare, server, content, patient=patient, sent=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = zip(plans, pool.map(ask, plans), strict=True)
        return {plan: texts for plan, texts in found if texts}


def differences(content: Loaded, plan: str, patient: Patient, reply: Reply) -> tuple[str, ...]:
    """Return where an answer of HAPI differs from what we give for the same record on the day of that answer."""
    record = from_resources([dict(item) for item in patient.resources], systems=content.systems)
    context = Context(parameters={runner.DRAFTS: list(patient.drafts)} if patient.drafts else {})
    ours = assemble.careplan(apply_plan(content.engine, plan, record, reply.today.isoformat(), context))
    return tuple(parity.differences(parity.normal_form(ours), parity.normal_form(reply.body)))


def of_case(
    server: Server, content: Loaded, words: cases.Words, today: date, path: Path, *, sent: bool = True
) -> list[Answer]:
    """Return the answers for one case on the server's day: one for every plan of which it expects an outcome.

    A case that expects values of defines only is asked for the plan of its folder, a story for the longest pathway.
    """
    case = cases.load(path, words)
    patient = patient_of(content, case, today)
    if not sent:
        patient = stored(server, patient, f"{path.parent.name}.{path.stem}.")
    named = tuple(case.expect.outcomes) or (case.plan or PATHWAY,)
    return [Answer(name_of(path), plan, compare(server, content, plan, patient, sent=sent)) for plan in named]


def of_cases(server: Server, content: Loaded, paths: Sequence[Path], *, sent: bool = True) -> Iterable[Answer]:
    """Return the answers for cases, as they come in; as many are asked at once as there are processors."""
    ask = partial(of_case, server, content, cases.words(ROOT), server.today(), sent=sent)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for answers in pool.map(ask, paths):
            yield from answers


def figure(answers: Sequence[Answer]) -> str:
    """Return the agreement in one line."""
    asked = len({answer.case for answer in answers})
    agreed = sum(not answer.differences for answer in answers)
    share = 100 * agreed / len(answers) if answers else 0
    return f"{asked:,} cases, {len(answers):,} answers to $apply: HAPI and we agree on {agreed:,} ({share:.2f} %)"


def main() -> int:
    """Compare on a server started for it (or FHIR_CDS_HAPI_URL), and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", default=[], help="folder, file or id of cases; repeatable")
    parser.add_argument("--stored", action="store_true", help="store each record, let HAPI read it")
    options = parser.parse_args()
    if reason := hapi_server.missing_tools():
        sys.exit(reason)
    content = state.load((ROOT,), lambda: datetime.now(UTC))
    answers = []
    with hapi_server.running() as base:
        server = Server(base)
        publishing.publish(server)
        for answer in of_cases(server, content, cases.find(ROOT, options.only), sent=not options.stored):
            answers.append(answer)
            for text in answer.differences:
                sys.stdout.write(f"{answer.case}, {answer.plan}: {text}\n")
    sys.stdout.write(f"{figure(answers)}\n")
    return 1 if any(answer.differences for answer in answers) else 0


if __name__ == "__main__":
    sys.exit(main())
