"""Facts as lines of a card: what the record says of itself may be of any length and form."""

from typing import Any

import pytest

from fhir_cds.cards.facts import LONGEST, Facts
from fhir_cds.reasoning.outcome import Reason


def line(value: Any, display: str) -> str:
    """Return the line of a fact that rests on a condition with a display."""
    condition = {"resourceType": "Condition", "id": "c", "code": {"coding": [{"code": "x", "display": display}]}}
    facts = Facts(resources={"Condition/c": condition})
    reason = Reason(define="Sarcoma", value=value, resources=("Condition/c",))
    (found,) = facts.lines([[reason]])
    return found


@pytest.mark.parametrize("value", [True, {"reference": "Condition/c"}, ["x" * 10_000], "x" * 10_000, int("9" * 400)])
def test_a_long_value_is_cut(value: Any) -> None:
    """A note that somebody put where a display belongs does not make the card endless; the source stays on the line."""
    told = line(value, "word " * 2_000)
    assert len(told) < LONGEST + 100
    assert "…" in told
    assert told.endswith(" · `Condition/c`")


def test_a_value_of_the_usual_length_is_whole() -> None:
    """What fits is not touched."""
    assert line(True, "Leiomyosarcoma") == "Sarcoma — yes: Leiomyosarcoma · `Condition/c`"
