"""The registry: canonicals, versions, ids, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_cds.errors import ContentError, NotFoundError
from fhir_cds.knowledge.registry import Registry, canonical_of, split_canonical, version_key

URL = "http://example.org/PlanDefinition/p"


def plan(version: str | None = "1.0.0", url: str = URL, identifier: str = "p") -> dict[str, Any]:
    """Return a PlanDefinition."""
    made: dict[str, Any] = {"resourceType": "PlanDefinition", "id": identifier, "url": url}
    return made if version is None else {**made, "version": version}


def registry(*resources: Any) -> Registry:
    """Return a registry of resources from files 0.json, 1.json, …"""
    return Registry.of((f"{index}.json", item) for index, item in enumerate(resources))


def test_latest_version_and_exact_version() -> None:
    """Without version the latest is meant, with version that one; versions sort by number, not by letter."""
    found = registry(plan("1.9.0"), plan("1.10.0"), plan("1.10.0-draft"), plan(None))
    assert found.resolve(URL)["version"] == "1.10.0"
    assert found.resolve(f"{URL}|1.9.0")["version"] == "1.9.0"
    assert found.by_id("PlanDefinition", "p")["version"] == "1.10.0"
    assert len(found) == 4
    assert found.find(f"{URL}|2.0.0") is None


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50)), min_size=2, max_size=2))
def test_version_order(pair: list[tuple[int, int, int]]) -> None:
    """Versions of three numbers sort as their numbers do."""
    first, second = (".".join(str(part) for part in item) for item in pair)
    assert (version_key(first) < version_key(second)) is (pair[0] < pair[1])


def test_versions_of_other_forms() -> None:
    """Pre-releases, dates, words and none can be compared with each other."""
    ordered = ["", "draft", "0.1", "0.1.1", "1.0.0-1", "1.0.0-alpha", "1.0.0", "2024-06", "20240601"]
    keys = sorted(ordered, key=version_key)
    assert keys[0] == ""
    assert keys.index("1.0.0-alpha") < keys.index("1.0.0")
    assert keys.index("0.1") < keys.index("0.1.1")


def test_order_does_not_matter() -> None:
    """The same content in another order is the same registry."""
    items = [plan("1.0.0"), plan("2.0.0"), plan("1.0.0", "http://example.org/b", "b")]
    assert registry(*items).resources == registry(*items[::-1]).resources


def test_lookups() -> None:
    """By canonical with type, by id, by either; with what is not there."""
    found = registry(plan(), {"resourceType": "NamingSystem", "id": "n"})
    assert found.find(URL, "PlanDefinition") == plan()
    assert found.find(URL, "Library") is None
    assert found.get("PlanDefinition", "p") == found.get("PlanDefinition", URL) == plan()
    assert found.by_type("NamingSystem")[0]["id"] == "n"
    assert found.source(plan()) == "0.json"
    assert [item["id"] for item in found] == ["n", "p"]
    with pytest.raises(NotFoundError):
        found.get("PlanDefinition", "q")
    with pytest.raises(ContentError) as caught:
        found.resolve("http://example.org/x", "Library", where="a.json")
    assert caught.value.where == "a.json"


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ([plan(), plan()], "already defined in 0.json"),
        ([plan(), plan(url="http://example.org/other")], "another url in 0.json"),
        ([[]], "not a resource"),
        ([{"resourceType": "Sorcery", "id": "x"}], "not a resource"),
        ([{"resourceType": "Patient"}], "needs an id"),
        ([{"resourceType": "PlanDefinition", "id": "a b"}], "needs an id"),
        ([{"resourceType": "PlanDefinition", "id": "p"}], "has no url"),
        ([{"resourceType": "PlanDefinition", "id": "p", "url": 7}], "url must be a string"),
        ([{**plan(), "version": 1}], "version must be a string"),
    ],
)
def test_refused(resources: list[Any], message: str) -> None:
    """Faults of content name the file they are in."""
    with pytest.raises(ContentError, match=message) as caught:
        registry(*resources)
    assert caught.value.where == f"{len(resources) - 1}.json"


def test_immutable() -> None:
    """The registry's tables cannot be changed."""
    found = registry(plan())
    with pytest.raises(TypeError):
        found.sources["x"] = "y"  # type: ignore[index]
    with pytest.raises(AttributeError):
        found.resources = ()  # type: ignore[misc]


def test_canonicals() -> None:
    """Canonicals are taken apart and made."""
    assert canonical_of(plan()) == f"{URL}|1.0.0"
    assert canonical_of(plan(None)) == URL
    assert split_canonical(f"{URL}|1.0.0#x") == (URL, "1.0.0#x".partition("#")[0])
    assert split_canonical(URL) == (URL, None)
