"""Bring one resource into the data set's own form: local references and one URI per code system.

Most resources need nothing. Whether one does is read off its JSON text, which is far quicker than walking it; only what
changes is copied. Input is never changed in place.

    >>> rewrite({"resourceType": "Flag", "subject": {"reference": "urn:uuid:7"}}, {"urn:uuid:7": "Patient/1"})
    {'resourceType': 'Flag', 'subject': {'reference': 'Patient/1'}}
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any, Final

from fhir_cds.errors import InputError
from fhir_cds.fhir import codec, reference

MAX_DEPTH: Final = 100  # R4 resources nest some fifteen levels deep; Questionnaires and extensions some more

# A reference that is not `Type/id`: absolute, urn:, contained or versioned. A hit inside a text costs a copy, no more.
_FOREIGN: Final = re.compile(rb'"reference":"(?:#|[^"]*(?::|/_history/))')


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
        self._alias = _alias_pattern(tuple(self._systems))

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
        if _FOREIGN.search(text) is None and (self._alias is None or self._alias.search(text) is None):
            return resource
        copy: dict[str, Any] = self._copy(resource)
        return copy

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


@lru_cache(maxsize=8)
def _alias_pattern(aliases: tuple[str, ...]) -> re.Pattern[bytes] | None:
    """Return what finds a code system by one of its aliases in the JSON of a resource; None without aliases."""
    names = b"|".join(re.escape(codec.encode(alias)) for alias in aliases)
    return re.compile(b'"system":(?:' + names + b")") if names else None


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
