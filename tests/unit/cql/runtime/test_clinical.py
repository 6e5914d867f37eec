"""Codes, value sets, ages."""

from decimal import Decimal
from types import SimpleNamespace

import pytest

from fhir_cds.cql.runtime import clinical_ops
from fhir_cds.cql.runtime.clinical import Code, Concept
from fhir_cds.cql.runtime.temporal import Date, DateTime
from fhir_cds.cql.runtime.uncertainty import Uncertainty

CODES = frozenset({("s", "b"), ("s", "a"), ("t", "c")})
A, X = Code("a", "s"), Code("x", "s")
STATE = SimpleNamespace(now=DateTime.of((2024, 3, 1, 12, 0, 0, 0), 0), offset=0)


@pytest.mark.parametrize(
    ("code", "member"),
    [
        (A, True),
        (X, False),
        (Code("a", "t"), False),
        (Code("a"), False),
        (Concept((X, A)), True),
        (Concept((X,)), False),
        (Concept(()), False),
        ("c", True),
        ("x", False),
        (None, None),
    ],
)
def test_value_set_membership(code: object, member: bool | None):
    """System and code decide; a string has no system; null is unknown."""
    assert clinical_ops.in_value_set(code, CODES) is member


@pytest.mark.parametrize(
    ("source", "member"), [([X, None, A], True), ([X], False), ([], False), (None, None), ([Concept((A,))], True)]
)
def test_any_member_of_a_value_set(source: object, member: bool | None):
    """One member of the list is enough."""
    assert clinical_ops.any_in_value_set(source, CODES) is member


@pytest.mark.parametrize(
    ("code", "member"),
    [(A, True), (Code("a", "t"), False), (Concept((Code("a", "t"), A)), True), ("a", None), (None, None)],
)
def test_code_system_membership(code: object, member: bool | None):
    """A code is of the system that it names."""
    assert clinical_ops.in_code_system(code, "s") is member


def test_any_member_of_a_code_system():
    """One code of the list is enough; null for a null list."""
    assert clinical_ops.any_in_code_system([None, Code("z", "t"), A], "s") is True
    assert clinical_ops.any_in_code_system([Code("z", "t")], "s") is False
    assert clinical_ops.any_in_code_system(None, "s") is None


@pytest.mark.parametrize("function", [clinical_ops.in_value_set, clinical_ops.in_code_system])
def test_only_codes_can_be_members(function):
    """Anything but a code is an error, not "no"."""
    with pytest.raises(TypeError, match="Decimal"):
        function(Decimal(1), CODES)


def test_expansion_is_ordered():
    """The codes of a value set come in a fixed order."""
    assert clinical_ops.expand_value_set(CODES) == [A, Code("b", "s"), Code("c", "t")]


def test_subsumption_without_a_hierarchy():
    """A code subsumes itself; for others it is unknown."""
    subsumes, subsumed = clinical_ops.OPERATORS["Subsumes"], clinical_ops.OPERATORS["SubsumedBy"]
    assert subsumes(A, A) is True
    assert subsumes(Concept((A, X)), X) is True
    assert subsumes(A, X) is None
    assert subsumes(None, X) is None
    assert subsumed(A, A) is True


@pytest.mark.parametrize(
    ("birth", "precision", "age"),
    [
        (Date.of(1974, 3, 1), None, 50),
        (Date.of(1974, 3, 2), "Year", 49),
        (Date.of(2023, 12, 31), "Month", 2),
        (Date.of(1974), None, Uncertainty(49, 50)),
        (DateTime.of((2024, 3, 1, 2, 0, 0, 0), 0), "hour", 10),
        (None, None, None),
    ],
)
def test_age(birth: object, precision: str | None, age: object):
    """Whole periods since birth; an imprecise birth date gives an uncertainty."""
    assert clinical_ops.OPERATORS["CalculateAge"](STATE, birth, precision) == age


def test_age_at():
    """The age at a date; null when there is none."""
    at = clinical_ops.OPERATORS["CalculateAgeAt"]
    assert at(Date.of(1974, 3, 1), Date.of(2000, 2, 29)) == 25
    assert at(Date.of(1974, 3, 1), None) is None
