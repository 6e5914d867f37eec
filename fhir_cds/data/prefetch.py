"""Prefetch as received: the state of each key and what it calls for (CDS Hooks 2.0 §Prefetch).

One table, `RULES`, holds every state that a key can be in; `answer` tells which one a key is in.

>>> answer("conditions", "Condition?patient=1", None).state
<State.NULL: 'null'>
>>> RULES[State.NULL]
Rule(complete=True, ask=False, meaning='the client looked and has nothing')
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from fhir_cds.data.record import normalised, read_bundle
from fhir_cds.errors import InputError
from fhir_cds.fhir import bundle, ids, issues
from fhir_cds.fhir.reference import with_type
from fhir_cds.knowledge.service import Service

Resource = dict[str, Any]

WHERE: Final = "prefetch"
_TOKEN: Final = re.compile(r"\{\{\s*([^{}]+?)\s*\}\}")
_TYPE: Final = re.compile(r"/?([A-Z][A-Za-z]+)")
_USER_TYPES: Final[Mapping[str, str]] = {
    "userPractitionerId": "Practitioner",
    "userPractitionerRoleId": "PractitionerRole",
    "userPatientId": "Patient",
    "userRelatedPersonId": "RelatedPerson",
}


class State(StrEnum):
    """What a prefetch key holds."""

    ABSENT = "absent"
    NULL = "null"
    EMPTY = "empty"
    FAILED = "operation-outcome"
    PARTIAL = "partial"
    PAGED = "paged"
    SINGLE = "single-for-search"
    LISTED = "bundle-for-read"
    FULL = "full"


class Rule(NamedTuple):
    """What a state calls for: whether the data are all there, and if not whether the server may be asked."""

    complete: bool
    ask: bool
    meaning: str


RULES: Final[Mapping[State, Rule]] = {
    State.ABSENT: Rule(complete=False, ask=True, meaning="the client did not send it"),
    State.NULL: Rule(complete=True, ask=False, meaning="the client looked and has nothing"),
    State.EMPTY: Rule(complete=True, ask=False, meaning="nothing matched"),
    State.FAILED: Rule(complete=False, ask=False, meaning="the client tried to read it and failed"),
    State.PARTIAL: Rule(complete=False, ask=False, meaning="the client could read only a part of it"),
    State.PAGED: Rule(complete=False, ask=True, meaning="the client sent the first page only"),
    State.SINGLE: Rule(complete=True, ask=False, meaning="one resource where a search was asked"),
    State.LISTED: Rule(complete=True, ask=False, meaning="a Bundle where one resource was asked"),
    State.FULL: Rule(complete=True, ask=False, meaning="as asked"),
}


class Answer(NamedTuple):
    """One key as received: its state, the resources in it, where it goes on, the issues told."""

    key: str
    state: State
    resources: tuple[Resource, ...] = ()
    next: str | None = None
    bases: frozenset[str] = frozenset()
    reason: str = ""

    @property
    def rule(self) -> Rule:
        """What the state calls for."""
        return RULES[self.state]


class _Absent:
    """Stands for a key that was not sent; None stands for one sent as null."""


ABSENT: Final = _Absent()


def answer(
    key: str, query: str, value: Any, *, systems: Mapping[str, str] | None = None, bases: Collection[str] = ()
) -> Answer:
    """Return the state of one key: `query` is its template, `value` what was sent (ABSENT for nothing).

    The resources come out normalised (see `record.normalised`, which `systems` and `bases` are for).
    Raises InputError naming the key when the value is no FHIR resource or of a type that the query cannot give.
    """
    place = f"{WHERE}.{key}"
    if value is ABSENT:
        return _made(key, State.ABSENT)
    if value is None:
        return _made(key, State.NULL)
    if not isinstance(value, dict):
        raise InputError("a FHIR resource, a Bundle or null is expected", where=place)
    kind = value.get("resourceType")
    if kind == "OperationOutcome":
        return _made(key, State.FAILED, reason=_told(State.FAILED, bundle.issues_of(value)))
    if kind != "Bundle":
        _expect_type(value, query, place)
        found = normalised([value], systems=systems, bases=bases, where=place)
        return _made(key, State.FULL if is_read(query) else State.SINGLE, tuple(found))
    held = read_bundle(value, systems=systems, bases=bases, where=place)
    _expect_types(value, query, place)
    grave = issues.grave(held.issues)
    if grave:
        return Answer(key, State.PARTIAL, held.resources, held.next, held.bases, _told(State.PARTIAL, grave))
    state = State.PAGED if held.next else State.LISTED if is_read(query) else State.FULL
    if not held.resources and not held.next:
        state = State.EMPTY
    return Answer(key, state, held.resources, held.next, held.bases, RULES[state].meaning)


def answers(
    templates: Mapping[str, str],
    prefetch: Any,
    *,
    systems: Mapping[str, str] | None = None,
    bases: Collection[str] = (),
) -> tuple[Answer, ...]:
    """Return the state of every key asked for, in the order of the templates; keys not asked for are passed over.

    `prefetch` is the member of the request, None when there is none. Raises InputError as `answer`.
    """
    if prefetch is not None and not isinstance(prefetch, dict):
        raise InputError("an object is expected", where=WHERE)
    sent = prefetch or {}
    return tuple(
        answer(key, query, sent.get(key, ABSENT), systems=systems, bases=bases) for key, query in templates.items()
    )


def unasked(templates: Collection[str], prefetch: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Return the keys sent that nobody asked for, for the log."""
    return tuple(sorted(set(prefetch or ()) - set(templates)))


