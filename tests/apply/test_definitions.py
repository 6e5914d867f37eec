"""What an action's definition becomes: requests, nested plans, questionnaires, participants (apply.md DF, PA)."""

from __future__ import annotations

from typing import Any

from fhir_cds.reasoning import assemble, r5
from fhir_cds.reasoning.apply import apply_activity
from fhir_cds.reasoning.session import Context

from .support import (
    BASE,
    CONTEXT,
    NOW,
    SCAN,
    Define,
    FakeRecord,
    action,
    activity,
    by_id,
    dynamic,
    engine,
    group_of,
    plan,
    run,
    verdicts,
    when,
)


def test_df_01_activity_definition() -> None:
    """DF-01: the request is in action.resource, its intent is the definition's, else proposal; `option` in R5."""
    own = activity("own", intent="order")
    applied = run(
        plan(action("a", definitionCanonical=SCAN), action("b", definitionCanonical=own["url"])), activity(), own
    )
    assert [found.resource["intent"] for found in by_id(applied).values()] == ["proposal", "order"]
    entries = r5.bundle(applied)["entry"]
    assert [e["resource"]["intent"] for e in entries] == ["proposal", "option", "option"]


def test_df_02_nested_plan() -> None:
    """DF-02, IN-11: a nested plan is a contained RequestGroup of its own, or folded in on request."""
    inner = plan(action("i", definitionCanonical=SCAN), key="inner", title="Inner")
    outer = plan(action("o", title="Ours", definitionCanonical=f"{BASE}/PlanDefinition/inner"))
    applied = run(outer, inner, activity())
    careplan = assemble.careplan(applied)
    (made,) = group_of(careplan)["action"]
    nested = next(r for r in careplan["contained"] if f"#{r['id']}" == made["resource"]["reference"])
    assert (made["title"], nested["resourceType"], nested["action"][0]["id"]) == ("Ours", "RequestGroup", "i")
    merged = assemble.careplan(applied, merge_nested=True)
    assert [r["resourceType"] for r in merged["contained"]] == ["RequestGroup", "ServiceRequest"]
    assert group_of(merged)["action"][0]["action"][0]["id"] == "o.i"


def test_df_03_questionnaire() -> None:
    """DF-03: a reference to the questionnaire, or a task to fill it in when the caller asks for tasks."""
    form = {"resourceType": "Questionnaire", "id": "q", "url": f"{BASE}/Questionnaire/q", "status": "active"}
    subject = plan(action("a", definitionCanonical=form["url"]))
    (made,) = group_of(assemble.careplan(run(subject, form)))["action"]
    assert made["resource"] == {"reference": "Questionnaire/q", "type": "Questionnaire"}
    task = by_id(run(subject, form, context=Context(collect_tasks=True)))["a"].resource
    assert task["code"]["coding"][0]["code"] == "collect-information"
    assert task["focus"]["reference"] == "Questionnaire/q"
    assert task["for"] == {"reference": "Patient/p"}


def test_df_04_contained_and_versioned() -> None:
    """DF-04: `#id` is in the plan, `url|version` that version, `url` the latest."""
    inside = activity("inside", code={"text": "inside"})
    old, new = activity(code={"text": "old"}), {**activity(code={"text": "new"}), "version": "2"}
    applied = run(
        plan(
            action("a", definitionCanonical="#inside"),
            action("b", definitionCanonical=f"{SCAN}|1"),
            action("c", definitionCanonical=SCAN),
            contained=[inside],
        ),
        old,
        new,
    )
    assert [found.resource["code"]["text"] for found in by_id(applied).values()] == ["inside", "old", "new"]


def test_df_05_uri_as_it_is() -> None:
    """DF-05: definitionUri becomes the reference."""
    (made,) = group_of(assemble.careplan(run(plan(action("a", definitionUri="http://example.org/x")))))["action"]
    assert made["resource"] == {"reference": "http://example.org/x"}


