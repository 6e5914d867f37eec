"""Loading: whatever is unknown in an ELM document is refused, with library, define and locator."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from fhir_cds.cql import Program
from fhir_cds.cql.elm_schema import ABSTRACT, ELEMENTS, EXPRESSIONS
from fhir_cds.errors import ContentError, ElmError

INTEGER = "{urn:hl7-org:elm-types:r1}Integer"
FHIR = "{http://hl7.org/fhir}"


def refused(document: Any, valuesets: Any = None) -> ElmError:
    """Load a document that must be refused; returns the error."""
    with pytest.raises(ElmError) as caught:
        Program.load([document], valuesets or {})
    return caught.value


BAD: dict[str, tuple[Any, str]] = {
    "unknown node": ({"type": "Frobnicate"}, "unknown ELM node type 'Frobnicate'"),
    "no type": ({}, "without a type"),
    "not an object": (5, "without a type"),
    "unknown field": ({"type": "Null", "colour": "red"}, "unknown field 'colour'"),
    "missing operand": ({"type": "Not"}, "Not without 'operand'"),
    "one operand too few": ({"type": "Add", "operand": [{"type": "Null"}]}, "Add with 1 operands"),
    "operand no list": ({"type": "Add", "operand": {"type": "Null"}}, "must be a list"),
    "field of wrong kind": ({"type": "ExpressionRef", "name": 5}, "not allowed"),
    "unknown precision": (
        {"type": "SameAs", "operand": [{"type": "Null"}] * 2, "precision": "Fortnight"},
        "not allowed",
    ),
    "unknown system type": ({"type": "Null", "valueType": "{urn:hl7-org:elm-types:r1}Colour"}, "unknown type"),
    "unknown model": ({"type": "Null", "valueType": "{http://example.org}Integer"}, "unknown type"),
    "unknown FHIR type": ({"type": "Retrieve", "dataType": FHIR + "Nothing"}, "unknown type"),
    "type name no text": ({"type": "Null", "valueType": 7}, "unknown type"),
    "unknown specifier": ({"type": "Null", "resultTypeSpecifier": {"type": "Odd"}}, "unknown type specifier"),
    "unknown define": ({"type": "ExpressionRef", "name": "Nowhere"}, "'Nowhere' is not defined"),
    "unknown library": ({"type": "ExpressionRef", "name": "x", "libraryName": "Other"}, "'Other' is not included"),
    "unknown function": ({"type": "FunctionRef", "name": "f", "operand": []}, "function 'f' does not exist"),
    "unknown parameter": ({"type": "ParameterRef", "name": "p"}, "parameter 'p' does not exist"),
    "unknown value set": ({"type": "ValueSetRef", "name": "v"}, "value set 'v' is not defined"),
    "unknown code system": ({"type": "CodeSystemRef", "name": "v"}, "code system 'v' is not defined"),
    "unknown code": ({"type": "CodeRef", "name": "v"}, "code 'v' is not defined"),
    "unknown concept": ({"type": "ConceptRef", "name": "v"}, "concept 'v' is not defined"),
    "alias out of scope": ({"type": "AliasRef", "name": "A"}, "'A' is not in scope"),
    "let out of scope": ({"type": "QueryLetRef", "name": "A"}, "'A' is not in scope"),
    "operand out of scope": ({"type": "OperandRef", "name": "A"}, "'A' is not in scope"),
    "identifier out of scope": ({"type": "IdentifierRef", "name": "A"}, "'A' is not resolved"),
    "current out of scope": ({"type": "Current"}, "not in scope"),
    "total out of scope": ({"type": "Total"}, "not in scope"),
    "iteration out of scope": ({"type": "Iteration"}, "not in scope"),
    "property of nothing": ({"type": "Property", "path": "x"}, "without source or scope"),
    "bad integer": ({"type": "Literal", "valueType": INTEGER, "value": "2147483648"}, "not a System.Integer"),
    "bad literal text": ({"type": "Literal", "valueType": INTEGER, "value": "one"}, "not a System.Integer"),
    "literal of odd type": ({"type": "Literal", "valueType": FHIR + "Patient", "value": "1"}, "not a FHIR.Patient"),
    "quantity without value": ({"type": "Quantity", "unit": "mg"}, "without a value"),
    "as without type": ({"type": "As", "operand": {"type": "Null"}}, "As without a type"),
    "convert to FHIR": ({"type": "Convert", "operand": {"type": "Null"}, "toType": FHIR + "Patient"}, "no conversion"),
    "retrieve of an element": ({"type": "Retrieve", "dataType": FHIR + "Period"}, "cannot be retrieved"),
    "retrieve by id": ({"type": "Retrieve", "dataType": FHIR + "Patient", "id": {"type": "Null"}}, "not supported"),
    "maximum of a list type": ({"type": "MaxValue", "valueType": FHIR + "Patient"}, "minimum and maximum"),
    "first by order": ({"type": "First", "source": {"type": "Null"}, "orderBy": "x"}, "orderBy is not supported"),
    "too many sources": (
        {"type": "Query", "source": [{"alias": f"a{i}", "expression": {"type": "Null"}} for i in range(9)]},
        "more than 8 sources",
    ),
    "unknown relationship": (
        {
            "type": "Query",
            "source": [{"alias": "a", "expression": {"type": "Null"}}],
            "relationship": [{"type": "Near", "alias": "b", "expression": {"type": "Null"}}],
        },
        "unknown RelationshipClause",
    ),
    "instance of unknown element": (
        {"type": "Instance", "classType": FHIR + "Patient", "element": [{"name": "age", "value": {"type": "Null"}}]},
        "no element 'age'",
    ),
    "in no value set": ({"type": "InValueSet", "code": {"type": "Null"}}, "InValueSet without a valueset"),
}


@pytest.mark.parametrize("name", BAD)
def test_refused(write: Any, name: str) -> None:
    """Each unknown thing is refused and the message says what it is and in which define."""
    expression, message = BAD[name]
    error = refused(write.library(expression))
    assert message in error.message
    assert error.library == "Hand"
    assert error.define == "x"


def test_place_is_told(write: Any) -> None:
    """The locator of the node itself is in the error."""
    inner = {"type": "AliasRef", "name": "Nowhere", "locator": "7:3-7:9"}
    error = refused(write.library(write.node("Not", inner)))
    assert str(error).startswith('Hand."x" (7:3-7:9): ')


def test_property_that_does_not_exist(write: Any) -> None:
    """An element that a FHIR type does not have is refused."""
    source = write.node("SingletonFrom", {"type": "Retrieve", "dataType": FHIR + "Patient"})
    source["resultTypeName"] = FHIR + "Patient"
    error = refused(write.library({"type": "Property", "path": "colour", "source": source}))
    assert "FHIR.Patient has no element 'colour'" in error.message


@pytest.mark.parametrize("path", ["colour", "code.colour", "subject.display.x"])
def test_code_path_that_does_not_exist(write: Any, path: str) -> None:
    """A retrieve by an element that the type does not have is refused."""
    node = {"type": "Retrieve", "dataType": FHIR + "Observation", "codeProperty": path, "codes": write.integers()}
    assert f"has no element {path!r}" in refused(write.library(node)).message


def test_type_without_code_path(write: Any) -> None:
    """A retrieve with codes of a type without primary code path must name the element."""
    node = {"type": "Retrieve", "dataType": FHIR + "Patient", "codes": write.integers()}
    assert "no primary code path" in refused(write.library(node)).message


def test_library_forms(write: Any) -> None:
    """What is no library, lacks a name, or stands twice is refused."""
    for odd in ({}, {"library": 5}, {"library": {"identifier": {}}}, {"library": {"identifier": {"id": ""}}}):
        refused(odd)
    good = write.library(write.literal(1))
    with pytest.raises(ElmError, match="given twice"):
        Program.load([good, good], {})
    with pytest.raises(ElmError, match="no library"):
        Program.load([], {})
    unknown_model = copy.deepcopy(good)
    unknown_model["library"]["usings"]["def"].append({"localIdentifier": "Z", "uri": "http://example.org/model"})
    assert "data model" in refused(unknown_model).message
    for section in ({"def": 5}, [], {"def": [5]}):
        broken = copy.deepcopy(good)
        broken["library"]["statements"] = section
        refused(broken)
    broken = copy.deepcopy(good)
    broken["library"]["statements"]["def"][0]["type"] = "Statement"
    assert "unknown statement type" in refused(broken).message
    broken = copy.deepcopy(good)
    del broken["library"]["statements"]["def"][0]["expression"]
    assert "no expression" in refused(broken).message
    assert "stands twice" in refused(write.library(write.literal(1), more=good["library"]["statements"]["def"])).message


def test_includes(write: Any) -> None:
    """An included library that is missing or of another version is refused."""
    include = [{"localIdentifier": "O", "path": "org/Other", "version": "2"}]
    hand = write.library(write.literal(1), includes=include)
    assert "'Other' is not among those given" in refused(hand).message
    other = write.library(write.literal(1), name="Other")
    with pytest.raises(ElmError, match="needed in version 2, given is 1"):
        Program.load([hand, other], {})
    include[0]["version"] = "1"
    used = write.library({"type": "ExpressionRef", "name": "x", "libraryName": "O"}, includes=include)
    program = Program.load([used, other], {})
    assert program.evaluate([], "2020-01-01").value("Hand", "x") == 1


def test_missing_value_set(write: Any) -> None:
    """A value set that was not given is refused even when no define uses it; versions are looked up first."""
    section = [{"name": "V", "id": "http://example.org/v", "version": "2"}]
    library = write.library(write.literal(1), valueSets=section)
    error = refused(library, {"http://example.org/other": []})
    assert "http://example.org/v" in error.message
    assert isinstance(error, ContentError)
    ref = write.library({"type": "ExpandValueSet", "operand": {"type": "ValueSetRef", "name": "V"}}, valueSets=section)
    sets = {"http://example.org/v": [("s", "any")], "http://example.org/v|2": [("s", "two")]}
    found = Program.load([ref], sets).evaluate([], "2020-01-01").value("Hand", "x")
    assert [code.code for code in found] == ["two"]


def test_code_without_system_is_refused(write: Any) -> None:
    """A code definition that names an unknown code system fails at load, used or not."""
    codes = [{"name": "C", "id": "c", "codeSystem": {"name": "Nowhere"}}]
    assert "'Nowhere' is not defined" in refused(write.library(write.literal(1), codes=codes)).message
    concepts = [{"name": "C", "code": [{"name": "Nowhere"}]}]
    assert "'Nowhere' is not defined" in refused(write.library(write.literal(1), concepts=concepts)).message


def test_circles_are_refused(write: Any) -> None:
    """A define or function that needs itself is refused at load, whatever the way round."""
    assert "refers to itself" in refused(write.library({"type": "ExpressionRef", "name": "x"})).message
    back = [{"name": "y", "context": "Patient", "expression": {"type": "ExpressionRef", "name": "x"}}]
    error = refused(write.library({"type": "ExpressionRef", "name": "y"}, more=back))
    assert "refers to itself" in error.message
    body = {"type": "FunctionRef", "name": "f", "operand": []}
    function = [{"type": "FunctionDef", "name": "f", "context": "Patient", "operand": [], "expression": body}]
    assert refused(write.library(body, more=function)).define == "f"


def test_shared_defines_are_no_circle(write: Any) -> None:
    """A define that is reached on two ways is fine."""
    one = {"type": "ExpressionRef", "name": "one"}
    more = [
        {"name": "one", "context": "Patient", "expression": write.literal(1)},
        {"name": "two", "context": "Patient", "expression": write.node("Add", one, one)},
    ]
    two = {"type": "ExpressionRef", "name": "two"}
    assert write.value(write.node("Add", two, one), more=more) == 3


def test_every_node_type_is_compiled() -> None:
    """Each expression type of ELM has a handler; each clause type belongs to one."""
    from fhir_cds.cql.compile import HANDLERS, TESTS

    assert set(EXPRESSIONS) == set(HANDLERS)
    assert set(TESTS) <= set(HANDLERS)
    assert {name for names in ABSTRACT.values() for name in names} <= set(ELEMENTS)


def test_choice_type_as_the_java_translator_writes_it(write: Any) -> None:
    """It writes `type` twice, the second time as an empty list; without options that is no type."""
    integer = {"type": "NamedTypeSpecifier", "name": INTEGER}
    choice: dict[str, Any] = {
        "type": [],
        "choice": [integer, {**integer, "name": INTEGER.replace("Integer", "String")}],
    }
    program = Program.load([write.library({"type": "Null", "resultTypeSpecifier": choice})], {})
    assert program.define("Hand", "x").result_type == "Choice<System.Integer, System.String>"
    assert "unknown type specifier" in str(
        refused(write.library({"type": "Null", "resultTypeSpecifier": {"type": []}}))
    )
