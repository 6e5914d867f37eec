"""dynamicValue: values that depend on the patient, set on the produced action or resource (apply.md DV-01 .. DV-06).

The ActivityDefinition's values are set first, the action's after them, each in order. A path that starts with
`%action.` or `action.` goes to the action, any other to the produced resource, or to the action where there is none.
An empty value is left out with a warning; one that fails is left out with an error; the rest goes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from fhir_cds.errors import ContentError, EvaluationError
from fhir_cds.fhir import element
from fhir_cds.reasoning import convert, plans
from fhir_cds.reasoning.outcome import Json
from fhir_cds.reasoning.session import Session

_TO_ACTION: Final = ("%action.", "action.")
_DATES_AS_DATE_TIME: Final = frozenset({"occurrence", "timing", "effective", "performed", "onset"})
_STRING: Final = ".ofType(string)"


@dataclass(frozen=True, slots=True)
class Target:
    """What dynamic values are set on: the produced action and the produced resource (None when there is none)."""

    action: Json
    resource: dict[str, Any] | None


def apply(session: Session, definition: Json, owner: Json, target: Target, path: str) -> Target:
    """Return `target` with the dynamic values of `owner` (an action, or an ActivityDefinition) set.

    `definition` is the plan or activity in whose libraries the expressions are; `path` the FHIRPath of `owner`. What
    goes wrong is added to the session's issues.
    """
    for index, dynamic in enumerate(owner.get("dynamicValue", ())):
        place = f"{path}.dynamicValue[{index}]"
        try:
            target = _set(session, definition, dynamic, target, place)
        except (ContentError, EvaluationError) as error:
            session.issues.append(plans.content_issue("error", error.code, str(error), definition, place))
    return target


def _set(session: Session, definition: Json, dynamic: Json, target: Target, place: str) -> Target:
    name = str(dynamic.get("path") or "")
    expression = dynamic.get("expression")
    if not name or not isinstance(expression, dict):
        raise ContentError("a path and an expression are expected")
    value = _value(session, definition, expression, target)
    if value is None or value == []:
        warning = plans.content_issue("warning", "processing", f"no value for {name}", definition, place)
        session.issues.append(warning)
        return target
    to_action = name.startswith(_TO_ACTION) or target.resource is None
    name = next((name.removeprefix(mark) for mark in _TO_ACTION if name.startswith(mark)), name)
    if name.endswith(_STRING):
        name, value = name.removesuffix(_STRING), _text(value)
    last = name.replace("[x]", "").rpartition(".")[2].partition("[")[0]
    made = convert.element(value, last)
    kind = "dateTime" if made.type == "date" and last in _DATES_AS_DATE_TIME else made.type
    if to_action:
        return Target(
            element.set_value(target.action, name, made.value, kind="action", fhir_type=kind), target.resource
        )
    resource = element.set_value(target.resource or {}, name, made.value, fhir_type=kind)
    return Target(target.action, resource)


def _value(session: Session, definition: Json, expression: Json, target: Target) -> Any:
    meaning = session.meaning(expression, definition)

    def variables() -> dict[str, Any]:
        return session.scope(definition, action=target.action, target=target.resource or target.action)

    return session.value(meaning, definition, variables)


def _text(value: Any) -> Any:
    made = convert.element(value)
    items = made.value if isinstance(made.value, list) else [made.value]
    if not all(isinstance(item, str | int | Decimal) for item in items):
        raise ContentError("a value of several parts cannot be written as a string")
    texts = [str(item).lower() if isinstance(item, bool) else str(item) for item in items]
    return texts if isinstance(made.value, list) else texts[0]
