"""The error of FHIRPath expressions."""

from __future__ import annotations

from typing import Final

from fhir_cds.errors import ContentError


class FhirPathError(ContentError):
    """An expression that cannot be read, or that cannot be evaluated on what it was given.

    `expression` is the text, `position` the character (from 0) where the fault lies, if it is known.
    """

    def __init__(self, message: str, expression: str = "", position: int | None = None) -> None:
        self.expression, self.position = expression, position
        place = f" (at character {position + 1})" if position is not None else ""
        super().__init__(f"{message}{place}", where=expression or None)


FAULTS: Final = (FhirPathError, TypeError, ValueError, ArithmeticError)
"""What the evaluation of an expression may raise on what it is given."""


def placed(error: Exception, position: int) -> FhirPathError:
    """Return a fault as the error of an expression; one that does not know its position gets the one given."""
    if not isinstance(error, FhirPathError):
        return FhirPathError(str(error), position=position)
    return error if error.position is not None else FhirPathError(error.message, position=position)
