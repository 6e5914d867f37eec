"""Nodes that the translator seldom emits, written by hand: iteration, sorting, queries, logic."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from fhir_cds.cql import Program, to_json
from fhir_cds.errors import EvaluationError

from .elm_builders import CURRENT, NOW, SYSTEM, named


def test_filter_and_for_each(write: Any) -> None:
    """Filter keeps what is true, ForEach maps; null stays null; scopes can be named."""
    positive = write.node("Greater", CURRENT, write.literal(1))
    assert write.value({"type": "Filter", "source": write.integers(1, 2, 3), "condition": positive}) == [2, 3]
    named_scope = write.node("Add", {"type": "Current", "scope": "s"}, write.literal(1))
    node = {"type": "ForEach", "source": write.integers(1, 2), "element": named_scope, "scope": "s"}
    assert write.value(node) == [2, 3]
    assert write.value({"type": "Filter", "source": {"type": "Null"}, "condition": positive}) is None


def test_repeat(write: Any) -> None:
    """Repeat goes on until nothing new comes, and stops on circles."""
    successor = write.node("Modulo", write.node("Add", CURRENT, write.literal(2)), write.literal(6))
    node = {"type": "Repeat", "source": write.integers(0, 1), "element": write.node("ToList", successor)}
    assert write.value(node) == [2, 3, 4, 5, 0, 1]
    assert write.value({**node, "source": {"type": "Null"}}) is None


def test_aggregate(write: Any) -> None:
    """Aggregate sees the item, the total and the number of the turn."""
    turn = write.node("Add", {"type": "Total"}, write.node("Multiply", CURRENT, {"type": "Iteration"}))
    node = {"type": "Aggregate", "source": write.integers(5, 6, 7), "iteration": turn, "initialValue": write.literal(1)}
    assert write.value(node) == 1 + 0 + 6 + 14
    node = {"type": "Aggregate", "source": write.integers(), "iteration": turn}
    assert write.value(node) is None
    tuples = {"type": "List", "element": [_tuple(write, a=2), _tuple(write, a=3)]}
    node = {
        "type": "Aggregate",
        "source": tuples,
        "path": "a",
        "iteration": write.node("Add", CURRENT, {"type": "Total"}),
    }
    assert write.value({**node, "initialValue": write.literal(0)}) == 5


def _tuple(write: Any, **elements: int) -> dict[str, Any]:
    parts = [{"name": name, "value": write.literal(value)} for name, value in elements.items()]
    return {"type": "Tuple", "element": parts}


def test_aggregate_operators_by_path(write: Any) -> None:
    """Sum and the like can take an element of each item."""
    tuples = {"type": "List", "element": [_tuple(write, a=2), _tuple(write, a=3)]}
    assert write.value({"type": "Sum", "source": tuples, "path": "a"}) == 5
    assert write.value({"type": "Count", "source": {"type": "Null"}, "path": "a"}) == 0


def test_times(write: Any) -> None:
    """Times pairs the tuples of two lists."""
    left = {"type": "List", "element": [_tuple(write, a=1), _tuple(write, a=2)]}
    right = {"type": "List", "element": [_tuple(write, b=3)]}
    assert write.value(write.node("Times", left, right)) == [{"a": 1, "b": 3}, {"a": 2, "b": 3}]
    assert write.value(write.node("Times", left, {"type": "Null"})) is None


def test_sort_node(write: Any) -> None:
    """Sort orders a list outside of a query."""
    by = [{"type": "ByDirection", "direction": "descending"}]
    assert write.value({"type": "Sort", "source": write.integers(2, 3, 1), "by": by}) == [3, 2, 1]
    assert write.value({"type": "Sort", "source": {"type": "Null"}, "by": by}) is None
    key = write.node("Negate", CURRENT)
    by = [{"type": "ByExpression", "direction": "asc", "expression": key}]
    assert write.value({"type": "Sort", "source": write.integers(2, 3, 1), "by": by}) == [3, 2, 1]


def test_sort_of_what_cannot_be_told_apart(write: Any) -> None:
    """An imprecise date sorts by its beginning among longer spans; the sort is stable."""

    def date(*parts: int) -> dict[str, Any]:
        return dict(zip(["type", "year", "month"], ["Date", *map(write.literal, parts)], strict=False))

    node = {"type": "Sort", "source": {"type": "List", "element": [date(2020, 5), date(2020), date(2019)]}}
    by = [{"type": "ByDirection", "direction": "asc"}]
    assert to_json(write.value({**node, "by": by})) == ["2019", "2020", "2020-05"]


def test_query_over_what_is_only_known_at_evaluation(write: Any) -> None:
    """A source of type Any is a list or one thing, and the query gives the like."""
    parameters = [{"name": "p", "parameterTypeSpecifier": named(SYSTEM + "Any")}]
    source = {"alias": "A", "expression": {"type": "ParameterRef", "name": "p"}}
    query = {
        "type": "Query",
        "source": [source],
        "return": {"expression": write.node("ToString", {"type": "AliasRef", "name": "A"})},
    }
    program = Program.load([write.library(query, parameters=parameters)], {})
    for given, expected in (([1, 2], ["1", "2"]), (5, "5"), (None, None), ([], [])):
        assert program.evaluate([], NOW, {"p": given}).value("Hand", "x") == expected


def test_relationship_to_one_thing(write: Any) -> None:
    """With works with a single element too; a null one matches nothing."""
    equal = write.node("Equal", {"type": "AliasRef", "name": "A"}, {"type": "AliasRef", "name": "B"})
    source = [{"alias": "A", "expression": write.integers(1, 2)}]

    def query(kind: str, other: Any) -> Any:
        clause = {"type": kind, "alias": "B", "expression": other, "suchThat": equal}
        return write.value({"type": "Query", "source": source, "relationship": [clause]})

    nothing = write.node("As", {"type": "Null"}, asType=SYSTEM + "Integer")
    assert query("With", write.literal(2)) == [2]
    assert query("Without", write.literal(2)) == [1]
    assert query("With", nothing) == []
    assert query("Without", nothing) == [1, 2]
    exists = {"type": "With", "alias": "B", "expression": write.integers(7)}
    assert write.value({"type": "Query", "source": source, "relationship": [exists]}) == [1, 2]


def test_exists_of_a_query_ends_at_its_first_row(write: Any) -> None:
    """The rows after one that is found are not looked at; a null row is none; a null source has none."""
    here = {"type": "AliasRef", "name": "A"}
    stop = {"type": "Message", "source": write.literal(True), "severity": write.literal("Error")}
    query = {
        "type": "Query",
        "source": [{"alias": "A", "expression": write.integers(1, 2)}],
        "where": write.node("Or", write.node("Equal", here, write.literal(1)), stop),
    }
    assert write.value(write.node("Exists", query)) is True
    with pytest.raises(EvaluationError):
        write.value(query)
    nothing = write.node("As", {"type": "Null"}, asType=SYSTEM + "Integer")
    no_row = {"type": "Query", "source": query["source"], "return": {"expression": nothing}}
    assert write.value(write.node("Exists", no_row)) is False
    listed = {"type": "ListTypeSpecifier", "elementType": named(SYSTEM + "Integer")}
    no_list = {"type": "As", "operand": {"type": "Null"}, "asTypeSpecifier": listed}
    empty = {"type": "Query", "source": [{"alias": "A", "expression": no_list}]}
    assert write.value(write.node("Exists", empty)) is False


@pytest.mark.parametrize(("wanted", "found"), [(11, True), (22, True), (13, False)])
def test_exists_of_a_query_over_two_lists(write: Any, wanted: int, found: bool) -> None:
    """Each element meets each, until a pair is found."""
    first, second = ({"type": "AliasRef", "name": name} for name in "AB")
    query = {
        "type": "Query",
        "source": [
            {"alias": "A", "expression": write.integers(1, 2)},
            {"alias": "B", "expression": write.integers(10, 20)},
        ],
        "where": write.node("Equal", write.node("Add", first, second), write.literal(wanted)),
    }
    assert write.value(write.node("Exists", query)) is found


def test_interval_with_computed_closedness(write: Any) -> None:
    """The closedness of a bound can be an expression; null counts as closed."""
    node = {"type": "Interval", "low": write.literal(1), "high": write.literal(3)}
    node |= {"lowClosedExpression": write.literal(False), "highClosedExpression": {"type": "Null"}}
    assert to_json(write.value(node)) == {"low": 1, "high": 3, "lowClosed": False, "highClosed": True}


def test_two_operands_that_may_be_left_out(write: Any) -> None:
    """Collapse and expand without per, boundaries without precision."""
    interval = {"type": "Interval", "low": write.literal(1), "high": write.literal(2)}
    kind = {
        "type": "ListTypeSpecifier",
        "elementType": {"type": "IntervalTypeSpecifier", "pointType": named(SYSTEM + "Integer")},
    }
    intervals = {"type": "List", "element": [interval], "resultTypeSpecifier": kind}
    assert len(write.value({"type": "Expand", "operand": [intervals]})) == 2
    assert write.value({"type": "LowBoundary", "operand": [write.literal(Decimal("1.5"))]}) == Decimal("1.5")


def test_union_of_one(write: Any) -> None:
    """A union of one list is that list."""
    assert write.value({"type": "Union", "operand": [write.integers(1, 2)]}) == [1, 2]


def test_null_operands_of_logic(write: Any) -> None:
    """Implies and Xor with parts that are only known at evaluation."""
    parameters = [{"name": n, "parameterType": SYSTEM + "Boolean"} for n in ("p", "q")]
    p, q = ({"type": "ParameterRef", "name": n} for n in ("p", "q"))
    tables = {
        "Implies": {
            (False, None): True,
            (None, True): True,
            (None, False): None,
            (True, None): None,
            (True, True): True,
        },
        "Xor": {(True, False): True, (True, True): False, (None, True): None},
        "And": {(None, False): False, (None, True): None, (True, True): True},
        "Or": {(None, True): True, (None, False): None, (False, False): False},
    }
    for kind, table in tables.items():
        program = Program.load([write.library(write.node(kind, p, q), parameters=parameters)], {})
        for (left, right), expected in table.items():
            assert program.evaluate([], NOW, {"p": left, "q": right}).value("Hand", "x") is expected


def test_timezone_of_older_elm(write: Any) -> None:
    """TimezoneFrom is the old name of the timezone offset."""
    assert write.value(write.node("TimezoneFrom", {"type": "Now"})) == Decimal(0)


def test_errors_of_constants_wait_for_evaluation(write: Any) -> None:
    """What is computed at load and fails there fails in the evaluation, of the define that needs it only."""
    wrong = {"type": "Interval", "low": write.literal(5), "high": write.literal(3)}
    more = [{"name": "y", "context": "Patient", "expression": write.literal(1)}]
    evaluation = Program.load([write.library(wrong, more=more)], {}).evaluate([], NOW)
    assert evaluation.value("Hand", "y") == 1
    with pytest.raises(EvaluationError, match="must not end before it starts"):
        evaluation.value("Hand", "x")


def test_union_of_many(write: Any) -> None:
    """A union of more than two lists, as older translators write it."""
    assert write.value(write.node("Union", *(write.integers(n) for n in (1, 2, 1, 3)))) == [1, 2, 3]
    assert write.value(write.node("Intersect", write.integers(1, 2), write.integers(2, 3), write.integers(2))) == [2]


def test_conversions_by_convert(write: Any) -> None:
    """Convert to the same type costs nothing; CanConvert tells; both name a system type."""
    assert write.value(write.node("Convert", write.literal(5), toType=SYSTEM + "Integer")) == 5
    assert write.value(write.node("Convert", write.literal("5"), toType=SYSTEM + "Integer")) == 5
    assert write.value(write.node("CanConvert", write.literal("x"), toType=SYSTEM + "Integer")) is False


def test_iterations_nested_deeply(write: Any) -> None:
    """Iterations in iterations become functions of their own."""
    node = write.integers(1)
    for _ in range(20):
        node = {"type": "Filter", "source": write.integers(1), "condition": write.node("Exists", node)}
    assert write.value(node) == [1]
