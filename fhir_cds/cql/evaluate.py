"""One evaluation: defines evaluated when asked for, remembered, with errors that say where."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from fhir_cds.cql.explain import provenance, resources_in
from fhir_cds.cql.runtime.interval import Interval
from fhir_cds.cql.runtime.message import Message, MessageError
from fhir_cds.cql.runtime.numbers import Long
from fhir_cds.cql.runtime.quantity import Quantity
from fhir_cds.cql.runtime.state import BudgetSpentError, State
from fhir_cds.cql.runtime.temporal import DateTime
from fhir_cds.cql.runtime.temporal_text import parse_date, parse_datetime, parse_time
from fhir_cds.cql.typesys import IntervalOf, ListOf, Named, Type
from fhir_cds.errors import BudgetError, EvaluationError, InputError

if TYPE_CHECKING:
    from fhir_cds.cql.library import Program

DEFAULT_BUDGET: Final = 5_000_000
_FILE: Final = "<cql>"


class Evaluation:
    """The values of a program's defines for one patient at one time; make one with `Program.evaluate`.

    An evaluation belongs to one thread; the program behind it is shared.
    """

    __slots__ = ("_held", "_program", "_state", "_unset", "_values")

    def __init__(self, program: Program, state: State, values: list[Any], unset: object) -> None:
        self._program = program
        self._state = state
        self._values = values
        self._unset = unset
        self._held: dict[int, tuple[str, ...]] = {}

    def value(self, library: str, define: str) -> Any:
        """Return the value of a define (None is null), evaluating it and what it needs the first time.

        Raises InputError when there is no such define, EvaluationError when it fails, BudgetError when it takes too
        many steps.
        """
        return self.at(self._slot(library, define))

    def _slot(self, library: str, define: str) -> int:
        slot = self._program.compiled.slots.get(("e", library, define))
        if slot is None:
            raise InputError("there is no such define", where=f'{library}."{define}"')
        return slot

    def at(self, slot: int) -> Any:
        """Return the value of the define at a slot (`DefineInfo.slot`), as `value` does and raising as it does."""
        value = self._values[slot]
        if value is not self._unset:
            return value
        name, function = self._program.compiled.by_slot[slot]
        try:
            return function(self._state, self._values)
        except EvaluationError:
            raise
        except Exception as error:  # whatever an operator raises becomes an error with its place
            raise self._located(error, *name) from None

    def resources(self, library: str, define: str) -> tuple[str, ...]:
        """Return where a value comes from, as `Type/id`: resources in it, else those of the defines it reads."""
        return provenance(
            self._program.compiled.reads, self._program.holding, self._held_at, self._slot(library, define)
        )

    def _held_at(self, slot: int) -> tuple[str, ...]:
        """Return the resources in a define's value, as `Type/id`; one that fails holds none."""
        found = self._held.get(slot)
        if found is None:
            try:
                found = resources_in(self.at(slot))
            except EvaluationError:
                found = ()
            self._held[slot] = found
        return found

    def known(self, library: str, define: str) -> bool:
        """Tell whether a define was evaluated already."""
        return self._values[self._program.compiled.slots[("e", library, define)]] is not self._unset

    @property
    def messages(self) -> tuple[Message, ...]:
        """Messages of the libraries so far (CQL `Message`, other than errors)."""
        return tuple(self._state.messages)

    def _located(self, error: Exception, library: str, define: str) -> EvaluationError:
        """Return the error with library, define and locator of the innermost CQL line it came through."""
        place: tuple[str, str | None, str | None] = (library, define, None)
        trace = error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == _FILE:
                found = self._program.compiled.places[trace.tb_lineno - 1]
                place = found if found[0] else place
            trace = trace.tb_next
        where = {"library": place[0], "define": place[1], "locator": place[2]}
        if isinstance(error, BudgetSpentError):
            return BudgetError("the evaluation took more steps than its budget: a query over too many rows", **where)  # type: ignore[arg-type]  # library is never None
        return EvaluationError(_message(error), **where)  # type: ignore[arg-type]  # library is never None


def _message(error: Exception) -> str:
    """Return what went wrong without any value of the patient."""
    if isinstance(error, MessageError):
        return f"the library stopped with an error message: {str(error).partition(': ')[0]}"
    if isinstance(error, RecursionError):
        return "the definitions are nested too deeply"
    if (
        isinstance(error, ValueError | ArithmeticError | TypeError | LookupError)
        and type(error).__module__ == "builtins"
    ):
        text = str(error)
        if not isinstance(error, KeyError) and "'" not in text.replace("'s", ""):
            return text
    return f"an operator failed on a value of an unexpected form ({type(error).__name__})"


# --- what the caller gives


def instant(now: str | DateTime) -> DateTime:
    """Return the evaluation time; text must be a full date and time with its offset, or a date (midnight UTC)."""
    if isinstance(now, DateTime):
        return now
    text = f"{now}T00:00:00.000+00:00" if len(now) == 10 else now
    found = parse_datetime(text, 0)
    if found is None or found.precision < 5:
        raise InputError("the evaluation time must be a date or a date and time with its offset", where="now")
    return found if found.precision == 6 else DateTime.at(found.lo, found.offset) or found


_TEXT: Final[dict[str, Any]] = {
    "System.Date": lambda text, offset: parse_date(text),
    "System.DateTime": parse_datetime,
    "System.Time": lambda text, offset: parse_time(text),
}


def parameter_value(value: Any, kind: Type | None, key: tuple[str, str], offset: int) -> Any:
    """Return a given parameter as a CQL value of its declared type; plain JSON and Python values are understood."""
    converted = _converted(value, kind, offset)
    if converted is None and value is not None:
        raise InputError(f"the parameter must be of type {kind}", where=".".join(key))
    return converted


def _converted(value: Any, kind: Type | None, offset: int) -> Any:
    if isinstance(kind, ListOf):
        return [_converted(item, kind.item, offset) for item in value] if isinstance(value, list | tuple) else None
    if isinstance(kind, IntervalOf):
        return _interval(value, kind, offset)
    name = kind.name if isinstance(kind, Named) else ""
    if isinstance(value, date | datetime):
        value = value.isoformat()
    if name in _TEXT and isinstance(value, str):
        return _TEXT[name](value, offset)
    if name == "System.Decimal" and isinstance(value, int | float) and not isinstance(value, bool):
        return Decimal(str(value))
    if name == "System.Long" and type(value) is int:
        return Long(value)
    if name == "System.Quantity" and isinstance(value, Mapping):
        return Quantity(Decimal(str(value.get("value"))), str(value.get("unit") or value.get("code") or "1"))
    return value


def _interval(value: Any, kind: IntervalOf, offset: int) -> Any:
    if not isinstance(value, Mapping):
        return value if isinstance(value, Interval) else None
    point = kind.point.name.removeprefix("System.") if isinstance(kind.point, Named) else None
    first, last = value.get("low", value.get("start")), value.get("high", value.get("end"))  # or a FHIR Period
    low, high = (_converted(bound, kind.point, offset) for bound in (first, last))
    if (low is None and first is not None) or (high is None and last is not None):
        return None
    return Interval(low, high, value.get("lowClosed") is not False, value.get("highClosed") is not False, point)
