"""FHIRPath: evaluation on FHIR JSON, errors, the given environment."""

from decimal import Decimal
from threading import Thread
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_cds.cql.fhirpath import FUNCTIONS, FhirPathError, compile_path
from fhir_cds.cql.runtime.quantity import Quantity
from fhir_cds.cql.runtime.temporal import Date, DateTime, Time
from fhir_cds.cql.runtime.temporal_text import parse_datetime
from fhir_cds.cql.runtime.typed import Typed
from fhir_cds.errors import ContentError

NOW = "2026-01-31T12:30:15.250+01:00"
PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p",
    "active": True,
    "name": [
        {"use": "official", "family": "Garcia", "given": ["Ana", None], "_given": [None, {"id": "x"}]},
        {"use": "usual", "given": ["Anita"]},
    ],
    "birthDate": "1974-12-25",
    "_birthDate": {"extension": [{"url": "urn:time", "valueDateTime": "1974-12-25T14:35:45-05:00"}]},
    "_gender": {"extension": [{"url": "urn:reason", "valueCode": "unknown"}]},
    "multipleBirthInteger": 2,
    "generalPractitioner": [{"reference": "#doc"}, {"reference": "Practitioner/2"}, {"display": "nobody"}],
    "contained": [{"resourceType": "Practitioner", "id": "doc", "active": False}],
}
SIZE: dict[str, Any] = {
    "resourceType": "Observation",
    "status": "final",
    "code": {"coding": [{"system": "s", "code": "a"}, {"system": "t", "code": "b"}]},
    "valueQuantity": {"value": 52, "unit": "mm", "system": "http://unitsofmeasure.org", "code": "mm"},
    "effectiveDateTime": "2026-01-30T10:00:00Z",
    "component": [
        {"valueQuantity": {"value": Decimal("1.5"), "comparator": "<", "unit": "cm"}},
        {"valueInteger": 3},
        {"valueQuantity": {"value": 2, "system": "http://unitsofmeasure.org", "code": "a"}},
        {"valueQuantity": {"value": 2, "system": "urn:other", "code": "box", "unit": "boxes"}},
        {"valueQuantity": {"unit": "mm"}},
    ],
}


