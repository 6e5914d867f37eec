"""References between resources (R4 §2.3.0): relative, absolute, versioned, urn:uuid and contained.

>>> parse("http://ehr.example.org/fhir/Condition/c1/_history/2")
Reference(type='Condition', id='c1', version='2', base='http://ehr.example.org/fhir')
>>> relative("Condition/c1/_history/2")
'Condition/c1'
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

_REST: Final = re.compile(
    r"(?:(?P<base>https?://[^\s?#]+)/)?"
    r"(?P<type>[A-Z][A-Za-z]+)/(?P<id>[A-Za-z0-9\-._]{1,64})"
    r"(?:/_history/(?P<version>[A-Za-z0-9\-._]{1,64}))?"
)


@dataclass(frozen=True, slots=True)
class Reference:
    """The parts of a RESTful reference; `base` is the server's address without a final slash, None when relative."""

    type: str
    id: str
    version: str | None = None
    base: str | None = None

    @property
    def local(self) -> str:
        """`Type/id`, without server and version."""
        return f"{self.type}/{self.id}"


def parse(text: object) -> Reference | None:
    """Return the parts of a RESTful reference, None for anything else (urn:, `#id`, bare id)."""
    if not isinstance(text, str):
        return None
    found = _REST.fullmatch(text)
    if found is None:
        return None
    return Reference(found["type"], found["id"], found["version"], found["base"])


def relative(text: object) -> str | None:
    """Return `Type/id` of any RESTful reference, absolute or versioned; None for other texts."""
    parsed = parse(text)
    return parsed.local if parsed else None


def normalise(text: str, bases: Collection[str] = ()) -> str:
    """Return `Type/id` for a reference that points into this data set, any other text unchanged.

    `bases` are the addresses of the servers the data come from. With none known every absolute reference is taken to
    point into the data; otherwise one to another server stays absolute: its `Patient/1` is another person.
    """
    parsed = parse(text)
    if parsed is None or (parsed.base is not None and bases and parsed.base not in bases):
        return text
    return parsed.local


def with_type(text: str, resource_type: str) -> str:
    """Return `Type/id` from a bare id or from any RESTful reference to that type.

    >>> with_type("123", "Patient"), with_type("Patient/123", "Patient")
    ('Patient/123', 'Patient/123')
    """
    return relative(text) or f"{resource_type}/{text}"


def of(resource: Mapping[str, Any]) -> str:
    """Return the `Type/id` of a resource that has both."""
    return f"{resource['resourceType']}/{resource['id']}"


def renamed(value: Any, names: Mapping[str, str]) -> Any:
    """Return a JSON value in which every reference that `names` knows goes by its other name.

    >>> renamed({"subject": {"reference": "#p"}}, {"#p": "Patient/1"})
    {'subject': {'reference': 'Patient/1'}}
    """
    if isinstance(value, dict):
        return {
            key: names.get(item, item) if key == "reference" and isinstance(item, str) else renamed(item, names)
            for key, item in value.items()
        }
    return [renamed(item, names) for item in value] if isinstance(value, list) else value
