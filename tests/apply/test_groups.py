"""Groups of actions, what they copy, and a clinician's choice among them (apply.md GR)."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_cds.errors import InputError
from fhir_cds.reasoning import assemble, selection
from fhir_cds.reasoning.outcome import Applied
from fhir_cds.reasoning.session import Context

from .support import SCAN, action, activity, by_id, group_of, plan, run, when


def test_gr_01_group_with_definition_and_children() -> None:
    """GR-01: children are processed beside the parent's own definition; R4's rule rqg-1 is kept."""
    applied = run(
        plan(action("a", definitionCanonical=SCAN, action=[action("b", definitionCanonical=SCAN)])), activity()
    )
    (made,) = group_of(assemble.careplan(applied))["action"]
    assert "resource" not in made
    assert [child["id"] for child in made["action"]] == ["a-definition", "b"]
    assert all("resource" in child for child in made["action"])


BEHAVIOURS = {
    "groupingBehavior": "sentence-group",
    "selectionBehavior": "exactly-one",
    "requiredBehavior": "must-unless-documented",
    "precheckBehavior": "yes",
    "cardinalityBehavior": "multiple",
}


def test_gr_02_behaviours_are_copied() -> None:
    """GR-02, GR-03, GR-05, GR-06: all five, verbatim; none is made up where the plan has none."""
    group = group_of(assemble.careplan(run(plan(action("a", **BEHAVIOURS), action("b")))))
    assert {name: group["action"][0][name] for name in BEHAVIOURS} == BEHAVIOURS
    assert not BEHAVIOURS.keys() & group["action"][1].keys()


def test_gr_08_elements_are_preserved() -> None:
    """GR-08: prefix, textEquivalent, code, documentation, priority, type and reason survive."""
    given = {
        "prefix": "1",
        "description": "d",
        "textEquivalent": "t",
        "code": [{"text": "c"}],
        "documentation": [{"type": "documentation", "label": "l"}],
        "priority": "urgent",
        "type": {"text": "create"},
    }
    applied = run(plan(action("a", **given, reason=[{"text": "r"}], definitionCanonical=SCAN)), activity())
    (made,) = group_of(assemble.careplan(applied))["action"]
    assert {name: made[name] for name in given} == given
    assert by_id(applied)["a"].resource["reasonCode"] == [{"text": "r"}]
    assert by_id(applied)["a"].resource["priority"] == "urgent"


def test_gr_07_relations_to_pruned_actions_are_dropped() -> None:
    """GR-07: a relation survives with its ids; one to an action that does not apply is left out, and that is said."""
    related = [{"actionId": "b", "relationship": "after"}, {"actionId": "gone", "relationship": "after"}]
    applied = run(plan(action("a", relatedAction=related), action("b"), action("gone", when("No"))))
    assert by_id(applied)["a"].values["relatedAction"] == related[:1]
    assert applied.issues[0]["severity"] == "information"
    assert "left out" in applied.issues[0]["diagnostics"]


def choose(behaviour: str | None, *chosen: str, children: int = 3, **more: Any) -> tuple[str, ...]:
    extra = {"selectionBehavior": behaviour} if behaviour else {}
    applied = run(plan(action("g", action=[action(f"c{n}") for n in range(children)], **extra, **more)))
    return breaches(applied, *chosen)


def breaches(applied: Applied, *chosen: str, documented: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return what is wrong with a choice, () when it stands."""
    try:
        selection.select_actions(applied, chosen, documented)
    except InputError as error:
        return tuple(error.message.split("; "))
    return ()


@pytest.mark.parametrize(
    ("behaviour", "allowed"),
    [
        ("any", {1, 2, 3}),
        ("all", {3}),
        ("all-or-none", {3}),
        ("exactly-one", {1}),
        ("at-most-one", {1}),
        ("one-or-more", {1, 2, 3}),
    ],
)
def test_gr_04_selection_behaviours_are_enforced(behaviour: str, allowed: set[int]) -> None:
    """GR-04: how many children of a group may be chosen, for every behaviour."""
    for count in (1, 2, 3):
        broken = choose(behaviour, *(f"c{n}" for n in range(count)))
        assert (not broken) == (count in allowed), (behaviour, count)


def test_gr_04_a_group_named_without_children() -> None:
    """GR-04: naming an `all` group takes all of it; naming an `exactly-one` group leaves the choice open, a breach."""
    assert choose("all", "g") == ()
    assert choose("exactly-one", "g") == ('"g" wants exactly one of 3 actions, 0 are chosen',)
    assert choose("exactly-one") == ()


def test_gr_04_selected_actions_reduce_the_plan() -> None:
    """GR-04: a second call with a selection yields only the chosen branches, with their requests."""
    subject = plan(
        action("g", selectionBehavior="exactly-one", action=[action("x", definitionCanonical=SCAN), action("y")])
    )
    applied = run(subject, activity(), context=Context(selected=frozenset({"x"})))
    assert list(by_id(applied)) == ["g", "x"]
    with pytest.raises(InputError, match="exactly one of 2"):
        run(subject, activity(), context=Context(selected=frozenset({"x", "y"})))
    with pytest.raises(InputError, match='"z" is no applicable action'):
        run(subject, activity(), context=Context(selected=frozenset({"z"})))


def test_gr_05_required() -> None:
    """GR-05: what must be done cannot be left out, unless a reason is documented."""
    applied = run(
        plan(
            action("must", requiredBehavior="must"),
            action("doc", requiredBehavior="must-unless-documented"),
            action("free", requiredBehavior="could"),
        )
    )
    assert breaches(applied, "must") == ('"doc" is required unless a reason is documented',)
    assert breaches(applied, "must", documented=("doc",)) == ()
    assert breaches(applied, "free", "doc") == ('"must" is required',)


def test_gr_06_cardinality() -> None:
    """GR-06: an action may be chosen once, unless its cardinality is multiple."""
    applied = run(plan(action("once"), action("often", cardinalityBehavior="multiple")))
    assert breaches(applied, "often", "often") == ()
    assert breaches(applied, "once", "once") == ('"once" can be chosen only once',)
