"""Safety: hostile names, deep nesting, runaway queries, threads, asyncio."""

from __future__ import annotations

import ast
import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from fhir_cds.cql import Program, to_json
from fhir_cds.errors import BudgetError, ElmError, EvaluationError

NOW = "2020-06-15T12:00:00.000+00:00"
HOSTILE = [
    "x'); import os; os.system('true') #",
    '"""\n__import__("os")\n"""',
    "k0",
    "U",
    "v[0]",
    "lambda: 0",
    "line\nbreak\tand\x00null",
    "\\",
    "{}",
    "日本 ünï",
    "__class__",
]
NAME = re.compile(r"^(?:[aefhkptx]\d+|[sv]|U|int|isinstance|len|list|type)$")


def _hostile_library(write: Any, name: str) -> Any:
    """Return a library in which everything that can be named is named so."""
    aliased = {"type": "AliasRef", "name": name}
    query = {
        "type": "Query",
        "source": [{"alias": name, "expression": {"type": "List", "element": [write.literal(name)]}}],
        "let": [{"identifier": name, "expression": aliased}],
        "where": write.node("Equal", {"type": "QueryLetRef", "name": name}, write.literal(name)),
        "return": {"expression": {"type": "Tuple", "element": [{"name": name, "value": aliased}]}},
        "sort": {"by": [{"type": "ByColumn", "path": name, "direction": "asc"}]},
    }
    call = {"type": "FunctionRef", "name": name, "operand": [query]}
    function = {
        "type": "FunctionDef",
        "name": name,
        "context": "Patient",
        "operand": [{"name": name, "operandTypeSpecifier": query_type()}],
        "expression": {"type": "OperandRef", "name": name},
    }
    define = {"name": name, "context": "Patient", "expression": {"type": "ParameterRef", "name": name}}
    return write.library(
        call,
        name=name,
        define="x",
        more=[function, define],
        parameters=[{"name": name, "default": write.literal(name)}],
        valueSets=[{"name": name, "id": name}],
        codeSystems=[{"name": name, "id": name}],
        codes=[{"name": name, "id": name, "display": name, "codeSystem": {"name": name}}],
        concepts=[{"name": name, "display": name, "code": [{"name": name}]}],
    )


def query_type() -> dict[str, Any]:
    """Return the type specifier List<Any>."""
    return {
        "type": "ListTypeSpecifier",
        "elementType": {"type": "NamedTypeSpecifier", "name": "{urn:hl7-org:elm-types:r1}Any"},
    }


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_never_reach_the_source(write: Any, name: str) -> None:
    """Names and literals change nothing in the generated source, and mean themselves in the answer."""
    program = Program.load([_hostile_library(write, name)], {name: [(name, name)]})
    evaluation = program.evaluate([], NOW)
    assert evaluation.value(name, "x") == [{name: name}]
    assert evaluation.value(name, name) == name
    harmless = Program.load([_hostile_library(write, "harmless")], {"harmless": [("harmless", "harmless")]})
    assert program.compiled.source == harmless.compiled.source


