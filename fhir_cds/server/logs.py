"""Logs as one JSON object per line, with named fields only: ids, counts, times and places, never patient data.

Messages are constant texts; what varies is in `extra`, and only the members of `FIELDS` are written. So a value that
nobody thought about cannot reach the log.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any, Final

from fhir_cds.fhir import codec

FIELDS: Final = (
    "service",
    "hook",
    "hook_instance",
    "issuer",
    "jti",
    "tenant",
    "path",
    "method",
    "status",
    "milliseconds",
    "cards",
    "suggestions",
    "outcomes",
    "gaps",
    "unasked",
    "items",
    "new",
    "reason",
    "error",
    "place",
    "plans",
    "libraries",
    "url",
)


BENEATH: Final = ("uvicorn", "asyncio")
"""Loggers of what the service runs on."""


class JsonFormatter(logging.Formatter):
    """One line of JSON per record."""

    def format(self, record: logging.LogRecord) -> str:
        """Return time, level, logger, message and the named fields."""
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.msg.partition("\n")[0] if isinstance(record.msg, str) else type(record.msg).__name__,
        }
        given = record.__dict__
        line |= {name: value for name in FIELDS if (value := given.get(name)) is not None}
        if "error" not in line and record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
        return codec.encode(line).decode()


def configure(level: str) -> None:
    """Send the project's log lines of at least `level` to standard error, and warnings of the server beneath.

    Of theirs the text without its values is written, and the first line only: what follows may show any object.
    Thread and process, which no line shows, are not looked up for each (the standard library's logging HOWTO).
    """
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger("fhir_cds")
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    root.propagate = False
    for name in BENEATH:
        logging.getLogger(name).handlers[:] = [handler]
        logging.getLogger(name).propagate = False
