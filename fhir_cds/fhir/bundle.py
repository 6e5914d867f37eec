"""What a Bundle holds: its resources in one form, the issues it reports, where it goes on (R4 §2.36).

>>> held = read({"resourceType": "Bundle", "type": "collection", "entry": [
...     {"fullUrl": "urn:uuid:0c3a", "resource": {"resourceType": "Patient"}},
...     {"resource": {"resourceType": "Flag", "id": "f", "subject": {"reference": "urn:uuid:0c3a"}}}]})
>>> [reference.of(resource) for resource in held.resources]
['Patient/0c3a', 'Flag/f']
>>> held.resources[1]["subject"]
{'reference': 'Patient/0c3a'}
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from fhir_cds.errors import InputError
from fhir_cds.fhir import codec, ids, reference
from fhir_cds.fhir.rewrite import Rewriter
from fhir_cds.fhir.types import RESOURCE_TYPES

Resource = dict[str, Any]

ACCEPTED_TYPES: Final = frozenset({"collection", "searchset", "transaction", "batch", "document"})
_URN: Final = ("urn:uuid:", "urn:oid:")


class Held(NamedTuple):
    """The content of one Bundle.

    `resources` have type and id, and refer to each other by `Type/id`; `issues` are those of OperationOutcome entries;
    `next` is the link to the next page; `bases` are the addresses of the servers named in fullUrl.
    """

    resources: tuple[Resource, ...]
    issues: tuple[Mapping[str, Any], ...] = ()
    next: str | None = None
    bases: frozenset[str] = frozenset()


def read(
    bundle: Any,
    *,
    where: str = "Bundle",
    systems: Mapping[str, str] | None = None,
    bases: Collection[str] = (),
) -> Held:
    """Return what a Bundle of type collection, searchset, transaction, batch or document holds.

    Entries without a resource (deletes, conditional reads) are passed over. `systems` maps alias URIs of code systems
    to the preferred one; `bases` are server addresses known besides those in fullUrl.
    Raises InputError naming the entry: not a Bundle, another type of Bundle, an entry that is not a resource.
    """
    found: list[Resource] = []
    places: list[str] = []
    issues: list[Mapping[str, Any]] = []
    targets: dict[str, str] = {}
    seen_bases = set(bases)
    for index, entry in enumerate(_entries(bundle, where)):
        place = f"{where}.entry[{index}]"
        if not isinstance(entry, dict):
            raise InputError("an entry must be an object", where=place)
        if "resource" not in entry:
            continue
        resource = entry["resource"]
        full_url = entry.get("fullUrl")
        if isinstance(resource, dict) and resource.get("resourceType") == "OperationOutcome":
            issues.extend(issues_of(resource))
            continue
        resource = identified(resource, f"{place}.resource", full_url)
        found.append(resource)
        places.append(f"{place}.resource")
        if isinstance(full_url, str):
            targets[full_url] = reference.of(resource)
            parsed = reference.parse(full_url)
            if parsed is not None and parsed.base:
                seen_bases.add(parsed.base)
    frozen_bases = frozenset(seen_bases)
    rewriter = Rewriter(targets, systems, frozen_bases)
    return Held(tuple(rewriter.apply_all(found, places)), tuple(issues), next_link(bundle), frozen_bases)


def _entries(bundle: Any, where: str) -> list[Any]:
    """Return the entries of a Bundle of one of the types that are read; raises InputError for anything else."""
    if not isinstance(bundle, dict) or bundle.get("resourceType") != "Bundle":
        raise InputError(f"a FHIR Bundle is expected, this is {_kind(bundle)}", where=where)
    kind = bundle.get("type")
    if not isinstance(kind, str) or kind not in ACCEPTED_TYPES:
        accepted = ", ".join(sorted(ACCEPTED_TYPES))
        raise InputError(f"the Bundle's type is not one of {accepted}", where=f"{where}.type")
    entries = bundle.get("entry", [])
    if not isinstance(entries, list):
        raise InputError("a list of entries is expected", where=f"{where}.entry")
    return entries


def identified(resource: Any, where: str, full_url: object = None) -> Resource:
    """Return `resource` with a checked type and an id: its own, else that of its urn, else one made from its content.

    Raises InputError when it is not an R4 resource or when its id is not one.
    """
    if not isinstance(resource, dict):
        raise InputError(f"a resource is expected, this is {_kind(resource)}", where=where)
    kind = resource.get("resourceType")
    if not isinstance(kind, str) or kind not in RESOURCE_TYPES:
        raise InputError("resourceType is missing or not a type of FHIR R4", where=f"{where}.resourceType")
    if "id" in resource:
        if not ids.is_id(resource["id"]):
            raise InputError("not a FHIR id (1 to 64 of A-Z a-z 0-9 - . _)", where=f"{where}.id")
        return resource
    return {"resourceType": kind, "id": _id_of(full_url) or ids.content_uuid(resource), **resource}


def _id_of(full_url: object) -> str | None:
    if not isinstance(full_url, str):
        return None
    for prefix in _URN:
        tail = full_url.removeprefix(prefix)
        if tail != full_url and ids.is_id(tail):
            return tail
    parsed = reference.parse(full_url)
    return parsed.id if parsed else None


def merge(resources: Iterable[Resource], where: str = "record") -> tuple[Resource, ...]:
    """Return the resources sorted by `Type/id`, each once: of several versions the newest.

    Newer is the later meta.lastUpdated, then the greater numeric meta.versionId; a subset (`meta.tag` SUBSETTED) gives
    way to a whole resource. Raises InputError when two different contents claim one `Type/id` and nothing tells which
    is newer: picking one at random would be advice at random.
    """
    chosen: dict[tuple[str, str], Resource] = {}
    for resource in resources:
        key = (resource["resourceType"], resource["id"])
        other = chosen.get(key)
        chosen[key] = resource if other is None else _newer(other, resource, where)
    return tuple(chosen[key] for key in sorted(chosen))


def _newer(first: Resource, second: Resource, where: str) -> Resource:
    if first == second:
        return first
    ranks = [_rank(first), _rank(second)]
    if ranks[0] != ranks[1]:
        return first if ranks[0] > ranks[1] else second
    plain = [{key: value for key, value in item.items() if key != "meta"} for item in (first, second)]
    if plain[0] == plain[1]:  # differ in profile or tag only: the same pick whatever the order
        return min(first, second, key=codec.canonical)
    kind = first["resourceType"]
    raise InputError(f"two different {kind} resources have the same id and nothing says which is newer", where=where)


def _rank(resource: Resource) -> tuple[bool, str, int]:
    meta = resource.get("meta")
    if not isinstance(meta, dict):
        return (True, "", -1)
    tags = meta.get("tag") or []
    whole = not any(isinstance(tag, dict) and tag.get("code") == "SUBSETTED" for tag in tags)
    updated = meta.get("lastUpdated")
    version = meta.get("versionId")
    number = int(version) if isinstance(version, str) and version.isascii() and version.isdigit() else -1
    return (whole, _instant(updated), number)


def _instant(text: object) -> str:
    """Return an instant as text that sorts by time: UTC, without the zone."""
    if not isinstance(text, str):
        return ""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return ""
    return moment.astimezone(UTC).isoformat(timespec="microseconds") if moment.tzinfo else ""


def next_link(bundle: Mapping[str, Any]) -> str | None:
    """Return the URL of the next page, None on the last."""
    for link in bundle.get("link") or ():
        if isinstance(link, dict) and link.get("relation") == "next" and isinstance(link.get("url"), str):
            url: str = link["url"]
            return url
    return None


def issues_of(outcome: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """Return the issues of an OperationOutcome; one without any stands for an unexplained error."""
    issues = [issue for issue in outcome.get("issue") or () if isinstance(issue, dict)]
    return tuple(issues) or ({"severity": "error", "code": "unknown"},)


def collection(resources: Iterable[Resource]) -> Resource:
    """Return a Bundle of type collection; each fullUrl is a urn:uuid made from `Type/id`."""
    entry = [{"fullUrl": f"urn:uuid:{ids.stable_uuid(reference.of(item))}", "resource": item} for item in resources]
    bundle: Resource = {"resourceType": "Bundle", "type": "collection"}
    return {**bundle, "entry": entry} if entry else bundle


def searchset(resources: Iterable[Resource], base: str, total: int | None = None) -> Resource:
    """Return a Bundle of type searchset whose entries' fullUrl are `base`/`Type`/`id`."""
    entry = [
        {"fullUrl": f"{base}/{reference.of(item)}", "resource": item, "search": {"mode": "match"}} for item in resources
    ]
    bundle: Resource = {"resourceType": "Bundle", "type": "searchset", "total": len(entry) if total is None else total}
    return {**bundle, "entry": entry} if entry else bundle


