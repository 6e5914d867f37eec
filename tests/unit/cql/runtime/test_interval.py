"""Intervals: boundaries, comparison, sets, collapse and expand."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest

from fhir_cds.cql.runtime import points
from fhir_cds.cql.runtime.interval import Interval, end, end_span, limit, start, start_span
from fhir_cds.cql.runtime.interval_ops import OPERATORS
from fhir_cds.cql.runtime.interval_sets import MAX_PIECES
from fhir_cds.cql.runtime.numbers import MAX_DECIMAL, MAX_INTEGER, MIN_INTEGER, Long
from fhir_cds.cql.runtime.quantity import Quantity
from fhir_cds.cql.runtime.temporal import Date
from fhir_cds.cql.runtime.temporal_text import parse_date, parse_datetime, parse_time

D = Decimal
_KINDS: dict[str, Any] = {
    "T": parse_time,
    "D": parse_date,
    "Z": lambda text: parse_datetime(text, 0),
    "L": Long,
    "N": D,
    "Q": lambda text: Quantity(D(text), "g"),
    "I": int,
}
_TYPES = {
    "T": "Time", "D": "Date", "Z": "DateTime", "L": "Long", "N": "Decimal", "Q": "Quantity", "I": "Integer",
}  # fmt: skip


def point(text: str, kind: str) -> Any:
    """Read one point; `_` is null."""
    return None if text == "_" else _KINDS[kind](text)


def i(text: str) -> Any:
    """Read an interval such as `[1,10)` (Integer) or `D[2014,2015]`; the letter names the type; `null` is null."""
    if text == "null":
        return None
    match = re.fullmatch(r"([A-Z]?)([\[(])(.+),(.+)([\])])", text)
    if match is None:
        return point(text.lstrip("TDZLNQ"), text[0] if text[0] in "TDZLNQ" else "I")
    kind = match[1] or "I"
    low, high = point(match[3], kind), point(match[4], kind)
    return Interval(low, high, match[2] == "[", match[5] == "]", _TYPES[kind])


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("[1,10]", 1, 10),
        ("(1,10)", 2, 9),
        ("[_,10]", MIN_INTEGER, 10),
        ("[1,_]", 1, MAX_INTEGER),
        ("(_,10)", None, 9),
        ("[1,_)", 1, None),
        ("L(1,10)", Long(2), Long(9)),
        ("N(1.0,2.0)", D("1.00000001"), D("1.99999999")),
        ("Q(1,2)", Quantity(D("1.00000001"), "g"), Quantity(D("1.99999999"), "g")),
        ("Q[1,_]", Quantity(D(1), "g"), Quantity(MAX_DECIMAL, "g")),
        ("D(2014-02,2014-03-01)", parse_date("2014-03"), parse_date("2014-02-28")),
        ("T(10:59,11:01)", parse_time("11:00"), parse_time("11:00")),
    ],
)
def test_start_and_end(text: str, first: Any, last: Any) -> None:
    """Open bounds move by one step, missing closed ones are the limits of the type, missing open ones unknown."""
    assert (OPERATORS["Start"](i(text)), OPERATORS["End"](i(text))) == (first, last)


def test_limits() -> None:
    """A type that is not known has no limits; type names may carry their model."""
    assert (start(Interval(None, None)), end(Interval(None, None))) == (None, None)
    assert start_span(Interval(None, None)) == end_span(Interval(None, None)) == (None, None)
    assert limit(Interval(None, None, point_type="{urn:hl7-org:elm-types:r1}Integer"), high=True) == MAX_INTEGER
    assert limit(Interval(None, None, point_type="System.Integer"), high=False) == MIN_INTEGER
    assert limit(Interval(1, None), high=True) == MAX_INTEGER
    assert start_span(i("(_,5]")) == (MIN_INTEGER, 5)
    assert start_span(i("(_,_)")) == (MIN_INTEGER, MAX_INTEGER)
    assert end_span(i("[5,_)")) == (5, MAX_INTEGER)
    assert end_span(i("(_,_)")) == (MIN_INTEGER, MAX_INTEGER)
    assert start_span(5) == end_span(5) == (5, 5)


def test_only_ordered_types_have_neighbours() -> None:
    """Null has no next value, and a text has none to ask for."""
    assert [points.successor(None), points.predecessor(None)] == [None, None]
    assert [points.successor(MAX_INTEGER), points.predecessor(0)] == [None, -1]
    with pytest.raises(TypeError, match="no next or previous"):
        points.successor("a")


@pytest.mark.parametrize("text", ["[5,3]", "[5,5)", "(5,5]", "D[2014-02,2014-01]"])
def test_an_interval_must_not_end_before_it_starts(text: str) -> None:
    """Building one raises ValueError."""
    shown = i(text)
    with pytest.raises(ValueError, match="end before it starts"):
        OPERATORS["Interval"](shown.low, shown.high, shown.low_closed, shown.high_closed, shown.point_type)


def test_building_intervals() -> None:
    """Bounds that may be in order are accepted."""
    assert OPERATORS["Interval"](1, 5) == Interval(1, 5)
    assert OPERATORS["Interval"](5, 5) == Interval(5, 5)
    assert OPERATORS["Interval"](Date.of(2014), Date.of(2014, 5)) == Interval(Date.of(2014), Date.of(2014, 5))
    assert OPERATORS["Interval"](None, 5, False, True, "Integer").low is None


CASES: list[tuple[str, str, str, str | None, bool | None]] = [
    ("Contains", "[1,10]", "5", None, True),
    ("Contains", "[1,10)", "10", None, False),
    ("Contains", "[1,10]", "null", None, None),
    ("Contains", "null", "5", None, False),
    ("Contains", "[_,5]", "10", None, False),
    ("Contains", "[_,5]", "-10", None, True),
    ("Contains", "(_,5]", "10", None, False),
    ("Contains", "(_,5]", "5", None, True),
    ("Contains", "(_,5]", "4", None, None),
    ("Contains", "[5,_)", "5", None, True),
    ("Contains", "[5,_)", "6", None, None),
    ("Contains", "[5,_)", "4", None, False),
    ("Contains", "[5,_]", "6", None, True),
    ("Contains", "D[2014-01-05,2014-03]", "D2014-03", None, True),
    ("Contains", "D[2014-01-05,2014-03]", "D2014-01", None, None),
    ("Contains", "D[2014-01-05,2014-03]", "D2014-01-01", "month", True),
    ("In", "5", "[1,10]", None, True),
    ("In", "5", "null", None, False),
    ("In", "null", "[1,10]", None, None),
    ("ProperContains", "[1,10]", "1", None, False),
    ("ProperContains", "[1,10]", "2", None, True),
    ("ProperContains", "(_,10]", "2", None, None),
    ("ProperContains", "null", "2", None, False),
    ("ProperContains", "[1,10]", "null", None, None),
    ("ProperContains", "T[12:00:00.001,21:59:59.999]", "T12:00:00", None, None),
    ("ProperContains", "T[12:00:00.001,21:59:59.999]", "T12:00:00", "second", False),
    ("ProperIn", "2", "[1,10]", None, True),
    ("ProperIn", "2", "null", None, False),
    ("Includes", "[1,10]", "[4,10]", None, True),
    ("Includes", "[1,10]", "[4,11]", None, False),
    ("Includes", "[1,10]", "null", None, None),
    ("Includes", "[1,_)", "[2,3]", None, None),
    ("Includes", "[1,3]", "[2,_)", None, None),
    ("Includes", "[5,_)", "[2,3]", None, False),
    ("IncludedIn", "[4,10]", "[1,10]", None, True),
    ("IncludedIn", "null", "[1,10]", None, None),
    ("ProperIncludes", "[1,10]", "[1,10]", None, False),
    ("ProperIncludes", "[1,10]", "[1,9]", None, True),
    ("ProperIncludes", "[_,_]", "[1,9]", None, True),
    ("ProperIncludes", "D[2014-01-01,2014-01-31]", "D[2014-01-05,2014-01-20]", "month", False),
    ("ProperIncludedIn", "[1,9]", "[1,10]", None, True),
    ("Before", "[1,10]", "[11,20]", None, True),
    ("Before", "[1,11]", "[11,20]", None, False),
    ("Before", "[1,_)", "[11,20]", None, None),
    ("Before", "[12,_)", "[11,20]", None, False),
    ("Before", "5", "[11,20]", None, True),
    ("Before", "D[2014-01-01,2014-01-15]", "D[2014-01-20,2014-02-01]", "month", False),
    ("After", "[11,20]", "[1,10]", None, True),
    ("After", "[11,20]", "5", None, True),
    ("After", "null", "5", None, None),
    ("SameOrBefore", "[1,11]", "[11,20]", None, True),
    ("SameOrAfter", "[11,20]", "[1,11]", None, True),
    ("SameOrAfter", "[10,20]", "[1,11]", None, False),
    ("SameAs", "[1,10]", "(0,11)", None, True),
    ("SameAs", "[1,10]", "[1,9]", None, False),
    ("SameAs", "[1,_)", "[1,9]", None, None),
    ("SameAs", "D[2014-01-05,2014-03]", "D[2014-01-01,2014-03-20]", "month", True),
    ("Meets", "[1,10]", "[11,20]", None, True),
    ("Meets", "[11,20]", "[1,10]", None, True),
    ("Meets", "[1,10]", "[12,20]", None, False),
    ("Meets", "(_,5]", "(_,15)", None, None),
    ("Meets", "N[1.0,2.0]", "N[2.00000001,3.0]", None, True),
    ("Meets", "D[2014-01,2014-02]", "D[2014-03,2014-04]", None, True),
    ("Meets", "D[2014-01-01,2014-02-10]", "D[2014-03-20,2014-04-01]", "month", True),
    ("Meets", "D[2014-01-01,2014-02-10]", "D[2014-04-20,2014-04-21]", "month", False),
    ("Meets", "D[2014-01-01,2014]", "D[2014-04-20,2014-04-21]", "month", None),
    ("MeetsBefore", "[1,10]", "[11,20]", None, True),
    ("MeetsBefore", "[11,20]", "[1,10]", None, False),
    ("MeetsBefore", "[-3,0]", "[1,5]", None, True),
    ("MeetsBefore", "[-3,1]", "[1,5]", None, False),
    ("MeetsBefore", "[1,_]", "[1,10]", None, False),
    ("MeetsBefore", "[1,10]", "[_,20]", None, False),
    ("MeetsAfter", "(_,5]", "[11,_)", None, False),
    ("MeetsAfter", "[11,20]", "[1,10]", None, True),
    ("Overlaps", "[1,10]", "[10,20]", None, True),
    ("Overlaps", "[1,10)", "[10,20]", None, False),
    ("Overlaps", "[1,_)", "[1,3]", None, True),
    ("Overlaps", "[1,_)", "[2,3]", None, None),
    ("Overlaps", "D[2012-02,2012-03]", "D[2011-01-10,2012]", None, None),
    ("Overlaps", "D[2012-02-01,2012-03-01]", "D[2012-03-20,2012-04-01]", "month", True),
    ("OverlapsBefore", "[1,10]", "[4,20]", None, True),
    ("OverlapsBefore", "[4,10]", "[4,20]", None, False),
    ("OverlapsAfter", "[4,20]", "[1,10]", None, True),
    ("OverlapsAfter", "[4,10]", "[1,10]", None, False),
    ("Starts", "[4,10]", "[4,15]", None, True),
    ("Starts", "[4,16]", "[4,15]", None, False),
    ("Starts", "[4,_)", "[4,15]", None, None),
    ("Ends", "[4,10]", "[1,10]", None, True),
    ("Ends", "[0,10]", "[1,10]", None, False),
    ("Ends", "[1,10]", "(_,_)", None, None),
]


@pytest.mark.parametrize(("name", "left", "right", "precision", "answer"), CASES)
def test_comparing_intervals(name: str, left: str, right: str, precision: str | None, answer: bool | None) -> None:
    """Timing phrases and membership, with unknown bounds and at a precision."""
    assert OPERATORS[name](i(left), i(right), precision) is answer


def test_nothing_is_known_of_an_interval_without_type_and_bounds() -> None:
    """Interval[null, null] of no type gives null."""
    unknown = Interval(None, None)
    for name in (
        "Overlaps",
        "OverlapsBefore",
        "Starts",
        "Ends",
        "Meets",
        "MeetsBefore",
        "Includes",
        "SameAs",
        "Before",
    ):
        assert OPERATORS[name](unknown, i("[1,10]")) is None
        assert OPERATORS[name](i("[1,10]"), unknown) is None
    for name in ("Union", "Intersect", "Except"):
        assert OPERATORS[name](unknown, i("[1,10]")) is None
    assert OPERATORS["PointFrom"](unknown) is None


def test_lists_are_left_to_their_own_operators() -> None:
    """The list overloads of the same names."""
    assert OPERATORS["Contains"]([1, 2], 1) is True
    assert OPERATORS["In"](3, [1, 2]) is False
    assert OPERATORS["ProperContains"]([1, 2], 1) is True
    assert OPERATORS["Includes"]([1, 2], [1]) is True
    assert OPERATORS["IncludedIn"]([1], [1, 2]) is True
    assert OPERATORS["ProperIncludes"]([1, 2], [1, 2]) is False
    assert OPERATORS["Union"]([1], [2], [3]) == [1, 2, 3]
    assert OPERATORS["Intersect"]([1, 2], [2]) == [2]
    assert OPERATORS["Except"]([1, 2], [2]) == [1]


SETS: list[tuple[str, str, str, str]] = [
    ("Union", "[1,10]", "[4,15]", "[1,15]"),
    ("Union", "[4,15]", "[1,10]", "[1,15]"),
    ("Union", "[1,3]", "[4,5)", "[1,5)"),
    ("Union", "[1,3]", "[5,6]", "null"),
    ("Union", "[1,_)", "[1,6]", "null"),
    ("Union", "null", "[1,6]", "null"),
    ("Intersect", "[1,10]", "[4,15]", "[4,10]"),
    ("Intersect", "[4,15]", "[1,10]", "[4,10]"),
    ("Intersect", "(1,10)", "[1,10]", "(1,10)"),
    ("Intersect", "[1,10]", "[11,15]", "null"),
    ("Intersect", "[1,10]", "[5,_)", "[5,_)"),
    ("Intersect", "[1,10]", "(_,5]", "(_,5]"),
    ("Intersect", "null", "[5,6]", "null"),
    ("Except", "[1,10]", "[4,10]", "[1,3]"),
    ("Except", "[1,10]", "[1,4)", "[4,10]"),
    ("Except", "[1,10]", "[0,3]", "[4,10]"),
    ("Except", "[1,10]", "[3,7]", "null"),
    ("Except", "[3,7]", "[1,10]", "null"),
    ("Except", "[1,10]", "[11,12]", "[1,10]"),
    ("Except", "[1,10]", "[3,_)", "null"),
    ("Except", "Q[1,10]", "Q[5,10]", "Q[1,4.99999999]"),
    ("Except", "D[2012-01-05,2012-01-15]", "D[2012-01-07,2012-01-15]", "D[2012-01-05,2012-01-06]"),
]


@pytest.mark.parametrize(("name", "left", "right", "result"), SETS)
def test_sets(name: str, left: str, right: str, result: str) -> None:
    """Union, intersection and difference of intervals; null when they are no interval or not known."""
    assert OPERATORS[name](i(left), i(right)) == i(result)


def test_an_imprecise_union_is_not_known() -> None:
    """Where it is not known which interval starts or ends first, there is no union."""
    assert OPERATORS["Union"](i("D[2012,2013]"), i("D[2012-05,2012-12]")) is None


def test_width_size_and_point() -> None:
    """Width is end minus start, size one point more; not for dates."""
    assert [OPERATORS["Width"](i("[1,10]")), OPERATORS["Size"](i("[1,10]"))] == [9, 10]
    assert [OPERATORS["Width"](i("L[1,10]")), OPERATORS["Size"](i("L[1,10]"))] == [9, 10]
    assert OPERATORS["Size"](i("N[4.0,15.0]")) == D("11.00000001")
    assert OPERATORS["Size"](i("Q[4,15]")) == Quantity(D("11.00000001"), "g")
    assert [OPERATORS[name](None) for name in ("Width", "Size", "Start", "End", "PointFrom")] == [None] * 5
    assert [OPERATORS[name](i("[1,_)")) for name in ("Width", "Size", "PointFrom")] == [None] * 3
    assert OPERATORS["PointFrom"](i("[4,5)")) == 4
    with pytest.raises(ValueError, match="more than one point"):
        OPERATORS["PointFrom"](i("[4,5]"))
    for text in ("D[2014,2015]", "T[_,10]"):
        with pytest.raises(TypeError, match="not defined"):
            OPERATORS["Width"](i(text))


def many(text: str) -> list[Any]:
    """Read intervals separated by blanks."""
    return [i(one) for one in text.split()]


@pytest.mark.parametrize(
    ("source", "per", "result"),
    [
        ("", None, ""),
        ("[1,5] null [3,7] [12,19] [7,10]", None, "[1,10] [12,19]"),
        ("[7,8] [4,6]", None, "[4,8]"),
        ("[4,6] [8,9]", None, "[4,6] [8,9]"),
        ("[4,6] [8,9]", (2, "1"), "[4,9]"),
        ("[1,10] [2,3]", None, "[1,10]"),
        ("Q[4,6] Q[8,9]", (2, "1"), "Q[4,9]"),
        ("Q[4,6] Q[8,9]", (2000, "mg"), "Q[4,9]"),
        (
            "D[2012-01-01,2012-01-15] D[2012-01-17,2012-01-20]",
            None,
            "D[2012-01-01,2012-01-15] D[2012-01-17,2012-01-20]",
        ),
        ("D[2012-01-01,2012-01-15] D[2012-01-17,2012-01-20]", (2, "days"), "D[2012-01-01,2012-01-20]"),
        ("D[2012-01-01,2012-01-15] D[2012-02-17,2012-02-20]", (1, "month"), "D[2012-01-01,2012-02-20]"),
        ("D[2012-01-01,2012-01-15] D[2012-01-22,2012-01-23]", (1, "week"), "D[2012-01-01,2012-01-23]"),
        ("Z[2012-01-01T10Z,2012-01-01T12Z] Z[2012-01-01T13Z,2012-01-01T14Z]", None, "Z[2012-01-01T10Z,2012-01-01T14Z]"),
        ("[1,_) [1,5]", None, "[1,_)"),
        ("[1,_) [5,6]", None, "[1,_) [5,6]"),
        ("(_,_) (_,5]", None, "(_,5]"),
        ("(_,5] [6,7]", None, "(_,7]"),
        ("D[2012,2013] D[2012-05,2013-05]", None, "D(_,_)"),
    ],
)
def test_collapse(source: str, per: tuple[int, str] | None, result: str) -> None:
    """What overlaps, meets or is near enough is merged; what is not known stays apart; nulls go."""
    size = None if per is None else Quantity(D(per[0]), per[1])
    assert OPERATORS["Collapse"](many(source), size) == many(result)


def test_collapse_of_nothing() -> None:
    """Null gives null; dates need a unit of time."""
    assert OPERATORS["Collapse"](None) is None
    with pytest.raises(ValueError, match="unit of time"):
        OPERATORS["Collapse"](many("D[2012,2013] D[2016,2017]"), Quantity(D(1)))


@pytest.mark.parametrize(
    ("source", "per", "result"),
    [
        ("[1,4]", None, "[1,1] [2,2] [3,3] [4,4]"),
        ("[1,10)", "2", "[1,2] [3,4] [5,6] [7,8]"),
        ("L[1,2]", None, "L[1,1] L[2,2]"),
        ("[10,10]", "0.5", "N[10.0,10.4] N[10.5,10.9]"),
        ("N[10.0,12.5]", "1", "N[10,10] N[11,11] N[12,12]"),
        ("N[1.0,1.2]", None, "N[1.0,1.0] N[1.1,1.1] N[1.2,1.2]"),
        ("Q[1,3]", None, "Q[1,1] Q[2,2] Q[3,3]"),
        ("D[2018-01-01,2018-01-04]", "2 days", "D[2018-01-01,2018-01-02] D[2018-01-03,2018-01-04]"),
        ("D[2018-01-15,2018-03]", None, "D[2018-01,2018-01] D[2018-02,2018-02] D[2018-03,2018-03]"),
        ("D[2018-01-01,2018-01-16]", "week", "D[2018-01-01,2018-01-07] D[2018-01-08,2018-01-14]"),
        ("T[10:00,12:30)", "hour", "T[10,10] T[11,11] T[12,12]"),
        ("T[22:00,23:30]", "hour", "T[22,22] T[23,23]"),
        ("T[10,10]", "minute", ""),
        ("T[10,11]", "day", ""),
        ("Z[2018-01-01T10Z,2018-01-02T10Z]", "day", "Z[2018-01-01,2018-01-01] Z[2018-01-02,2018-01-02]"),
        ("D[9999-12-30,9999-12-31]", "day", "D[9999-12-30,9999-12-30] D[9999-12-31,9999-12-31]"),
    ],
)
def test_expand(source: str, per: str | None, result: str) -> None:
    """Pieces of a size from the start on; the rest is left out. Of one interval the first points."""
    size = None
    if per is not None:
        value, _, unit = per.rpartition(" ") if per[0].isdigit() and " " in per else ("1", "", per)
        size = Quantity(D(per)) if per.replace(".", "").isdigit() else Quantity(D(value), unit)
    pieces = OPERATORS["Expand"]([i(source), None], size)
    assert [(piece.low, piece.high) for piece in pieces] == [(one.low, one.high) for one in many(result)]
    assert OPERATORS["Expand"](i(source), size) == [one.low for one in many(result)]


def test_expand_in_another_unit() -> None:
    """A quantity is cut in the unit of `per`; one that cannot be converted gives nothing."""
    pieces = OPERATORS["Expand"](i("Q[1,2]"), Quantity(D(500), "mg"))
    assert [str(piece) for piece in pieces] == ["1000 'mg'", "1500 'mg'"]
    assert OPERATORS["Expand"](i("Q[1,2]"), Quantity(D(1), "cm")) == []


def test_expand_of_the_unknown_and_the_endless() -> None:
    """Null and unknown bounds give null; too many pieces, a size of zero and a wrong unit are refused."""
    assert OPERATORS["Expand"](None) is None
    assert OPERATORS["Expand"]([]) == OPERATORS["Expand"]([None]) == []
    assert OPERATORS["Expand"](i("[1,_)")) is None
    assert OPERATORS["Expand"](Interval(None, None)) == []
    with pytest.raises(ValueError, match=f"more than {MAX_PIECES}"):
        OPERATORS["Expand"](i("[1,_]"))
    with pytest.raises(ValueError, match="above zero"):
        OPERATORS["Expand"](i("[1,2]"), Quantity(D(0)))
    with pytest.raises(ValueError, match="unit of time"):
        OPERATORS["Expand"](i("D[2014,2015]"), Quantity(D(1)))
