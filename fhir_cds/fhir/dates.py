"""Calendar arithmetic on dates, and dates that are known in part only.

Months are counted as the calendar does: 31 January + 1 month is the last day of February. As that rule loses days,
count every date from its origin in one step: 31 January + 2 months is 31 March, but + 1 + 1 would be 28 March.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Final

from fhir_cds.errors import ContentError

_IN_EVERY_MONTH: Final = 28
_DATE: Final = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2})(?:T.*)?)?)?", re.DOTALL)

MONTHS_IN: Final[Mapping[str, int]] = {"mo": 1, "month": 1, "months": 1, "a": 12, "year": 12, "years": 12}
DAYS_IN: Final[Mapping[str, int]] = {"d": 1, "day": 1, "days": 1, "wk": 7, "week": 7, "weeks": 7}


@dataclass(frozen=True, slots=True)
class DateRange:
    """The days a date can mean: one, or many when it is given by year or month alone."""

    earliest: date
    latest: date

    @property
    def is_exact(self) -> bool:
        """Whether it is one day."""
        return self.earliest == self.latest


def add_months(day: date, months: int) -> date:
    """Return `day` moved by whole months (negative: back), cut to the last day of the month it falls in.

    >>> add_months(date(2024, 1, 31), 1), add_months(date(2023, 1, 31), 1)
    (datetime.date(2024, 2, 29), datetime.date(2023, 2, 28))

    Raises OverflowError outside the years 1 to 9999.
    """
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    if not date.min.year <= year <= date.max.year:
        raise OverflowError("the date is outside the years 1 to 9999")
    if day.day <= _IN_EVERY_MONTH:
        return date(year, month + 1, day.day)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def whole(value: int | Decimal, unit: str, *, where: str | None = None) -> tuple[int, int]:
    """Return a length of time as (whole months, whole days); one of them is 0.

    `unit` is UCUM (d, wk, mo, a) or a CQL word (day, weeks, ...); 1.5 years are 18 months. Raises ContentError for
    other units and for a length that is no whole number of months or days.
    """
    for table in (MONTHS_IN, DAYS_IN):
        factor = table.get(unit)
        if factor is not None:
            total = Decimal(value) * factor
            if total != total.to_integral_value():
                raise ContentError(f"{value} {unit} is no whole number of days or months", where=where)
            return (int(total), 0) if table is MONTHS_IN else (0, int(total))
    raise ContentError(f'"{unit}" is no unit of days, weeks, months or years', where=where)


def add(day: date, value: int | Decimal, unit: str, *, where: str | None = None) -> date:
    """Return `day` moved by a length of time in days, weeks, months or years; raises as `whole` and `add_months`.

    >>> add(date(2024, 2, 29), 1, "a")
    datetime.date(2025, 2, 28)
    """
    months, days = whole(value, unit, where=where)
    return add_months(day, months) + timedelta(days=days)


def date_range(text: object) -> DateRange | None:
    """Return the days that a FHIR date or dateTime can mean; None for anything that is not one.

    A dateTime counts as the day it names in its own zone.

    >>> date_range("2024-02")
    DateRange(earliest=datetime.date(2024, 2, 1), latest=datetime.date(2024, 2, 29))
    """
    found = _DATE.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return None
    year, month, day = (None if part is None else int(part) for part in found.groups())
    try:
        if month is None:
            return DateRange(date(year or 0, 1, 1), date(year or 0, 12, 31))
        if day is None:
            last = calendar.monthrange(year or 0, month)[1]
            return DateRange(date(year or 0, month, 1), date(year or 0, month, last))
        exact = date(year or 0, month, day)
    except ValueError:  # year 0, month 13, 30 February
        return None
    return DateRange(exact, exact)