def path(text: str, context: Any = PATIENT, **given: Any) -> list[Any]:
    """Evaluate an expression."""
    return compile_path(text)(context, **given)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name.given", ["Ana", "Anita"]),
        ("Patient.name[0].given[1].id", ["x"]),
        ("Patient.name.where(use = 'usual').given.single()", ["Anita"]),
        ("name.given.count()", [3]),
        ("name.given.select(hasValue())", [True, False, True]),
        ("name.first().given.first().getValue()", ["Ana"]),
        ("name.getValue()", []),
        ("name.hasValue()", [False]),
        ("1.hasValue()", [True]),
        ("gender", []),
        ("gender.extension('urn:reason').value", ["unknown"]),
        ("birthDate.extension('urn:time').value < @1974-12-26", [True]),
        ("extension({})", []),
        ("birthDate.id", []),
        ("multipleBirth + 1", [3]),
        ("multipleBirth is integer", [True]),
        ("multipleBirth.is(boolean)", [False]),
        ("deceased is boolean", []),
        ("contained.ofType(Practitioner).active", [False]),
        ("contained.active", [False]),
        ("descendants().ofType(HumanName).count()", [2]),
        ("children().where($this is HumanName).count()", [2]),
        ("birthDate.children().url", ["urn:time"]),
        ("1.children()", []),
        ("gender.children().url", ["urn:reason"]),
        ("name.select(given.first() & ' ' & family)", ["Ana Garcia", "Anita "]),
        ("birthDate + 1 year", [Date.of(1975, 12, 25)]),
        ("%resource.id | %context.id | %rootResource.id", ["p"]),
        ("name.use.combine('x').distinct()", ["official", "usual", "x"]),
        ("name.given contains 'Ana'", [True]),
        ("{} contains 1", [False]),
        ("1 in {}", [False]),
        ("{} in 1", []),
        ("iif(active, 'yes')", ["yes"]),
        ("iif(active.not(), 'yes')", []),
        ("(1 | 2).aggregate($total + $this, 10)", [13]),
        ("name.select($index)", [0, 1]),
        ("$index", []),
        ("$total", []),
        ("name.type().name.distinct()", ["HumanName"]),
        ("'a'.type().namespace", ["System"]),
        ("name.defineVariable('n', given.count()).select(%n).distinct()", [3]),
        ("defineVariable('all').select(%all.id)", ["p"]),
        ("name.sort(-use).use", ["usual", "official"]),
        ("(3 | 1 | 2).sort()", [1, 2, 3]),
        ("name.sort(family).use", ["official", "usual"]),
        ("conformsTo('http://hl7.org/fhir/StructureDefinition/DomainResource')", [True]),
        ("{}.conformsTo('x')", []),
        ("(true | false).anyTrue()", [True]),
        ("(true | false).allFalse()", [False]),
        ("(true | false).anyFalse()", [True]),
        ("active.as(boolean)", [True]),
        ("name.given.trace('t', $this)", ["Ana", "Anita"]),
        ("+1", [1]),
        ("-{}", []),
        ("name.last().use", ["usual"]),
        ("(1|2)[5]", []),
        ("(1|2)[{}]", []),
        ("name ~ name.skip(1).combine(name.take(1))", [True]),
        ("name[0] ~ name[1]", [False]),
        ("name[0] = name[1]", [False]),
        ("name[0] = 1", [False]),
        ("name[0] ~ 1", [False]),
        ("1 ~ 'a'", [False]),
        ("1 = '1'", [False]),
        ("true ~ true", [True]),
        ("(@2020 | @2021) = (@2020 | @2021-01)", []),
        ("4 'g' ~ 4 'm'", [False]),
        ("1 'g' = 1", []),
        ("5 '1' = 5", [True]),
        ("5 > 4 '1'", [True]),
        ("5 '1'.value", [Decimal(5)]),
        ("5 'mg'.unit", ["mg"]),
        ("%`ext-x`", ["http://hl7.org/fhir/StructureDefinition/x"]),
        ("%'vs-x'", ["http://hl7.org/fhir/ValueSet/x"]),
        ("`Patient`.`name`.count()", [2]),
        ("'\\u0041\\n'", ["A\n"]),
        ("name.where(family.exists()).use // comment", ["official"]),
        ("contained.ofType(FHIR.Practitioner).active", [False]),
        ("contained.select(Practitioner.active)", [False]),
        ("true implies false", [False]),
        ("true xor false", [True]),
        ("false and (1 | 2).single()", [False]),
        ("1.0.precision()", [1]),
        ("@T10:30", [Time.of((10, 30))]),
        ("{}.precision()", []),
        ("1.comparable(2)", []),
        ("'x'.lowBoundary()", []),
        ("@2014.highBoundary()", [Date.of(2014, 12, 31)]),
    ],
)
def test_expressions(text: str, expected: list[Any]):
    """Paths, functions and operators give the collection that FHIRPath says."""
    assert path(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Observation.value.unit", ["mm"]),
        ("value > 5 'cm'", [True]),
        ("value = 5.2 'cm'", [True]),
        ("value.value * 2", [104]),
        ("value as Quantity", [SIZE["valueQuantity"]]),
        ("component[0].value < 3 'cm'", "compared"),
        ("component.value.ofType(integer)", [3]),
        ("component[2].value = 2 years", [True]),
        ("component[3].value = 2 'boxes'", []),
        ("component[4].value.value", []),
        ("component.value.unit", ["cm", "boxes", "mm"]),
        ("effective > @2026-01-30T09:00:00Z", [True]),
        ("effective.toString()", ["2026-01-30T10:00:00+00:00"]),
        ("code.memberOf('urn:vs')", [True]),
        ("code.coding[0].memberOf('urn:vs')", [False]),
        ("code.coding.code[1].memberOf('urn:vs')", [True]),
        ("status.memberOf({})", []),
        ("value.memberOf('urn:vs')", []),
        ("5.memberOf('urn:vs')", []),
    ],
)
def test_choices_quantities_and_value_sets(text: str, expected: Any):
    """Elements of several types, FHIR quantities as system quantities, membership in value sets."""
    terminology = {"urn:vs": [("t", "b")]}.get
    if expected == "compared":
        with pytest.raises(FhirPathError, match="cannot be compared"):
            path(text, SIZE)
    else:
        assert path(text, SIZE, terminology=terminology) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name.", "expected a name"),
        ("name.$this", "follow a dot"),
        ("name.true", "expected a name"),
        ("1 +", "unexpected 'end"),
        ("(1", "expected \\)"),
        ("name[0", "expected \\]"),
        ("f(1", "expected \\)"),
        ("{1}", "expected }"),
        ("1 1", "expected end"),
        ("'abc", "unexpected"),
        ("/* open", "unexpected"),
        ("'\\q'", "unknown escape"),
        ("@2020-13-01", "not a date"),
        ("99999999999", "too large"),
        ("% ", "name of a variable"),
        (")", "unexpected"),
        ("(" * 100 + "1" + ")" * 100, "nested too deeply"),
        ("x" * 20001, "longer than"),
        ("nonsense()", "unknown function"),
        ("count(1)", "number of arguments"),
        ("is(Nonsense)", "name of a type"),
        ("ofType(1)", "name of a type"),
        ("ofType(a.b.c)", "name of a type"),
        ("1 is Nonsense", "unknown type"),
        ("1 is A.B.C", "unknown type"),
    ],
)
def test_expressions_that_cannot_be_read(text: str, message: str):
    """Errors of syntax come at compilation, with the place."""
    with pytest.raises(FhirPathError, match=message) as caught:
        compile_path(text)
    assert isinstance(caught.value, ContentError)
    assert caught.value.where == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name.giwen", "FHIR.HumanName has no element giwen \\(at character 6\\)"),
        ("Encounter.status", "has no element Encounter"),
        ("birthDate.value", "no element value"),
        ("'a'.b", "System.String has no element b"),
        ("name.where(giwen = 1)", "no element giwen"),
        ("(name | telecom).exists(giwen)", "ContactPoint or FHIR.HumanName has no element giwen"),
        ("extension('x').values", "no element values"),
        ("(deceased as boolean).x", "no element x"),
        ("%resource.x", "no element x"),
        ("name.select(given).x", "no element x"),
        ("name.repeat(x)", "no element x"),
        ("children()[0]", "order"),
        ("descendants().first()", "order"),
        ("name.given.single()", "found 3 items"),
        ("name.given + 'x'", "single item"),
        ("name.given < 'x'", "single items"),
        ("(1|2) in (1|2)", "single item"),
        ("name as HumanName", "single item"),
        ("name is HumanName", "single item"),
        ("1 < 'a'", "cannot be compared"),
        ("true < false", "cannot be compared"),
        ("'a' - 'b'", "Subtract"),
        ("true + 1", "Boolean"),
        ("-'a'", "number"),
        ("-true", "number"),
        ("1 & 'a'", "Strings"),
        ("iif(1, 2, 3)", "Boolean"),
        ("(1|2).iif(true, 2)", "single item"),
        ("(1 | true).allTrue()", "Boolean"),
        ("name.skip('a')", "Integer"),
        ("5.length()", "String"),
        ("'a'.startsWith(1)", "str"),
        ("'a'.abs()", "numbers"),
        ("0.ln()", "zero"),
        ("'a'.matches('(')", "regular expression"),
        ("(1|2).join('-')", "Strings"),
        ("'a'.encode('x')", "unknown encoding"),
        ("'a'.decode('x')", "unknown encoding"),
        ("'zz'.decode('hex')", "not hex"),
        ("'a'.escape('x')", "unknown escaping"),
        ("'a'.unescape('x')", "unknown escaping"),
        ("today()", "pass now"),
        ("%nothing", "not defined"),
        ("defineVariable('a').defineVariable('a')", "exists already"),
        ("'Practitioner/1'.resolve()", "pass resolve"),
        ("'a'.memberOf('urn:vs')", "not known"),
        ("conformsTo('urn:x')", "types of FHIR itself"),
        ("name.conformsTo('http://hl7.org/fhir/StructureDefinition/HumanName')", "single item"),
    ],
)
def test_expressions_that_cannot_be_evaluated(text: str, message: str):
    """Errors of evaluation name the expression; they never become an empty result."""
    with pytest.raises(FhirPathError, match=message) as caught:
        path(text)
    assert caught.value.where == text
    assert caught.value.expression == text