def fill(template: str, context: Mapping[str, Any]) -> str | None:
    """Return the query of a template; None when a token has no value in this request.

    Tokens are `{{context.field}}` and the four user tokens of CDS Hooks 2.0, taken from `context.userId`. Raises
    InputError when a value is not a FHIR id.

    >>> fill("Condition?patient={{context.patientId}}", {"patientId": "1"})
    'Condition?patient=1'
    """
    values = {token: _value_of(token, context) for token in _TOKEN.findall(template)}
    if None in values.values():
        return None
    return _TOKEN.sub(lambda found: quote(values[found[1]] or "", safe=""), template)


def _value_of(token: str, context: Mapping[str, Any]) -> str | None:
    if token in _USER_TYPES:
        user = context.get("userId")
        kind, _, identifier = user.partition("/") if isinstance(user, str) else ("", "", "")
        return identifier if kind == _USER_TYPES[token] and ids.is_id(identifier) else None
    name = token.removeprefix("context.")
    value = context.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise InputError("a string is expected", where=f"context.{name}")
    if name in {"patientId", "encounterId"}:
        identifier = with_type(value, "").partition("/")[2]
        if not ids.is_id(identifier):
            raise InputError("a FHIR id is expected", where=f"context.{name}")
        return identifier
    return value


def type_of(query: str) -> str | None:
    """Return the resource type a query is about."""
    found = _TYPE.match(query)
    return found[1] if found else None


def is_read(query: str) -> bool:
    """Say whether a query reads one resource (`Patient/1`) rather than searches."""
    return "?" not in query and "/" in query.strip("/") and "$" not in query


def _made(key: str, state: State, resources: tuple[Resource, ...] = (), *, reason: str = "") -> Answer:
    return Answer(key, state, resources, reason=reason or RULES[state].meaning)


def _told(state: State, told: tuple[issues.Issue, ...]) -> str:
    return f"{RULES[state].meaning} ({issues.codes(told)})"


def _expect_types(value: Resource, query: str, place: str) -> None:
    if "$" in query or "_include" in query or "_revinclude" in query:
        return
    allowed = _allowed(query)
    for index, entry in enumerate(value.get("entry") or ()):
        search = entry.get("search")
        mode = search.get("mode", "match") if isinstance(search, dict) else "match"
        if mode == "match" and "resource" in entry and entry["resource"].get("resourceType") not in allowed:
            _expect_type(entry["resource"], query, f"{place}.entry[{index}].resource")


def _expect_type(resource: Resource, query: str, place: str) -> None:
    asked = type_of(query)
    if "$" not in query and asked is not None and resource.get("resourceType") not in _allowed(query):
        raise InputError(f"a {asked} is expected", where=place)


def _allowed(query: str) -> tuple[str | None, ...]:
    return (type_of(query), "OperationOutcome")


def queries(services: Iterable[Service]) -> tuple[tuple[str, str], ...]:
    """Return what to read of a patient when no service says it: all that the services ask for, each query once."""
    found: dict[str, str] = {}
    for service in sorted(services, key=lambda service: (service.id, service.hook)):
        for key, template in service.prefetch.items():
            if template not in found:
                found[template] = key if key not in found.values() else f"{service.id}.{key}"
    return tuple((key, template) for template, key in found.items())
