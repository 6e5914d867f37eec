"""Bring one resource into the data set's own form: local references and one URI per code system.

Most resources need nothing. Whether one does is read off its JSON text, which is far quicker than walking it; only what
changes is copied. Input is never changed in place.

    >>> rewrite({"resourceType": "Flag", "subject": {"reference": "urn:uuid:7"}}, {"urn:uuid:7": "Patient/1"})
    {'resourceType': 'Flag', 'subject': {'reference': 'Patient/1'}}
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from fhir_cds.errors import InputError
from fhir_cds.fhir import codec, reference

MAX_DEPTH: Final = 100  # R4 resources nest some fifteen levels deep; Questionnaires and extensions some more

_REFERENCE: Final = b'"reference":"'
_SYSTEM: Final = b'"system":"'
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
        self._aliases = _encoded(tuple(self._systems))

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
        if self.leaves(resources):
            return list(resources)
        return [self.apply(resource, place) for resource, place in zip(resources, places, strict=True)]

    def leaves(self, resources: Sequence[dict[str, Any]]) -> bool:
        """Say whether one look at all resources tells that none has to change, nor nests too deep."""
        try:
            text = codec.encode_lines(resources)
        except RecursionError:
            return False
        brackets = text.translate(None, _NO_BRACKETS).split(b"\n")
        return max(map(len, brackets)) <= MAX_DEPTH and not self._changes(text)

    def _changes(self, text: bytes) -> bool:
        """Say whether anything in the JSON of resources may have to be rewritten; a text that looks like it counts."""
        if any(b":" in value or value[:1] == b"#" or b"/_history/" in value for value in _values(text, _REFERENCE)):
            return True
        return bool(self._aliases) and not self._aliases.isdisjoint(_values(text, _SYSTEM))

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


@lru_cache(maxsize=8)
def _encoded(aliases: tuple[str, ...]) -> frozenset[bytes]:
    """Return aliases of code systems as they stand between quotes in JSON."""
    return frozenset(codec.encode(alias)[1:-1] for alias in aliases)


def rewrite(
    resource: dict[str, Any],
    targets: Mapping[str, str] | None = None,
    systems: Mapping[str, str] | None = None,
    bases: Collection[str] = (),
    where: str | None = None,
) -> dict[str, Any]:
    """Return one resource in the form of the data set (see `Rewriter`)."""
    return Rewriter(targets, systems, bases).apply(resource, where)


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
