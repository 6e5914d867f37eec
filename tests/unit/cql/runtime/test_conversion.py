"""Conversions between types."""

from decimal import Decimal
from types import SimpleNamespace

import pytest

from fhir_cds.cql.runtime import calendar_arithmetic
from fhir_cds.cql.runtime.clinical import Code, Concept
from fhir_cds.cql.runtime.conversion import OPERATORS, STATEFUL
from fhir_cds.cql.runtime.numbers import Long
from fhir_cds.cql.runtime.quantity import Quantity, Ratio
from fhir_cds.cql.runtime.temporal import Date, DateTime, Time
from fhir_cds.cql.runtime.temporal_text import parse_datetime

STATE = SimpleNamespace(now=DateTime.of((2024, 3, 1), 60), offset=60)
CODE = Code("1", "s", None, "One")


def call(operator: str, *operands: object) -> object:
    """Call an operator, with the state where it needs one."""
    return OPERATORS[operator](STATE, *operands) if operator in STATEFUL else OPERATORS[operator](*operands)


@pytest.mark.parametrize(
    ("operator", "operand", "expected"),
    [
        ("ToBoolean", "YES", True),
        ("ToBoolean", "0", False),
        ("ToBoolean", "maybe", None),
        ("ToBoolean", 1, True),
        ("ToBoolean", Decimal("0.0"), False),
        ("ToBoolean", 2, None),
        ("ToBoolean", True, True),
        ("ToInteger", "-25", -25),
        ("ToInteger", "2147483648", None),
        ("ToInteger", "1.0", None),
        ("ToInteger", True, 1),
        ("ToInteger", Long(5), 5),
        ("ToInteger", Decimal(5), None),
        ("ToLong", "2147483648", Long(2147483648)),
        ("ToLong", 5, Long(5)),
        ("ToLong", "x", None),
        ("ToLong", Decimal(5), None),
        ("ToDecimal", "+25.5", Decimal("25.5")),
        ("ToDecimal", "1e5", None),
        ("ToDecimal", 5, Decimal(5)),
        ("ToDecimal", Long(5), Decimal(5)),
        ("ToDecimal", Decimal("0.123456789"), Decimal("0.12345679")),
        ("ToDecimal", [], None),
        ("ToQuantity", "5.5 'cm'", Quantity(Decimal("5.5"), "cm")),
        ("ToQuantity", "5.5'cm'", Quantity(Decimal("5.5"), "cm")),
        ("ToQuantity", "5", Quantity(Decimal(5))),
        ("ToQuantity", "5 days", Quantity(Decimal(5), "days")),
        ("ToQuantity", "5 mg", None),
        ("ToQuantity", "5 'nonsense'", None),
        ("ToQuantity", "five", None),
        ("ToQuantity", 5, Quantity(Decimal(5))),
        ("ToQuantity", Quantity(Decimal(5)), Quantity(Decimal(5))),
        ("ToQuantity", Ratio(Quantity(Decimal(1), "g"), Quantity(Decimal(2), "L")), Quantity(Decimal("0.5"), "g/L")),
        ("ToRatio", "1 'mg':2 'mL'", Ratio(Quantity(Decimal(1), "mg"), Quantity(Decimal(2), "mL"))),
        ("ToRatio", "1 'mg'", None),
        (
            "ToRatio",
            Ratio(Quantity(Decimal(1)), Quantity(Decimal(2))),
            Ratio(Quantity(Decimal(1)), Quantity(Decimal(2))),
        ),
        ("ToRatio", 5, None),
        ("ToString", True, "true"),
        ("ToString", -5, "-5"),
        ("ToString", Long(5), "5"),
        ("ToString", Decimal(5), "5.0"),
        ("ToString", Decimal("18.55"), "18.55"),
        ("ToString", Quantity(Decimal(125), "cm"), "125 'cm'"),
        ("ToString", Date.of(2020, 5), "2020-05"),
        ("ToString", DateTime.of((2020, 5, 1, 10), 60, 60), "2020-05-01T10"),
        ("ToString", DateTime.of((2020, 5, 1, 10), 60, 0), "2020-05-01T10+01:00"),
        ("ToString", "a", "a"),
        ("ToDate", "2014-01", Date.of(2014, 1)),
        ("ToDate", "2014/01", None),
        ("ToDate", DateTime.of((2014, 1, 2, 3), 0), Date.of(2014, 1, 2)),
        ("ToDate", 5, None),
        ("ToDateTime", "2014-01-01", DateTime.of((2014, 1, 1), 60)),
        ("ToDateTime", Date.of(2014), DateTime.of((2014,), 60)),
        ("ToDateTime", 5, None),
        ("ToTime", "T14:30:00.0+05:30", Time.of((14, 30, 0, 0))),
        ("ToTime", "14-30", None),
        ("ToTime", DateTime.of((2014, 1, 1, 8, 30), 0), Time.of((8, 30))),
        ("ToTime", DateTime.of((2014, 1, 1), 0), None),
        ("ToTime", 5, None),
        ("ToConcept", CODE, Concept((CODE,), "One")),
        ("ToConcept", [CODE, None], Concept((CODE,))),
        ("ToConcept", 5, None),
        ("ToChars", "ab", ["a", "b"]),
        ("ToList", 5, [5]),
        ("ConvertsToInteger", "5", True),
        ("ConvertsToInteger", "x", False),
        ("ConvertsToDateTime", "2014-01-01", True),
        ("ConvertsToDateTime", "2014/01/01", False),
    ],
)
def test_conversions(operator: str, operand: object, expected: object):
    """Each conversion gives the value and the type that the CQL reference says, null where there is none."""
    result = call(operator, operand)
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2020-05-01T10:00:00Z", "2020-05-01T10:00:00+00:00"),
        ("2020-05-01T10:00:00.5+00:00", "2020-05-01T10:00:00.500+00:00"),
        ("2020-05-01T10Z", "2020-05-01T10+00:00"),
        ("2020-05-01T10:00:00+02:00", "2020-05-01T10:00:00+02:00"),
        ("2020-05-01T10:00:00", "2020-05-01T10:00:00"),
        ("2020-05-01T10", "2020-05-01T10"),
        ("2020-05-01", "2020-05-01"),
    ],
)
def test_text_keeps_a_stated_offset(text: str, expected: str):
    """ToString writes the offset that a DateTime was given with, also the evaluation's, and no other."""
    value = parse_datetime(text, 0)
    assert value is not None
    assert call("ToString", value) == expected
    moved = calendar_arithmetic.add(calendar_arithmetic.add(value, 1, "day"), 1, "day", -1)
    assert call("ToString", moved) == expected


