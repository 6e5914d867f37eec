"""The tables of the store and how it is opened: SQLite (WAL journal, synced) or PostgreSQL."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.schema import CreateIndex, CreateTable

from fhir_cds.errors import FhirCdsError, InputError

WHERE: Final = "feedback_url"
META: Final = sa.MetaData()
BUSY_MILLISECONDS: Final = 5000
"""How long a writer of SQLite waits for another one."""

RESPONSES: Final = sa.Table(
    "fhir_cds_response",
    META,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("at", sa.DateTime(timezone=True), nullable=False, index=True),
    sa.Column("service", sa.String(128), nullable=False),
    sa.Column("hook", sa.String(64), nullable=False),
    sa.Column("issuer", sa.String(256), nullable=False),
    sa.Column("patient", sa.String(64), nullable=False),
    sa.Column("milliseconds", sa.Integer, nullable=False),
    sa.Column("shown", sa.Text, nullable=False),
)
"""`shown` is JSON: a list with one object per card, its members those of `CardRow`."""

FEEDBACK: Final = sa.Table(
    "fhir_cds_feedback",
    META,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("received", sa.DateTime(timezone=True), nullable=False, index=True),
    sa.Column("service", sa.String(128), nullable=False),
    sa.Column("issuer", sa.String(256), nullable=False),
    sa.Column("card", sa.String(64), nullable=False, index=True),
    sa.Column("outcome", sa.String(16), nullable=False),
    sa.Column("outcome_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("suggestions", sa.Text, nullable=False),
    sa.Column("reason_system", sa.String(256)),
    sa.Column("reason_code", sa.String(128)),
    sa.Column("commented", sa.Boolean, nullable=False),
)
TOKENS: Final = sa.Table(
    "fhir_cds_token",
    META,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("expires", sa.Float, nullable=False, index=True),
)


class StoreError(FhirCdsError):
    """The store cannot be used; nothing was acknowledged."""

    status = 503
    code = "transient"

    def __init__(self, message: str, *, where: str | None = None, passing: bool = False) -> None:
        super().__init__(message, where=where)
        self.passing = passing
        """Whether it may be over in a moment: the database is away, locked or full."""


@dataclass(frozen=True, slots=True)
class File:
    """The file of a SQLite store as it was when it was opened. A connection goes on writing to a file that is gone."""

    path: Path
    device: int
    number: int

    def check(self) -> None:
        """Raise StoreError when another file, or none, stands in its place."""
        try:
            now = self.path.stat()
        except OSError:
            now = None
        if now is None or (now.st_dev, now.st_ino) != (self.device, self.number):
            told = (
                "the store's file was removed or replaced while the service ran: nothing is kept until it is restarted"
            )
            raise StoreError(told, where="store")


def opened(url: str) -> sa.Engine:
    """Return the engine of a store, its tables made where they were not there.

    Raises InputError when it cannot be opened, or was made by another version.
    """
    try:
        engine = sa.create_engine(url)
        if engine.dialect.name == "sqlite":
            event.listen(engine, "connect", _durable)
        told = _other_columns(engine)
        if told is None:
            _create(engine)
            return engine
    except (SQLAlchemyError, ImportError) as error:
        told = f"the store cannot be opened: {_reason(error, url)}"
    else:
        engine.dispose()
    raise InputError(told, where=WHERE)


def _reason(error: SQLAlchemyError | ImportError, url: str) -> str:
    """Return in words why a store cannot be opened; no password is in what drivers say."""
    if isinstance(error, ImportError):
        return f"the module {error.name} is not installed"
    if isinstance(error, NoSuchModuleError):
        return f"{url.partition(':')[0]}: no such database, or its driver is not installed"
    if isinstance(error, ArgumentError):
        return "not a database URL"
    if isinstance(error, DBAPIError):
        return str(error.orig).partition("\n")[0]
    return type(error).__name__


def file_of(engine: sa.Engine) -> File | None:
    """Return the file that a store is in; None for a server, and for a store in memory."""
    if engine.dialect.name != "sqlite":
        return None
    with engine.connect() as connection:
        paths = {row.name: row.file for row in connection.exec_driver_sql("PRAGMA database_list")}
    if not paths["main"]:
        return None
    path = Path(paths["main"])
    now = path.stat()
    return File(path, now.st_dev, now.st_ino)


def _other_columns(engine: sa.Engine) -> str | None:
    """Say which table of ours is there with other columns than it has now."""
    inspector = sa.inspect(engine)
    for table in META.tables.values():
        if inspector.has_table(table.name):
            there = {column["name"] for column in inspector.get_columns(table.name)}
            if there != set(table.columns.keys()):
                return (
                    f"table {table.name} is of another version of fhir_cds, which this one cannot use: name a new store"
                )
    return None


def _create(engine: sa.Engine) -> None:
    """Make the tables that are not there; several workers may do so at once."""
    with engine.begin() as connection:
        for table in META.sorted_tables:
            connection.execute(CreateTable(table, if_not_exists=True))
            for index in table.indexes:
                connection.execute(CreateIndex(index, if_not_exists=True))


def _durable(connection: Any, _record: Any) -> None:
    """Make SQLite sync each commit to disk and let readers and several processes work beside a writer."""
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={BUSY_MILLISECONDS}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
