"""docs/guide/apply.md: every request in it is sent, and its answer is as the page shows it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

PAGE = Path(__file__).parents[2] / "docs" / "guide" / "apply.md"
EXAMPLE = re.compile(r"```http\n(.*?)\n```\n.*?```json (\d+)\n(.*?)\n```", re.DOTALL)
EXAMPLES = EXAMPLE.findall(PAGE.read_text(encoding="utf-8"))


def missing(expected: Any, actual: Any, place: str = "$") -> list[str]:
    """Return the places of what is expected and not there; a list may hold more, in the same order."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        found = [f"{place}.{key}" for key in expected if key not in actual]
        return found + [
            one
            for key in expected.keys() & actual.keys()
            for one in missing(expected[key], actual[key], f"{place}.{key}")
        ]
    if isinstance(expected, list) and isinstance(actual, list):
        rest = iter(actual)
        return [
            f"{place}[{index}]"
            for index, item in enumerate(expected)
            if not any(not missing(item, one) for one in rest)
        ]
    return [] if expected == actual else [place]


def test_every_request_of_the_page_is_found() -> None:
    """No request stands in the page without its answer."""
    assert len(EXAMPLES) == PAGE.read_text(encoding="utf-8").count("```http") == 7


@pytest.mark.parametrize(("request_text", "status", "answer"), EXAMPLES, ids=lambda text: text.partition("\n")[0][:60])
def test_examples(client: TestClient, request_text: str, status: str, answer: str) -> None:
    """The request is answered with the status and all that the page shows."""
    head, _, body = request_text.partition("\n\n")
    line, *headers = head.split("\n")
    method, target = line.split(" ")
    sent = dict(header.split(": ", 1) for header in headers)
    found = client.request(method, target, content=body or None, headers=sent)
    assert found.status_code == int(status), found.text
    assert missing(json.loads(answer), found.json()) == []


def test_the_comparison_can_fail() -> None:
    """What is not there is found, however deep; order counts."""
    assert missing({"a": [1, {"b": 2}]}, {"a": [0, 1, {"b": 2, "c": 3}], "d": 4}) == []
    assert missing({"a": [{"b": 3}]}, {"a": [{"b": 2}]}) == ["$.a[0]"]
    assert missing({"a": [2, 1]}, {"a": [1, 2]}) == ["$.a[1]"]
    assert missing({"x": {"y": 1}}, {"x": {}}) == ["$.x.y"]
