"""One patient's record: every way in leads to the same value.

    >>> record = from_bundle({"resourceType": "Bundle", "type": "collection", "entry": [
    ...     {"resource": {"resourceType": "Patient", "id": "p"}}]})
    >>> record.subject
    'Patient/p'

The record is a normalised view for reading: references are local, code systems go by their preferred URI, contained
resources also stand on their own. Never send its resources back to a server as updates.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from fhir_cds.errors import InputError
from fhir_cds.fhir import bundle, codec, ids, issues, reference
from fhir_cds.fhir.rewrite import Rewriter
from fhir_cds.fhir.types import RESOURCE_TYPES, SUBJECT_ELEMENTS

Resource = dict[str, Any]

_ANOTHERS: Final = "belongs to another patient than the record's"


class Gap(NamedTuple):
    """Data that was wanted and is not in the record: the prefetch key or query, and why."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class PatientRecord:
    """One patient's resources, sorted by `Type/id`, the Patient among them.

    `subject` is `Patient/id`. `gaps` are the data that could not be had: what depends on them is unknown, not false.
    """

    subject: str
    patient: Resource
    resources: tuple[Resource, ...]
    gaps: tuple[Gap, ...] = ()


def read(
    data: bytes, *, where: str = "patient", systems: Mapping[str, str] | None = None, limit: int | None = None
) -> PatientRecord:
    """Return the record in `data`: a Bundle (or a lone Patient) as JSON, or NDJSON with one resource per line.

    Raises InputError for anything else, naming `where`, line and entry.
    """
    if _is_ndjson(data):
        return from_ndjson(data, where=where, systems=systems, limit=limit)
    document = codec.decode(data, where=where, limit=limit, unique_keys=True)
    if isinstance(document, dict) and document.get("resourceType") == "Patient":
        return from_resources([document], systems=systems, where=where)
    return from_bundle(document, where=where, systems=systems)


def from_bundle(
    document: Any,
    *,
    subject: str | None = None,
    systems: Mapping[str, str] | None = None,
    bases: Collection[str] = (),
    where: str = "Bundle",
) -> PatientRecord:
    """Return the record of a Bundle of type collection, searchset, transaction, batch or document.

    Raises InputError when it is not one, holds no Patient or several, holds another patient's data, has more pages, or
    reports an error of its source.
    """
    return assemble([(where, whole(document, systems=systems, bases=bases, where=where))], subject=subject)


def whole(
    document: Any, *, systems: Mapping[str, str] | None = None, bases: Collection[str] = (), where: str = "Bundle"
) -> tuple[Resource, ...]:
    """Return the normalised resources of a Bundle that is complete.

    Raises InputError when it is not a Bundle, has more pages, or reports an error of its source.
    """
    held = read_bundle(document, where=where, systems=systems, bases=bases)
    if held.next:
        raise InputError("the Bundle has more pages; give all of them in one Bundle", where=f"{where}.link")
    if issues.grave(held.issues):
        raise InputError("the Bundle reports an error of its source, it may not be complete", where=where)
    return held.resources


def without(resources: Sequence[Resource], others: Collection[str]) -> list[Resource]:
    """Return the resources (normalised) that are not those `others` (`Patient/id`), nor about one of them alone."""
    if not others:
        return list(resources)
    known = {reference.of(item): _identifiers(item) for item in resources if item["resourceType"] == "Patient"}
    named = {other: known.get(other, frozenset()) for other in others}
    return [item for item in resources if not _about(item, named)]


def _about(resource: Resource, patients: Mapping[str, frozenset[tuple[Any, Any]]]) -> bool:
    """Say whether a resource is one of the patients, or names only such as its subject."""
    if resource["resourceType"] == "Patient":
        return reference.of(resource) in patients
    for element in SUBJECT_ELEMENTS:
        value = resource.get(element)
        named = [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, dict)]
        if named:
            return all(any(_names(item, *patient) == "own" for patient in patients.items()) for item in named)
    named = _attending(resource)
    return bool(named) and all(any(_names(n, *patient) == "own" for patient in patients.items()) for n in named)


def from_ndjson(
    data: bytes | str,
    *,
    subject: str | None = None,
    systems: Mapping[str, str] | None = None,
    where: str = "NDJSON",
    limit: int | None = None,
) -> PatientRecord:
    """Return the record of one patient's resources, one per line. Raises InputError naming the line."""
    resources = [
        bundle.identified(value, f"{where} line {number}")
        for number, value in codec.decode_lines(data, where=where, limit=limit)
    ]
    return from_resources(resources, subject=subject, systems=systems, where=where)


def from_resources(
    resources: Iterable[Resource],
    *,
    subject: str | None = None,
    systems: Mapping[str, str] | None = None,
    bases: Collection[str] = (),
    gaps: Sequence[Gap] = (),
    where: str = "record",
) -> PatientRecord:
    """Return the record that the resources make up; `subject` (`Patient/id`) says whose it must be.

    Resources about something other than a patient (a device, a group) are left out. Raises InputError when there is no
    Patient, when there are several, when the Patient is not `subject`, or when a resource belongs to another patient.
    """
    listed = normalised(resources, systems=systems, bases=bases, where=where)
    return assemble([(where, listed)], subject=subject, gaps=gaps)


