"""Content into a FHIR server, as often as wanted: what is there already is left alone, what differs is updated.

Every resource is one request of its own, in an order in which nothing is written before what it names. So a run that is
killed leaves nothing half-written, and the next run does the rest. The server's state is the only record kept.

A resource is found by its canonical (a NamingSystem, which has none, by its name), never by id alone: another resource
under the same id is left as it is, and ours gets an id of the server's choice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from fhir_cds.authoring.remote import Answer, Remote
from fhir_cds.errors import FhirServerError
from fhir_cds.fhir import codec, reference
from fhir_cds.fhir.bundle import storing_order

Json = Mapping[str, Any]

TAG_SYSTEM: Final = "urn:fhir-cds:check-server"
"""Tags of this system mark what a check wrote; they are no difference in content."""

_SERVERS_OWN: Final = frozenset({"versionId", "lastUpdated", "source"})
_MADE_BY_SERVERS: Final = frozenset({"snapshot", "mapping"})  # of a StructureDefinition, by package installers
_AT_ONCE: Final = 20
_COMMA: Final = re.compile(r"[\\,$|]")  # what a search value escapes (R4 §3.1.1.4.0)
_NO_RIGHT: Final = frozenset({401, 403})


class Change(StrEnum):
    """What publishing does (in a dry run: would do) with a resource."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    REFUSED = "refused"
    HELD_BACK = "held back"


@dataclass(frozen=True, slots=True)
class Step:
    """What became of one resource; `place` is its `Type/id` on the server, `detail` says what differed or why not."""

    resource: Json
    change: Change
    place: str
    detail: str = ""

    def as_json(self) -> dict[str, str]:
        """Return the step for scripts."""
        told = {"resource": reference.of(self.resource), "change": self.change.value, "place": self.place}
        return {**told, "detail": self.detail} if self.detail else told


def ordered(resources: Iterable[Json]) -> list[Json]:
    """Return resources in the order of publishing: by type, and each after those of its type that it names."""
    listed = sorted(resources, key=storing_order)
    by_url = {item["url"]: item for item in listed if "url" in item}
    done: dict[str, Json] = {}

    def visit(item: Json, open_: frozenset[str]) -> None:
        key = reference.of(item)
        if key in done or key in open_:
            return
        for url in sorted(named(item, by_url)):
            if by_url[url]["resourceType"] == item["resourceType"]:
                visit(by_url[url], open_ | {key})
        done[key] = item

    for item in listed:
        visit(item, frozenset())
    return list(done.values())


def named(resource: Json, urls: Mapping[str, Any]) -> set[str]:
    """Return those of `urls` that a resource names, with a version or without; itself left out."""
    found = {text.partition("|")[0] for text in _texts(resource)}
    return {url for url in found if url in urls} - {resource.get("url")}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if value.startswith(("http:", "https:", "urn:")):
            yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


async def publish(
    remote: Remote,
    resources: Iterable[Json],
    *,
    dry_run: bool = False,
    tell: Callable[[Step], None] = lambda step: None,
) -> list[Step]:
    """Bring resources to a server and return what was done with each; `tell` hears of each step when it is done.

    A refused resource does not stop the others, except those that name it: they are held back. Raises FhirServerError
    when the server cannot be reached or lets nobody write; what was written before stays.
    """
    steps: list[Step] = []
    listed = ordered(resources)
    stored = await _look_up(remote, listed)
    by_url = {item["url"]: item for item in listed if "url" in item}
    missing: set[str] = set()
    for resource in listed:
        lacking = sorted(named(resource, by_url) & missing)
        if lacking:
            step = Step(
                resource, Change.HELD_BACK, "", f"it names {', '.join(lacking)}, which the server has not taken"
            )
        else:
            step = await _one(remote, resource, stored.get(_identity(resource), []), dry_run=dry_run)
        if step.change in {Change.REFUSED, Change.HELD_BACK} and "url" in resource:
            missing.add(resource["url"])
        steps.append(step)
        tell(step)
    return steps


async def _look_up(remote: Remote, resources: Iterable[Json]) -> dict[str, list[Json]]:
    """Return what the server has of these resources, by identity; asked for many at a time."""
    wanted: dict[tuple[str, str], list[str]] = {}
    for resource in resources:
        for name, value in key_of(resource).items():
            wanted.setdefault((resource["resourceType"], name), []).append(value)
    found: dict[str, list[Json]] = {}
    for (kind, name), values in wanted.items():
        for start in range(0, len(values), _AT_ONCE):
            escaped = (_COMMA.sub(r"\\\g<0>", value) for value in values[start : start + _AT_ONCE])
            for item in await remote.find(kind, **{name: ",".join(escaped)}):
                found.setdefault(_identity(item), []).append(item)
    return found


