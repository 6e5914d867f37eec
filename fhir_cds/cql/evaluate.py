"""One evaluation: defines evaluated when asked for, remembered, with errors that say where."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from fhir_cds.cql.compile.assemble import SOURCE_NAME, UNSET, Compiled
from fhir_cds.cql.explain import provenance, resources_in
from fhir_cds.cql.runtime.message import Message, MessageError
from fhir_cds.cql.runtime.state import BudgetSpentError, State
from fhir_cds.errors import BudgetError, EvaluationError, InputError

DEFAULT_BUDGET: Final = 5_000_000


class Evaluation:
    """The values of a program's defines for one patient at one time; make one with `Program.evaluate`.

    An evaluation belongs to one thread; the program behind it is shared.
    """

    __slots__ = ("_compiled", "_held", "_holding", "_state", "_values")

    def __init__(self, compiled: Compiled, holding: Collection[int], state: State, values: list[Any]) -> None:
        self._compiled = compiled
        self._holding = holding
        self._state = state
        self._values = values
        self._held: dict[int, tuple[str, ...]] = {}

    def value(self, library: str, define: str) -> Any:
        """Return the value of a define (None is null), evaluating it and what it needs the first time.

        Raises InputError when there is no such define, EvaluationError when it fails, BudgetError when it takes too
        many steps.
        """
        return self.at(self._slot(library, define))

    def _slot(self, library: str, define: str) -> int:
        slot = self._compiled.slots.get(("e", library, define))
        if slot is None:
            raise InputError("there is no such define", where=f'{library}."{define}"')
        return slot

    def at(self, slot: int) -> Any:
        """Return the value of the define at a slot (`DefineInfo.slot`), as `value` does and raising as it does."""
        value = self._values[slot]
        if value is not UNSET:
            return value
        name, function = self._compiled.by_slot[slot]
        try:
            return function(self._state, self._values)
        except EvaluationError:
            raise
        except Exception as error:  # whatever an operator raises becomes an error with its place
            raise self._located(error, *name) from None

    def resources(self, library: str, define: str) -> tuple[str, ...]:
        """Return where a value comes from, as `Type/id`: resources in it, else those of the defines it reads."""
        return provenance(self._compiled.reads, self._holding, self._held_at, self._slot(library, define))

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
        return self._values[self._compiled.slots[("e", library, define)]] is not UNSET

    @property
    def messages(self) -> tuple[Message, ...]:
        """Messages of the libraries so far (CQL `Message`, other than errors)."""
        return tuple(self._state.messages)

    def _located(self, error: Exception, library: str, define: str) -> EvaluationError:
        """Return the error with library, define and locator of the innermost CQL line it came through."""
        place: tuple[str, str | None, str | None] = (library, define, None)
        trace = error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == SOURCE_NAME:
                found = self._compiled.places[trace.tb_lineno - 1]
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
