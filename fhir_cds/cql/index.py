"""Retrieves of a program, answered together: one pass over the patient's resources with an inverted index.

At load each retrieve is registered as (type, code path, codes) and gets a bucket; codes are inverted into
`(system, code) -> buckets`. For a patient each resource is then looked at once, each of its codings once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from fhir_cds.cql.runtime.clinical import Code

Coding = tuple[str | None, str | None]
CODEABLE: Final = 0
CODEABLE_LIST: Final = 1
OTHER: Final = 2


@dataclass(frozen=True, slots=True)
class Retrieve:
    """What a library reads: for prefetch, `$data-requirements` and server queries.

    `code_path` is None when there is no terminology filter; `valueset` is a canonical; `codes` are direct ones, None when
    they are only known at evaluation; `date_path` is the element a date filter looks at.
    """

    type: str
    code_path: str | None = None
    valueset: str | None = None
    codes: tuple[Code, ...] | None = ()
    date_path: str | None = None


class _Reader(NamedTuple):
    """How the codings of one element are read, and code -> system -> buckets that want them."""

    key: str
    shape: int
    read: Callable[[dict[str, Any]], list[Coding]]
    table: dict[str | None, dict[str | None, list[int]]]


@dataclass(slots=True)
class _TypePlan:
    everything: list[int] = field(default_factory=list)
    paths: dict[tuple[str, ...], _Reader] = field(default_factory=dict)


def _codings(concept: dict[str, Any]) -> list[Coding]:
    return [(coding.get("system"), coding.get("code")) for coding in concept.get("coding", ())]


class RetrieveTable:
    """The retrieves of a program; grows while compiling and is only read afterwards."""

    def __init__(self) -> None:
        self.described: list[Retrieve] = []
        self._buckets: dict[Any, int] = {}
        self._plans: dict[str, _TypePlan] = {}

    def describe(self, retrieve: Retrieve) -> int:
        """Keep the description of a retrieve; returns its number."""
        if retrieve in self.described:
            return self.described.index(retrieve)
        self.described.append(retrieve)
        return len(self.described) - 1

    def all_of(self, resource_type: str) -> int:
        """Return the bucket of all resources of a type (`Resource` for all)."""
        return self._bucket((resource_type,), lambda n: self._plan(resource_type).everything.append(n))

    def coded(
        self,
        resource_type: str,
        keys: tuple[str, ...],
        shape: int,
        codings: Callable[[dict[str, Any]], list[Coding]],
        codes: frozenset[Coding],
    ) -> int:
        """Return the bucket of the resources of a type with one of the codes under one of the JSON keys.

        `shape` says how the element holds its codings; `codings` reads them for shapes the fast paths do not know.
        """

        def register(bucket: int) -> None:
            paths = self._plan(resource_type).paths
            reader = paths.setdefault(keys, _Reader(keys[0], shape if len(keys) == 1 else OTHER, codings, {}))
            for system, code in sorted(codes, key=str):
                reader.table.setdefault(code, {}).setdefault(system, []).append(bucket)

        return self._bucket((resource_type, keys, codes), register)

    def _plan(self, resource_type: str) -> _TypePlan:
        return self._plans.setdefault(resource_type, _TypePlan())

    def _bucket(self, key: Any, register: Callable[[int], None]) -> int:
        number = self._buckets.get(key)
        if number is None:
            number = self._buckets[key] = len(self._buckets)
            register(number)
        return number

    def fill(self, resources: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
        """Return each bucket's resources, in the order given."""
        buckets: list[list[dict[str, Any]]] = [[] for _ in self._buckets]
        plans = self._plans
        any_type = plans["Resource"].everything if "Resource" in plans else ()
        for resource in resources:
            for number in any_type:
                buckets[number].append(resource)
            plan = plans.get(resource["resourceType"])
            if plan is None:
                continue
            for number in plan.everything:
                buckets[number].append(resource)
            for key, shape, read, table in plan.paths.values():
                if shape == OTHER:
                    pairs = read(resource)
                else:
                    element = resource.get(key)
                    if element is None:
                        continue
                    pairs = _codings(element) if shape == CODEABLE else [p for item in element for p in _codings(item)]
                for system, code in pairs:
                    systems = table.get(code)
                    if systems is None or system not in systems:
                        continue
                    for number in systems[system]:
                        bucket = buckets[number]
                        if not bucket or bucket[-1] is not resource:
                            bucket.append(resource)
        return buckets
