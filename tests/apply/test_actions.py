"""Actions, groups, definitions, dynamic values, goals, participants (apply.md §1.2, §1.4 .. §1.6, §1.8, §1.9)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from fhir_cds.cql.runtime.clinical import Code, Concept
from fhir_cds.cql.runtime.interval import Interval
from fhir_cds.cql.runtime.quantity import Quantity
from fhir_cds.cql.runtime.temporal import Date
from fhir_cds.cql.runtime.temporal_text import parse_datetime
from fhir_cds.errors import InputError, NotFoundError
from fhir_cds.fhir import codec
from fhir_cds.reasoning import assemble, r5, selection
from fhir_cds.reasoning.apply import apply_activity, apply_in, apply_plan, begin, instant
from fhir_cds.reasoning.outcome import Applied
from fhir_cds.reasoning.session import Context

from .support import BASE, NOW, Define, FakeRecord, action, activity, by_id, engine, library, plan, run, verdicts, when

SCAN = f"{BASE}/ActivityDefinition/scan"
CONTEXT = Context(encounter="Encounter/e", practitioner="Practitioner/d", organization="Organization/o")


def group_of(careplan: dict[str, Any]) -> dict[str, Any]:
    root = careplan["activity"][0]["reference"]["reference"].removeprefix("#")
    return next(r for r in careplan["contained"] if r["id"] == root)


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


def months(value: int) -> dict[str, Any]:
    return {"value": value, "unit": "mo", "system": "http://unitsofmeasure.org", "code": "mo"}


def test_ti_04_offsets_become_dates_in_topological_order() -> None:
    """TI-04: dates go from action to action, whatever their order; ranges become periods; requests get them too."""
    applied = run(
        plan(
            action(
                "c",
                relatedAction=[
                    {"actionId": "b", "relationship": "before-start", "offsetDuration": {"value": 7, "code": "d"}}
                ],
            ),
            action("b", relatedAction=[{"actionId": "a", "relationship": "after-end", "offsetDuration": months(1)}]),
            action("a", timingPeriod={"start": "2026-01-10", "end": "2026-01-31"}),
            action(
                "d",
                definitionCanonical=SCAN,
                relatedAction=[
                    {
                        "actionId": "a",
                        "relationship": "after-start",
                        "offsetRange": {"low": months(1), "high": months(2)},
                    }
                ],
            ),
            action("e", relatedAction=[{"actionId": "a", "relationship": "concurrent"}]),
        ),
        activity(),
    )
    made = by_id(applied)
    assert made["b"].values["timingDateTime"] == "2026-02-28"
    assert made["c"].values["timingDateTime"] == "2026-02-21"
    period = {"start": "2026-02-10", "end": "2026-03-10"}
    assert made["d"].values["timingPeriod"] == made["d"].resource["occurrencePeriod"] == period
    assert made["e"].values["timingPeriod"] == {"start": "2026-01-10", "end": "2026-01-31"}


def test_ti_04_hours_and_given_starts() -> None:
    """TI-04: hours count from a time of day; the caller may say when an action starts."""
    related = [{"actionId": "op", "relationship": "before-start", "offsetDuration": {"value": 1, "code": "h"}}]
    applied = run(
        plan(action("op"), action("antibiotic", relatedAction=related)),
        context=Context(starts={"op": "2026-02-01T08:00:00+01:00"}),
    )
    assert by_id(applied)["antibiotic"].values["timingDateTime"] == "2026-02-01T07:00:00+01:00"


def test_ti_04_what_has_no_date_stays_symbolic() -> None:
    """TI-04: no date to count from, or a ring of relations: the offset stays, with an issue."""
    ring = [
        action(one, relatedAction=[{"actionId": other, "relationship": "after", "offsetDuration": months(1)}])
        for one, other in (("a", "b"), ("b", "a"))
    ]
    applied = run(plan(*ring))
    assert [i["expression"] for i in applied.issues] == [
        ["PlanDefinition.action[0].relatedAction"],
        ["PlanDefinition.action[1].relatedAction"],
    ]
    assert all("timingDateTime" not in found.values for found in by_id(applied).values())
    assert by_id(applied)["a"].values["relatedAction"][0]["offsetDuration"] == months(1)


@pytest.mark.parametrize(
    "timing",
    [
        {"timingDateTime": "2026-02-01"},
        {"timingAge": {"value": 65, "code": "a"}},
        {"timingPeriod": {"start": "2026-02-01"}},
        {"timingDuration": {"value": 1, "code": "mo"}},
        {"timingRange": {"low": {"value": 1}}},
        {"timingTiming": {"repeat": {"count": 2}}},
    ],
)
def test_ti_01_timing_is_copied(timing: dict[str, Any]) -> None:
    """TI-01: every type of action.timing[x] reaches the produced action."""
    (made,) = group_of(assemble.careplan(run(plan(action("a", **timing)))))["action"]
    assert timing.items() <= made.items()


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


def dynamic(path: str, define: str) -> dict[str, Any]:
    return {"path": path, "expression": {"language": "text/cql-identifier", "expression": define}}


def test_dv_01_order_of_dynamic_values() -> None:
    """DV-01: those of the ActivityDefinition first, then those of the action, each in order."""
    definition = activity(dynamicValue=[dynamic("code.text", "One"), dynamic("patientInstruction", "One")])
    subject = plan(action("a", definitionCanonical=SCAN, dynamicValue=[dynamic("code.text", "Other")]))
    applied = run(subject, definition, defines={"One": Define("one"), "Other": Define("two")})
    resource = by_id(applied)["a"].resource
    assert (resource["code"]["text"], resource["patientInstruction"]) == ("two", "one")


@pytest.mark.parametrize("prefix", ["%action.", "action."])
def test_dv_02_paths_to_the_action(prefix: str) -> None:
    """DV-02: `%action.` and `action.` edit the action; without a request every path does."""
    paths = [dynamic(f"{prefix}title", "T"), dynamic(f"{prefix}priority", "P")]
    applied = run(
        plan(
            action("a", definitionCanonical=SCAN, dynamicValue=paths),
            action("b", dynamicValue=[dynamic("description", "T")]),
        ),
        activity(),
        defines={"T": Define("new"), "P": Define("stat")},
    )
    made = by_id(applied)
    assert (made["a"].values["title"], made["a"].values["priority"]) == ("new", "stat")
    assert made["b"].values["description"] == "new"
    assert "title" not in made["a"].resource


NOV = Date.of(2026, 11, 5)
CODE = Code("1", "http://s", None, "One")


@pytest.mark.parametrize(
    ("kind", "path", "value", "expected"),
    [
        ("CommunicationRequest", "payload[0].contentString", "hi", {"payload": [{"contentString": "hi"}]}),
        (
            "ServiceRequest",
            "code.coding[0]",
            CODE,
            {"code": {"coding": [{"system": "http://s", "code": "1", "display": "One"}]}},
        ),
        (
            "ServiceRequest",
            "reasonCode[0].coding[0]",
            CODE,
            {"reasonCode": [{"coding": [{"system": "http://s", "code": "1", "display": "One"}]}]},
        ),
        ("ServiceRequest", "occurrenceDateTime", NOV, {"occurrenceDateTime": "2026-11-05"}),
        ("ServiceRequest", "occurrence[x]", NOV, {"occurrenceDateTime": "2026-11-05"}),
        (
            "ServiceRequest",
            "occurrence",
            Interval(NOV, NOV, True, True),
            {"occurrencePeriod": {"start": "2026-11-05", "end": "2026-11-05"}},
        ),
        ("ServiceRequest", "patientInstruction.ofType(string)", Decimal("1.50"), {"patientInstruction": "1.50"}),
        ("ServiceRequest", "priority", Code("stat", "http://s"), {"priority": "stat"}),
        ("ServiceRequest", "asNeededBoolean", True, {"asNeededBoolean": True}),
    ],
)
def test_dv_03_forms_of_paths(kind: str, path: str, value: Any, expected: dict[str, Any]) -> None:
    """DV-03: the path forms that real content uses."""
    applied = run(
        plan(action("a", definitionCanonical=SCAN, dynamicValue=[dynamic(path, "V")])),
        activity(kind=kind),
        defines={"V": Define(value)},
    )
    assert applied.issues == ()
    assert expected.items() <= by_id(applied)["a"].resource.items()


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("%action.timingTiming", {"repeat": {"count": 3}}, {"timingTiming": {"repeat": {"count": 3}}}),
        (
            "%action.code[0].coding[0]",
            CODE,
            {"code": [{"coding": [{"system": "http://s", "code": "1", "display": "One"}]}]},
        ),
        ("%action.extension", {"url": "u", "valueString": "s"}, {"extension": [{"url": "u", "valueString": "s"}]}),
        ("%action.timing", NOV, {"timingDateTime": "2026-11-05"}),
    ],
)
def test_dv_03_forms_of_paths_on_the_action(path: str, value: Any, expected: dict[str, Any]) -> None:
    """DV-03: the same on the action."""
    applied = run(plan(action("a", dynamicValue=[dynamic(path, "V")])), defines={"V": Define(value)})
    assert applied.issues == ()
    assert expected.items() <= by_id(applied)["a"].values.items()


def test_dv_04_null_several_and_errors() -> None:
    """DV-04: null is left out with a warning, several need a list, an error is an issue; the rest goes on."""
    values = [
        dynamic("%action.title", "Null"),
        dynamic("%action.title", "Several"),
        dynamic("reasonCode", "Concepts"),
        dynamic("%action.title", "Broken"),
        dynamic("%action.description", "Last"),
    ]
    concepts = [Concept((CODE,), "x"), Concept((CODE,), "y")]
    applied = run(
        plan(action("a", definitionCanonical=SCAN, dynamicValue=values)),
        activity(),
        defines={"Several": Define(["a", "b"]), "Concepts": Define(concepts), "Last": Define("end")},
    )
    made = by_id(applied)["a"]
    assert (made.values["title"], made.values["description"]) == ("A", "end")
    assert [concept["text"] for concept in made.resource["reasonCode"]] == ["x", "y"]
    assert [(i["severity"], i["expression"][0][-15:]) for i in applied.issues] == [
        ("warning", "dynamicValue[0]"),
        ("error", "dynamicValue[1]"),
        ("error", "dynamicValue[3]"),
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (parse_datetime("2026-01-02T03:04", 60), "2026-01-02T03:04:00+01:00"),
        (
            Quantity(Decimal("1.50"), "mg"),
            {"value": Decimal("1.50"), "unit": "mg", "system": "http://unitsofmeasure.org", "code": "mg"},
        ),
        (
            Quantity(Decimal(3), "months"),
            {"value": Decimal(3), "unit": "months", "system": "http://unitsofmeasure.org", "code": "mo"},
        ),
        (Concept((CODE,), "c"), {"coding": [{"system": "http://s", "code": "1", "display": "One"}], "text": "c"}),
        (
            Interval(Quantity(Decimal(1), "cm"), None),
            {"low": {"value": Decimal(1), "unit": "cm", "system": "http://unitsofmeasure.org", "code": "cm"}},
        ),
        (
            {"text": "t", "coding": [CODE]},
            {"text": "t", "coding": [{"system": "http://s", "code": "1", "display": "One"}]},
        ),
        ({"resourceType": "Condition", "id": "c"}, {"reference": "Condition/c"}),
    ],
)
def test_dv_05_cql_values_as_fhir(value: Any, expected: Any) -> None:
    """DV-05: date-times, quantities, concepts, intervals, tuples and resources as FHIR elements."""
    applied = run(plan(action("a", dynamicValue=[dynamic("%action.x", "V")])), defines={"V": Define(value)})
    assert by_id(applied)["a"].values["x"] == expected


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


def test_er_03_refusals() -> None:
    """ER-03, IN-02, IN-04: unknown plan, wrong resource, wrong subject and a bad `now` are refused."""
    made = engine(plan(action("a")))
    with pytest.raises(NotFoundError, match="PlanDefinition none"):
        apply_plan(made, "none", FakeRecord(), NOW)
    with pytest.raises(InputError, match="a PlanDefinition is expected"):
        apply_plan(made, library(), FakeRecord(), NOW)
    about = plan(action("a"), subjectCodeableConcept={"coding": [{"code": "Practitioner"}]})
    with pytest.raises(InputError, match="about a Practitioner"):
        apply_plan(made, about, FakeRecord(), NOW)
    for bad in ("yesterday", "2026-01-31T10:00", ""):
        with pytest.raises(InputError, match="now"):
            apply_plan(made, "plan", FakeRecord(), bad)


def test_in_01_plans_by_id_canonical_and_inline() -> None:
    """IN-01: by id, by url, by url|version and as the resource itself."""
    subject = plan(action("a"))
    made = engine(subject)
    for name in ("plan", subject["url"], f"{subject['url']}|1", subject):
        assert apply_plan(made, name, FakeRecord(), NOW).plan == subject


def test_in_12_now_is_an_argument() -> None:
    """IN-12: the evaluation date is given; a day is its first moment in UTC."""
    assert instant("2026-01-31") == "2026-01-31T00:00:00+00:00"
    assert instant("2026-01-31T10:00:00Z") == "2026-01-31T10:00:00+00:00"
    resource = by_id(run(plan(action("a", definitionCanonical=SCAN)), activity()))["a"].resource
    assert resource["authoredOn"] == NOW


def test_in_06_language_of_the_result() -> None:
    """IN-06: userLanguage is the language of the result."""
    assert assemble.careplan(run(plan(action("a")), context=Context(language="es")))["language"] == "es"


def test_in_07_parameters_reach_the_logic_by_name() -> None:
    """IN-07: declared CQL parameters are bound, others are left out."""
    applied = run(
        plan(action("a", when("Given"))),
        defines={"Given": Define(lambda evaluation: evaluation.parameters == {"Cut": 5})},
        context=Context(parameters={"Cut": 5, "Other": 1}),
        parameters=("Cut",),
    )
    assert verdicts(applied) == {"a": "applicable"}


def test_dv_06_the_call_in_cql() -> None:
    """DV-06, IN-14: what the call gives reaches CQL parameters named %name; what it does not give is left null."""
    seen = ("%subject", "%encounter", "%practitioner")
    applied = run(
        plan(action("a", when("Seen"))),
        defines={
            "Seen": Define(
                lambda evaluation: (
                    evaluation.parameters["%subject"]["birthDate"] == "1960-05-31"
                    and evaluation.parameters["%encounter"] == {"resourceType": "Encounter", "id": "e"}
                    and "%practitioner" not in evaluation.parameters
                )
            )
        },
        context=Context(encounter="Encounter/e"),
        parameters=seen,
    )
    assert verdicts(applied) == {"a": "applicable"}


def test_several_plans_share_one_evaluation() -> None:
    """One call, one evaluation: a define is computed at most once for all plans."""
    made = engine(plan(action("a", when("Yes"))), plan(action("b", when("No")), key="other"))
    session = begin(made, FakeRecord(), NOW)
    found = [apply_in(session, name) for name in ("plan", "other")]
    assert [verdicts(one) for one in found] == [{"a": "applicable"}, {"b": "not-applicable"}]
    assert made.program.counted == 1


def test_activity_alone() -> None:
    """DF-08: ActivityDefinition/$apply by id, with its own dynamic values."""
    made = engine(activity(dynamicValue=[dynamic("code.text", "T")]), defines={"T": Define("x")})
    resource, issues = apply_activity(made, "scan", FakeRecord(), NOW, CONTEXT)
    assert issues == ()
    assert (resource["resourceType"], resource["code"]["text"]) == ("ServiceRequest", "x")
    assert resource["requester"] == {"reference": "Practitioner/d"}
    assert resource["encounter"] == {"reference": "Encounter/e"}


def test_plans_that_the_caller_leaves_out_are_not_applied() -> None:
    """A plan left out is not looked at, and that is no fault; without that it is applied."""
    outer = plan(action("x", definitionCanonical=f"{BASE}/PlanDefinition/b"), key="a")
    inner = plan(action("y"), key="b")
    without = run(outer, inner, context=Context(left_out=frozenset({f"{BASE}/PlanDefinition/b"})))
    assert by_id(without)["x"].nested is None
    assert without.issues == ()
    assert by_id(run(outer, inner))["x"].nested is not None
