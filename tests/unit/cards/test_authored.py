"""What is known of the content is used for what the content says, and for nothing else."""

from typing import Any

import pytest
from msgspec.structs import replace

from fhir_cds.cards.authored import Authored
from fhir_cds.cards.cards import chosen
from fhir_cds.cards.outgoing import Card
from fhir_cds.cards.projection import Projection
from fhir_cds.errors import ContentError
from fhir_cds.knowledge.registry import Registry
from fhir_cds.reasoning.engine import Engine
from fhir_cds.reasoning.logic import NoLogic
from fhir_cds.reasoning.outcome import Applied

from . import card_builders as b

RULE = b.rule("1", title="First, as authored")


def known(*plans: dict[str, Any]) -> Authored:
    """Return what is known of some plans."""
    return Authored.of(Engine.of(Registry.of((plan["id"], plan) for plan in plans), NoLogic()))


def card(applied: Applied, authored: Authored) -> Card:
    """Return the one card of an applied plan."""
    projection = Projection(authored=authored)
    (made,) = b.cards_from(chosen([applied], projection), projection)
    return made


def test_what_is_known_gives_the_same_card() -> None:
    """Content that was prepared reads as content that was not."""
    plan = b.strategy()
    applied = b.group(plan, b.leaf(RULE, b.YES))
    authored = known(plan, RULE)
    assert card(applied, authored) == card(applied, Authored())
    assert authored.strategy(plan) is authored.strategy(plan)
    assert card(applied, authored).source is card(applied, authored).source
    assert authored.recommendation(RULE, RULE["action"][0]) is authored.recommendation(RULE, RULE["action"][0])


def test_what_was_changed_for_a_patient_reads_as_changed() -> None:
    """An action whose title a dynamic value set is not taken for the action of the content."""
    applied = b.leaf(RULE, b.YES)
    (action,) = applied.actions
    changed = replace(action, values={**action.values, "title": "First, in week 3", "priority": "stat"})
    made = card(replace(applied, actions=(changed,)), known(RULE))
    assert (made.summary, made.indicator) == ("First, in week 3", "critical")


@pytest.mark.parametrize(
    "changes",
    [
        {"topic": [{"coding": [{"system": "no address", "code": "c"}]}]},
        {"relatedArtifact": [{"type": "citation", "citation": "Guide 2025", "url": "not absolute"}]},
        {"relatedArtifact": [{"type": "citation", "citation": " "}]},
    ],
)
def test_content_that_no_card_can_carry_fails_at_load(changes: dict[str, Any]) -> None:
    """A topic or a citation that cannot go out fails when content is loaded, naming the plan, not at a call."""
    with pytest.raises(ContentError, match=r"PlanDefinition/r-2\|1"):
        known(RULE, {**b.rule("2"), **changes})
