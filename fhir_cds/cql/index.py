"""Retrieves of a program, answered together: one pass over the patient's resources with an inverted index.

At load each retrieve is registered as (type, code path, codes) and gets a bucket; codes are inverted into
`(system, code) -> buckets`. For a patient each resource is then looked at once, each of its codings once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from fhir_cds.cql.runtime.clinical import Code

Coding = tuple[str | None, str | None]
Read = Callable[[dict[str, Any]], list[Coding]]


@dataclass(frozen=True, slots=True)
class Retrieve:
    """What a library reads: for prefetch, `$data-requirements` and server queries.

    `code_path` is None when there is no terminology filter; `valueset` is a canonical; `codes` are direct ones, None
    when they are only known at evaluation; `date_path` is the element a date filter looks at.
    """

    type: str
    code_path: str | None = None
    valueset: str | None = None
    codes: tuple[Code, ...] | None = ()
    date_path: str | None = None


@dataclass(slots=True)
class _TypePlan:
    """What to do with a resource: buckets that take all, and readers with code -> system -> buckets."""

    everything: list[int] = field(default_factory=list)
    readers: dict[tuple[str, ...], tuple[Read, dict[str | None, dict[str | None, list[int]]]]] = field(
        default_factory=dict
    )


def concept_reader(key: str) -> Read:
    """Return the reader of a CodeableConcept under a JSON key."""

    def read(resource: dict[str, Any]) -> list[Coding]:
        concept = resource.get(key)
        if concept is None:
            return []
        return [(coding.get("system"), coding.get("code")) for coding in concept.get("coding", ())]

    return read


def concepts_reader(key: str) -> Read:
    """Return the reader of a list of CodeableConcepts under a JSON key."""

    def read(resource: dict[str, Any]) -> list[Coding]:
        concepts = resource.get(key, ())
        return [(c.get("system"), c.get("code")) for concept in concepts for c in concept.get("coding", ())]

    return read


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
        return self._bucket((resource_type,), self._plan(resource_type).everything.append)

    def coded(self, resource_type: str, path: tuple[str, ...], read: Read, codes: frozenset[Coding]) -> int:
        """Return the bucket of the resources of a type with one of the codes under a path, which `read` reads."""

        def register(bucket: int) -> None:
            _, table = self._plan(resource_type).readers.setdefault(path, (read, {}))
            for system, code in codes:
                table.setdefault(code, {}).setdefault(system, []).append(bucket)

        return self._bucket((resource_type, path, codes), register)

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
            for read, table in plan.readers.values():
                for system, code in read(resource):
                    for number in table[code].get(system, ()) if code in table else ():
                        bucket = buckets[number]
                        if not bucket or bucket[-1] is not resource:
                            bucket.append(resource)
        return buckets