def _identity(resource: Json) -> str:
    return f"{resource['resourceType']}?{key_of(resource)}"


async def _one(remote: Remote, resource: Json, held: Sequence[Json], *, dry_run: bool) -> Step:
    query = key_of(resource)
    stored = _chosen(resource, held)
    if stored is None and held:
        versions = ", ".join(sorted(str(item.get("version")) for item in held))
        return Step(resource, Change.REFUSED, "", f"the server has it {len(held)} times (versions {versions})")
    if stored is None:
        return await _create(remote, resource, query, dry_run=dry_run)
    place = reference.of(stored)
    detail = different(resource, stored)
    if not detail:
        return Step(resource, Change.UNCHANGED, place)
    if dry_run:
        return Step(resource, Change.UPDATED, place, detail)
    if len(held) > 1:
        query = {**query, "version": str(resource["version"])}
    body = {**resource, "id": stored["id"]}
    return _stepped(resource, await remote.call("PUT", resource["resourceType"], body, query=query), detail)


async def _create(remote: Remote, resource: Json, query: Mapping[str, str], *, dry_run: bool) -> Step:
    """Store a new resource under its own id; under one of the server's where that is taken or not allowed."""
    kind, own = str(resource["resourceType"]), reference.of(resource)
    taken = (await remote.call("GET", own)).ok
    if dry_run:
        return Step(resource, Change.CREATED, "" if taken else own, "its id is taken" if taken else "")
    if not taken:
        answer = await remote.call("PUT", own, resource)
        if answer.ok or answer.status in _NO_RIGHT:
            return _stepped(resource, answer, "")
    body = {name: value for name, value in resource.items() if name != "id"}
    return _stepped(resource, await remote.call("PUT", kind, body, query=query), "its id is not to be had there")


def _stepped(resource: Json, answer: Answer, detail: str) -> Step:
    if answer.status in _NO_RIGHT:
        raise FhirServerError(
            f"the server lets nobody write here: {answer.why}", where=reference.of(resource), http_status=answer.status
        )
    if not answer.ok:
        return Step(resource, Change.REFUSED, "", answer.why)
    place = _place(answer) or reference.of(resource)
    return Step(resource, Change.CREATED if answer.status == 201 else Change.UPDATED, place, detail)


def _place(answer: Answer) -> str | None:
    if isinstance(answer.body, Mapping) and "id" in answer.body and answer.body["resourceType"] != "OperationOutcome":
        return reference.of(answer.body)
    parts = answer.headers.get("Location", answer.headers.get("Content-Location", "")).split("/_history")[0].split("/")
    return "/".join(parts[-2:]) if len(parts) > 1 else None


def key_of(resource: Json) -> dict[str, str]:
    """Return the search that finds a resource on any server."""
    name = "url" if "url" in resource else "name"
    return {name: str(resource[name])}


def _chosen(resource: Json, held: Sequence[Json]) -> Json | None:
    """Return the stored resource to compare with: the only one, else the one of the same version."""
    if len(held) == 1:
        return held[0]
    same = [item for item in held if item.get("version") == resource.get("version")]
    return same[0] if len(same) == 1 else None


def different(resource: Json, stored: Json) -> str:
    """Return in words what a stored resource has otherwise; empty when nothing."""
    mine, other = _compared(resource), _compared(stored)
    names = [name for name in sorted({*mine, *other}) if _text(mine.get(name)) != _text(other.get(name))]
    names = [name for name in names if name in mine or name not in _MADE_BY_SERVERS]
    if not names:
        return ""
    versions = (stored.get("version"), resource.get("version"))
    told = f"{versions[0]} to {versions[1]}: " if versions[0] != versions[1] else ""
    return told + ", ".join(names)


def _text(value: Any) -> bytes:
    return codec.canonical(value)


def _compared(resource: Json) -> dict[str, Any]:
    """Return a resource without its id and what servers write into meta; tags and profiles in one order."""
    meta = {name: value for name, value in resource.get("meta", {}).items() if name not in _SERVERS_OWN}
    if "tag" in meta:
        meta["tag"] = [tag for tag in meta["tag"] if tag.get("system") != TAG_SYSTEM]
    meta = {name: sorted(value, key=_text) if isinstance(value, list) else value for name, value in meta.items()}
    meta = {name: value for name, value in meta.items() if value}
    kept = {name: value for name, value in resource.items() if name not in {"id", "meta"}}
    return {**kept, "meta": meta} if meta else kept


def tagged(resource: Json, tags: Sequence[Json]) -> dict[str, Any]:
    """Return a resource with more tags."""
    meta = resource.get("meta", {})
    return {**resource, "meta": {**meta, "tag": [*meta.get("tag", ()), *tags]}}
