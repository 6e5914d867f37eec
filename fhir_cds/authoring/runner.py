"""Run a case against the engine and say in words where it differs from what is expected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from fhir_cds.authoring import shorthand
from fhir_cds.authoring.cases import Case, Verdicts
from fhir_cds.cql import to_json
from fhir_cds.data.answers import KIND, answered
from fhir_cds.data.forms import Forms
from fhir_cds.data.record import PatientRecord, from_resources
from fhir_cds.errors import FhirCdsError, InputError
from fhir_cds.followup.schedule import Schedule, items, schedules_in
from fhir_cds.reasoning import explain, plans
from fhir_cds.reasoning.apply import apply_in, begin
from fhir_cds.reasoning.engine import Engine
from fhir_cds.reasoning.expressions import Define
from fhir_cds.reasoning.outcome import Outcome, Verdict
from fhir_cds.reasoning.outcomes import outcome_of
from fhir_cds.reasoning.session import Context, Session
from fhir_cds.terminology.local import aliases

DRAFTS: Final = "Draft Orders"
"""The CQL parameter that holds the orders under review."""
_NONE: Final[Mapping[str, Any]] = {}


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a case: the differences in words (none: it passed), and the why-trees of outcomes that differ."""

    case: Case
    differences: tuple[str, ...]
    why: str = ""

    @property
    def passed(self) -> bool:
        """Say whether everything was as expected."""
        return not self.differences


def record(engine: Engine, case: Case) -> PatientRecord:
    """Return the record of a case, read as the service reads any record; raises InputError."""
    held = from_resources(case.resources, systems=aliases(engine.registry), where=case.id)
    if not any(resource["resourceType"] == KIND for resource in held.resources):
        return held
    return answered(held, Forms.of(engine.registry))


def run(
    engine: Engine, case: Case, known: PatientRecord | None = None, parameters: Mapping[str, Any] = _NONE
) -> Result:
    """Return the result of a case; an error that the engine raises is a difference too.

    `known` is the case's record where it has been read before (content that does not change reads it the same);
    `parameters` are CQL parameters beside its draft orders.
    """
    why: list[str] = []
    try:
        context = Context(parameters={**_parameters(engine, case), **parameters})
        session = begin(engine, known or record(engine, case), case.now, context)
        differences = [*_outcomes(session, case, why), *_defines(session, case), *_schedules(session, case)]
    except FhirCdsError as error:
        differences = [f"{type(error).__name__}: {error}"]
    return Result(case, tuple(differences), "\n".join(why))


def _parameters(engine: Engine, case: Case) -> dict[str, Any]:
    for name in case.parameters:
        if name not in engine.parameters:
            raise InputError(f"no library has the parameter {name}", where=case.id)
    return {**({DRAFTS: list(case.drafts)} if case.drafts else {}), **case.parameters}


def _outcomes(session: Session, case: Case, why: list[str]) -> Iterator[str]:
    for plan, wanted in case.expect.outcomes.items():
        definition = session.engine.plan(plan)
        outcome = outcome_of(session, definition)
        differences = list(_verdict(plan, wanted, outcome))
        if differences:
            why += [explain.tree(session.explainer, define) for define in conditions(session, definition)]
        yield from differences


def _verdict(plan: str, wanted: Verdicts, outcome: Outcome) -> Iterator[str]:
    if outcome.verdict is not wanted.outcome:
        grounds = "; ".join(str(issue.get("diagnostics")) for issue in outcome.issues)
        yield f"{plan}: expected {wanted.outcome.value}, got {explain.summary(outcome)}{grounds and ': '}{grounds}"
    elif wanted.missing is not None and set(wanted.missing) != set(outcome.missing):
        yield f"{plan}: expected missing {_listed(wanted.missing)}, got {_listed(outcome.missing)}"
    elif wanted.missing is None and wanted.outcome is Verdict.UNKNOWN:
        yield f"{plan}: unknown as expected; the case must say which facts are missing ({_listed(outcome.missing)})"


def _listed(facts: Sequence[str]) -> str:
    return ", ".join(sorted(facts)) or "none"


def conditions(session: Session, definition: Mapping[str, Any]) -> list[Define]:
    """Return the defines that the conditions of a plan's own actions name."""
    expressions = (
        condition["expression"]
        for _, action in plans.placed(definition.get("action"), "PlanDefinition")
        for condition in action.get("condition", ())
    )
    meanings = (session.meaning(expression, definition) for expression in expressions)
    return [meaning for meaning in meanings if isinstance(meaning, Define)]


def _defines(session: Session, case: Case) -> Iterator[str]:
    for text, wanted in case.expect.defines.items():
        define = _define(session, case, text)
        session.require(define)
        got = to_json(session.evaluation.value(define.library, define.name))
        if not same(wanted, got):
            yield f'{define.library}."{define.name}": expected {wanted}, got {got}'


def _define(session: Session, case: Case, text: str) -> Define:
    library, dot, name = text.partition(".")
    if dot and any(define.library == library for define in session.engine.graph):
        return Define(library, name)
    own = conditions(session, session.engine.plan(case.plan)) if case.plan else []
    return Define(own[0].library if own else "", text)


def same(wanted: Any, got: Any) -> bool:
    """Say whether a value, as JSON, is what a case writes: numbers by value, quantities and references in shorthand."""
    if isinstance(wanted, bool) or isinstance(got, bool) or wanted is None or got is None:
        return wanted is got
    if isinstance(wanted, int | Decimal) and isinstance(got, int | Decimal):
        return Decimal(wanted) == Decimal(got)
    if isinstance(wanted, list) and isinstance(got, list):
        return len(wanted) == len(got) and all(same(*pair) for pair in zip(wanted, got, strict=True))
    if isinstance(got, Mapping):
        return _same_object(wanted, got)
    return bool(wanted == got)


def _same_object(wanted: Any, got: Mapping[str, Any]) -> bool:
    if isinstance(wanted, Mapping):
        return all(same(value, got.get(key)) for key, value in wanted.items())
    if "reference" in got:
        return bool(wanted == got["reference"])
    quantity = shorthand.quantity(wanted)
    return quantity is not None and same({name: quantity[name] for name in ("value", "unit")}, got)


def _schedules(session: Session, case: Case) -> Iterator[str]:
    for plan, expected in case.expect.schedules.items():
        where = "" if plan == case.plan else f"{plan} "
        found = schedules_in(session, apply_in(session, plan))
        visits = [item for one in found for item in _visits(one)]
        wanted = expected.visits
        if len(visits) < len(wanted) or (len(visits) > len(wanted) and not expected.open_end):
            yield f"{where}schedule: expected {len(wanted)} visits, got {len(visits)}"
        for number, (visit, got) in enumerate(zip(wanted, visits, strict=False), start=1):
            for key, value in visit.items():
                if not same(value, got.get(key)):
                    yield f"{where}visit {number} {key}: expected {value}, got {got.get(key)}"


def _visits(schedule: Schedule) -> list[dict[str, Any]]:
    done = [visit.done and visit.done.isoformat() for visit in schedule.visits]
    return [{**item, "done": day} for item, day in zip(items(schedule), done, strict=True)]
