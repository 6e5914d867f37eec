"""The error of FHIRPath expressions."""

from __future__ import annotations

from fhir_cds.errors import ContentError


class FhirPathError(ContentError):
    """An expression that cannot be read, or that cannot be evaluated on what it was given.

    `expression` is the text, `position` the character (from 0) where the fault lies, if it is known.
    """

    def __init__(self, message: str, expression: str = "", position: int | None = None) -> None:
        self.expression, self.position = expression, position
        place = f" (at character {position + 1})" if position is not None else ""
        super().__init__(f"{message}{place}", where=expression or None)
