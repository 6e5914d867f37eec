"""What several commands share: where the content is, whose record, as of when, and how results are printed."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, Protocol

import typer

from fhir_cds.cards.facts import texts
from fhir_cds.data.answers import answered
from fhir_cds.data.forms import Forms
from fhir_cds.data.record import PatientRecord, read
from fhir_cds.errors import InputError
from fhir_cds.fhir import codec
from fhir_cds.knowledge.load import Knowledge, content_roots
from fhir_cds.knowledge.load import load as knowledge_of
from fhir_cds.reasoning.apply import instant
from fhir_cds.reasoning.engine import Engine
from fhir_cds.reasoning.outcome import Json
from fhir_cds.terminology.local import aliases

TOKEN_VARIABLE: Final = "FHIR_CDS_TOKEN"  # noqa: S105  # the name of a variable, not a token
LARGEST_FILE: Final = 200_000_000


class Format(StrEnum):
    """How a command prints."""

    JSON = "json"
    TEXT = "text"


Content = Annotated[list[Path] | None, typer.Option("--content", help="Content folder; repeatable [built-in content].")]
Patient = Annotated[
    str | None, typer.Option("--patient", help="Bundle or NDJSON of one patient; - reads standard input.")
]
FhirServer = Annotated[str | None, typer.Option("--fhir-server", help="FHIR base URL to read the patient from.")]
Subject = Annotated[str | None, typer.Option("--subject", help="Patient/id on that server.")]
Now = Annotated[str | None, typer.Option("--now", help="Day or instant of evaluation, 2026-01-31 [today].")]


class Guidelines(Protocol):
    """What the commands that ask the logic need of the content."""

    @property
    def knowledge(self) -> Knowledge:
        """Its resources and services."""

    @property
    def engine(self) -> Engine:
        """Its logic."""

    @property
    def fact_texts(self) -> Mapping[str, str]:
        """The text of each fact."""

    @property
    def systems(self) -> Mapping[str, str]:
        """Preferred URI of each alias of a code system."""

    @property
    def forms(self) -> Forms:
        """Its questionnaires."""


@dataclass(frozen=True, slots=True)
class _Guidelines:
    knowledge: Knowledge
    engine: Engine
    fact_texts: Mapping[str, str]
    systems: Mapping[str, str]
    forms: Forms


def load(content: Sequence[Path] | None) -> Guidelines:
    """Return the content of the folders given, else of FHIR_CDS_CONTENT, else the built-in one, without its service."""
    knowledge = knowledge_of(roots(content))
    return guidelines(knowledge, Engine.load(knowledge))


def roots(content: Sequence[Path] | None) -> tuple[Path, ...]:
    """Return the folders that `load` reads."""
    return content_roots(tuple(content or ()), os.environ)


def moment(now: str | None) -> str:
    """Return the instant of evaluation; without one it is today, at its first moment in UTC."""
    return instant(now or datetime.now(UTC).date().isoformat())


def guidelines(knowledge: Knowledge, engine: Engine) -> Guidelines:
    """Return content that is loaded already in the form that commands need."""
    registry = knowledge.registry
    return _Guidelines(knowledge, engine, texts(registry), aliases(registry), Forms.of(registry))


def patient(
    content: Guidelines, file: str | None, fhir_server: str | None, subject: str | None, *, reads: Json | None = None
) -> PatientRecord:
    """Return the record named by the options, with what was answered in questionnaires.

    `reads` is a definition whose data a server is asked for besides.

    Raises InputError for a combination that names none or two, and for a file that is not one patient's record;
    FhirServerError, NotFoundError or MissingDataError for a server that does not give it.
    """
    if file is not None and (fhir_server is not None or subject is not None):
        raise InputError("give --patient, or --fhir-server with --subject, not both", where="--patient")
    if file is not None:
        return answered(read(_bytes(file), where=file, systems=content.systems, limit=LARGEST_FILE), content.forms)
    if fhir_server is None or subject is None:
        raise InputError("give --patient FILE, or --fhir-server URL with --subject Patient/123", where="--patient")
    return answered(asyncio.run(_from_server(content, fhir_server, subject, reads)), content.forms)


def emit(value: Any) -> None:
    """Print JSON for scripts."""
    sys.stdout.buffer.write(codec.encode_pretty(value))
    sys.stdout.flush()


async def _from_server(content: Guidelines, base: str, subject: str, reads: Json | None) -> PatientRecord:
    """Return the record of a patient on a server that the caller named himself."""
    # an HTTP client takes a third of a second to import, and most calls name a file
    from fhir_cds.data.client import Connections  # noqa: PLC0415
    from fhir_cds.data.gather import gather_subject  # noqa: PLC0415
    from fhir_cds.data.guard import Guard  # noqa: PLC0415
    from fhir_cds.data.prefetch import queries, type_of  # noqa: PLC0415
    from fhir_cds.reasoning import requirements  # noqa: PLC0415

    wanted = list(queries(content.knowledge.services))
    if reads is not None:
        wanted += requirements.queries(content.engine, reads, {type_of(query) for _, query in wanted})
    guard = Guard(allowed=(base,), loopback=True, plain_http=True, private_addresses=True)
    async with Connections(guard) as connections:
        return await gather_subject(
            connections,
            base,
            subject,
            wanted,
            token=os.environ.get(TOKEN_VARIABLE),
            systems=content.systems,
        )


def _bytes(file: str) -> bytes:
    """Return what a file or standard input holds."""
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=file) from None
