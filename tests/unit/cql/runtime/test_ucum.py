"""UCUM: grammar, dimensions, special units, products; laws by property."""

import re
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_cds.cql.runtime import ucum

UNITS = ["m", "cm", "mm", "g", "kg", "mg", "s", "h", "d", "L", "mL", "mol", "mmol", "[in_i]", "10*", "%", "U", "[iU]"]
SPECIAL = ["Cel", "[degF]", "[degRe]", "[pH]", "B", "dB", "B[SPL]", "Np"]
simple = st.sampled_from(UNITS)
terms = st.lists(st.tuples(simple, st.integers(-3, 3).filter(bool)), min_size=1, max_size=4)


def written(parts: list[tuple[str, int]]) -> str:
    """Return terms as an expression."""
    return ".".join(atom if exponent == 1 else f"{atom}{exponent}" for atom, exponent in parts)


@pytest.mark.parametrize(
    ("expression", "factor", "dimensions"),
    [
        ("1", 1, ()),
        ("mg/dL", 10, (("g", 1), ("m", -3))),
        ("/min", Fraction(1, 60), (("s", -1),)),
        ("10*3/uL", 10**12, (("m", -3),)),
        ("10^-3", Fraction(1, 1000), ()),
        ("mm[Hg]", 133322, (("g", 1), ("m", -1), ("s", -2))),
        ("kg/m2", 1000, (("g", 1), ("m", -2))),
        ("kg.m-2", 1000, (("g", 1), ("m", -2))),
        ("mL/min/(173.10*-2.m2)", Fraction(1, 10**6) / 60 / Fraction("1.73"), (("m", 1), ("s", -1))),
        ("{score}", 1, ()),
        ("m{height}", 1, (("m", 1),)),
        ("[lb_av]", Fraction("453.59237"), (("g", 1),)),
        ("k[iU]/L", 10**6, (("[iU]", 1), ("m", -3))),
        ("KiBy", 8192, ()),
        ("a", 31557600, (("s", 1),)),
        ("2.m", 2, (("m", 1),)),
    ],
)
def test_the_value_of_units(expression: str, factor: Fraction, dimensions: object):
    """Known units have their factor over the base units (metre, second, gram, radian, kelvin, coulomb, candela)."""
    unit = ucum.unit_of(expression)
    assert unit is not None
    assert (unit.factor, unit.dimensions) == (factor, dimensions)


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("", "1 to 200"),
        ("m" * 201, "1 to 200"),
        ("mmHg", "mmHg is not"),
        ("foo", "foo is not"),
        ("m//s", "missing at character 3"),
        ("m.", "missing"),
        ("(m", "parenthesis"),
        ("(" * 30 + "m" + ")" * 30, "too deeply"),
        ("m)", "character 2"),
        ("m{a", "brace"),
        ("Cel/min", "special"),
        ("Cel2", "special"),
        ("mmin", "mmin is not"),
        ("k[in_i]", "is not"),
        ("0", "zero"),
        ("m999", "exponent"),
        ("g m", "does not belong"),
    ],
)
def test_invalid_units_are_reported(expression: str, reason: str):
    """What is not UCUM has no unit and a reason."""
    assert ucum.unit_of(expression) is None
    with pytest.raises(ucum.UnitError, match=re.escape(reason)):
        ucum._resolve(ucum.parse(expression))


def test_every_unit_of_the_table_resolves():
    """No definition refers to a unit that is not there."""
    assert [code for code in ucum._DEFINED if ucum.unit_of(code) is None] == []


@given(terms)
def test_a_unit_divided_by_itself_is_one(parts: list[tuple[str, int]]):
    """u / u has no dimension and the factor 1."""
    unit = written(parts)
    assert ucum.combine(unit, unit, -1) == "1"


@given(terms, terms)
def test_products_multiply_factors_and_add_dimensions(one: list[tuple[str, int]], other: list[tuple[str, int]]):
    """The unit of a product is the product of the units."""
    left, right = ucum.unit_of(written(one)), ucum.unit_of(written(other))
    combined = ucum.combine(written(one), written(other), 1)
    assert left is not None
    assert right is not None
    assert combined is not None
    both = ucum.unit_of(combined)
    assert both is not None
    assert both.factor == left.factor * right.factor
    powers = dict(left.dimensions)
    for name, power in right.dimensions:
        powers[name] = powers.get(name, 0) + power
    assert dict(both.dimensions) == {name: power for name, power in powers.items() if power}


@given(terms)
def test_the_shortest_form_means_the_same(parts: list[tuple[str, int]]):
    """Writing parsed terms and reading them again changes nothing."""
    unit = written(parts)
    assert ucum.unit_of(ucum.text(ucum.parse(unit))) == ucum.unit_of(unit)


@given(st.text(alphabet="mgs10*^/.(){}[]-+%'Celin_ ", max_size=20))
def test_any_text_gives_a_unit_or_a_reason(expression: str):
    """The parser never fails otherwise."""
    try:
        ucum._resolve(ucum.parse(expression))
        valid = True
    except ucum.UnitError:
        valid = False
    assert (ucum.unit_of(expression) is not None) is valid


@given(st.sampled_from(SPECIAL), st.decimals(min_value=1, max_value=10, places=4))
def test_special_units_convert_there_and_back(code: str, value: Decimal):
    """To the base and back again is the value (logarithms: to 20 digits)."""
    unit = ucum.unit_of(code)
    assert unit is not None
    assert abs(unit.from_base(unit.to_base(value)) - Fraction(value)) < Fraction(1, 10**20)


def test_a_logarithmic_unit_has_no_value_for_zero():
    """There is no decibel of nothing."""
    unit = ucum.unit_of("dB")
    assert unit is not None
    with pytest.raises(ValueError, match="logarithmic"):
        unit.from_base(Fraction(0))


def test_repeated_factors_stay_readable():
    """A squared integer factor is written twice, since `22` would be another number."""
    assert ucum.combine("2.m", "2.m", 1) == "2.2.m2"
    assert ucum.combine("1", "2.m", -1) == "/2/m"
    assert ucum.combine("2.m", "2.2.m", -1) == "/2"
    assert ucum.combine("/2", "2", -1) == "/2/2"
    assert ucum.combine("m", "m)", 1) is None
    assert ucum.combine("mg", "mL", -1) == "mg/mL"
