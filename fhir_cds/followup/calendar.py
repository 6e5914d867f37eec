"""Calendar arithmetic of follow-up: whole months or days counted from one day, and days that are known in part only.

Months are added as the calendar counts them: 31 January + 1 month is the last day of February. Because that rule loses
days, a date is always counted from its origin in one step and never by chaining (31 Jan + 1 + 1 would be 28 March).
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from fhir_cds.errors import ContentError

_DATE: Final = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?")
_MONTHS: Final[Mapping[str, int]] = {"mo": 1, "month": 1, "months": 1, "a": 12, "year": 12, "years": 12}
_DAYS: Final[Mapping[str, int]] = {"d": 1, "day": 1, "days": 1, "wk": 7, "week": 7, "weeks": 7}


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
        total = day.year * 12 + day.month - 1 + self.months
        year, month = divmod(total, 12)
        last = calendar.monthrange(year, month + 1)[1]
        return date(year, month + 1, min(day.day, last)) + timedelta(days=self.days)

    def before(self, day: date) -> date:
        """Return the day this much before `day`."""
        return Step(-self.months, -self.days).after(day)


NO_TIME: Final = Step()


@dataclass(frozen=True, slots=True)
class Days:
    """A day, or the range of days that an imprecise date can mean (`2024-03` is 1 to 31 March)."""

    first: date
    last: date

    @property
    def exact(self) -> bool:
        """Whether it is one day."""
        return self.first == self.last


def days_of(text: object) -> Days | None:
    """Return the days that an ISO date or date-time text (of any precision) can mean; None for anything else.

    A date-time counts as the day it names in its own time zone.

    >>> days_of("2024-02")
    Days(first=datetime.date(2024, 2, 1), last=datetime.date(2024, 2, 29))
    """
    found = _DATE.match(text) if isinstance(text, str) else None
    if found is None:
        return None
    year, month, day = (int(part) if part else None for part in found.groups())
    try:
        if year is None or month is None:
            return Days(date(int(found[1]), 1, 1), date(int(found[1]), 12, 31))
        if day is None:
            return Days(date(year, month, 1), date(year, month, calendar.monthrange(year, month)[1]))
        return Days(date(year, month, day), date(year, month, day))
    except ValueError:  # month 13, 30 February
        return None


def step_of(value: object, unit: object, *, where: str) -> Step:
    """Return `value` (whole, or half a year and the like that is whole in months or days) of a UCUM or CQL time unit.

    Raises ContentError for hours and shorter, unknown units and parts of a day: a follow-up is counted in days.
    """
    if not isinstance(value, int | Decimal) or isinstance(value, bool):
        raise ContentError("a length of time needs a number", where=where)
    for table, kind in ((_MONTHS, "months"), (_DAYS, "days")):
        factor = table.get(str(unit))
        if factor is not None:
            total = Decimal(value) * factor
            if total != total.to_integral_value():
                raise ContentError(f"{value} {unit} is no whole number of {kind}", where=where)
            return Step(**{kind: int(total)})
    raise ContentError(f'"{unit}" is no unit of days, weeks, months or years', where=where)


def quantity_step(quantity: Mapping[str, Any], *, where: str) -> Step:
    """Return the length of time in a FHIR Quantity or Duration (its `code` goes before its `unit`)."""
    return step_of(quantity.get("value"), quantity.get("code") or quantity.get("unit"), where=where)
