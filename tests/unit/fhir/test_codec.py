"""JSON in and out."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_cds.errors import InputError
from fhir_cds.fhir import codec


@pytest.mark.parametrize("text", ["1.10", "0.0", "-0.00", "1E+3", "100.000", "12345678901234.5678901234"])
def test_decimals_keep_their_digits(text: str) -> None:
    """A decimal goes out as it came in."""
    value = codec.decode(text)
    assert isinstance(value, Decimal)
    assert codec.encode(value).decode() == text


def test_kinds_of_numbers() -> None:
    """Whole numbers are int, others Decimal."""
    assert codec.decode('{"a": 1, "b": 1.0, "c": 123456789012345678901234}') == {
        "a": 1,
        "b": Decimal("1.0"),
        "c": 123456789012345678901234,
    }


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.decimals(-1000, 1000, places=3) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_round_trip(value: Any) -> None:
    """Whatever is written is read back equal, compact or pretty."""
    assert codec.decode(codec.encode(value)) == value
    assert codec.decode(codec.encode_pretty(value)) == value


def test_pretty_form() -> None:
    """Files have two spaces and a final newline; keys keep their order."""
    assert codec.encode_pretty({"b": 1, "a": []}) == b'{\n  "b": 1,\n  "a": []\n}\n'


def test_canonical_form_does_not_depend_on_order() -> None:
    """Equal values give equal bytes."""
    assert codec.canonical({"b": {"y": 1, "x": 2}, "a": 0}) == codec.canonical({"a": 0, "b": {"x": 2, "y": 1}})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b'{"a": 1,\n "b" 2}', "line 2, column 6"),
        (b'{"a":', "truncated at line 1, column 6"),
        (b"{}\n\n x", "trailing characters at line 3"),
        (b'{"a": NaN}', "invalid character"),
        (b'"\xff"', "not UTF-8"),
        (b"\xff\xfe", "not JSON"),
        (b'"\\ud800"', "not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b"1." + b"1" * 100, "too many digits"),
        (b"1e999999999", "too many digits or too large an exponent"),
        (b"1e4000000000000000000000", "too many digits or too large an exponent"),
        (b"9" * 5000, "value out of range"),
    ],
)
def test_faults_say_where(data: bytes, message: str) -> None:
    """Bad JSON is an InputError with place; the source is named; the data are not quoted."""
    with pytest.raises(InputError) as caught:
        codec.decode(data, where="file.json")
    assert message in caught.value.message
    assert caught.value.where == "file.json"


def test_text_and_byte_order_mark() -> None:
    """Text is taken as well as bytes; a byte order mark does no harm."""
    assert codec.decode("[1]") == codec.decode(b"\xef\xbb\xbf[1]") == codec.decode(bytearray(b"[1]")) == [1]


def test_size_limit() -> None:
    """One byte above the limit is refused before decoding."""
    assert codec.decode(b"[1]", limit=3) == [1]
    with pytest.raises(InputError, match="limit of 2 bytes"):
        codec.decode(b"[1]", limit=2)


def test_repeated_keys() -> None:
    """A key that stands twice is refused where asked for, at any depth; the same key in two objects is fine."""
    twice = b'{"x": {"a": 1, "b": 2, "a": 3}}'
    assert codec.decode(twice) == {"x": {"a": 3, "b": 2}}
    with pytest.raises(InputError, match='"a" stands twice'):
        codec.decode(twice, unique_keys=True)
    assert codec.decode(b'[{"a": 1.50}, {"a": 2}]', unique_keys=True) == [{"a": Decimal("1.50")}, {"a": 2}]


def test_lines() -> None:
    """NDJSON: blank lines are passed over, faults name the line."""
    assert list(codec.decode_lines(b'{"a":1}\n\r\n{"b":2}\r\n')) == [(1, {"a": 1}), (3, {"b": 2})]
    with pytest.raises(InputError) as caught:
        list(codec.decode_lines(b'{"a":1}\nx', where="p.ndjson"))
    assert caught.value.where == "p.ndjson line 2"
    with pytest.raises(InputError, match="limit"):
        list(codec.decode_lines(b'{"a":1}', limit=3))
