"""Why-trees, missing facts and grounds, on a graph of defines with known values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from fhir_cds.cql import Date, Quantity
from fhir_cds.errors import EvaluationError
from fhir_cds.reasoning import explain
from fhir_cds.reasoning.engine import natural
from fhir_cds.reasoning.explain import Explainer
from fhir_cds.reasoning.expressions import Define
from fhir_cds.reasoning.graph import Node, graph


@dataclass(frozen=True)
class Info:
    library: str
    name: str
    slot: int
    references: tuple[tuple[str, str], ...]
    tags: dict[str, str]
    result_type: str


@dataclass(frozen=True)
class Library:
    defines: dict[str, Info]


@dataclass
class Values:
    values: dict[str, Any]
    behind: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def at(self, slot: int) -> Any:
        define, found = list(self.values.items())[slot]
        if isinstance(found, Exception):
            raise EvaluationError("it broke", library="L", define=define, locator="1:1")
        return found

    def resources(self, library: str, define: str) -> tuple[str, ...]:
        return self.behind.get(define, ())


# name: (value, references, fact, type, resources)
Row = tuple[Any, tuple[str, ...], str | None, str, tuple[str, ...]]


def explainer(**rows: Row) -> Explainer:
    infos = {
        name: Info(
            "L", name, slot, tuple(("L", other) for other in names), {"fact": fact} if fact else {}, "{elm}" + kind
        )
        for slot, (name, (_, names, fact, kind, _)) in enumerate(rows.items())
    }
    values = Values({name: row[0] for name, row in rows.items()}, {name: row[4] for name, row in rows.items()})
    return Explainer(graph([Library(infos)]), values)


def decision(value: Any, *names: str) -> Row:
    return value, names, None, "Boolean", ()


def fact(value: Any, name: str, *names: str, resources: tuple[str, ...] = (), kind: str = "Integer") -> Row:
    return value, names, name, kind, resources


def helper(value: Any, *names: str, resources: tuple[str, ...] = ()) -> Row:
    return value, names, None, "List", resources


START = Define("L", "Start")


def start(made: Explainer) -> Node:
    return made.graph.nodes[START]


def test_missing_walks_through_nulls_to_facts() -> None:
    """Only defines without a value are entered, helpers too; facts stop the walk; order as named, each once."""
    made = explainer(
        Start=decision(None, "A", "B", "C"),
        A=decision(None, "F1", "H"),
        B=decision(True, "F2"),
        C=decision(False, "F2"),
        H=helper(None, "F3", "F1"),
        F1=fact(None, "one"),
        F2=fact(None, "two"),
        F3=fact(None, "three"),
    )
    assert made.missing(start(made)) == ("one", "three")


def test_missing_prefers_the_deepest_fact() -> None:
    """A fact that rests on a missing fact gives way to it; one whose facts are all there is itself missing."""
    made = explainer(
        Start=decision(None, "Derived", "Own"),
        Derived=fact(None, "derived", "Base"),
        Base=fact(None, "base"),
        Own=fact(None, "own", "Known"),
        Known=fact(3, "known"),
    )
    assert made.missing(start(made)) == ("base", "own")


def test_missing_of_what_is_known_is_empty() -> None:
    """A define that has a value lacks nothing."""
    made = explainer(Start=decision(True, "F"), F=fact(None, "one"))
    assert made.missing(start(made)) == ()


def test_missing_through_two_ways_to_one_define() -> None:
    """A helper that two decisions share is walked once and counts for both."""
    made = explainer(
        Start=decision(None, "A", "B"),
        A=decision(None, "H"),
        B=fact(None, "b", "H"),
        H=helper(None, "F"),
        F=fact(None, "deep"),
    )
    assert made.missing(start(made)) == ("deep",)


def test_because_holds_decisions_and_known_facts() -> None:
    """The condition first, then decisions and facts with a value, as named; values as JSON, resources as read."""
    made = explainer(
        Start=decision(True, "Few", "Helper", "Unrecorded"),
        Few=decision(True, "Count"),
        Count=fact(3, "count", resources=("Observation/o",)),
        Helper=helper([1], "Size"),
        Size=fact(Quantity(2, "cm"), "size", resources=("Observation/s",)),  # type: ignore[arg-type]
        Unrecorded=fact(None, "unrecorded"),
    )
    because = made.because(start(made))
    assert [(reason.define, reason.value, reason.fact) for reason in because] == [
        ("Start", True, None),
        ("Few", True, None),
        ("Count", 3, "count"),
        ("Size", {"value": 2, "unit": "cm"}, "size"),
    ]
    assert because[1].resources == because[2].resources == ("Observation/o",)
    assert because[3].resources == ("Observation/s",)


def test_nothing_below_a_fact_is_a_reason() -> None:
    """A fact is where clinical reasoning ends: how it was read is not shown."""
    made = explainer(
        Start=decision(True, "F"), F=fact(3, "count", "Inner"), Inner=decision(True, "G"), G=fact(1, "inner")
    )
    assert [reason.define for reason in made.because(start(made))] == ["Start", "F"]


def test_failures_beside_the_path() -> None:
    """An error in a define that the value did not need is reported, with its place."""
    made = explainer(Start=decision(True, "Bad"), Bad=decision(RuntimeError()))
    (error,) = made.failures(start(made))
    assert str(error).startswith('L."Bad" (1:1)')
    assert made.because(start(made))[1].value is None


def test_tree_as_text() -> None:
    """One line per define, indented; yes, no, unknown; facts with id; a shared branch is shown once."""
    made = explainer(
        Start=decision(None, "A", "B"),
        A=decision(None, "Shared"),
        B=decision(False, "Shared"),
        Shared=helper(None, "F"),
        F=fact(Date.of(2024, 5), "when", "Deep", resources=("Procedure/p",), kind="Date"),
        Deep=helper([]),
    )
    assert explain.tree(made, START).splitlines() == [
        'L."Start" = unknown',
        '  L."A" = unknown',
        '    L."Shared" = unknown',
        '      L."F" [when] = 2024-05 (Procedure/p)',
        '  L."B" = no',
        '    L."Shared" = unknown …',
    ]


@pytest.mark.parametrize(
    ("numbers", "ordered"),
    [
        (["10.1", "2.1", "1.10", "1.2"], ["1.2", "1.10", "2.1", "10.1"]),
        (["N10", "N2", "13.2", "11(2)", "11(1)"], ["11(1)", "11(2)", "13.2", "N2", "N10"]),
        (["10b", "10a", "10"], ["10", "10a", "10b"]),
    ],
)
def test_numbers_sort_as_people_do(numbers: list[str], ordered: list[str]) -> None:
    """Digits by value, plain numbers before lettered ones."""
    assert sorted(numbers, key=natural) == ordered