def test_the_moment_is_given():
    """now(), today() and timeOfDay() are those of the caller, as text or value."""
    assert path("now()", now=NOW) == [parse_datetime(NOW, 0)]
    assert path("today()", now=parse_datetime(NOW, 0)) == [Date.of(2026, 1, 31)]
    assert path("timeOfDay()", now=NOW) == [Time.of((12, 30, 15, 250))]
    with pytest.raises(FhirPathError, match="now is not"):
        path("1", now="soon")


def test_variables_are_given():
    """JSON, lists and system values can be variables; JSON without a type is open."""
    given = {"o": SIZE, "list": [1, 2], "typed": Typed("FHIR.date", "2020-01-01"), "json": {"a": [{"b": 1}]}}
    assert path("%o.value.unit", variables=given) == ["mm"]
    assert path("%list.count()", variables=given) == [2]
    assert path("%typed is date", variables=given) == [True]
    assert path("%json.a.b + 1", variables=given) == [2]
    assert path("%json.a.b.c", variables=given) == []
    assert path("%json.a.type().name", variables=given) == ["Element"]
    assert path("%json.descendants().count()", variables=given) == [2]


def test_a_given_root_variable_is_not_the_input():
    """%resource may be another resource than the input; its names are not checked against the input's type."""
    assert path("%resource.value.unit", variables={"resource": SIZE}) == ["mm"]
    assert path("%resource.name.use") == ["official", "usual"]


