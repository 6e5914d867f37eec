"""The parameters of `$apply` as they come: a Parameters resource, or a query string (apply.md IN-01 … IN-14)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from fhir_cds.errors import InputError
from fhir_cds.fhir import reference
from fhir_cds.reasoning.session import Context

Resource = dict[str, Any]

_CONCEPTS: Final = ("userType", "userTaskContext", "setting", "settingContext")
_KNOWN: Final = frozenset(
    {
        "planDefinition",
        "activityDefinition",
        "url",
        "version",
        "canonical",
        "subject",
        "encounter",
        "practitioner",
        "organization",
        "userLanguage",
        *_CONCEPTS,
        "parameters",
        "data",
        "prefetchData",
        "useServerData",
        "dataEndpoint",
        "mergeNestedCarePlans",
        "evaluationDateTime",
        "contentEndpoint",
        "terminologyEndpoint",
        "artifactEndpointConfiguration",
        "_format",
    }
)


@dataclass(frozen=True, slots=True)
class Invocation:
    """What an `$apply` call asks: which definition, about whom, on which data, as of when."""

    definition: str | Resource | None
    subjects: tuple[str, ...]
    data: Resource | None
    prefetch: Mapping[str, Resource | None]
    endpoint: str | None
    now: str | None
    context: Context = field(default_factory=Context)


def from_query(pairs: Iterable[tuple[str, str]]) -> Invocation:
    """Return the call in a query string: simple parameters only."""
    return _invocation([{"name": name, "valueString": value} for name, value in pairs])


def from_body(document: Any) -> Invocation:
    """Return the call in a Parameters resource; raises InputError naming what is wrong."""
    if not isinstance(document, dict) or document.get("resourceType") != "Parameters":
        raise InputError("a Parameters resource is expected", where="body")
    return _invocation(_named(document.get("parameter", []), "Parameters.parameter"))


def _named(value: Any, where: str) -> list[Resource]:
    """Return a list of parameters or parts; raises InputError for anything else."""
    if not isinstance(value, list) or not all(isinstance(item, dict) and item.get("name") for item in value):
        raise InputError("a list of named parameters is expected", where=where)
    return value


def _invocation(listed: Sequence[Resource]) -> Invocation:
    """Return the call in a list of parameters."""
    named: dict[str, list[Resource]] = {}
    for item in listed:
        named.setdefault(str(item["name"]), []).append(item)
    if strangers := sorted(set(named) - _KNOWN):
        raise InputError(f"not a parameter of $apply: {', '.join(strangers)}", where="Parameters.parameter")
    if "data" in named and "prefetchData" in named:
        raise InputError("give data or prefetchData, not both", where="data")
    return Invocation(
        definition=_definition(named),
        subjects=tuple(reference.with_type(text, "Patient") for text in _texts(named, "subject")),
        data=_resource(named, "data"),
        prefetch=dict(_prefetched(item) for item in named.get("prefetchData", ())),
        endpoint=_endpoint(named),
        now=_text(named, "evaluationDateTime"),
        context=_context(named),
    )


def _definition(named: Mapping[str, list[Resource]]) -> str | Resource | None:
    """Return the definition named at type level: inline, or by canonical; None when none is (IN-01, IN-02)."""
    inline = _resource(named, "planDefinition") or _resource(named, "activityDefinition")
    url, canonical = _text(named, "url"), _text(named, "canonical")
    if sum(value is not None for value in (inline, url, canonical)) > 1:
        raise InputError("give one of planDefinition, url and canonical", where="Parameters.parameter")
    version = _text(named, "version")
    if version is not None and url is None:
        raise InputError("version goes with url", where="version")
    return inline or canonical or (f"{url}|{version}" if url and version else url)


def _context(named: Mapping[str, list[Resource]]) -> Context:
    """Return the context of the call (IN-05 … IN-07, IN-11)."""
    language = _concept(named, "userLanguage")
    merge = _value(named, "mergeNestedCarePlans")
    inner = _resource(named, "parameters") or {}
    variables = {name: concept for name in _CONCEPTS if (concept := _concept(named, name)) is not None}
    if language is not None:
        variables["userLanguage"] = language
    return Context(
        encounter=_reference(named, "encounter", "Encounter"),
        practitioner=_reference(named, "practitioner", "Practitioner"),
        organization=_reference(named, "organization", "Organization"),
        language=_code(language),
        variables=variables,
        parameters=_parameters(inner.get("parameter", []), "parameters.parameter"),
        merge_nested=merge in {True, "true"},
    )


def _parameters(listed: Any, where: str) -> dict[str, Any]:
    """Return CQL parameters by name: a name given twice becomes a list, parts a tuple."""
    found: dict[str, list[Any]] = {}
    for item in _named(listed, where):
        inner = f"{where}.part"
        value = _parameters(item["part"], inner) if "part" in item else item.get("resource", _any_value(item))
        found.setdefault(str(item.get("name")), []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def _prefetched(item: Resource) -> tuple[str, Resource | None]:
    """Return (key, Bundle) of one prefetchData; None for a key that is known to be empty (IN-08)."""
    parts = {str(part["name"]): part for part in _named(item.get("part", []), "prefetchData.part")}
    key = _any_value(parts.get("key", {}))
    if not isinstance(key, str):
        raise InputError("needs a part named key", where="prefetchData")
    return key, parts.get("data", {}).get("resource")


def _endpoint(named: Mapping[str, list[Resource]]) -> str | None:
    """Return the address of the data server: an inline Endpoint or a URL."""
    endpoint = _resource(named, "dataEndpoint")
    if endpoint is not None:
        address = endpoint.get("address")
        if not isinstance(address, str):
            raise InputError("an Endpoint needs an address", where="dataEndpoint")
        return address
    return _text(named, "dataEndpoint")


def _resource(named: Mapping[str, list[Resource]], name: str) -> Resource | None:
    """Return the resource of a parameter, None when there is none."""
    found = [item["resource"] for item in named.get(name, ()) if "resource" in item]
    if len(found) > 1:
        raise InputError("may be given once", where=name)
    if found and not isinstance(found[0], dict):
        raise InputError("a resource is expected", where=name)
    return found[0] if found else None


def _texts(named: Mapping[str, list[Resource]], name: str) -> list[str]:
    """Return the texts of a parameter that may repeat; a Reference counts as its reference."""
    found = []
    for item in named.get(name, ()):
        value = _any_value(item)
        text = value.get("reference") if isinstance(value, dict) else value
        if not isinstance(text, str) or not text:
            raise InputError("a text is expected", where=name)
        found.append(text)
    return found


def _text(named: Mapping[str, list[Resource]], name: str) -> str | None:
    """Return the text of a parameter, None when it has none (a resource is looked at elsewhere)."""
    if any("resource" in item for item in named.get(name, ())):
        return None
    found = _texts(named, name)
    if len(found) > 1:
        raise InputError("may be given once", where=name)
    return found[0] if found else None


def _reference(named: Mapping[str, list[Resource]], name: str, kind: str) -> str | None:
    """Return a reference `Type/id`."""
    text = _text(named, name)
    return reference.with_type(text, kind) if text else None


def _value(named: Mapping[str, list[Resource]], name: str) -> Any:
    """Return the first value of a parameter."""
    items = named.get(name)
    return _any_value(items[0]) if items else None


def _concept(named: Mapping[str, list[Resource]], name: str) -> Resource | None:
    """Return a CodeableConcept; a plain text is its code."""
    value = _value(named, name)
    if value is None:
        return None
    if isinstance(value, str):
        return {"coding": [{"code": value}]}
    codings = value.get("coding", []) if isinstance(value, dict) else None
    if not isinstance(codings, list) or not all(isinstance(coding, dict) for coding in codings):
        raise InputError("a CodeableConcept is expected", where=name)
    return dict(value)


def _code(concept: Resource | None) -> str | None:
    """Return the first code of a concept."""
    codes = [coding["code"] for coding in (concept or {}).get("coding", []) if isinstance(coding.get("code"), str)]
    return codes[0] if codes else None


def _any_value(item: Mapping[str, Any]) -> Any:
    """Return the value[x] of a parameter, whatever its type."""
    return next((value for name, value in item.items() if name.startswith("value")), None)