def assemble(
    sources: Sequence[tuple[str, Sequence[Resource]]], *, subject: str | None = None, gaps: Sequence[Gap] = ()
) -> PatientRecord:
    """Return the record of normalised resources from several places; the place is named in errors.

    Raises as `from_resources`.
    """
    patients = bundle.merge(item for _, listed in sources for item in listed if item["resourceType"] == "Patient")
    place = sources[0][0] if len(sources) == 1 else "record"
    if not patients:
        raise InputError("holds no Patient", where=place)
    if len(patients) > 1:
        raise InputError(f"holds {len(patients)} Patients, one is expected", where=place)
    own = reference.of(patients[0])
    if subject is not None and own != subject:
        raise InputError("the Patient is not the one asked for", where=place)
    identifiers = _identifiers(patients[0])
    kept = [item for where, listed in sources for item in listed if _belongs(item, own, identifiers, where)]
    return PatientRecord(own, patients[0], bundle.merge(kept, place), tuple(gaps))


def normalised(
    resources: Iterable[Resource],
    *,
    systems: Mapping[str, str] | None = None,
    bases: Collection[str] = (),
    where: str = "record",
) -> list[Resource]:
    """Return the resources with local references and preferred code systems, contained ones also on their own.

    A contained resource `#m` of `X/1` becomes `Type/1.m` and references to it follow. Also the way to bring draft
    orders into the form the logic sees. Raises InputError for what is not an R4 resource.
    """
    found: list[Resource] = []
    rewriter = Rewriter(None, systems, bases)
    for resource in resources:
        known = bundle.identified(resource, f"{where}.{_type_of(resource)}")
        found.append(rewriter.apply(known, f"{where}.{known['resourceType']}"))
    return _lifted(found, where)


def read_bundle(
    document: Any, *, where: str, systems: Mapping[str, str] | None = None, bases: Collection[str] = ()
) -> bundle.Held:
    """Return what a Bundle holds (see `bundle.read`), its resources normalised as by `normalised`."""
    held = bundle.read(document, where=where, systems=systems, bases=bases)
    if not any("contained" in resource for resource in held.resources):
        return held
    return held._replace(resources=tuple(_lifted(held.resources, where)))


def _lifted(resources: Iterable[Resource], where: str) -> list[Resource]:
    result: list[Resource] = []
    for resource in resources:
        if not resource.get("contained"):
            result.append(resource)
            continue
        place = f"{where}.{resource['resourceType']}"
        inner = resource["contained"]
        if not isinstance(inner, list):
            raise InputError("a list is expected", where=f"{place}.contained")
        targets: dict[str, str] = {}
        own: list[Resource] = []
        for item in inner:
            known = bundle.identified(item, f"{place}.contained")
            if known["resourceType"] != "Patient" and "id" in item:
                own.append({**known, "id": _inner_id(resource["id"], known["id"])})
                targets[f"#{known['id']}"] = reference.of(own[-1])
        rewriter = Rewriter(targets)
        result += [rewriter.apply(item, place) for item in (resource, *own)]
    return result


def _type_of(resource: object) -> str:
    kind = resource.get("resourceType") if isinstance(resource, dict) else None
    return kind if isinstance(kind, str) and kind in RESOURCE_TYPES else "resource"


def _inner_id(outer: str, inner: str) -> str:
    joined = f"{outer}.{inner}"
    return joined if ids.is_id(joined) else ids.stable_uuid(outer, inner)


def _identifiers(patient: Resource) -> frozenset[tuple[Any, Any]]:
    listed = patient.get("identifier")
    found = listed if isinstance(listed, list) else []
    return frozenset((item.get("system"), item.get("value")) for item in found if isinstance(item, dict))


def _belongs(resource: Resource, own: str, identifiers: frozenset[tuple[Any, Any]], where: str) -> bool:
    """Say whether a resource is about the patient or nobody (True) or about a thing (False); raise if about another."""
    for element in SUBJECT_ELEMENTS:
        value = resource.get(element)
        if value is None:
            continue
        if isinstance(value, dict) and value.get("reference") == own:
            return True
        named = [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, dict)]
        if not named:
            continue
        verdicts = [_names(item, own, identifiers) for item in named]
        if any(verdict == "own" for verdict in verdicts):
            return True
        if "other" in verdicts:
            place = f"{where}.{resource['resourceType']}.{element}"
            raise InputError(_ANOTHERS, where=place)
        return "thing" not in verdicts
    attending = {_names(item, own, identifiers) for item in _attending(resource)}
    if "other" in attending and "own" not in attending:
        raise InputError(_ANOTHERS, where=f"{where}.{resource['resourceType']}.participant")
    return True


def _attending(resource: Resource) -> list[dict[str, Any]]:
    """Return the patients who take part in an appointment, which has no subject; of any other resource none."""
    if resource["resourceType"] != "Appointment":
        return []
    participants = resource.get("participant")
    listed = participants if isinstance(participants, list) else []
    actors = [item.get("actor") for item in listed if isinstance(item, dict)]
    return [actor for actor in actors if isinstance(actor, dict) and _is_patient(actor)]


def _is_patient(actor: dict[str, Any]) -> bool:
    parsed = reference.parse(actor.get("reference"))
    return actor.get("type") == "Patient" if parsed is None else parsed.type == "Patient"


def _names(subject: dict[str, Any], own: str, identifiers: frozenset[tuple[Any, Any]]) -> str:
    text = subject.get("reference")
    if text is None:
        identifier = subject.get("identifier")
        if not isinstance(identifier, dict):
            return "unsaid"
        return "own" if (identifier.get("system"), identifier.get("value")) in identifiers else "other"
    if text == own:
        return "own"
    parsed = reference.parse(text)
    return "thing" if parsed is not None and parsed.type != "Patient" else "other"


def _is_ndjson(data: bytes) -> bool:
    """Say whether the first two lines each hold a whole object: a pretty-printed document's first line does not."""
    lines = [line.strip(b"\xef\xbb\xbf \t\r") for line in data.lstrip().split(b"\n", 2)[:2]]
    whole = [line.startswith(b"{") and line.endswith(b"}") for line in lines]
    return whole == [True, True]
