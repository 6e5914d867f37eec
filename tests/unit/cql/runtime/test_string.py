"""String operators."""

import pytest

from fhir_cds.cql.runtime.string import OPERATORS


@pytest.mark.parametrize(
    ("operator", "operands", "expected"),
    [
        ("Combine", (["a", None, "b"], "-"), "a-b"),
        ("Combine", (["a", "b"],), "ab"),
        ("Combine", ([None],), None),
        ("Combine", (None, "-"), None),
        ("Concatenate", ("a", "b"), "ab"),
        ("Concatenate", ("a", None), None),
        ("EndsWith", ("abc", "bc"), True),
        ("EndsWith", ("abc", None), None),
        ("StartsWith", ("abc", "b"), False),
        ("StartsWith", (None, "b"), None),
        ("PositionOf", ("b", "abcb"), 1),
        ("PositionOf", ("x", "abcb"), -1),
        ("PositionOf", (None, "abcb"), None),
        ("LastPositionOf", ("b", "abcb"), 3),
        ("LastPositionOf", ("b", None), None),
        ("Lower", ("ÄB",), "äb"),
        ("Lower", (None,), None),
        ("Upper", ("äb",), "ÄB"),
        ("Upper", (None,), None),
        ("Matches", ("abc", "b"), False),
        ("Matches", ("a\nc", "a.c"), True),
        ("Matches", ("abc", None), None),
        ("ReplaceMatches", ("a1b2", r"(\d)", "<$1>"), "a<1>b<2>"),
        ("ReplaceMatches", ("a1b2", r"(?P<digit>\d)", "${digit}!"), "a1!b2!"),
        ("ReplaceMatches", ("a b", r"\s", r"\$"), "a$b"),
        ("ReplaceMatches", ("abc", "b", None), None),
        ("Split", ("a,b", ","), ["a", "b"]),
        ("Split", ("a,b", None), ["a,b"]),
        ("Split", ("a,b", ""), ["a,b"]),
        ("Split", (None, ","), None),
        ("SplitOnMatches", ("a1b22c", r"\d+"), ["a", "b", "c"]),
        ("SplitOnMatches", ("ab", r"x*"), ["ab"]),
        ("SplitOnMatches", ("ab", None), ["ab"]),
        ("SplitOnMatches", (None, "x"), None),
        ("Substring", ("ab", 1), "b"),
        ("Substring", ("ab", 2), None),
        ("Substring", ("ab", -1), None),
        ("Substring", ("", 0), ""),
        ("Substring", ("abc", 0, 2), "ab"),
        ("Substring", ("abc", 1, -2), ""),
        ("Substring", ("abc", None), None),
    ],
)
def test_string_operators(operator: str, operands: tuple[object, ...], expected: object):
    """Each operator gives what the CQL reference says, null for null."""
    assert OPERATORS[operator](*operands) == expected


def test_a_bad_pattern_raises():
    """A pattern or substitution that cannot work is an error, not a null."""
    with pytest.raises(ValueError, match="regular expression"):
        OPERATORS["Matches"]("a", "(")
    with pytest.raises(ValueError, match="group"):
        OPERATORS["ReplaceMatches"]("a", "a", "$3")
    with pytest.raises(ValueError, match="group"):
        OPERATORS["ReplaceMatches"]("a", "a", "${name}")
