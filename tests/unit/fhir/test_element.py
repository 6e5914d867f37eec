"""Elements by path, as dynamicValue names them."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_cds.errors import ContentError
from fhir_cds.fhir.element import get, parse, set_value

ORDER = {"resourceType": "ServiceRequest", "code": {"coding": [{"code": "a"}, {"code": "b"}]}}


@pytest.mark.parametrize(
    ("kind", "path", "value", "expected"),
    [
        ("CommunicationRequest", "payload[0].contentString", "x", {"payload": [{"contentString": "x"}]}),
        ("CommunicationRequest", "payload.contentString", "x", {"payload": [{"contentString": "x"}]}),
        ("ServiceRequest", "code.coding[0]", {"code": "x"}, {"code": {"coding": [{"code": "x"}]}}),
        ("ServiceRequest", "code.coding", {"code": "x"}, {"code": {"coding": [{"code": "x"}]}}),
        ("ServiceRequest", "code.text", "x", {"code": {"text": "x"}}),
        ("ServiceRequest", "reasonCode[0].coding[0]", {"code": "x"}, {"reasonCode": [{"coding": [{"code": "x"}]}]}),
        (
            "ServiceRequest",
            "reasonCode",
            [{"text": "x"}, {"text": "y"}],
            {"reasonCode": [{"text": "x"}, {"text": "y"}]},
        ),
        ("ServiceRequest", "note", {"text": "x"}, {"note": [{"text": "x"}]}),
        ("ServiceRequest", "occurrenceDateTime", "2026-01-01", {"occurrenceDateTime": "2026-01-01"}),
        ("ServiceRequest", "occurrence.ofType(dateTime)", "2026-01-01", {"occurrenceDateTime": "2026-01-01"}),
        ("ServiceRequest", "ServiceRequest.priority", ["urgent"], {"priority": "urgent"}),
        (
            "MedicationRequest",
            "dosageInstruction.doseAndRate.doseQuantity",
            {"value": 1},
            {"dosageInstruction": [{"doseAndRate": [{"doseQuantity": {"value": 1}}]}]},
        ),
        ("Task", "code", {"text": "x"}, {"code": {"text": "x"}}),
        ("action", "code", {"text": "x"}, {"code": [{"text": "x"}]}),
        ("action", "code[0].coding[0]", {"code": "x"}, {"code": [{"coding": [{"code": "x"}]}]}),
        ("action", "timingTiming.repeat.count", 3, {"timingTiming": {"repeat": {"count": 3}}}),
        ("action", "title", "x", {"title": "x"}),
        (
            "action",
            "extension('http://e.example.org/x').valueString",
            "v",
            {"extension": [{"url": "http://e.example.org/x", "valueString": "v"}]},
        ),
    ],
)
def test_set_makes_what_is_missing(kind: str, path: str, value: Any, expected: dict[str, Any]) -> None:
    """A value is placed with all that leads to it, in lists where FHIR has lists."""
    assert set_value({}, path, value, kind=kind) == expected


def test_set_changes_a_copy() -> None:
    """The input is left alone; what is not changed is shared."""
    original = {**ORDER, "subject": {"reference": "Patient/1"}}
    changed = set_value(original, "code.coding[1].code", "c")
    assert changed["code"]["coding"] == [{"code": "a"}, {"code": "c"}]
    assert original["code"] == ORDER["code"]
    assert changed["subject"] is original["subject"]


def test_set_completes_a_choice() -> None:
    """The type of the value completes `name[x]`, and the other value of the choice goes."""
    order = {"resourceType": "ServiceRequest", "occurrencePeriod": {"start": "2026"}, "reasonReference": [{}]}
    changed = set_value(order, "occurrence[x]", "2026-01-01", fhir_type="dateTime")
    assert changed == {"resourceType": "ServiceRequest", "reasonReference": [{}], "occurrenceDateTime": "2026-01-01"}
    assert set_value(order, "reasonCode", {"text": "x"})["reasonReference"] == [{}]


def test_set_goes_into_the_choice_that_is_there() -> None:
    """`timing.repeat` goes into the timingTiming that is there."""
    action = {"timingTiming": {"repeat": {"count": 1}}}
    assert set_value(action, "timing.repeat.period", 2, kind="action") == {
        "timingTiming": {"repeat": {"count": 1, "period": 2}}
    }


def test_set_replaces_an_extension_by_its_url() -> None:
    """An extension of the same url is changed, others stay."""
    node = {"extension": [{"url": "a", "valueCode": "1"}, {"url": "b", "valueCode": "2"}]}
    assert set_value(node, "extension('b').valueCode", "3")["extension"] == [
        {"url": "a", "valueCode": "1"},
        {"url": "b", "valueCode": "3"},
    ]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("code.coding[3]", {}, "beyond the end"),
        ("code.coding.display", "x", "an index is needed"),
        ("priority", ["a", "b"], "several values"),
        ("priority", [], "several values"),
        ("resourceType.x", 1, "no elements"),
        ("", 1, "a path of elements"),
        ("code.", 1, "a path of elements"),
        ("code..text", 1, "a path of elements"),
        ("code[-1]", 1, "a path of elements"),
        ("code.where(x)", 1, "a path of elements"),
        ("category[99999999]", 1, "index above"),
    ],
)
def test_set_refuses(path: str, value: Any, message: str) -> None:
    """What cannot be placed is a ContentError that names the path."""
    with pytest.raises(ContentError, match=message) as caught:
        set_value(ORDER, path, value)
    assert caught.value.where == path


def test_get() -> None:
    """Values are found through lists of one, choices and extensions; absent ones are None."""
    node = {
        "resourceType": "Observation",
        "valueQuantity": {"value": 1},
        "code": {"coding": [{"code": "x"}]},
        "extension": [{"url": "u", "valueString": "v"}],
    }
    assert get(node, "value.value") == 1
    assert get(node, "Observation.code.coding.code") == "x"
    assert get(node, "code.coding[0].code") == "x"
    assert get(node, "extension('u').valueString") == "v"
    for absent in ("code.coding[1]", "extension('w')", "status", "code.text.x", "code.coding[0].code.x"):
        assert get(node, absent) is None
    with pytest.raises(ContentError, match="an index is needed"):
        get(ORDER, "code.coding.code")


def test_set_then_get() -> None:
    """What was set is what is found."""
    for path in ("code.coding[0].display", "subject.reference", "extension('u').valueCode", "orderDetail[0].text"):
        assert get(set_value(ORDER, path, "x"), path) == "x"


def test_parse_keeps_indices() -> None:
    """Steps carry name, index and url."""
    assert [(step.name, step.index, step.url) for step in parse("a[2].extension('u').b")] == [
        ("a", 2, None),
        ("extension", None, "u"),
        ("b", None, None),
    ]
