"""Lengths of time that a plan counts in: whole calendar months and whole days, always from one day in one step."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Final

from fhir_cds.errors import ContentError
from fhir_cds.fhir.dates import add_months, whole
from fhir_cds.reasoning.outcome import Json


@dataclass(frozen=True, slots=True)
class Step:
    """A length of time as whole calendar months and whole days."""

    months: int = 0
    days: int = 0

    def __add__(self, other: Step) -> Step:
        return Step(self.months + other.months, self.days + other.days)

    def __sub__(self, other: Step) -> Step:
        return Step(self.months - other.months, self.days - other.days)

    def __bool__(self) -> bool:
        return self.months != 0 or self.days != 0

    def after(self, day: date) -> date:
        """Return the day this much after `day`: months first, cut to the month's end, then days."""
        return add_months(day, self.months) + timedelta(days=self.days)

    def before(self, day: date) -> date:
        """Return the day this much before `day`."""
        return add_months(day, -self.months) - timedelta(days=self.days)


NO_TIME: Final = Step()


def step(value: object, unit: object, *, where: str) -> Step:
    """Return a number of days, weeks, months or years; raises ContentError for other units, and parts of a day."""
    if not isinstance(value, int | Decimal) or isinstance(value, bool):
        raise ContentError("a length of time needs a number", where=where)
    return Step(*whole(value, str(unit), where=where))


def quantity_step(quantity: Json, *, where: str) -> Step:
    """Return the length of time in a FHIR Quantity or Duration (its `code` goes before its `unit`)."""
    return step(quantity.get("value"), quantity.get("code") or quantity.get("unit"), where=where)
