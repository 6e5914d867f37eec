"""Property paths, casts and branches in forms that the translator seldom writes."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from fhir_cds.cql import Program, to_json
from fhir_cds.errors import ElmError, EvaluationError

NOW = "2020-06-15T12:00:00.000+00:00"
SYSTEM = "{urn:hl7-org:elm-types:r1}"
FHIR = "{http://hl7.org/fhir}"
PATIENT = {
    "type": "SingletonFrom",
    "operand": {"type": "Retrieve", "dataType": FHIR + "Patient"},
    "resultTypeName": FHIR + "Patient",
}


def of_patient(path: str, **fields: Any) -> dict[str, Any]:
    """Return a property of the patient."""
    return {"type": "Property", "path": path, "source": PATIENT, **fields}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("birthDate.value", "1970-06-16"),
        ("name[1].given[0]", "C"),
        ("name[5].family", None),
        ("contact[0].name", None),
        ("birthDate.extension", [{"url": "http://example.org/time", "valueTime": "10:00"}]),
        ("deceased", False),
        ("name.family", ["Official"]),
    ],
)
def test_paths(write: Any, patient: Any, path: str, expected: Any) -> None:
    """Paths of several steps, with indexes, through primitives and lists."""
    assert to_json(write.value(of_patient(path), patient)) == expected


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (of_patient("name.colour.x"), None),
        (of_patient("birthDate.colour"), "FHIR.date has no element 'colour'"),
        (
            {"type": "Property", "path": "colour", "source": {"type": "Quantity", "value": 1}},
            "System.Quantity has no element",
        ),
        ({"type": "Property", "path": "mid", "source": {"type": "Interval"}}, None),
    ],
)
def test_paths_that_do_not_exist(write: Any, patient: Any, node: Any, message: str | None) -> None:
    """A path that the static type does not have is refused; where there is no static type it is null or empty."""
    if message is None:
        assert not write.value(node, patient)
        return
    with pytest.raises(ElmError, match=message):
        write.value(node, patient)


def test_interval_and_tuple_elements(write: Any) -> None:
    """Elements of intervals and tuples are checked by their static types."""
    kind = {"type": "IntervalTypeSpecifier", "pointType": {"type": "NamedTypeSpecifier", "name": SYSTEM + "Integer"}}
    interval = {"type": "Interval", "low": write.literal(1), "high": write.literal(2), "resultTypeSpecifier": kind}
    assert write.value({"type": "Property", "path": "low", "source": interval}) == 1
    assert write.value({"type": "Property", "path": "highClosed", "source": interval}) is True
    with pytest.raises(ElmError, match="has no element 'mid'"):
        write.value({"type": "Property", "path": "mid", "source": interval})
    pair = {"type": "Tuple", "element": [{"name": "a.b", "value": write.literal(1)}]}
    assert write.value({"type": "Property", "path": "a.b", "source": pair}) == 1
    with pytest.raises(ElmError, match="has no element 'c'"):
        write.value({"type": "Property", "path": "c", "source": pair})


def test_extension_of_a_primitive_out_of_reach(write: Any) -> None:
    """The extension of a primitive that is no longer beside its parent is refused, not silently null."""
    made = {"type": "Instance", "classType": FHIR + "date", "element": []}
    with pytest.raises(ElmError, match="directly from the element that holds it"):
        write.value({"type": "Property", "path": "extension", "source": made})


def test_elements_of_general_types(write: Any, patient: Any) -> None:
    """A resource of general type is asked for an element by what it says it is."""
    call = {"type": "FunctionRef", "name": "f", "operand": [PATIENT]}
    body = {"type": "Property", "path": "gender", "source": {"type": "OperandRef", "name": "r"}}
    operand = {"name": "r", "operandType": FHIR + "Resource"}
    function = {"type": "FunctionDef", "name": "f", "context": "Patient", "operand": [operand], "expression": body}
    assert to_json(write.value(call, patient, more=[function])) == "female"


def test_casts_between_fhir_types(write: Any, patient: Any) -> None:
    """A cast to an unrelated type is null, a strict one fails; to a derived or general type it keeps the value."""
    name = of_patient("maritalStatus")
    assert write.value(write.node("As", name, asType=FHIR + "Period"), patient) is None
    period = {"type": "Instance", "classType": FHIR + "Period", "element": []}
    assert write.value(write.node("As", period, asType=FHIR + "Quantity")) is None
    with pytest.raises(EvaluationError, match="cannot be cast"):
        write.value(write.node("As", period, asType=FHIR + "Quantity", strict=True))
    assert write.value(write.node("As", period, asType=FHIR + "Element")) == {}
    element = write.node("As", period, asType=FHIR + "Element")
    assert write.value(write.node("As", element, asType=FHIR + "Period")) == {}
    assert write.value(write.node("Is", period, isType=FHIR + "Period")) is True
    assert write.value(write.node("Is", period, isType=FHIR + "Quantity")) is False
    assert write.value(write.node("Is", PATIENT, isType=FHIR + "Patient"), patient) is True
    assert write.value(write.node("Is", PATIENT, isType=FHIR + "Observation"), patient) is False
    assert write.value(write.node("Is", {"type": "Null"}, isType=FHIR + "Patient")) is False


def test_choices_of_several_keys(write: Any) -> None:
    """A cast to Quantity takes an Age too; a type that the element cannot have is never there."""
    condition = {"resourceType": "Condition", "id": "c", "onsetAge": {"value": 5}}
    source = [{"alias": "C", "expression": {"type": "Retrieve", "dataType": FHIR + "Condition"}}]
    onset = {"type": "Property", "path": "onset", "scope": "C"}

    def query(part: Any) -> Any:
        return write.value(
            {"type": "Query", "source": source, "return": {"distinct": False, "expression": part}}, [condition]
        )

    assert query(write.node("As", onset, asType=FHIR + "Quantity")) == [{"value": 5}]
    assert query(write.node("Is", onset, isType=FHIR + "Quantity")) == [True]
    assert query(write.node("As", onset, asType=FHIR + "Coding")) == [None]
    assert query(write.node("Is", onset, isType=FHIR + "Coding")) == [False]
    assert query(write.node("As", {"type": "Null"}, asType=FHIR + "Coding")) == [None]


def test_sorting_by_choices_of_the_row(write: Any) -> None:
    """In sort, an element of the row is read like a property, also through a cast and by column."""
    rows = [
        {
            "resourceType": "Observation",
            "id": str(i),
            "valueQuantity": {"value": v},
            "issued": f"2020-01-0{v}T00:00:00Z",
        }
        for i, v in enumerate((2, 1, 3))
    ]
    kind = {"type": "ListTypeSpecifier", "elementType": {"type": "NamedTypeSpecifier", "name": FHIR + "Observation"}}
    retrieve = {"type": "Retrieve", "dataType": FHIR + "Observation", "resultTypeSpecifier": kind}

    def order(by: Any) -> list[str]:
        query = {"type": "Query", "source": [{"alias": "O", "expression": retrieve}], "sort": {"by": [by]}}
        return [row["id"] for row in write.value({**query, "resultTypeSpecifier": kind}, rows)]

    value = write.node("As", {"type": "IdentifierRef", "name": "value"}, asType=FHIR + "Quantity")
    number = {"type": "Property", "path": "value", "source": value}
    assert order({"type": "ByExpression", "expression": number, "direction": "asc"}) == ["1", "0", "2"]
    assert order({"type": "ByColumn", "path": "issued", "direction": "desc"}) == ["2", "0", "1"]
    assert order({"type": "ByColumn", "path": "issued.value", "direction": "asc"}) == ["1", "0", "2"]


def test_sorting_by_a_choice_that_was_not_cast(write: Any) -> None:
    """A column of several types sorts by the CQL values of its primitives, null lowest; structures have no order."""
    dates = ("2020-01-02T00:00:00Z", "2020-01-01T23:30:00-02:00", "2020-01-01")
    rows = [{"resourceType": "Observation", "id": str(i), "effectiveDateTime": at} for i, at in enumerate(dates)]
    rows.append({"resourceType": "Observation", "id": "none"})
    retrieve = {"type": "Retrieve", "dataType": FHIR + "Observation"}
    by = {"type": "ByColumn", "path": "effective", "direction": "desc"}
    query = {"type": "Query", "source": [{"alias": "O", "expression": retrieve}], "sort": {"by": [by]}}
    assert [row["id"] for row in write.value(query, rows)] == ["1", "0", "2", "none"]
    periods = [{**rows[0], "effectiveDateTime": None, "effectivePeriod": {"start": at}} for at in dates]
    with pytest.raises(EvaluationError, match="cannot be compared"):
        write.value(query, periods)


def test_sort_keys_of_one_precision(write: Any) -> None:
    """Dates of one precision, and dates whose order is open, sort stably in both directions."""

    def date(*parts: int) -> dict[str, Any]:
        return dict(zip(["type", "year", "month", "day"], ["Date", *map(write.literal, parts)], strict=False))

    def order(direction: str, *items: Any) -> Any:
        by = [{"type": "ByDirection", "direction": direction}]
        return to_json(write.value({"type": "Sort", "source": {"type": "List", "element": list(items)}, "by": by}))

    assert order("asc", date(2020, 2), date(2020, 1)) == ["2020-01", "2020-02"]
    assert order("desc", date(2020, 1), date(2020, 2)) == ["2020-02", "2020-01"]
    assert order("asc", date(2020, 1, 1), date(2020)) == ["2020-01-01", "2020"]
    assert order("desc", {"type": "Null"}, date(2020), {"type": "Null"}) == ["2020", None, None]


def test_tests_with_branches(write: Any) -> None:
    """Conditions whose right side needs statements of its own still stop at the left side."""
    parameters = [{"name": "p", "parameterType": SYSTEM + "Boolean"}]
    p = {"type": "ParameterRef", "name": "p"}
    rows = {"type": "Query", "source": [{"alias": "A", "expression": write.integers(1, 2)}]}
    some = write.node(
        "Exists", {**rows, "where": write.node("Greater", {"type": "AliasRef", "name": "A"}, write.literal(1))}
    )
    for kind, table in {
        "And": {True: "yes", False: "no", None: "no"},
        "Or": {True: "yes", False: "yes", None: "yes"},
    }.items():
        node = {
            "type": "If",
            "condition": write.node(kind, p, some),
            "then": write.literal("yes"),
            "else": write.literal("no"),
        }
        program = Program.load([write.library(node, parameters=parameters)], {})
        for given, expected in table.items():
            assert program.evaluate([], NOW, {"p": given}).value("Hand", "x") == expected
    node = {"type": "If", "condition": write.node("IsTrue", p), "then": write.literal(1), "else": write.literal(2)}
    program = Program.load([write.library(node, parameters=parameters)], {})
    assert [program.evaluate([], NOW, {"p": given}).value("Hand", "x") for given in (True, False, None)] == [1, 2, 2]


def test_texts_of_a_list_that_is_known(write: Any) -> None:
    """Membership of a text that is only known at evaluation in a list of known texts."""
    parameters = [{"name": "p", "parameterType": SYSTEM + "String"}]
    kind = {"type": "ListTypeSpecifier", "elementType": {"type": "NamedTypeSpecifier", "name": SYSTEM + "String"}}
    texts = {"type": "List", "element": [write.literal("a"), write.literal("b")], "resultTypeSpecifier": kind}
    node = write.node("In", {"type": "ParameterRef", "name": "p"}, texts)
    program = Program.load([write.library(node, parameters=parameters)], {})
    assert [program.evaluate([], NOW, {"p": given}).value("Hand", "x") for given in ("a", "c", None)] == [
        True,
        False,
        False,
    ]
    between = {"type": "Interval", "low": write.literal(1), "high": write.literal(3)}
    test = {
        "type": "If",
        "condition": write.node("In", write.literal(2), between),
        "then": write.literal(1),
        "else": write.literal(0),
    }
    assert write.value(test) == 1


def test_flattened_types(write: Any, patient: Any) -> None:
    """What flatten gives has a static type where its operand has one."""
    lists = {"type": "List", "element": [write.integers(1), write.integers(2)]}
    kind = {"type": "ListTypeSpecifier", "elementType": {"type": "NamedTypeSpecifier", "name": SYSTEM + "Integer"}}
    lists["resultTypeSpecifier"] = {"type": "ListTypeSpecifier", "elementType": kind}
    assert write.value(write.node("Negate", {"type": "First", "source": write.node("Flatten", lists)})) == -1
    flat = write.node("Flatten", of_patient("name"))
    assert (
        write.value({"type": "Property", "path": "family", "source": {"type": "First", "source": flat}}, patient)
        == "Official"
    )
    mixed = write.node("Flatten", {"type": "Null"})
    assert write.value(mixed) is None


def test_vocabulary_of_other_libraries(write: Any) -> None:
    """Codes, concepts and value sets are found in included libraries, also for each other."""
    include = [{"localIdentifier": "O", "path": "Other", "version": "1"}]
    other = write.library(
        write.literal(1),
        name="Other",
        codeSystems=[{"name": "S", "id": "s", "version": "v"}],
        codes=[{"name": "C", "id": "c", "codeSystem": {"name": "S"}}],
        valueSets=[{"name": "V", "id": "v"}],
        parameters=[{"name": "P", "default": write.literal(5)}],
    )
    concepts = [{"name": "K", "code": [{"name": "C", "libraryName": "O"}]}]
    codes = [{"name": "D", "id": "d", "codeSystem": {"name": "S", "libraryName": "O"}}]

    def value(node: Any) -> Any:
        hand = write.library(node, includes=include, concepts=concepts, codes=codes)
        return to_json(Program.load([hand, other], {"v": [("s", "c")]}).evaluate([], NOW).value("Hand", "x"))

    assert value({"type": "ConceptRef", "name": "K"}) == {"codes": [{"system": "s", "version": "v", "code": "c"}]}
    assert value({"type": "CodeRef", "name": "D"}) == {"system": "s", "version": "v", "code": "d"}
    code = {"type": "CodeRef", "name": "C", "libraryName": "O"}
    assert value({"type": "InValueSet", "code": code, "valueset": {"name": "V", "libraryName": "O"}}) is True
    assert value({"type": "ParameterRef", "name": "P", "libraryName": "O"}) == 5
    codes[0]["codeSystem"] = {"name": "S", "libraryName": "Z"}
    with pytest.raises(ElmError, match="'Z' is not included in Hand"):
        value(write.literal(1))


def test_codes_written_in_place(write: Any) -> None:
    """Code and Concept selectors, with and without a system."""
    bare = {"type": "Code", "code": "c", "display": "C"}
    assert to_json(write.value(bare)) == {"code": "c", "display": "C"}
    assert to_json(write.value({"type": "Concept", "code": [bare], "display": "K"})) == {
        "codes": [{"code": "c", "display": "C"}],
        "display": "K",
    }


def test_decimal_parameters_in_ratios(write: Any) -> None:
    """A ratio is made of literals only."""
    one = {"type": "Quantity", "value": 1}
    assert to_json(
        write.value({"type": "Ratio", "numerator": one, "denominator": {**one, "value": Decimal("2.5")}})
    ) == {
        "numerator": {"value": Decimal(1), "unit": "1"},
        "denominator": {"value": Decimal("2.5"), "unit": "1"},
    }
    with pytest.raises(ElmError, match="quantity literals"):
        write.value({"type": "Ratio", "numerator": one, "denominator": {"type": "Now"}})


def test_path_through_a_choice(write: Any) -> None:
    """What translators emit for a medication by reference: the next step of the path picks the choice's option."""
    rows = [
        {"resourceType": "MedicationRequest", "id": "1", "medicationReference": {"reference": "Medication/m"}},
        {"resourceType": "MedicationRequest", "id": "2", "medicationCodeableConcept": {"text": "t"}},
    ]
    include = [{"localIdentifier": "FHIRHelpers", "path": "FHIRHelpers", "version": "4.0.1"}]
    reference = {"type": "Property", "path": "medication.reference", "scope": "R"}
    signature = [{"type": "NamedTypeSpecifier", "name": FHIR + "string"}]
    text = {"type": "FunctionRef", "name": "ToString", "libraryName": "FHIRHelpers", "signature": signature}
    split = {"type": "Split", "stringToSplit": {**text, "operand": [reference]}, "separator": write.literal("/")}
    source = [{"alias": "R", "expression": {"type": "Retrieve", "dataType": FHIR + "MedicationRequest"}}]
    query = {"type": "Query", "source": source, "return": {"expression": {"type": "Last", "source": split}}}
    assert write.value(query, rows, includes=include) == ["m", None]
    chosen = {"type": "Property", "path": "medication.text", "scope": "R"}
    query["return"] = {"expression": {**text, "operand": [chosen]}}
    assert write.value(query, rows, includes=include) == [None, "t"]


