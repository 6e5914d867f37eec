"""Value sets expanded from the content alone."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_cds.errors import ContentError, NotFoundError
from fhir_cds.knowledge.registry import Registry
from fhir_cds.terminology.local import aliases, code_sets, expand, lookup, validate_code

S, T = "http://example.org/s", "http://example.org/t"
BASE = "http://example.org/ValueSet/"


def valueset(identifier: str, *include: dict[str, Any], exclude: Any = None, **more: Any) -> dict[str, Any]:
    """Return a ValueSet."""
    made: dict[str, Any] = {"resourceType": "ValueSet", "id": identifier, "url": BASE + identifier, **more}
    if include:
        made["compose"] = {"include": list(include), **({"exclude": exclude} if exclude else {})}
    return made


def codes(system: str, *values: str) -> dict[str, Any]:
    """Return an include of listed codes."""
    return {"system": system, "concept": [{"code": value, "display": value.upper()} for value in values]}


SYSTEM = {
    "resourceType": "CodeSystem",
    "id": "s",
    "url": S,
    "version": "1",
    "name": "Letters",
    "content": "complete",
    "concept": [{"code": "a", "display": "A", "definition": "first", "concept": [{"code": "aa"}]}, {"code": "b"}],
}
NAMING = {
    "resourceType": "NamingSystem",
    "id": "n",
    "kind": "codesystem",
    "uniqueId": [
        {"type": "uri", "value": S, "preferred": True},
        {"type": "uri", "value": "http://example.org/old"},
        {"type": "oid", "value": "1.2.3"},
    ],
}


def registry(*resources: dict[str, Any]) -> Registry:
    """Return a registry of resources from files 0.json, 1.json, …"""
    return Registry.of((f"{index}.json", item) for index, item in enumerate(resources))


def sets(*resources: dict[str, Any]) -> dict[str, set[str]]:
    """Return the codes of each value set, without their systems."""
    found = code_sets(registry(*resources))
    return {url.removeprefix(BASE): {code for _, code in pairs} for url, pairs in found.items()}


def test_listed_codes() -> None:
    """Codes of several includes are united, each with its system."""
    found = code_sets(registry(valueset("v", codes(S, "a", "b"), codes(T, "a"))))
    assert found[BASE + "v"] == {(S, "a"), (S, "b"), (T, "a")}


def test_nested_value_sets() -> None:
    """A value set includes others; several in one include are intersected (R4)."""
    one, two = valueset("one", codes(S, "a", "b")), valueset("two", codes(S, "b", "c"))
    union = valueset("union", {"valueSet": [BASE + "one"]}, {"valueSet": [BASE + "two"]})
    both = valueset("both", {"valueSet": [BASE + "one", BASE + "two"]})
    part = valueset("part", {**codes(S, "a", "c"), "valueSet": [BASE + "one"]})
    found = sets(one, two, union, both, part)
    assert found["union"] == {"a", "b", "c"}
    assert found["both"] == {"b"}
    assert found["part"] == {"a"}


def test_exclude() -> None:
    """Excluded codes go, listed or by value set; of another system they stay."""
    drop = valueset("drop", codes(S, "b"))
    keep = valueset("keep", codes(S, "a", "b"), codes(T, "a"), exclude=[codes(S, "a"), {"valueSet": [BASE + "drop"]}])
    assert code_sets(registry(drop, keep))[BASE + "keep"] == {(T, "a")}


def test_whole_code_system() -> None:
    """A complete code system of the content can be included whole, nested concepts too."""
    assert sets(SYSTEM, valueset("v", {"system": S}))["v"] == {"a", "aa", "b"}


def test_expansion() -> None:
    """Without a compose that lists codes the expansion counts, nested, without its headings."""
    contains = [
        {"system": S, "abstract": True, "code": "head", "contains": [{"system": S, "code": "a"}]},
        {"display": "group", "contains": [{"system": T, "code": "b"}]},
    ]
    expansion = {"contains": contains}
    filtered = {"system": S, "filter": [{"property": "x", "op": "=", "value": "y"}]}
    assert sets(valueset("v", expansion=expansion))["v"] == {"a", "b"}
    assert sets(valueset("v", filtered, expansion=expansion))["v"] == {"a", "b"}
    elsewhere = {"valueSet": ["http://example.org/elsewhere"]}
    assert sets(valueset("v", elsewhere, expansion=expansion))["v"] == {"a", "b"}
    assert sets(valueset("v", codes(S, "c"), expansion=expansion))["v"] == {"c"}


def test_versions() -> None:
    """Each version has its codes; without version the latest counts."""
    found = sets(valueset("v", codes(S, "old"), version="1.0"), valueset("v", codes(S, "new"), version="1.1"))
    assert found == {"v": {"new"}, "v|1.0": {"old"}, "v|1.1": {"new"}}


def test_aliases() -> None:
    """Other URIs of a code system, OIDs among them, give way to the preferred one."""
    assert dict(aliases(registry(NAMING))) == {"http://example.org/old": S, "urn:oid:1.2.3": S}
    found = code_sets(registry(NAMING, valueset("v", codes("urn:oid:1.2.3", "a"), codes(S, "a"))))
    assert found[BASE + "v"] == {(S, "a")}


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ([valueset("v")], "cannot be expanded"),
        ([valueset("v", {"system": S})], "whole code system"),
        ([{**SYSTEM, "content": "fragment"}, valueset("v", {"system": S})], "whole code system"),
        ([valueset("v", {"system": S, "filter": [{"property": "x", "op": "=", "value": "y"}]})], "cannot be expanded"),
        ([valueset("v", {"valueSet": [BASE + "absent"]})], "is not in the content"),
        ([valueset("v", {"valueSet": [BASE + "v"]})], "includes itself"),
        ([valueset("a", {"valueSet": [BASE + "b"]}), valueset("b", {"valueSet": [BASE + "a"]})], "includes itself"),
        ([valueset("v", {})], "neither a system nor a value set"),
        ([valueset("v", {"system": S, "concept": [{"display": "x"}]})], "a code and its system"),
        ([valueset("v", expansion={"contains": [{"code": "x"}]})], "a code and its system"),
        ([valueset("v", expansion={"offset": 10, "contains": []})], "one page"),
        ([valueset("v", expansion={"total": 10, "contains": []})], "one page"),
        ([{**NAMING, "uniqueId": []}], "exactly one"),
        ([NAMING, {**NAMING, "id": "m"}, {**NAMING, "id": "k", "uniqueId": [
            {"value": T, "preferred": True}, {"type": "oid", "value": "1.2.3"}]}], "already stands for"),
        ([NAMING, {**NAMING, "id": "k", "uniqueId": [{"value": T, "preferred": True}, {"value": S}]}], "an alias in"),
    ],
)  # fmt: skip
def test_refused(resources: list[dict[str, Any]], message: str) -> None:
    """What cannot be expanded from the content is a ContentError when it loads."""
    with pytest.raises(ContentError, match=message):
        code_sets(registry(*resources))


def test_other_naming_systems_are_left_alone() -> None:
    """A NamingSystem of identifiers says nothing of codes."""
    assert dict(aliases(registry({**NAMING, "kind": "identifier", "uniqueId": []}))) == {}


def test_expand() -> None:
    """$expand: all codes in order, filtered by text, page by page; equal calls give equal answers."""
    content = registry(valueset("v", codes(S, "b", "a", "c")))
    whole = expand(content, BASE + "v")
    assert [item["code"] for item in whole["expansion"]["contains"]] == ["a", "b", "c"]
    assert whole["expansion"]["total"] == 3
    assert expand(content, BASE + "v") == whole
    page = expand(content, BASE + "v", offset=1, count=1)["expansion"]
    assert ([item["code"] for item in page["contains"]], page["total"]) == (["b"], 3)
    assert expand(content, BASE + "v", "C")["expansion"]["contains"][0]["display"] == "C"
    assert "contains" not in expand(content, BASE + "v", "none")["expansion"]
    with pytest.raises(NotFoundError):
        expand(content, BASE + "w")


def test_validate_code() -> None:
    """$validate-code: in or not, whichever URI names the system."""
    content = registry(NAMING, valueset("v", codes(S, "a")))
    for system in (S, "urn:oid:1.2.3"):
        assert validate_code(content, BASE + "v", system, "a")["parameter"] == [
            {"name": "result", "valueBoolean": True},
            {"name": "display", "valueString": "A"},
        ]
    assert validate_code(content, BASE + "v", S, "z")["parameter"][0]["valueBoolean"] is False
    assert validate_code(content, BASE + "v", T, "a")["parameter"][0]["valueBoolean"] is False
    with pytest.raises(NotFoundError):
        validate_code(content, BASE + "w", S, "a")


def test_lookup() -> None:
    """$lookup: what the content knows of a code."""
    content = registry(NAMING, SYSTEM)
    found = {item["name"]: item["valueString"] for item in lookup(content, "urn:oid:1.2.3", "a")["parameter"]}
    assert found == {"name": "Letters", "version": "1", "display": "A", "definition": "first"}
    assert lookup(content, S, "aa")["parameter"][-1] == {"name": "display", "valueString": "aa"}
    for system, code in ((T, "a"), (S, "z")):
        with pytest.raises(NotFoundError):
            lookup(content, system, code)