@pytest.mark.parametrize("operator", sorted(set(OPERATORS) - {"ToList"}))
def test_null_converts_to_null(operator: str):
    """Null in, null out; only ToList makes an empty list of it."""
    operands = (None, "System.Integer") if operator in ("Convert", "CanConvert") else (None,)
    if operator.endswith("ConvertQuantity"):
        operands = (None, "mg")
    assert call(operator, *operands) is None
    assert call("ToList", None) == []


def test_convert_to_a_named_type():
    """Convert and CanConvert take the name of a system type; another name is an error."""
    assert call("Convert", "5", "{urn:hl7-org:elm-types:r1}Integer") == 5
    assert call("Convert", "2020", "System.DateTime") == DateTime.of((2020,), 60)
    assert call("CanConvert", "x", "System.Integer") is False
    with pytest.raises(TypeError, match="Patient"):
        call("Convert", "x", "FHIR.Patient")


def test_convert_quantity():
    """Quantities convert between units of one dimension."""
    assert call("ConvertQuantity", Quantity(Decimal(5), "mg/dL"), "g/L") == Quantity(Decimal("0.05"), "g/L")
    assert call("CanConvertQuantity", Quantity(Decimal(5), "mg"), "m") is False
    assert call("CanConvertQuantity", Quantity(Decimal(5), "mg"), "g") is True
