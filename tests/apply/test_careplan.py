"""The result as a whole: CarePlan and RequestGroup, R5 Bundle, ids, goals, messages (apply.md AL, GO, ER)."""

from __future__ import annotations

from fhir_cds.fhir import codec
from fhir_cds.reasoning import assemble, r5
from fhir_cds.reasoning.session import Context

from .support import BASE, CONTEXT, NOW, SCAN, action, activity, by_id, group_of, plan, run, when


def test_al_01_careplan_and_request_group() -> None:
    """AL-01, AL-03, IN-05: links, canonical with version, draft proposal, author the practitioner."""
    careplan = assemble.careplan(run(plan(action("a"), title="T"), context=CONTEXT))
    group = group_of(careplan)
    for made in (careplan, group):
        assert made["instantiatesCanonical"] == [f"{BASE}/PlanDefinition/plan|1"]
        assert (made["status"], made["intent"]) == ("draft", "proposal")
        assert made["subject"] == {"reference": "Patient/p"}
        assert made["encounter"] == {"reference": "Encounter/e"}
        assert made["author"] == {"reference": "Practitioner/d"}
    assert careplan["title"] == "T"
    assert careplan["created"] == group["authoredOn"] == NOW


def test_al_02_r5_bundle_starts_with_the_group() -> None:
    """AL-02: the group is the first entry; references are Type/id."""
    entries = r5.bundle(run(plan(action("a", definitionCanonical=SCAN)), activity()))["entry"]
    assert [e["resource"]["resourceType"] for e in entries] == ["RequestGroup", "ServiceRequest"]
    reference = entries[0]["resource"]["action"][0]["resource"]["reference"]
    assert reference == f"ServiceRequest/{entries[1]['resource']['id']}"


def test_al_03_switch_for_active() -> None:
    """AL-03: parity with servers that answer `active`."""
    careplan = assemble.careplan(
        run(plan(action("a", definitionCanonical=SCAN)), activity(), context=Context(status="active"))
    )
    assert {careplan["status"], *(r["status"] for r in careplan["contained"])} == {"active"}


def test_al_04_order_is_that_of_the_definition() -> None:
    """AL-04: actions come out as they stand in the plan."""
    names = [f"a{n}" for n in range(20, 0, -1)]
    group = group_of(assemble.careplan(run(plan(*(action(name) for name in names)))))
    assert [a["id"] for a in group["action"]] == names


def test_al_05_a_group_is_never_dropped() -> None:
    """AL-05: even one plain request stays in its RequestGroup."""
    careplan = assemble.careplan(run(plan(action("a", definitionCanonical=SCAN)), activity()))
    assert [r["resourceType"] for r in careplan["contained"]] == ["RequestGroup", "ServiceRequest"]


def test_al_06_cycles_end_in_an_issue() -> None:
    """AL-06: A applies B applies A: an issue that shows the ring, no endless recursion."""
    one = plan(action("x", definitionCanonical=f"{BASE}/PlanDefinition/b"), key="a")
    two = plan(action("y", definitionCanonical=f"{BASE}/PlanDefinition/a"), key="b")
    applied = run(one, one, two, strict=False)
    inner = by_id(applied)["x"].nested
    assert (
        "a|1 -> http://example.org/PlanDefinition/b|1 -> http://example.org/PlanDefinition/a|1"
        in (inner.issues[0]["diagnostics"])
    )
    assert inner.issues[0]["expression"] == ["PlanDefinition.action[0].definitionCanonical"]


def test_al_07_one_definition_in_two_actions() -> None:
    """AL-07, invariant 6: two requests with ids of their own, the same at every call."""
    made = [
        run(plan(action("a", definitionCanonical=SCAN), action("b", definitionCanonical=SCAN)), activity())
        for _ in range(2)
    ]
    ids = [[found.resource["id"] for found in by_id(applied).values()] for applied in made]
    assert len(set(ids[0])) == 2
    assert ids[0] == ids[1]
    assert codec.encode(assemble.careplan(made[0])) == codec.encode(assemble.careplan(made[1]))


GOAL = {
    "id": "g",
    "category": {"text": "cat"},
    "description": {"text": "No recurrence"},
    "priority": {"text": "high"},
    "start": {"text": "surgery"},
    "addresses": [{"text": "sarcoma"}],
    "target": [{"measure": {"text": "m"}, "detailQuantity": {"value": 1}, "due": {"value": 2, "code": "a"}}],
}


def test_go_01_goals() -> None:
    """GO-01: a proposed Goal, contained, linked from CarePlan and RequestGroup."""
    careplan = assemble.careplan(run(plan(action("a"), goal=[GOAL])))
    goal = next(r for r in careplan["contained"] if r["resourceType"] == "Goal")
    assert careplan["goal"] == [{"reference": f"#{goal['id']}"}]
    assert group_of(careplan)["extension"][0]["valueReference"] == {"reference": f"#{goal['id']}"}
    assert goal["lifecycleStatus"] == "proposed"
    assert goal["category"] == [{"text": "cat"}]
    assert goal["startCodeableConcept"] == {"text": "surgery"}
    assert goal["target"] == [
        {"measure": {"text": "m"}, "detailQuantity": {"value": 1}, "dueDuration": {"value": 2, "code": "a"}}
    ]


def test_go_02_request_serves_its_goal() -> None:
    """GO-02: the request of an action with goalId points to that goal."""
    careplan = assemble.careplan(
        run(plan(action("a", definitionCanonical=SCAN, goalId=["g"]), goal=[GOAL]), activity())
    )
    request = next(r for r in careplan["contained"] if r["resourceType"] == "ServiceRequest")
    assert request["extension"][-1]["valueReference"]["reference"] == careplan["goal"][0]["reference"]


def test_er_01_messages_are_contained() -> None:
    """ER-01: issues are an OperationOutcome that cqf-messages on the CarePlan refers to."""
    careplan = assemble.careplan(run(plan(action("a", when("Broken")))))
    reference = careplan["extension"][0]["valueReference"]["reference"]
    outcome = next(r for r in careplan["contained"] if f"#{r['id']}" == reference)
    assert outcome["issue"][0]["severity"] == "error"
    assert careplan["extension"][0]["url"].endswith("/cqf-messages")


def test_er_02_a_failing_nested_plan_leaves_the_rest() -> None:
    """ER-02: its issues are at its own level; what stands beside it is unharmed."""
    inner = plan(action("i", definitionCanonical=f"{BASE}/ActivityDefinition/none"), key="inner")
    outer = plan(
        action("o", definitionCanonical=f"{BASE}/PlanDefinition/inner"), action("fine", definitionCanonical=SCAN)
    )
    applied = run(outer, inner, activity(), strict=False)
    assert applied.issues == ()
    assert by_id(applied)["o"].nested.issues[0]["code"] == "not-found"
    careplan = assemble.careplan(applied)
    assert "extension" not in careplan
    nested = next(r for r in careplan["contained"] if r["resourceType"] == "RequestGroup" and r.get("extension"))
    assert nested["extension"][0]["url"].endswith("/cqf-messages")


def test_in_06_language_of_the_result() -> None:
    """IN-06: userLanguage is the language of the result."""
    assert assemble.careplan(run(plan(action("a")), context=Context(language="es")))["language"] == "es"
