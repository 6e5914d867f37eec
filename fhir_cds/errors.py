"""The one exception tree of fhir_cds.

::

    FhirCdsError
    ├── ContentError          the content does not load: canonical, define, value set (500 at start, 422 on request)
    │   └── ElmError          an ELM library that cannot be compiled: names library, define, locator
    ├── InputError            what the caller sent is wrong: not JSON, not a Bundle, two patients … (400, exit code 2)
    │   ├── NotFoundError     the thing asked for by name is not here (404)
    │   └── MissingDataError  needed data was neither sent nor can be read (412)
    ├── FhirServerError       a FHIR server answered wrongly or not at all: keeps its status (502, or 412 by caller)
    └── EvaluationError       a define failed: names library, define, locator (an outcome, never silence)
        └── BudgetError       the step budget of an evaluation was used up

Messages never hold patient data or tokens: they name places (parameter, resource type, FHIRPath, define), not values.
`issue()` gives each error as one OperationOutcome.issue, in one place, for every caller.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class FhirCdsError(Exception):
    """Base of all errors raised by fhir_cds.

    `message` says what is wrong and what to do; `where` is a FHIRPath, file name, define or parameter name.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "exception"

    def __init__(self, message: str, *, where: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message

    def issue(self) -> dict[str, Any]:
        """Return this error as one `OperationOutcome.issue` (R4)."""
        issue: dict[str, Any] = {"severity": "error", "code": self.code, "diagnostics": str(self)}
        if self.where:
            issue["expression"] = [self.where]
        return issue


class ContentError(FhirCdsError):
    """Guideline content that cannot be loaded or processed."""

    status = 422
    code = "processing"


class ElmError(ContentError):
    """An ELM library that cannot be compiled; names the library, the define and the CQL locator."""

    def __init__(self, message: str, *, library: str, define: str | None = None, locator: str | None = None) -> None:
        self.library, self.define, self.locator = library, define, locator
        super().__init__(message, where=place(library, define, locator))


class InputError(FhirCdsError):
    """Input of the caller that cannot be used."""

    status = 400
    code = "invalid"


class NotFoundError(InputError):
    """A plan, resource, service or define that is not here."""

    status = 404
    code = "not-found"


class MissingDataError(InputError):
    """Data that is needed, was not sent and cannot be read."""

    status = 412
    code = "required"


class FhirServerError(FhirCdsError):
    """A FHIR server that answered with an error, garbage or nothing; `http_status` is None when it did not answer."""

    status = 502
    code = "transient"

    def __init__(self, message: str, *, where: str | None = None, http_status: int | None = None) -> None:
        super().__init__(message, where=where)
        self.http_status = http_status


class EvaluationError(FhirCdsError):
    """A define that failed while it was evaluated."""

    code = "processing"

    def __init__(self, message: str, *, library: str, define: str | None = None, locator: str | None = None) -> None:
        self.library, self.define, self.locator = library, define, locator
        super().__init__(message, where=place(library, define, locator))


class BudgetError(EvaluationError):
    """An evaluation that used up its step budget."""

    code = "too-costly"


def place(library: str, define: str | None, locator: str | None) -> str:
    """Return `Library."Define" (line:column-line:column)` with the parts that are known."""
    text = f'{library}."{define}"' if define else library
    return f"{text} ({locator})" if locator else text


def operation_outcome(*errors: FhirCdsError | Mapping[str, Any]) -> dict[str, Any]:
    """Return one R4 OperationOutcome holding an issue per error (or per ready-made issue)."""
    return {
        "resourceType": "OperationOutcome",
        "issue": [e.issue() if isinstance(e, FhirCdsError) else dict(e) for e in errors],
    }
