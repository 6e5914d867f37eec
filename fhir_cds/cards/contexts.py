"""What each hook's context must hold (CDS Hooks library, 2026-04) as one table, and the check of a received one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from fhir_cds.errors import InputError

ID: Final = re.compile(r"[A-Za-z0-9\-._]{1,64}")
REFERENCE: Final = re.compile(r"([A-Z][A-Za-z]+)/([A-Za-z0-9\-._]{1,64})")


@dataclass(frozen=True, slots=True)
class ContextField:
    """One member of a context: its kind, whether it must be there, the names it may also come by.

    `kind` is id (a bare id), user (`Type/id` of one of `types`), reference, references, bundle or resource. `final`
    resources have been recorded (a new problem), others are drafts or proposals.
    """

    name: str
    kind: str
    required: bool = True
    types: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    final: bool = False

    @property
    def token(self) -> bool:
        """Whether a prefetch template may use the field as a token (2.0: first-level primitives)."""
        return self.kind in {"id", "user"} or self.name == "performer"


_STAFF: Final = ("Practitioner", "PractitionerRole")
_ANYONE: Final = (*_STAFF, "Patient", "RelatedPerson")
_USER: Final = ContextField("userId", "user", types=_STAFF)
_ANY_USER: Final = ContextField("userId", "user", types=_ANYONE)
_PATIENT: Final = ContextField("patientId", "id", types=("Patient",))
_ENCOUNTER: Final = ContextField("encounterId", "id", required=False, types=("Encounter",))
_IN_ENCOUNTER: Final = ContextField("encounterId", "id", types=("Encounter",))
_DRAFTS: Final = ContextField("draftOrders", "bundle")

HOOKS: Final[Mapping[str, tuple[ContextField, ...]]] = MappingProxyType(
    {
        "patient-view": (_ANY_USER, _PATIENT, _ENCOUNTER),
        "order-select": (_USER, _PATIENT, _ENCOUNTER, ContextField("selections", "references"), _DRAFTS),
        "order-sign": (_USER, _PATIENT, _ENCOUNTER, _DRAFTS),
        "order-dispatch": (
            _PATIENT,
            ContextField("dispatchedOrders", "references", aliases=("order",)),
            ContextField("performer", "reference"),
            ContextField("fulfillmentTasks", "resources", required=False, aliases=("fulfillment-tasks", "task")),
        ),
        "encounter-start": (_USER, _PATIENT, _IN_ENCOUNTER),
        "encounter-discharge": (_USER, _PATIENT, _IN_ENCOUNTER),
        "appointment-book": (_ANY_USER, _PATIENT, _ENCOUNTER, ContextField("appointments", "bundle")),
        "problem-list-item-create": (_USER, _PATIENT, _ENCOUNTER, ContextField("conditions", "bundle", final=True)),
        "allergyintolerance-create": (
            _USER,
            _PATIENT,
            _ENCOUNTER,
            ContextField("allergyIntolerance", "resource", aliases=("allergyIntolerances",), final=True),
        ),
        "medication-refill": (
            ContextField("userId", "user", required=False, types=_STAFF),
            _PATIENT,
            _ENCOUNTER,
            ContextField("medications", "bundle"),
        ),
        "medication-verify": (_USER, _PATIENT, _ENCOUNTER, ContextField("medication", "resource", aliases=("order",))),
    }
)


def check(hook: str, context: Mapping[str, Any]) -> dict[str, Any]:
    """Return the context of a call with its members under the standard's names and ids bare (`Patient/1` → `1`).

    Hooks that are not in the table (own ones, reverse-domain names) need a `patientId` only.
    Raises InputError naming the member that is missing or of the wrong form (Q4, §1.6).
    """
    fields = HOOKS.get(hook, (_PATIENT,))
    checked = dict(context)
    for field in fields:
        value = next((context[name] for name in (field.name, *field.aliases) if context.get(name) is not None), None)
        where = f"context.{field.name}"
        if value is None:
            if field.required:
                raise InputError(f"hook {hook} needs context.{field.name}", where=where)
            checked.pop(field.name, None)
            continue
        checked[field.name] = _KINDS[field.kind](field, value, where)
    _selections(checked)
    return checked


def carriers(hook: str, context: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the members of a checked context that carry resources; for own hooks those that look like it."""
    if hook in HOOKS:
        kinds = {"bundle", "resource"}
        return tuple(field.name for field in HOOKS[hook] if field.kind in kinds and field.name in context)
    return tuple(name for name, value in context.items() if isinstance(value, dict) and "resourceType" in value)


