"""Every claim of a profile is checked: each element that a profile asks for is missed when it is taken away (C027)."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fhir_cds.authoring.lint.claims import CPG, CRMI, PROFILES, claims
from fhir_cds.authoring.lint.view import Content, File, read
from fhir_cds.knowledge.load import ELM_TYPE

ROOT = Path(__file__).parents[3]
URL = "https://fhir-cds.github.io/sarcoma"
Change = Callable[[Any], Any]

FILES = {
    path.name: json.loads(path.read_text())
    for folder in ("plandefinitions", "valuesets")
    for path in sorted((ROOT / folder).glob("*.json"))
}


def claimed(document: Any) -> list[str]:
    """The profiles that a resource claims."""
    found: list[str] = document.get("meta", {}).get("profile", [])
    return found


def lines(name: str) -> Iterator[str]:
    """A profile and those on which it builds."""
    while True:
        yield name
        base = PROFILES[name].base
        if base is None:
            return
        name = base


def asked() -> list[tuple[str, str]]:
    """Every profile with every element that it asks for."""
    return [
        (name, path)
        for name in PROFILES
        for line in lines(name)
        for path in (*PROFILES[line].needs, *PROFILES[line].keeps)
    ]


def without(document: Any, path: str) -> Any:
    """The document without the elements at a path."""
    copy = json.loads(json.dumps(document))

    def take(node: Any, steps: list[str]) -> None:
        for inner in node if isinstance(node, list) else [node]:
            if len(steps) == 1:
                inner.pop(steps[0], None)
            else:
                take(inner[steps[0]], steps[1:])

    take(copy, path.split("."))
    return copy


def example(name: str) -> Any:
    """A resource of the content that meets a profile: one that claims it, or one that a profile on top of it claims."""
    return next(
        document
        for document in FILES.values()
        if any(name in lines(own) for own in claimed(document) if own in PROFILES)
    )


@pytest.fixture
def told(toy: Path) -> Callable[..., list[str]]:
    """What the rule finds in some resources."""
    content: Content = read(toy)

    def tell(*documents: Any) -> list[str]:
        files = tuple(File(Path(str(at)), str(at), document) for at, document in enumerate(documents))
        return [remark.text for remark in claims(replace(content, files=files))]

    return tell


def test_the_content_claims_and_keeps_its_claims(told: Callable[..., list[str]]) -> None:
    """Every resource but the naming systems says that it is shareable and publishable."""
    assert told(*FILES.values()) == []
    for name, document in FILES.items():
        kind = document["resourceType"].lower()
        if kind == "namingsystem":
            assert claimed(document) == [], name
            continue
        assert {f"{CRMI}crmi-shareable{kind}", f"{CRMI}crmi-publishable{kind}"} <= set(claimed(document)), name
        if kind in {"plandefinition", "activitydefinition", "questionnaire"}:
            assert any(profile.startswith(CPG) for profile in claimed(document)), name
        if kind in {"library", "valueset"}:
            assert f"{CRMI}crmi-computable{kind}" in claimed(document), name


@pytest.mark.parametrize(("name", "path"), asked())
def test_each_element_is_missed(told: Callable[..., list[str]], name: str, path: str) -> None:
    """A resource that claims a profile and lacks one element that it asks for is reported with its path."""
    document = example(name) | {"meta": {"profile": [name]}}
    assert told(document) == []
    assert any("lacks" in text and path in text for text in told(without(document, path)))


STRATEGY = "PlanDefinition-ibero2025-strategy-follow-up.json"
PATHWAY = "PlanDefinition-ibero2025-pathway.json"
ACTIVITY = "ActivityDefinition-order-mri-region.json"


@pytest.mark.parametrize(
    ("file", "change", "text"),
    [
        (STRATEGY, lambda d: d["action"][0].update(groupingBehavior="logical-group"), "may not have action.grouping"),
        (PATHWAY, lambda d: d["action"][0].update(selectionBehavior="any"), "may not have action.selectionBehavior"),
        (STRATEGY, lambda d: d["type"]["coding"][0].update(code="eca-rule"), "type should be workflow-definition"),
        (STRATEGY, lambda d: d.update(library=d["library"] * 2), "at most one library"),
        (STRATEGY, lambda d: d["meta"].update(profile=[f"{CPG}cpg-computableactivity|2.0.0"]), "is for Activity"),
        (STRATEGY, lambda d: d["meta"]["profile"].append("http://unheard/of"), "of which nothing is known"),
        ("ValueSet-vs-wd-dd-liposarcoma.json", lambda d: d.pop("compose"), "cvs-1"),
        ("CodeSystem-sarcoma-cds.json", lambda d: d["concept"][0].update(concept=[{"code": "x"}]), "scs-1"),
        ("CodeSystem-sarcoma-cds.json", lambda d: d["concept"][5].pop("code"), "concept.code"),
        ("CodeSystem-sarcoma-cds.json", lambda d: d.update(concept=[]), "scs-2"),
        ("Library-CcsfLogic.json", lambda d: d["content"].pop(1), ELM_TYPE),
    ],
)
def test_faults(told: Callable[..., list[str]], file: str, change: Change, text: str) -> None:
    """What a profile forbids, fixes or says in an invariant is held to."""
    document = json.loads(json.dumps(FILES[file]))
    assert told(document) == []
    change(document)
    assert any(text in found for found in told(document)), told(document)


def test_a_definition_claims_what_the_profile_names(told: Callable[..., list[str]]) -> None:
    """A strategy groups recommendations: what its actions define must claim to be one."""
    strategy = FILES[STRATEGY]
    target = strategy["action"][0]["action"][0]["definitionCanonical"]
    plan = next(d for d in FILES.values() if f"{d.get('url')}|{d.get('version')}" == target)
    assert told(strategy, plan) == []
    other = plan | {"meta": {"profile": [f"{CPG}cpg-computableplandefinition"]}}
    assert any("cpg-recommendationdefinition" in text for text in told(strategy, other))
    activity = FILES[ACTIVITY] | {"url": plan["url"]}
    assert any("does not claim" in text for text in told(strategy, activity))
