"""A plan applied with all its dates, from which the CarePlan of `$apply` and the Bundle of `$r5.apply` come."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

from msgspec.structs import replace

from fhir_cds.followup import careplan as careplans
from fhir_cds.followup.occurrences import all_requests
from fhir_cds.followup.schedule import Schedule, schedules_in
from fhir_cds.reasoning import assemble, r5
from fhir_cds.reasoning.apply import apply_in
from fhir_cds.reasoning.outcome import Applied, Json
from fhir_cds.reasoning.session import Session


@dataclass(frozen=True, slots=True)
class Result:
    """A plan applied, the schedules in it, and its requests dated from the day that the caller named."""

    applied: Applied
    schedules: tuple[Schedule, ...] = ()
    requests: tuple[Json, ...] = ()
    merge_nested: bool = False

    def careplan(self) -> dict[str, Any]:
        """Return the CarePlan (R4 `$apply`)."""
        made = assemble.careplan(self.applied, merge_nested=self.merge_nested)
        return careplans.with_requests(careplans.with_schedules(made, self.schedules), self.requests)

    def bundle(self) -> dict[str, Any]:
        """Return the Bundle (R5 `$apply`): the group, its requests, then what is dated."""
        made = r5.bundle(self.applied, merge_nested=self.merge_nested)
        return careplans.with_request_entries(careplans.with_entries(made, self.schedules), self.requests)


def result(
    session: Session,
    plan: str | Json,
    *,
    start: date | None = None,
    until: date | None = None,
    remarks: Iterable[Json] = (),
) -> Result:
    """Return a plan applied in an open session, with its dates; raises as `reasoning.apply.apply_in`.

    `start` is the day from which timings are counted (TI-02, TI-03): without it no request is multiplied. `remarks` are
    issues of the call itself. What cannot be dated is an issue of the result, as all else that goes wrong.
    """
    applied = apply_in(session, plan)
    schedules = schedules_in(session, applied)
    requests, undated = all_requests(applied, start, until) if start is not None else ((), ())
    told = [issue for schedule in schedules for issue in schedule.issues]
    applied = replace(applied, issues=(*remarks, *applied.issues, *told, *undated))
    return Result(applied, schedules, requests, session.context.merge_nested)


def parameters(results: Iterable[Result]) -> dict[str, Any]:
    """Return Parameters with one `return` Bundle per subject (`$r5.apply`)."""
    return {
        "resourceType": "Parameters",
        "parameter": [{"name": "return", "resource": one.bundle()} for one in results],
    }
