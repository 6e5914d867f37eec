"""Content folders on disk."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import pytest

from fhir_cds.errors import ContentError
from fhir_cds.fhir import codec
from fhir_cds.knowledge.load import ENVIRONMENT, content_roots, load
from fhir_cds.knowledge.service import service_of

ELM = {"library": {"identifier": {"id": "Logic", "version": "1"}}}
SERVICE = {
    "hook": "patient-view",
    "title": "T",
    "description": "D",
    "id": "s",
    "prefetch": {"patient": "Patient/{{context.patientId}}", "more": "Condition?patient={{context.patientId}}"},
    "extension": {
        "org.fhir-cds.plans": ["http://example.org/p"],
        "org.fhir-cds.optional-prefetch": ["more"],
        "org.example": 1,
    },
}


def write(root: Path, name: str, value: Any) -> None:
    """Write a file of content."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(value if isinstance(value, bytes) else codec.encode_pretty(value))


def library(name: str, content: str | None = None) -> dict[str, Any]:
    """Return a Library, with ELM inside when given."""
    made: dict[str, Any] = {"resourceType": "Library", "id": name, "url": f"http://example.org/{name}", "name": name}
    if content is not None:
        made["content"] = [
            {"contentType": "text/cql", "data": ""},
            {"contentType": "application/elm+json", "data": content},
        ]
    return made


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a small content folder."""
    write(tmp_path, "plandefinitions/Library-Logic.json", library("Logic"))
    write(tmp_path, "plandefinitions/cql/elm/Logic.json", ELM)
    write(tmp_path, "valuesets/ValueSet-v.json", {"resourceType": "ValueSet", "id": "v", "url": "http://example.org/v"})
    write(tmp_path, "hooks/s.json", SERVICE)
    write(tmp_path, "tests/patients/p.json", b"not even JSON")
    return tmp_path


def test_load(root: Path) -> None:
    """Resources, ELM and services are found; other folders are left alone."""
    knowledge = load([root])
    assert [item["id"] for item in knowledge.registry] == ["Logic", "v"]
    assert dict(knowledge.elm) == {"Logic": ELM}
    assert [service.id for service in knowledge.services] == ["s"]
    assert knowledge.roots == (root,)


def test_elm_inside_a_library(root: Path) -> None:
    """A library without ELM file takes the ELM embedded in its resource."""
    inner = {"library": {"identifier": {"id": "Inner"}}}
    data = base64.b64encode(codec.encode(inner)).decode()
    write(root, "plandefinitions/Library-Inner.json", library("Inner", data))
    assert load([root]).elm["Inner"] == inner
    write(root, "plandefinitions/Library-Logic.json", library("Logic", data))
    assert load([root]).elm["Logic"] == ELM


def test_two_roots(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Several roots make one registry; what is in both is refused."""
    other = tmp_path_factory.mktemp("other")
    write(other, "valuesets/ValueSet-w.json", {"resourceType": "ValueSet", "id": "w", "url": "http://example.org/w"})
    assert len(load([root, other]).registry) == 3
    write(other, "plandefinitions/cql/elm/Copy.json", ELM)
    with pytest.raises(ContentError, match="Logic is already in"):
        load([root, other])


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("valuesets/bad.json", b'{\n"a": }', "line 2"),
        ("valuesets/bad.json", b'{"resourceType": "ValueSet", "id": "a", "id": "b"}', "stands twice"),
        ("valuesets/bad.json", b"[]", "not a resource"),
        ("plandefinitions/cql/elm/bad.json", {"library": {}}, "library.identifier.id"),
        ("plandefinitions/cql/elm/bad.json", {"library": {"identifier": {"id": ""}}}, "must be a name"),
        ("plandefinitions/bad.json", library("X", "%%%"), "not base64"),
        ("plandefinitions/bad.json", library("X", base64.b64encode(b"{").decode()), "content.data: not JSON"),
        ("hooks/bad.json", [], "must be an object"),
        ("hooks/bad.json", {**SERVICE, "hook": ""}, "hook must be"),
        ("hooks/bad.json", {**SERVICE, "prefetch": {"a": 1}}, "prefetch must map"),
        ("hooks/bad.json", {**SERVICE, "extension": {}}, "must name the plans"),
        ("hooks/bad.json", {**SERVICE, "extension": []}, "extension must be"),
        ("hooks/bad.json", {**SERVICE, "extension": {"org.fhir-cds.plans": "p"}}, "list of strings"),
        ("hooks/bad.json", {**SERVICE, "prefetch": {}}, "names keys that prefetch lacks: more"),
    ],
)
def test_faults_name_the_file(root: Path, name: str, value: Any, message: str) -> None:
    """Whatever is wrong with a file, its name is in the error."""
    write(root, name, value)
    with pytest.raises(ContentError, match=message) as caught:
        load([root])
    assert caught.value.where == name


def test_service_view() -> None:
    """Discovery shows the file without our own extensions, in its order."""
    service = service_of(SERVICE, "hooks/s.json")
    assert list(service.entry) == ["hook", "title", "description", "id", "prefetch", "extension"]
    assert service.entry["extension"] == {"org.example": 1}
    assert service.plans == ("http://example.org/p",)
    assert service.optional == {"more"}
    plain = service_of({**SERVICE, "extension": {"org.fhir-cds.plans": ["p"]}}, "x")
    assert "extension" not in plain.entry


def test_roots_in_order(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Explicit folders first, then the environment, then the checkout."""
    other = tmp_path_factory.mktemp("other")
    (other / "hooks").mkdir()
    environment = {ENVIRONMENT: f"{root}{os.pathsep}{other}"}
    assert content_roots([other], environment) == (other,)
    assert content_roots([], environment) == (root, other)
    built_in = content_roots([], {})
    assert len(built_in) == 1
    assert (built_in[0] / "plandefinitions").is_dir()


def test_root_without_content(tmp_path: Path) -> None:
    """A folder that is not there, or holds nothing of ours, is refused by name."""
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(ContentError) as caught:
            content_roots([path], {})
        assert caught.value.where == str(path)


def test_unreadable_file(root: Path) -> None:
    """A file that cannot be read is named."""
    (root / "valuesets" / "dir.json").mkdir()
    with pytest.raises(ContentError, match="cannot be read") as caught:
        load([root])
    assert caught.value.where == "valuesets/dir.json"