_FIRST: Final = ("StructureDefinition", "NamingSystem", "CodeSystem", "ValueSet", "Library")
_LAST: Final = ("Questionnaire", "ActivityDefinition", "PlanDefinition")


def transaction(resources: Iterable[Resource]) -> Resource:
    """Return an R4 transaction that puts every resource under its own id (update as create), what is named first."""
    return {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "fullUrl": item.get("url") or f"urn:uuid:{ids.stable_uuid(item['resourceType'], item['id'])}",
                "resource": item,
                "request": {"method": "PUT", "url": reference.of(item)},
            }
            for item in sorted(resources, key=storing_order)
        ],
    }


def storing_order(resource: Mapping[str, Any]) -> tuple[int, str, str]:
    """Return a key that sorts resources for storing: what a server must know before what names it; then type and id."""
    kind = resource["resourceType"]
    if kind in _FIRST:
        return _FIRST.index(kind) - len(_FIRST), kind, resource["id"]
    return (_LAST.index(kind) + 1 if kind in _LAST else 0), kind, resource["id"]


def _kind(value: object) -> str:
    if isinstance(value, dict):
        kind = value.get("resourceType")
        return f"a {kind}" if isinstance(kind, str) and kind in RESOURCE_TYPES else "an object without a resourceType"
    return {list: "a JSON array", str: "a JSON string", type(None): "null"}.get(type(value), "a JSON value")
