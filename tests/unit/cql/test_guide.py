"""The guide's example runs as it is printed, on a library that has nothing to do with the product's content."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

GUIDE = Path(__file__).resolve().parents[3] / "docs" / "guide" / "cql-engine.md"
FHIR = "{http://hl7.org/fhir}"
DATETIME = {"type": "NamedTypeSpecifier", "name": "{urn:hl7-org:elm-types:r1}DateTime"}


def _blocks() -> list[str]:
    """Return the guide's Python code, block by block."""
    return [part.partition("```")[0] for part in GUIDE.read_text(encoding="utf-8").split("```python\n")[1:]]


def _libraries(write: Any) -> dict[str, Any]:
    """Return the two libraries of the example."""
    diabetes = {"type": "ValueSetRef", "name": "Diabetes", "preserve": True}
    retrieve = {"type": "Retrieve", "dataType": f"{FHIR}Condition", "codeProperty": "code", "codes": diabetes}
    mine = write.library(
        write.node("Exists", {"type": "ExpressionRef", "name": "Diabetes Records"}),
        name="MyLibrary",
        define="Has Diabetes",
        valueSets=[{"name": "Diabetes", "id": "http://example.org/ValueSet/diabetes"}],
        includes=[{"localIdentifier": "Included", "path": "Included", "version": "1"}],
        parameters=[
            {
                "name": "Measurement Period",
                "parameterTypeSpecifier": {"type": "IntervalTypeSpecifier", "pointType": DATETIME},
            }
        ],
        more=[
            {"name": "Diabetes Records", "context": "Patient", "expression": retrieve},
            {
                "name": "Visits",
                "context": "Patient",
                "expression": {"type": "Retrieve", "dataType": f"{FHIR}Encounter"},
            },
        ],
    )
    return {"MyLibrary.json": mine, "Included.json": write.library(write.literal(1), name="Included")}


def test_the_example_runs_as_printed(write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Load, evaluate, ask where the value comes from, and ask the program without a patient."""
    for name, document in _libraries(write).items():
        (tmp_path / name).write_text(json.dumps(document), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    coding = {"system": "http://snomed.info/sct", "code": "73211009"}
    resources = [
        {"resourceType": "Condition", "id": "1", "code": {"coding": [coding]}},
        {"resourceType": "Encounter", "id": "e"},
    ]
    names: dict[str, Any] = {"resources": resources, "period": {"low": "2025-01-01", "high": "2026-01-01"}}
    first, second = _blocks()
    exec(first, names)  # noqa: S102 - the guide's own text
    exec(second, names)  # noqa: S102 - the guide's own text
    evaluation = names["evaluation"]
    assert evaluation.value("MyLibrary", "Has Diabetes") is True
    assert evaluation.resources("MyLibrary", "Has Diabetes") == ("Condition/1",)
    assert names["to_json"](evaluation.value("MyLibrary", "Visits")) == [{"reference": "Encounter/e"}]
    (read,) = names["program"].retrieves("MyLibrary", "Has Diabetes")
    assert (read.type, read.code_path, read.valueset) == ("Condition", "code", "http://example.org/ValueSet/diabetes")
