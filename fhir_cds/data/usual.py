"""The usual prefetch: every key as it was asked for, with no reference in it that has to be brought into another form.

Most calls are so, and then a record needs no more than one look at each resource. `Usual` tells whether a call is, and
if so gives the record that `gather` would give; whatever else it may be (another state of a key, absolute references,
contained resources, a resource sent twice, another patient's, one that is none) is for `gather` to read or to refuse.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fhir_cds.data import prefetch as received
from fhir_cds.data.record import PatientRecord, Resource
from fhir_cds.fhir import bundle
from fhir_cds.fhir.ids import ID
from fhir_cds.fhir.rewrite import Rewriter
from fhir_cds.fhir.types import SUBJECT_ELEMENTS

_ABSENT: Final = object()
_PATIENT: Final = "Patient"
_APPOINTMENT: Final = "Appointment"
_WHOLE: Final = ("searchset", "collection")


class Usual:
    """The usual prefetch of some templates; made when content is loaded, for `systems` see `Rewriter`."""

    def __init__(self, templates: Mapping[str, str], systems: Mapping[str, str] | None = None) -> None:
        self._keys = tuple((key, received.type_of(query), received.is_read(query)) for key, query in templates.items())
        self._rewriter = Rewriter(None, systems)

    def record(self, prefetch: Any, subject: str) -> PatientRecord | None:
        """Return the record of `subject` (`Patient/id`) in a usual prefetch, None for any other."""
        if type(prefetch) is not dict or len(prefetch) != len(self._keys):
            return None
        found: dict[str, Resource] = {}
        count = 0
        for key, kind, is_read in self._keys:
            value = prefetch.get(key, _ABSENT)
            if value is None:
                continue
            listed = [value] if is_read else _listed(value)
            if listed is None or not _take(listed, kind, subject, found):
                return None
            count += len(listed)
        if subject not in found or len(found) != count:
            return None
        resources = self._rewriter.with_systems(list(found.values()))
        if resources is None:
            return None
        named = dict(zip(found, resources, strict=True))
        return PatientRecord(subject, named[subject], tuple(named[name] for name in sorted(named)))


def _listed(value: Any) -> list[Any] | None:
    """Return the resources of a Bundle that is all of a search, None for anything else and entries without resource."""
    if type(value) is not dict or value.get("resourceType") != "Bundle" or value.get("type") not in _WHOLE:
        return None
    if "link" in value and bundle.next_link(value) is not None:
        return None
    entries = value.get("entry", [])
    try:
        return [entry["resource"] for entry in entries] if type(entries) is list else None
    except (TypeError, KeyError):
        return None


def _take(resources: list[Any], kind: str | None, subject: str, found: dict[str, Resource]) -> bool:
    """Put resources of a type by `Type/id`; False when one is not, has none, is no such, or not about the subject."""
    for resource in resources:
        if type(resource) is not dict or resource.get("resourceType") != kind or "contained" in resource:
            return False
        identifier = resource.get("id")
        if type(identifier) is not str or ID.fullmatch(identifier) is None:
            return False
        name = f"{kind}/{identifier}"
        if kind == _PATIENT and name != subject:
            return False
        if kind == _APPOINTMENT and not _attends(resource, subject):
            return False
        for element in SUBJECT_ELEMENTS:
            about = resource.get(element)
            if about is not None:
                if type(about) is not dict or about.get("reference") != subject:
                    return False
                break
        found[name] = resource
    return True


def _attends(appointment: Any, subject: str) -> bool:
    """Say whether the subject takes part in an appointment."""
    try:
        return any(item["actor"]["reference"] == subject for item in appointment["participant"] if "actor" in item)
    except (TypeError, KeyError):
        return False