def test_source_has_only_numbered_names(program: Program) -> None:
    """Every name in generated source is one of ours; there is no literal but indexes of slots and flags."""
    tree = ast.parse(program.compiled.source)
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert [name for name in sorted(names) if not NAME.match(name)] == []
    attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert attributes <= {"append", "get", "buckets", "id"}
    constants = {type(node.value) for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert constants <= {int, bool, type(None)}


ONE = {"type": "ParameterRef", "name": "p"}


def _chain(write: Any, kind: str, depth: int) -> Any:
    """Return a node nested to a depth."""
    true = write.node("Equal", ONE, write.literal(1))
    false = write.node("Not", true)
    zero = write.literal(0)
    items = [{"when": false, "then": zero}] * 5
    wrap = {
        "left": lambda node: write.node("Add", node, ONE),
        "right": lambda node: write.node("Add", ONE, node),
        "if": lambda node: {"type": "If", "condition": false, "then": zero, "else": node},
        "case": lambda node: {"type": "Case", "caseItem": items, "else": node},
        "coalesce": lambda node: write.node("Coalesce", {"type": "Null"}, node),
        "And": lambda node: write.node("And", true, node),
        "Or": lambda node: write.node("Or", false, node),
        "Implies": lambda node: write.node("Implies", true, node),
    }[kind]
    node = true if kind in {"And", "Or", "Implies"} else write.literal(1)
    for _ in range(depth):
        node = wrap(node)
    return node


def _queries(write: Any, depth: int) -> Any:
    """Return queries nested in each other's where."""
    node = write.node("Equal", write.literal(1), write.literal(1))
    for index in range(depth):
        query = {"type": "Query", "source": [{"alias": f"a{index}", "expression": write.integers(1)}], "where": node}
        node = write.node("Exists", query)
    return node


@pytest.mark.parametrize("kind", ["left", "right", "if", "case", "coalesce", "And", "Or", "Implies"])
def test_deep_nesting(write: Any, kind: str) -> None:
    """Two thousand levels load and evaluate within the ordinary stack."""
    parameters = [{"name": "p", "parameterType": "{urn:hl7-org:elm-types:r1}Integer", "default": write.literal(1)}]
    value = write.value(_chain(write, kind, 2000), parameters=parameters)
    assert value == {"left": 2001, "right": 2001, "if": 1, "case": 1, "coalesce": 1}.get(kind, True)


def test_deep_queries(write: Any) -> None:
    """Queries in queries work to a depth no author reaches, and are refused beyond, never crashing."""
    assert write.value(_queries(write, 150)) is True
    with pytest.raises(ElmError, match="nested in one another"):
        write.value(_queries(write, 400))


def test_too_deep_to_evaluate_is_an_error(write: Any) -> None:
    """What would overflow the stack at evaluation ends as an error of ours."""
    parameters = [{"name": "p", "parameterType": "{urn:hl7-org:elm-types:r1}Integer", "default": write.literal(1)}]
    with pytest.raises(EvaluationError, match="nested too deeply"):
        write.value(_chain(write, "if", 9_000), parameters=parameters)


def test_runaway_query_stops(program: Program) -> None:
    """Nine million rows stop at the budget, and the error says where."""
    with pytest.raises(BudgetError) as caught:
        program.evaluate([], NOW, budget=100_000).value("Basics", "Runaway")
    assert caught.value.library == "Basics"
    assert caught.value.define == "Runaway"
    assert caught.value.locator is not None


def test_budget_is_per_evaluation(program: Program) -> None:
    """A budget that one define used up does not touch another evaluation."""
    with pytest.raises(BudgetError):
        program.evaluate([], NOW, budget=1).value("Basics", "Two sources")
    assert program.evaluate([], NOW, budget=100).value("Basics", "Sort desc") == [3, 2, 1]


def test_threads_share_a_program(program: Program, patient: list[dict[str, Any]]) -> None:
    """Eight threads with different patients and times get the answers one thread gets."""
    names = [name for name in program.library("Fhir").defines if name != "Comparator"]

    def answers(year: int) -> list[Any]:
        own = [{**patient[0], "birthDate": f"{year}-01-01", "id": f"p{year}"}, *patient[1:]]
        evaluation = program.evaluate(own, f"{year + 50}-06-15T12:00:00.000+00:00")
        return [to_json(evaluation.value("Fhir", name)) for name in names]

    years = list(range(1950, 1990)) * 3
    expected = {year: answers(year) for year in set(years)}
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(answers, years)) == [expected[year] for year in years]


async def test_asyncio_shares_a_program(program: Program, patient: list[dict[str, Any]]) -> None:
    """Evaluations interleaved on one event loop do not see one another."""

    async def age(year: int) -> Any:
        evaluation = program.evaluate([{**patient[0], "birthDate": f"{year}-01-01"}], NOW)
        await asyncio.sleep(0)
        first = evaluation.value("Fhir", "Age")
        await asyncio.sleep(0)
        return first, evaluation.value("Fhir", "Ages")

    assert await asyncio.gather(*(age(year) for year in (1960, 1980, 2000))) == [(60, [60]), (40, [40]), (20, [20])]
