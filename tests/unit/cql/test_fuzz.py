"""Mutated ELM: loading and evaluating gives an error of ours or an answer, never a crash and never a hang."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_cds.cql import Program, to_json
from fhir_cds.cql.elm_schema import EXPRESSIONS
from fhir_cds.errors import FhirCdsError

NOW = "2020-06-15T12:00:00.000+00:00"
CS = "http://example.org/cs"
VALUESETS = {f"http://example.org/{name}": [(CS, "lab"), (CS, "x")] for name in ("vs", "conditions", "drugs")}
SCALARS = [
    None,
    True,
    False,
    0,
    -1,
    10**12,
    "",
    "x",
    "$this",
    "name",
    "{urn:hl7-org:elm-types:r1}Integer",
    [],
    {},
    [[]],
]
SCALARS += [
    "{urn:hl7-org:elm-types:r1}Any",
    "{http://hl7.org/fhir}Observation",
    "{http://hl7.org/fhir}Quantity",
    "value.x[0]",
]
KEPT = {"Runaway"}


def _places(tree: Any) -> list[tuple[Any, Any]]:
    """Return (container, key) of everything in a JSON tree, in document order."""
    found: list[tuple[Any, Any]] = []
    pending = [tree]
    while pending:
        node = pending.pop()
        items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, child in items:
            found.append((node, key))
            pending.append(child)
    return found


@st.composite
def mutants(draw: st.DrawFn, document: dict[str, Any]) -> dict[str, Any]:
    """Return a library of a few of the document's definitions with some places changed."""
    statements = document["library"]["statements"]["def"]
    functions = [s for s in statements if s.get("type") == "FunctionDef"]
    defines = [s for s in statements if s.get("type") != "FunctionDef" and s["name"] not in KEPT]
    chosen = draw(st.lists(st.sampled_from(defines), min_size=1, max_size=3, unique_by=lambda s: s["name"]))
    mutant = copy.deepcopy({"library": {**document["library"], "statements": {"def": [*functions, *chosen]}}})
    donors = copy.deepcopy(draw(st.sampled_from(defines)))
    for _ in range(draw(st.integers(1, 4))):
        places = _places(mutant["library"]["statements"])
        container, key = places[draw(st.integers(0, len(places) - 1))]
        action = draw(st.sampled_from(["delete", "scalar", "kind", "graft", "repeat"]))
        if action == "delete":
            del container[key]
        elif action == "scalar":
            container[key] = draw(st.sampled_from(SCALARS))
        elif action == "kind" and isinstance(container[key], dict):
            container[key] = {**container[key], "type": draw(st.sampled_from(sorted(EXPRESSIONS)))}
        elif action == "graft":
            places = _places(donors)
            donor, part = places[draw(st.integers(0, len(places) - 1))]
            container[key] = copy.deepcopy(donor[part])
        elif isinstance(container[key], list):
            container[key] = container[key] * 2
        if not _places(mutant["library"]["statements"]):
            break
    return mutant


def outcome(document: dict[str, Any], resources: list[dict[str, Any]]) -> None:
    """Load and evaluate; lets only our own errors pass."""
    try:
        program = Program.load([document], VALUESETS)
    except FhirCdsError:
        return
    evaluation = program.evaluate(resources, NOW, budget=20_000)
    for library in program.libraries:
        for define in library.defines:
            try:
                to_json(evaluation.value(library.name, define))
                evaluation.resources(library.name, define)
            except FhirCdsError as error:
                assert error.message  # noqa: PT017 - the error is the answer here


@pytest.mark.parametrize("name", ["Basics", "Fhir"])
def test_mutated_libraries(fixture_document: Any, patient: list[dict[str, Any]], name: str) -> None:
    """Hundreds of mutants of the fixture libraries."""
    document = fixture_document(name)
    document["library"].pop("includes", None) if name == "Basics" else None
    if name == "Fhir":
        kept = [i for i in document["library"]["includes"]["def"] if i["path"] == "FHIRHelpers"]
        document["library"]["includes"]["def"] = kept

    @settings(max_examples=250, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None)
    @given(mutants(document))
    def run(mutant: dict[str, Any]) -> None:
        outcome(mutant, patient)

    run()
