"""What an `$apply` or `$evaluate` call asks (apply.md IN-01 … IN-14): the definition, about whom, on which data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from fhir_cds.errors import InputError
from fhir_cds.fhir import issues, reference
from fhir_cds.reasoning.session import Context
from fhir_cds.server.parameters import Given, Resource, any_value, named

_CONCEPTS: Final = ("userType", "userTaskContext", "setting", "settingContext")
_INLINE: Final = ("planDefinition", "activityDefinition")
_UNUSED: Final = ("contentEndpoint", "terminologyEndpoint", "artifactEndpointConfiguration")
_STATUSES: Final = ("draft", "active")


@dataclass(frozen=True, slots=True)
class Prefetched:
    """One prefetchData: its Bundle (None: known to be empty) and the resource type that it is about, if said."""

    data: Resource | None
    type: str | None = None


@dataclass(frozen=True, slots=True)
class Invocation:
    """What a call asks: which definition, about whom, on which data, as of when, counted from and to which day."""

    definition: str | Resource | None
    subjects: tuple[str, ...]
    data: Resource | None
    prefetch: Mapping[str, Prefetched]
    endpoint: str | None
    now: str | None
    start: date | None = None
    until: date | None = None
    unused: tuple[str, ...] = ()
    context: Context = field(default_factory=Context)

    def remarks(self) -> tuple[Resource, ...]:
        """Return an issue for each parameter that was given and is not used (IN-10)."""
        text = "not used: content and value sets are those that this server has loaded and checked"
        return tuple(issues.issue("warning", "not-supported", f"{name}: {text}", name) for name in self.unused)


def invocation(given: Given) -> Invocation:
    """Return what the parameters of a call ask; raises InputError naming the parameter."""
    if "data" in given and "prefetchData" in given:
        raise InputError("give data or prefetchData, not both", where="data")
    return Invocation(
        definition=_definition(given),
        subjects=tuple(dict.fromkeys(reference.with_type(text, "Patient") for text in given.texts("subject"))),
        data=given.resource("data"),
        prefetch=dict(_prefetched(parts) for parts in given.parts("prefetchData")),
        endpoint=_endpoint(given),
        now=given.text("evaluationDateTime"),
        start=_day(given, "start"),
        until=_day(given, "until"),
        unused=tuple(name for name in _UNUSED if name in given),
        context=_context(given),
    )


def _definition(given: Given) -> str | Resource | None:
    """Return the definition named at type level: inline, or by canonical; None when none is (IN-01, IN-02)."""
    found = [item for name in _INLINE if (item := given.resource(name)) is not None]
    url, canonical = given.text("url"), given.text("canonical")
    if sum(value is not None for value in (*found, url, canonical)) > 1:
        raise InputError("give one of the definition itself, url and canonical", where="Parameters.parameter")
    version = given.text("version")
    if version is not None and url is None:
        raise InputError("version goes with url", where="version")
    return found[0] if found else canonical or (f"{url}|{version}" if url and version else url)


def _context(given: Given) -> Context:
    """Return the context of the call (IN-05 … IN-07, IN-11, AL-03, GR-04)."""
    language = given.concept("userLanguage")
    inner = given.resource("parameters") or {}
    variables = {name: concept for name in _CONCEPTS if (concept := given.concept(name)) is not None}
    if language is not None:
        variables["userLanguage"] = language
    status = given.text("requestStatus") or _STATUSES[0]
    if status not in _STATUSES:
        raise InputError(f"one of {', '.join(_STATUSES)} is expected", where="requestStatus")
    return Context(
        encounter=given.reference("encounter", "Encounter"),
        practitioner=given.reference("practitioner", "Practitioner"),
        organization=given.reference("organization", "Organization"),
        language=_code(language),
        variables=variables,
        parameters=_parameters(inner.get("parameter", []), "parameters.parameter"),
        selected=tuple(given.texts("selectedAction")) if "selectedAction" in given else None,
        documented=frozenset(given.texts("documentedOmission")),
        starts=dict(_start(parts) for parts in given.parts("actionStart")),
        status=status,
        merge_nested=given.flag("mergeNestedCarePlans"),
        collect_tasks=given.flag("collectTasks"),
    )


def _parameters(listed: Any, where: str) -> dict[str, Any]:
    """Return CQL parameters by name: a name given twice becomes a list, parts a tuple."""
    found: dict[str, list[Any]] = {}
    for item in named(listed, where):
        inner = f"{where}.part"
        value = _parameters(item["part"], inner) if "part" in item else item.get("resource", any_value(item))
        found.setdefault(str(item.get("name")), []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def _prefetched(parts: Mapping[str, Resource]) -> tuple[str, Prefetched]:
    """Return (key, data) of one prefetchData (IN-08)."""
    key = any_value(parts.get("key", {}))
    if not isinstance(key, str):
        raise InputError("needs a part named key", where="prefetchData")
    descriptor = any_value(parts.get("descriptor", {}))
    kind = descriptor.get("type") if isinstance(descriptor, dict) and not descriptor.get("codeFilter") else None
    return key, Prefetched(parts.get("data", {}).get("resource"), kind if isinstance(kind, str) else None)


def _start(parts: Mapping[str, Resource]) -> tuple[str, str]:
    """Return (action id, its start) of one actionStart (TI-04)."""
    action, start = any_value(parts.get("action", {})), any_value(parts.get("start", {}))
    if not isinstance(action, str) or not isinstance(start, str):
        raise InputError("needs the parts action and start", where="actionStart")
    try:
        date.fromisoformat(start[:10])
    except ValueError:
        raise InputError("a date (2026-01-31) or dateTime is expected", where="actionStart.start") from None
    return action, start


def _day(given: Given, name: str) -> date | None:
    """Return a full date; raises InputError for anything else."""
    text = given.text(name)
    try:
        return date.fromisoformat(text) if text is not None else None
    except ValueError:
        raise InputError("a full date (2026-01-31) is expected", where=name) from None


def _endpoint(given: Given) -> str | None:
    """Return the address of the data server: an inline Endpoint or a URL (IN-10)."""
    endpoint = given.resource("dataEndpoint")
    if endpoint is not None:
        address = endpoint.get("address")
        if not isinstance(address, str):
            raise InputError("an Endpoint needs an address", where="dataEndpoint")
        return address
    return given.text("dataEndpoint")


def _code(concept: Resource | None) -> str | None:
    """Return the first code of a concept."""
    codes = [coding["code"] for coding in (concept or {}).get("coding", []) if isinstance(coding.get("code"), str)]
    return codes[0] if codes else None
