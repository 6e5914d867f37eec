"""What a request is made of, and how its parts are read and placed; shared by all kinds of request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from fhir_cds.fhir.dates import date_range
from fhir_cds.reasoning import plans
from fhir_cds.reasoning.kinds import Kind, Slot
from fhir_cds.reasoning.outcome import Json
from fhir_cds.reasoning.session import Session
from fhir_cds.reasoning.steps import quantity_step

ABSENT: Final = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"


@dataclass(frozen=True, slots=True)
class Sources:
    """What a request is made of: the ActivityDefinition, the action that names it ({} when alone), and its place."""

    session: Session
    definition: Json
    action: Json
    path: str
    kind: Kind

    def first(self, name: str) -> Any:
        """Return an element of the action, else of the ActivityDefinition."""
        return self.action.get(name, self.definition.get(name))

    def choice(self, name: str) -> tuple[str, Any] | None:
        """Return (key, value) of a choice element of the action, else of the ActivityDefinition."""
        return plans.choice(self.action, name) or plans.choice(self.definition, name)


def absent(reason: str = "unknown") -> dict[str, Any]:
    """Return an element that only says why it has no value."""
    return {"extension": [{"url": ABSENT, "valueCode": reason}]}


def put(made: dict[str, Any], slot: Slot | str | None, value: Any) -> None:
    """Set a value in its place, if there is one and a value; a place that repeats keeps what it has."""
    if slot is None or value is None or value == []:
        return
    if isinstance(slot, str):
        made[slot] = value
    elif slot.many:
        made[slot.name] = [*made.get(slot.name, ()), *(value if isinstance(value, list) else [value])]
    else:
        made[slot.name] = value[0] if isinstance(value, list) else value


def when(source: Sources) -> tuple[str, Any] | None:
    """Return the timing as (`DateTime` | `Period` | `Timing`, value): lengths of time become bounds, ages dates."""
    found = source.choice("timing")
    if found is None:
        return None
    suffix, value = found[0].removeprefix("timing"), found[1]
    if suffix in {"DateTime", "Period", "Timing"}:
        return suffix, value
    if suffix in {"Duration", "Range"}:
        return "Timing", {"repeat": {f"bounds{suffix}": value}}
    patient = source.session.resource(source.session.subject) or {}
    born = date_range(patient.get("birthDate"))
    if born is None or not born.is_exact:
        text = "an age says no date: the day of birth is not known"
        source.session.issues.append(
            plans.content_issue("warning", "incomplete", text, source.definition, f"{source.path}.{found[0]}")
        )
        return None
    return "DateTime", quantity_step(value, where=source.path).after(born.earliest).isoformat()
