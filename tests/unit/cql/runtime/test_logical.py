"""Logical and nullological operators, messages."""

from itertools import product
from types import SimpleNamespace

import pytest

from fhir_cds.cql.runtime import logical, message, nullological

VALUES = (True, False, None)


@pytest.mark.parametrize(("a", "b"), list(product(VALUES, VALUES)))
def test_three_valued_logic_is_what_all_readings_of_null_agree_on(a: bool | None, b: bool | None):
    """An operator gives a value exactly when it is the same whatever a null stands for."""
    plain = {
        "And": lambda x, y: x and y,
        "Or": lambda x, y: x or y,
        "Xor": lambda x, y: x != y,
        "Implies": lambda x, y: not x or y,
    }
    readings = list(
        product((True, False) if a is None else (a,), (True, False) if b is None else (b,)),
    )
    for name, function in plain.items():
        results = {function(x, y) for x, y in readings}
        assert logical.OPERATORS[name](a, b) is (results.pop() if len(results) == 1 else None)


def test_not():
    """The opposite; unknown stays unknown."""
    assert [logical.OPERATORS["Not"](value) for value in VALUES] == [False, True, None]


def test_nullological():
    """Coalesce takes the first value, of a single list its first element; IsX never give null."""
    coalesce = nullological.OPERATORS["Coalesce"]
    assert coalesce(None, "a", "b") == "a"
    assert coalesce([None, "a"]) == "a"
    assert coalesce(["a"], None) == ["a"]
    assert coalesce([]) is None
    assert coalesce(None, False) is False
    assert [nullological.OPERATORS["IsTrue"](value) for value in VALUES] == [True, False, False]
    assert [nullological.OPERATORS["IsFalse"](value) for value in VALUES] == [False, True, False]
    assert [nullological.OPERATORS["IsNull"](value) for value in VALUES] == [False, False, True]


def test_messages_are_recorded_when_the_condition_holds():
    """The source is returned in any case."""
    state = SimpleNamespace(messages=[])
    say = message.OPERATORS["Message"]
    assert say(state, 5, True, "100", "Warning", "careful") == 5
    assert say(state, 5, None, "100", "Error", "careful") == 5
    assert say(state, 5, True) == 5
    assert state.messages == [message.Message("Warning", "100", "careful"), message.Message("Message", None, None)]


def test_an_error_message_raises():
    """Severity Error stops the evaluation with the library's own words."""
    with pytest.raises(message.MessageError, match="400: bad"):
        message.OPERATORS["Message"](SimpleNamespace(messages=[]), 5, True, "400", "Error", "bad")