def test_unknown_types_are_passed_plain(write: Any) -> None:
    """A FHIR value whose type only shows at evaluation reaches a conversion without its type."""
    row = {"resourceType": "Observation", "id": "1", "valueString": "a b"}
    include = [{"localIdentifier": "FHIRHelpers", "path": "FHIRHelpers", "version": "4.0.1"}]
    signature = [{"type": "NamedTypeSpecifier", "name": FHIR + "string"}]
    first = {"type": "First", "source": {"type": "Retrieve", "dataType": FHIR + "Observation"}}
    value = {"type": "Property", "path": "value", "source": write.node("As", first, asType=SYSTEM + "Any")}
    text = {"type": "FunctionRef", "name": "ToString", "libraryName": "FHIRHelpers", "signature": signature}
    node = {"type": "Split", "stringToSplit": {**text, "operand": [value]}, "separator": write.literal(" ")}
    assert write.value(node, [row], includes=include) == ["a", "b"]


def test_element_of_a_choice_with_a_static_type(write: Any) -> None:
    """`O.value.unit`: the choice is only known at evaluation, its element is of a plain type all the same."""
    rows = [
        {"resourceType": "Observation", "id": "1", "valueQuantity": {"value": 1, "unit": "mg"}},
        {"resourceType": "Observation", "id": "2", "valueString": "mg"},
    ]
    include = [{"localIdentifier": "FHIRHelpers", "path": "FHIRHelpers", "version": "4.0.1"}]
    value = {"type": "Property", "path": "value", "scope": "O"}
    unit = {"type": "Property", "path": "unit", "source": value, "resultTypeName": FHIR + "string"}
    text = {"type": "FunctionRef", "name": "ToString", "libraryName": "FHIRHelpers", "operand": [unit]}
    source = [{"alias": "O", "expression": {"type": "Retrieve", "dataType": FHIR + "Observation"}}]
    query = {"type": "Query", "source": source, "where": write.node("Equal", text, write.literal("mg"))}
    assert [row["id"] for row in write.value(query, rows, includes=include)] == ["1"]
