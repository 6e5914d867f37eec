"""FHIRPath functions of single values and collections that the paths of test_fhirpath do not reach."""

from decimal import Decimal
from typing import Any

import pytest

from fhir_cds.cql.fhirpath import FhirPathError, compile_path
from fhir_cds.cql.runtime.quantity import Quantity
from fhir_cds.cql.runtime.temporal import Date, DateTime, Time


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("'abc'.indexOf('c')", [2]),
        ("'abcb'.lastIndexOf('b')", [3]),
        ("'abc'.substring(1)", ["bc"]),
        ("'abc'.substring(1, 1)", ["b"]),
        ("'abc'.substring(3)", []),
        ("'abc'.substring(-1)", []),
        ("{}.substring(1)", []),
        ("'abc'.substring({})", []),
        ("'abc'.startsWith('a')", [True]),
        ("'abc'.endsWith('a')", [False]),
        ("'abc'.contains('b')", [True]),
        ("'abc'.upper()", ["ABC"]),
        ("'ABC'.lower()", ["abc"]),
        ("' a '.trim()", ["a"]),
        ("'abc'.length()", [3]),
        ("'abab'.replace('a', 'c')", ["cbcb"]),
        ("'abc'.matches('b')", [True]),
        ("'abc'.matchesFull('b')", [False]),
        ("'abc'.replaceMatches('[ab]', 'x')", ["xxc"]),
        ("'abc'.replaceMatches('', 'x')", ["abc"]),
        ("'ab'.toChars()", ["a", "b"]),
        ("{}.toChars()", []),
        ("'a,b'.split(',')", ["a", "b"]),
        ("{}.split(',')", []),
        ("('a' | 'b').join('-')", ["a-b"]),
        ("('a' | 'b').join()", ["ab"]),
        ("{}.join('-')", []),
        ("'a?'.encode('hex')", ["613f"]),
        ("'a?'.encode('base64')", ["YT8="]),
        ("'a?>'.encode('urlbase64')", ["YT8-"]),
        ("'613f'.decode('hex')", ["a?"]),
        ("'YT8='.decode('base64')", ["a?"]),
        ("'YT8-'.decode('urlbase64')", ["a?>"]),
        ("'<\"'.escape('html')", ["&lt;&quot;"]),
        ("'\\n\"'.escape('json')", ['\\n\\"']),
        ("'&lt;'.unescape('html')", ["<"]),
        ("'\\\\n\\\\u0041\\\\/'.unescape('json')", ["\nA/"]),
        ("(-5).abs()", [5]),
        ("(-5.5 'mg').abs()", [Quantity(Decimal("5.5"), "mg")]),
        ("1.1.ceiling()", [2]),
        ("1.9.floor()", [1]),
        ("(-1.9).truncate()", [-1]),
        ("0.exp()", [Decimal(1)]),
        ("1.ln()", [Decimal(0)]),
        ("8.log(2)", [Decimal(3)]),
        ("2.power(3)", [8]),
        ("2.55.round(1)", [Decimal("2.6")]),
        ("9.sqrt()", [Decimal(3)]),
        ("(-9).sqrt()", []),
        ("{}.abs()", []),
        ("1.587.lowBoundary()", [Decimal("1.58650000")]),
        ("1.587.highBoundary(2)", [Decimal("1.59")]),
        ("1.587.highBoundary(99)", []),
        ("1.5 'mg'.lowBoundary(3)", [Quantity(Decimal("1.450"), "mg")]),
        ("1.5 'mg'.lowBoundary(99)", []),
        ("1.lowBoundary(1)", [Decimal("0.5")]),
        ("@2014-01-01T08.highBoundary(8)", [Date.of(2014, 1, 1)]),
        ("@2014-01-01T08.highBoundary()", [DateTime.of((2014, 1, 1, 8, 59, 59, 999), 0)]),
        ("@T10.lowBoundary(4)", [Time.of((10, 0))]),
        ("1.58700.precision()", [5]),
        ("1 'cm'.comparable(1 'm')", [True]),
        ("1 'cm'.comparable(1 'nonsense')", [False]),
        ("1 'cm'.comparable(1 's')", [False]),
        ("'yes'.toBoolean()", [True]),
        ("'1.0'.toBoolean()", [True]),
        ("0.0.toBoolean()", [False]),
        ("{}.toBoolean()", []),
        ("'5'.toInteger()", [5]),
        ("'5'.toLong()", [5]),
        ("'5'.toDecimal()", [Decimal(5)]),
        ("5.toString()", ["5"]),
        ("@2014-01-01T08:00.toString()", ["2014-01-01T08:00+00:00"]),
        ("'2014-01'.toDate()", [Date.of(2014, 1)]),
        ("@2014.toDateTime()", [DateTime.of((2014,), 0)]),
        ("'10:30'.toTime()", [Time.of((10, 30))]),
        ("'5 days'.toQuantity()", [Quantity(Decimal(5), "days")]),
        ("'5 days'.toQuantity('h')", [Quantity(Decimal(120), "h")]),
        ("'x'.toQuantity('h')", []),
        ("@2014.toQuantity()", []),
        ("'5'.convertsToQuantity('mg')", [False]),
        ("{}.convertsToInteger()", []),
        ("'x'.convertsToInteger()", [False]),
        ("'2014'.convertsToDateTime()", [True]),
        ("{}.empty()", [True]),
        ("(1 | 2).subsetOf(1 | 2 | 3)", [True]),
        ("(1 | 2).supersetOf(1 | 3)", [False]),
        ("(1 | 2 | 3).intersect(2 | 3)", [2, 3]),
        ("(1 | 2 | 3).exclude(2)", [1, 3]),
        ("(1 | 2 | 3).tail()", [2, 3]),
        ("(1 | 2 | 3).skip(-1)", [1, 2, 3]),
        ("(1 | 2 | 3).take({})", []),
        ("(1 | 2).combine(1).isDistinct()", [False]),
        ("(2 'm' | 200 'cm' | 3 'm').count()", [2]),
        ("(@2020 | @2020-01 | @2020).count()", [2]),
        ("(1 | 1.0 | true).count()", [2]),
        ("(1 | 2).aggregate($total.combine($this)).count()", [2]),
        ("({}).not()", []),
        ("(3 | 1).sort(-$this)", [3, 1]),
        ("4 'g' ~ 4040 'mg'", [True]),
        ("4040 'mg' ~ 4 'g'", [True]),
        ("4 'g' ~ 5 'g'", [False]),
        ("'Ä  b' ~ 'ä  B'", [True]),
        ("1.25 ~ 1.3", [True]),
        ("(1 | 2) ~ (2 | 1)", [True]),
        ("(1 | 2) ~ (2 | 3)", [False]),
        ("1 ~ 1.0", [True]),
        ("@2020 ~ @2020-01", [False]),
        ("{} = 1", []),
        ("'a' in ('a' | 'b')", [True]),
        ("true and {}", []),
        ("{} or true", [True]),
        ("false implies {}", [True]),
        ("'a' + 'b'", ["ab"]),
        ("{} < 1", []),
        ("1 < 2", [True]),
        ("2 <= 1", [False]),
        ("1 != 2", [True]),
        ("{} != 1", []),
        ("(1 | 2) = (1 | 2 | 3)", [False]),
        ("5 = 5 '1'", [True]),
        ("(1 | 3).all($this > 0)", [True]),
        ("(1 | 3).all($this > 1)", [False]),
        ("1.repeat(iif($this < 3, $this + 1))", [2, 3]),
        ("1.trace('x')", [1]),
        ("(1 | 2).sort(iif($this = 1, {}, $this))", [2, 1]),
        ("(1 | 2 | 3).sort(iif($this < 3, 0, 1), -$this)", [2, 1, 3]),
        ("(1 | 2).sort(0)", [1, 2]),
        ("4 'g' ~ 4000 'mg'", [True]),
        ("4 'g' = 4000 'mg'", [True]),
        ("(1 as System.Integer) + 1", [2]),
        ("1 is System.Integer", [True]),
        ("1 is FHIR.integer", [False]),
        ("1 is Any", [True]),
        ("(1 as Integer) + 1", [2]),
        ("1.as(String)", []),
    ],
)
def test_functions(text: str, expected: list[Any]):
    """Each function gives the collection, and the types, that FHIRPath says."""
    result = compile_path(text)(None)
    assert result == expected
    assert [type(item).__name__.replace("Long", "int") for item in result] == [type(item).__name__ for item in expected]