def resources(context: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """Return the resources that a checked context carries under `name` (a Bundle or one resource), else none."""
    value = context.get(name)
    if not isinstance(value, dict):
        return []
    if value.get("resourceType") != "Bundle":
        return [value]
    return [entry["resource"] for entry in value.get("entry", []) if isinstance(entry.get("resource"), dict)]


def _id(field: ContextField, value: Any, where: str) -> str:
    """Return a bare id; `Patient/1` is tolerated where a Patient's id belongs."""
    text = value if isinstance(value, str) else ""
    kind, slash, rest = text.partition("/")
    if slash and kind in field.types:
        text = rest
    if not ID.fullmatch(text):
        raise InputError("must be the bare id of a FHIR resource", where=where)
    return text


def _user(field: ContextField, value: Any, where: str) -> str:
    """Return `Type/id` of an allowed type."""
    match = REFERENCE.fullmatch(value) if isinstance(value, str) else None
    if match is None or match[1] not in field.types:
        raise InputError(f"must be Type/id of {', '.join(field.types)}", where=where)
    return match[0]


def _reference(_field: ContextField, value: Any, where: str) -> str:
    """Return `Type/id` of any type."""
    if not isinstance(value, str) or not REFERENCE.fullmatch(value):
        raise InputError("must be a reference of the form Type/id", where=where)
    return value


def _references(field: ContextField, value: Any, where: str) -> list[str]:
    """Return a list of `Type/id`; one reference stands for a list of one."""
    items = value if isinstance(value, list) else [value]
    return [_reference(field, item, where) for item in items]


def _resource(_field: ContextField, value: Any, where: str) -> dict[str, Any]:
    """Return a resource; `{"resource": {...}}`, as older samples send it, is unwrapped."""
    inner = value.get("resource", value) if isinstance(value, dict) else None
    if not isinstance(inner, dict) or not isinstance(inner.get("resourceType"), str):
        raise InputError("must be a FHIR resource", where=where)
    return inner


def _resources(field: ContextField, value: Any, where: str) -> list[dict[str, Any]]:
    """Return a list of resources; one resource stands for a list of one."""
    items = value if isinstance(value, list) else [value]
    return [_resource(field, item, where) for item in items]


def _bundle(field: ContextField, value: Any, where: str) -> dict[str, Any]:
    """Return a Bundle whose entries all carry a resource of some type."""
    bundle = _resource(field, value, where)
    entries = bundle.get("entry", [])
    if bundle["resourceType"] != "Bundle" or not isinstance(entries, list):
        raise InputError("must be a FHIR Bundle", where=where)
    for number, entry in enumerate(entries):
        _resource(field, entry.get("resource") if isinstance(entry, dict) else None, f"{where}.entry[{number}]")
    return bundle


def _selections(context: Mapping[str, Any]) -> None:
    """Every selection must be among the draft orders."""
    if "selections" not in context or "draftOrders" not in context:
        return
    drafts = {f"{order['resourceType']}/{order.get('id')}" for order in resources(context, "draftOrders")}
    if not drafts.issuperset(context["selections"]):
        raise InputError("every selection must be one of context.draftOrders", where="context.selections")


_KINDS: Final = MappingProxyType(
    {
        "id": _id,
        "user": _user,
        "reference": _reference,
        "references": _references,
        "resource": _resource,
        "resources": _resources,
        "bundle": _bundle,
    }
)