def test_references_are_resolved():
    """Contained resources are found; others through the caller; what is not there is left out."""
    doctor = {"resourceType": "Practitioner", "id": "2", "active": True}
    found = {"Practitioner/2": doctor}
    assert path("generalPractitioner.resolve().active", resolve=found.get) == [False, True]
    assert path("generalPractitioner[0].resolve() is Practitioner") == [True]
    assert path("'#'.resolve().id") == ["p"]
    assert path("'#nobody'.resolve()") == []
    assert path("'#x'.resolve()", 5) == []


def test_the_context_may_be_anything():
    """A list, a system value, JSON without type or nothing can be evaluated on."""
    assert path("$this.count()", [PATIENT, SIZE]) == [2]
    assert path("$this + 1", 5) == [6]
    assert path("a", {"a": "x"}) == ["x"]
    assert path("name", None) == []
    assert path("status | active", [PATIENT, SIZE]) == ["final", True]
    assert path("id", {"resourceType": "Nonsense", "id": "1"}) == ["1"]


def test_a_polymorphic_element_is_no_error_where_another_type_has_the_name():
    """`value.unit` of an Observation whose value is an integer is empty."""
    assert path("value.unit", {"resourceType": "Observation", "valueInteger": 3}) == []
    assert path("value is Quantity", {"resourceType": "Observation", "valueInteger": 3}) == [False]