def test_complex_elements_compare_by_all_their_children():
    """Equality is exact, equivalence ignores order, case, and ids of elements."""
    one = {"resourceType": "Patient", "name": [{"id": "1", "given": ["A", "B"], "family": "X"}]}
    other = {"resourceType": "Patient", "name": [{"given": ["b", "a"], "family": "x"}]}
    text = "%one.name {} %other.name"
    variables = {"one": one, "other": other}
    assert compile_path(text.format("="))(None, variables) == [False]
    assert compile_path(text.format("~"))(None, variables) == [True]
    assert compile_path("%one.name ~ %one.name.given")(None, variables) == [False]
    shorter = {"resourceType": "Patient", "name": [{"given": ["b"], "family": "x"}]}
    assert compile_path(text.format("~"))(None, {"one": one, "other": shorter}) == [False]
    odd = {"resourceType": "Patient", "name": [{"given": "b", "family": 3}]}
    assert compile_path(text.format("~"))(None, {"one": one, "other": odd}) == [False]
    assert compile_path("(%one.name | %one.name | %other.name).count()")(None, variables) == [2]
    assert compile_path("%one.name[0] ~ %other.name.given[0]")(None, variables) == [False]
    assert compile_path("%x ~ %one.name")(None, {**variables, "x": {"given": {"a": 1}, "family": ["x"]}}) == [False]
    assert compile_path("(%one.name.given | %one.name).count()")(None, variables) == [3]
    assert compile_path("%one.name.where($this = 'X')")(None, variables) == []
    assert compile_path("%one.name.toString()")(None, variables) == []


def test_the_focus_may_name_its_type():
    """A first name that is the type of the focus, or one it derives from, is the focus itself."""
    patient = {"resourceType": "Patient", "id": "p"}
    assert compile_path("DomainResource.id")(patient) == ["p"]
    assert compile_path("Patient.id")([patient, patient]) == ["p", "p"]
    assert compile_path("%x.select(Patient.id)")(None, {"x": patient}) == ["p"]
    assert compile_path("%x.select(Encounter.id)")(None, {"x": patient}) == []
    with pytest.raises(FhirPathError, match="no element Encounter"):
        compile_path("Encounter.id")(patient)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("(1 | 2).toString()", "single item"),
        ("(1 | 2) is Integer", "single item"),
        ("(1 | 'a').sort()", "cannot be compared"),
        ("(1 | 2).exists($this + 'a')", "Add"),
        ("1.power('a')", "numbers"),
        ("'a'.toQuantity(1 | 2)", "single item"),
        ("true > 1", "cannot be compared"),
        ("(1 | 2) and true", "single item"),
    ],
)
def test_faults_have_a_place(text: str, message: str):
    """An operand of a wrong type is an error that names the place in the expression."""
    with pytest.raises(FhirPathError, match=message) as caught:
        compile_path(text)(None)
    assert caught.value.position is not None
