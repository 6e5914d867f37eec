"""The same plan applied by two engines: what of their CarePlans is compared, and where they differ.

Compared are, action by action and in order: which actions apply, the type of the request each leads to, its codes and
intent, and the timing of the action. Left out are ids, status, texts, evidence, and what `$apply` does not define.
An action that we show as unknown is none here: engines without a third value leave it out (apply.md CO-07).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

from fhir_cds.errors import FhirServerError
from fhir_cds.fhir import codec, ids, reference
from fhir_cds.reasoning.sources import ABSENT

_DATE: Final = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2})(T.*)?)?)?", re.DOTALL)
_NO_DATES: Final = frozenset(
    {"resourceType", "id", "reference", "system", "code", "version", "display", "text", "unit", "url", "valueString"}
)
_GRAVE: Final = frozenset({"fatal", "error"})


@dataclass(frozen=True, slots=True)
class Line:
    """One action that applies: the ids on the way to it, and what it leads to."""

    path: str
    resource: str | None
    codes: frozenset[tuple[str, str]]
    intent: str | None
    timing: str

    def __str__(self) -> str:
        codes = ", ".join(sorted(f"{system}#{code}" for system, code in self.codes))
        told = (self.resource, codes, self.intent and f"intent {self.intent}", self.timing)
        return f"{self.path}: {'; '.join(part for part in told if part) or 'applies'}"


@dataclass(frozen=True, slots=True)
class NormalForm:
    """What is compared of a CarePlan; `unknown` are the paths of actions whose condition has no value."""

    lines: tuple[Line, ...]
    unknown: tuple[str, ...]
    errors: tuple[str, ...]


def normal_form(careplan: Any) -> NormalForm:
    """Return what is compared of an R4 `$apply` result; raises FhirServerError when it is no such CarePlan."""
    if not isinstance(careplan, Mapping) or careplan.get("resourceType") != "CarePlan":
        raise FhirServerError("$apply answered something that is no CarePlan", where="$apply")
    contained = {str(item.get("id", "")).lstrip("#"): item for item in careplan.get("contained", ())}
    lines: list[Line] = []
    unknown: list[str] = []
    for activity in careplan.get("activity", ()):
        group = contained.get(_local(activity.get("reference")))
        if group is None:
            raise FhirServerError("the CarePlan names a RequestGroup that it does not hold", where="$apply")
        _walk(group.get("action", ()), "", contained, lines, unknown)
    errors = (
        str(issue.get("diagnostics") or issue.get("code"))
        for item in contained.values()
        if item["resourceType"] == "OperationOutcome"
        for issue in item.get("issue", ())
        if issue.get("severity") in _GRAVE
    )
    return NormalForm(tuple(lines), tuple(unknown), tuple(errors))


def _walk(
    actions: Iterable[Mapping[str, Any]],
    above: str,
    contained: Mapping[str, Mapping[str, Any]],
    lines: list[Line],
    unknown: list[str],
) -> None:
    for action in actions:
        path = f"{above}/{action.get('id', '')}"
        if _is_unknown(action):
            unknown.append(path)
            continue
        inner = list(action.get("action", ()))
        # R4 rqg-1 allows a resource or actions, not both: the one child that we make for the resource is folded back.
        own = next((child for child in inner if child.get("id") == f"{action.get('id')}-definition"), None)
        target = contained.get(_local((own or action).get("resource")))
        lines.append(_line(path, action, target))
        if target is not None and target["resourceType"] == "RequestGroup":
            _walk(target.get("action", ()), path, contained, lines, unknown)
        _walk((child for child in inner if child is not own), path, contained, lines, unknown)


def _line(path: str, action: Mapping[str, Any], target: Mapping[str, Any] | None) -> Line:
    timing = {name: value for name, value in action.items() if name.startswith("timing")}
    codes = (target or {}).get("code", {})
    request = target is not None and target["resourceType"] != "RequestGroup"
    return Line(
        path,
        target["resourceType"] if target is not None else None,
        frozenset((str(coding.get("system")), str(coding.get("code"))) for coding in codes.get("coding", ())),
        target.get("intent") if target is not None and request else None,
        codec.canonical(timing).decode() if timing else "",
    )


def _is_unknown(action: Mapping[str, Any]) -> bool:
    return any(
        extension.get("url") == ABSENT
        for condition in action.get("condition", ())
        for extension in condition.get("extension", ())
    )


def _local(value: Any) -> str:
    return str((value or {}).get("reference", "")).lstrip("#")


def differences(ours: NormalForm, theirs: NormalForm) -> list[str]:
    """Return in words where two results differ; an empty list when they agree."""
    mine, other = set(ours.lines), set(theirs.lines)
    found = [f"theirs has not {line}" for line in ours.lines if line not in other]
    found += [f"ours has not {line}" for line in theirs.lines if line not in mine]
    if not found and ours.lines != theirs.lines:
        found.append("the same actions in another order")
    return [*found, *(f"theirs reports: {error}" for error in theirs.errors if error not in ours.errors)]


def shifted(resource: Any, days: int) -> Any:
    """Return a resource with every date moved by some days, so that it lies to today as it lay to the day it was for.

    A month or year moves by its first day and keeps its precision. Servers evaluate at their own today: `$apply` has no
    parameter for it.
    """
    if isinstance(resource, Mapping):
        return {name: item if name in _NO_DATES else shifted(item, days) for name, item in resource.items()}
    if isinstance(resource, list):
        return [shifted(item, days) for item in resource]
    if not isinstance(resource, str):
        return resource
    found = _DATE.fullmatch(resource)
    if found is None:
        return resource
    year, month, day, rest = found.groups()
    try:
        moved = date(int(year), int(month or 1), int(day or 1)) + timedelta(days=days)
    except (ValueError, OverflowError):
        return resource
    whole = moved.isoformat()
    return f"{whole}{rest or ''}" if day else whole[: 7 if month else 4]


def renamed(resources: Sequence[Mapping[str, Any]], prefix: str) -> list[dict[str, Any]]:
    """Return resources under ids of their own (`prefix` before each), references among them following."""
    names = {reference.of(item): _name(prefix, item["id"]) for item in resources}
    return [{**_renamed(item, names), "id": names[reference.of(item)]} for item in map(dict[str, Any], resources)]


def _name(prefix: str, name: str) -> str:
    made = f"{prefix}{name}"
    return made if ids.is_id(made) else ids.stable_uuid(prefix, name)


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [_renamed(item, names) for item in value]
    if not isinstance(value, Mapping):
        return value
    made = {name: _renamed(item, names) for name, item in value.items()}
    local = reference.relative(made.get("reference"))
    if local is not None and local in names:
        made["reference"] = f"{local.partition('/')[0]}/{names[local]}"
    return made


def puts(resources: Iterable[Mapping[str, Any]], kind: str = "transaction") -> dict[str, Any]:
    """Return a transaction (or batch) that puts each resource under its id."""
    return {"resourceType": "Bundle", "type": kind, "entry": list(_entries(resources))}


def _entries(resources: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for item in resources:
        place = reference.of(item)
        yield {"resource": item, "request": {"method": "PUT", "url": place}}