def test_json_may_be_broken():
    """Values of a wrong form are taken as they are, and give no crash."""
    broken = {"resourceType": "Patient", "birthDate": "soon", "name": "Ana", "_given": 3, "contained": [{"id": "x"}]}
    assert path("birthDate", broken) == ["soon"]
    assert path("birthDate = 'soon'", broken) == [True]
    assert path("name.given", broken) == []
    assert path("contained.id", broken) == ["x"]
    assert path("deceased", {"resourceType": "Patient", "_deceasedBoolean": 3}) == []
    assert path("children().count()", {"resourceType": "Patient", "nonsense": "x"}) == [1]
    assert path("%x.a", None, variables={"x": 5}) == []
    assert path("gender > 'a'") == []
    assert path("gender = 'a'") == []
    assert path("gender ~ 'a'") == [False]
    odd = {"resourceType": "Parameters", "parameter": [{"name": "a", "valueDecimal": "x"}, {"valueDateTime": 5}]}
    with pytest.raises(FhirPathError):
        path("-parameter[0].value", odd)
    with pytest.raises(FhirPathError):
        path("parameter[1].value < @2020-01-01T00:00", odd)
    time = {"resourceType": "Observation", "valueTime": "late"}
    assert path("value = 'late'", time) == [True]
    assert path("value + 0.5", {"resourceType": "Observation", "valueInteger": 3}) == [Decimal("3.5")]
    assert path("effective.toString()", {"resourceType": "Observation", "effectiveDateTime": "x"}) == ["x"]
    assert path("value.memberOf('v')", {"resourceType": "Observation", "valueCodeableConcept": {"text": "t"}},
                terminology=lambda _: frozenset()) == [False]  # fmt: skip


def test_the_budget_stops_a_runaway():
    """An evaluation that takes too many steps is stopped."""
    with pytest.raises(FhirPathError, match="budget"):
        path("repeat($this + 1)", 1, budget=1000)
    with pytest.raises(FhirPathError, match="budget"):
        path("descendants()", budget=3)


def test_deep_expressions_are_refused_or_evaluated():
    """A long chain is no nesting; deep nesting is refused when it is read."""
    assert path(" + ".join(["1"] * 2000)) == [2000]
    assert path("{}" + ".combine(1)" * 500) == [1] * 500
    assert path("-" * 5001 + "1") == [-1]
    with pytest.raises(FhirPathError, match="type tests"):
        compile_path("1" + " is Any" * 100)
    deep: dict[str, Any] = {}
    for _ in range(20_000):
        deep = {"a": deep}
    with pytest.raises(FhirPathError, match="nested too deeply"):
        path("%deep ~ %other", None, variables={"deep": deep, "other": {"a": dict(deep)}})


def test_results_have_types():
    """`typed` gives the FHIR or system type of each item."""
    assert compile_path("name.use").typed(PATIENT) == [("FHIR.code", "official"), ("FHIR.code", "usual")]
    assert compile_path("gender | 1.5 | 2 'mg'").typed(PATIENT) == [
        ("System.Decimal", Decimal("1.5")),
        ("System.Quantity", Quantity(Decimal(2), "mg")),
    ]


def test_expressions_are_kept():
    """The same text compiles once; the offset of times is part of it."""
    assert compile_path("1 + 1") is compile_path("1 + 1")
    assert compile_path("@2020-01-01T10:00", 60)(None) == [DateTime.of((2020, 1, 1, 10, 0), 60)]
    assert "where" in FUNCTIONS


def test_checks_are_remembered_up_to_a_limit(monkeypatch: pytest.MonkeyPatch):
    """Beyond the limit an expression is checked each time, with the same answer."""
    expression = compile_path("name.giwen")
    monkeypatch.setattr("fhir_cds.cql.fhirpath.MAX_TYPES", 0)
    assert compile_path("name.use")(PATIENT) == ["official", "usual"]
    for _ in range(2):
        with pytest.raises(FhirPathError, match="giwen"):
            expression(PATIENT)


def test_threads_share_expressions():
    """Concurrent evaluations with different moments do not meet."""
    expression = compile_path("iif(today() = %day, name.given.first())")
    wrong: list[Any] = []

    def work(day: int) -> None:
        wrong.extend(
            result
            for _ in range(200)
            if (result := expression(PATIENT, {"day": Date.of(2026, 1, day)}, now=f"2026-01-{day:02}T00:00:00Z"))
            != ["Ana"]
        )

    threads = [Thread(target=work, args=(day,)) for day in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@given(st.text(alphabet="name.given()[]{}'1=|&+-*/<>~!@$%` \\where", max_size=30))
def test_any_text_gives_a_result_or_an_error(text: str):
    """Nothing but FhirPathError comes out of an expression, whatever it is."""
    outcome: object
    try:
        outcome = path(text, now=NOW)
    except FhirPathError as error:
        outcome = error
    assert isinstance(outcome, list | FhirPathError)
