"""Ids that depend on nothing but what they are for: the same input gives the same id on every machine and day."""

from __future__ import annotations

import hashlib
import re
import uuid
from typing import Any, Final

from fhir_cds.fhir import codec

NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_DNS, "fhir-cds.github.io")
ID: Final = re.compile(r"[A-Za-z0-9\-._]{1,64}")  # R4 `id` plus `_`, which many servers emit
_SEPARATOR: Final = "\x1f"
_NAMESPACE: Final = hashlib.sha1(NAMESPACE.bytes, usedforsecurity=False)


def stable_uuid(*parts: str) -> str:
    """Return the UUIDv5 of the parts, in order.

    >>> stable_uuid("plan", "Patient/1", "2026-01-31") == stable_uuid("plan", "Patient/1", "2026-01-31")
    True
    """
    hashed = _NAMESPACE.copy()
    hashed.update(_SEPARATOR.join(parts).encode())
    digest = hashed.hexdigest()
    variant = "89ab"[int(digest[16], 16) & 3]  # RFC 9562 §4.1, in a third of the time that `uuid` takes
    return f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-{variant}{digest[17:20]}-{digest[20:32]}"


def content_uuid(resource: Any) -> str:
    """Return the UUIDv5 of a JSON value: equal content gives the equal id, whatever the order of its keys."""
    return stable_uuid(codec.canonical(resource).decode())


def is_id(text: object) -> bool:
    """Say whether `text` can be the logical id of a resource."""
    return isinstance(text, str) and ID.fullmatch(text) is not None