def test_df_06_unresolvable_definition() -> None:
    """DF-06, ER-04: an issue with place and canonical; the action stays, without request."""
    applied = run(plan(action("a", definitionCanonical=f"{BASE}/ActivityDefinition/none"), action("b")), strict=False)
    assert verdicts(applied) == {"a": "applicable", "b": "applicable"}
    assert by_id(applied)["a"].resource is None
    (issue,) = applied.issues
    assert issue["expression"] == ["PlanDefinition.action[0].definitionCanonical"]
    assert "ActivityDefinition/none" in issue["diagnostics"]


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["reference"]] if isinstance(value.get("reference"), str) else []
        return own + [found for item in value.values() for found in references(item)]
    return [found for item in value for found in references(item)] if isinstance(value, list) else []


def test_df_07_nothing_dangles_in_the_container() -> None:
    """DF-07: all is contained in the CarePlan, nothing nested deeper, every inner reference resolves."""
    inner = plan(
        action("i", definitionCanonical=SCAN, goalId=["g"]),
        key="inner",
        goal=[{"id": "g", "description": {"text": "x"}}],
    )
    outer = plan(action("o", definitionCanonical=f"{BASE}/PlanDefinition/inner"), action("u", when("Null")))
    careplan = assemble.careplan(run(outer, inner, activity()))
    ids = [r["id"] for r in careplan["contained"]]
    assert len(set(ids)) == len(ids)
    assert not any("contained" in r for r in careplan["contained"])
    found = references(careplan)
    assert {name.removeprefix("#") for name in found if name.startswith("#")} <= set(ids)
    assert {name for name in found if not name.startswith("#")} == {"Patient/p"}


def test_df_09_the_action_goes_first() -> None:
    """DF-09: timing, participant, priority of the action win, the code is the definition's; documentation adds up."""
    definition = activity(
        title="AD",
        code={"text": "ad"},
        timingDateTime="2026-03-01",
        participant=[{"type": "practitioner"}],
        priority="routine",
        relatedArtifact=[{"type": "documentation", "label": "ad"}, {"type": "citation", "label": "no"}],
    )
    given = {
        "code": [{"text": "action"}],
        "timingDateTime": "2026-04-01",
        "participant": [{"type": "patient"}],
        "priority": "stat",
        "documentation": [{"type": "documentation", "label": "action"}],
    }
    bare = action("plain", definitionCanonical=SCAN)
    del bare["title"]
    applied = run(plan(action("a", definitionCanonical=SCAN, **given), bare), definition, context=CONTEXT)
    made = by_id(applied)["a"]
    assert made.resource["code"] == {"text": "ad"}
    assert made.resource["occurrenceDateTime"] == "2026-04-01"
    assert made.resource["performer"] == [{"reference": "Patient/p"}]
    assert made.resource["priority"] == "stat"
    assert [d["label"] for d in made.values["documentation"]] == ["action", "ad"]
    assert by_id(applied)["plain"].values["title"] == "AD"
    assert by_id(applied)["plain"].resource["performer"] == [{"reference": "Practitioner/d"}]


def test_pa_01_participants() -> None:
    """PA-01: patient and practitioner are resolved from the call, others stay as the kind of performer."""
    who = [{"type": "patient"}, {"type": "practitioner"}, {"type": "practitioner", "role": {"text": "surgeon"}}]
    subject = plan(action("a", definitionCanonical=SCAN, participant=who))
    known = by_id(run(subject, activity(), context=CONTEXT))["a"]
    people = [{"reference": "Patient/p"}, {"reference": "Practitioner/d"}]
    assert known.values["participant"] == known.resource["performer"] == people
    unknown = by_id(run(subject, activity()))["a"]
    assert unknown.resource["performer"] == [{"reference": "Patient/p"}]
    assert unknown.resource["performerType"] == {"text": "surgeon"}


def test_activity_alone() -> None:
    """DF-08: ActivityDefinition/$apply by id, with its own dynamic values."""
    made = engine(activity(dynamicValue=[dynamic("code.text", "T")]), defines={"T": Define("x")})
    resource, issues = apply_activity(made, "scan", FakeRecord(), NOW, CONTEXT)
    assert issues == ()
    assert (resource["resourceType"], resource["code"]["text"]) == ("ServiceRequest", "x")
    assert resource["requester"] == {"reference": "Practitioner/d"}
    assert resource["encounter"] == {"reference": "Encounter/e"}
