"""The static types of CQL as the compiler sees them: named, list, interval, choice and tuple types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias


@dataclass(frozen=True, slots=True)
class Named:
    """A class of a model by its full name: `System.Integer`, `FHIR.Observation`."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list type."""

    item: Type

    def __str__(self) -> str:
        return f"List<{self.item}>"


@dataclass(frozen=True, slots=True)
class IntervalOf:
    """An interval type."""

    point: Type

    def __str__(self) -> str:
        return f"Interval<{self.point}>"


@dataclass(frozen=True, slots=True)
class ChoiceOf:
    """A choice of types."""

    options: tuple[Type, ...]

    def __str__(self) -> str:
        return f"Choice<{', '.join(map(str, self.options))}>"


@dataclass(frozen=True, slots=True)
class TupleOf:
    """A tuple type: element names with their types, in order."""

    elements: tuple[tuple[str, Type], ...]

    def __str__(self) -> str:
        return f"Tuple{{{', '.join(f'{name} {kind}' for name, kind in self.elements)}}}"

    def element(self, name: str) -> Type | None:
        """Return the type of an element, or None if there is none of that name."""
        return next((kind for key, kind in self.elements if key == name), None)


Type: TypeAlias = Named | ListOf | IntervalOf | ChoiceOf | TupleOf

ANY: Final = Named("System.Any")
BOOLEAN: Final = Named("System.Boolean")
INTEGER: Final = Named("System.Integer")
LONG: Final = Named("System.Long")
DECIMAL: Final = Named("System.Decimal")
STRING: Final = Named("System.String")
DATE: Final = Named("System.Date")
DATETIME: Final = Named("System.DateTime")
TIME: Final = Named("System.Time")
QUANTITY: Final = Named("System.Quantity")
RATIO: Final = Named("System.Ratio")
CODE: Final = Named("System.Code")
CONCEPT: Final = Named("System.Concept")
VALUESET: Final = Named("System.ValueSet")
CODESYSTEM: Final = Named("System.CodeSystem")
