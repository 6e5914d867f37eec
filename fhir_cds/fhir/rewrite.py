"""Bring one resource into the data set's own form: local references and one URI per code system.

Most resources need nothing. Whether one does is read off its JSON text, which is far quicker than walking it, and a few
changes to many resources are made in it, too. Input is never changed in place.

    >>> Rewriter({"urn:uuid:7": "Patient/1"}).apply({"resourceType": "Flag", "subject": {"reference": "urn:uuid:7"}})
    {'resourceType': 'Flag', 'subject': {'reference': 'Patient/1'}}
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from fhir_cds.errors import InputError
from fhir_cds.fhir import codec, reference

MAX_SWAPS: Final = 8  # each is a pass over the text
MAX_DEPTH: Final = 100  # R4 resources nest some fifteen levels deep; Questionnaires and extensions some more

_REFERENCE: Final = b'"reference":"'
_SYSTEM: Final = b'"system":"'
_ODD: Final = (b'\\"reference":"', b'\\"system":"')  # the end of a longer key
_AS_WRITTEN: Final = re.compile("#|[^:]*:")  # references that are looked for
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"{[\n"))


class Rewriter:
    """Brings resources into the form of one data set.

    `targets` maps references as written (fullUrl, urn:uuid, `#id`) to `Type/id`, `systems` maps alias URIs to the
    preferred one, `bases` are the servers' addresses (see `reference.normalise`).
    """

    def __init__(
        self,
        targets: Mapping[str, str] | None = None,
        systems: Mapping[str, str] | None = None,
        bases: Collection[str] = (),
    ) -> None:
        self._targets = targets or {}
        self._systems = systems or {}
        self._bases = bases
        self._aliases = _encoded(tuple(self._systems.items()))

    def apply(self, resource: dict[str, Any], where: str | None = None) -> dict[str, Any]:
        """Return `resource` with local references and preferred code systems; itself when nothing changes.

        Raises InputError when it nests deeper than `MAX_DEPTH`.
        """
        try:
            text = codec.encode(resource)
        except RecursionError:
            raise _too_deep(where) from None
        if text.count(b"{") + text.count(b"[") > MAX_DEPTH:
            _check_depth(resource, where)
        if not self._changes(text):
            return resource
        copy: dict[str, Any] = self._copy(resource)
        return copy

    def apply_all(self, resources: Sequence[dict[str, Any]], places: Sequence[str]) -> list[dict[str, Any]]:
        """Return the resources as `apply` does each, and raise as it does; `places` are how errors name them."""
        text = _flat_text(resources)
        swaps = self._swaps(text, _not_local(text)) if text is not None else None
        if text is None or swaps is None:
            return [self.apply(resource, place) for resource, place in zip(resources, places, strict=True)]
        return _swapped(resources, text, swaps)

    def with_systems(self, resources: Sequence[dict[str, Any]]) -> list[dict[str, Any]] | None:
        """Return the resources as `apply` does each, None when a reference in them may have to change, or depth."""
        text = _flat_text(resources)
        if text is None or _not_local(text):
            return None
        swaps = self._swaps(text, ())
        return _swapped(resources, text, swaps) if swaps is not None else None

    def _swaps(self, text: bytes, references: Collection[bytes]) -> list[tuple[bytes, bytes]] | None:
        """Return what has to be put in place of what in the JSON of resources; None when that is not so simple.

        `references` are those in it that are not local.
        """
        aliases = self._aliases.keys() & _values(text, _SYSTEM) if self._aliases else ()
        found = [(_pair(_SYSTEM, alias), _pair(_SYSTEM, self._aliases[alias])) for alias in aliases]
        for value in references:
            if b"\\" in value:
                return None
            written = value.decode()
            local = self._targets.get(written) or reference.normalise(written, self._bases)
            if local != written:
                found.append((_pair(_REFERENCE, value), _pair(_REFERENCE, codec.encode(local)[1:-1])))
        odd = found and (any(key in text for key in _ODD) or not all(map(_AS_WRITTEN.match, self._targets)))
        return None if odd or len(found) > MAX_SWAPS else found

    def _changes(self, text: bytes) -> bool:
        """Say whether anything in the JSON of resources may have to be rewritten; a text that looks like it counts."""
        if _not_local(text):
            return True
        return bool(self._aliases) and not self._aliases.keys().isdisjoint(_values(text, _SYSTEM))

    def _copy(self, value: Any) -> Any:
        if type(value) is list:
            return [self._copy(item) for item in value]
        if type(value) is not dict:
            return value
        result: dict[str, Any] = {}
        for key, item in value.items():
            if type(item) is not str:
                result[key] = self._copy(item)
            elif key == "reference":
                result[key] = self._targets.get(item) or reference.normalise(item, self._bases)
            elif key == "system":
                result[key] = self._systems.get(item, item)
            else:
                result[key] = item
        return result


def _values(text: bytes, key: bytes) -> set[bytes]:
    """Return what stands after a key (with colon and opening quote) in JSON, up to the next quote."""
    return {part.partition(b'"')[0] for part in text.split(key)[1:]}


def _not_local(text: bytes) -> list[bytes]:
    """Return the references in JSON that may have to be rewritten, each once."""
    written = _values(text, _REFERENCE)
    return [value for value in written if b":" in value or value[:1] == b"#" or b"/_history/" in value]


def _flat_text(resources: Sequence[dict[str, Any]]) -> bytes | None:
    """Return resources as JSON, one a line; None when one may nest too deep."""
    try:
        text = codec.encode_lines(resources)
    except RecursionError:
        return None
    brackets = text.translate(None, _NO_BRACKETS).split(b"\n")
    return text if max(map(len, brackets)) <= MAX_DEPTH else None


def _pair(key: bytes, value: bytes) -> bytes:
    return key + value + b'"'


def _swapped(
    resources: Sequence[dict[str, Any]], text: bytes, swaps: Sequence[tuple[bytes, bytes]]
) -> list[dict[str, Any]]:
    """Return resources read again from their JSON with parts of it exchanged; themselves when there are none."""
    if not swaps:
        return list(resources)
    for old, new in swaps:
        text = text.replace(old, new)
    return codec.decode_own_lines(text)


@lru_cache(maxsize=8)
def _encoded(systems: tuple[tuple[str, str], ...]) -> Mapping[bytes, bytes]:
    """Return aliases of code systems and the preferred ones as they stand between quotes in JSON."""
    return {codec.encode(alias)[1:-1]: codec.encode(preferred)[1:-1] for alias, preferred in systems}


def _check_depth(resource: dict[str, Any], where: str | None) -> None:
    level: list[Any] = [resource]
    for _ in range(MAX_DEPTH):
        level = [
            item
            for node in level
            for item in (node.values() if type(node) is dict else node)
            if type(item) is dict or type(item) is list
        ]
        if not level:
            return
    raise _too_deep(where)


def _too_deep(where: str | None) -> InputError:
    return InputError(f"nested deeper than {MAX_DEPTH} levels", where=where)
