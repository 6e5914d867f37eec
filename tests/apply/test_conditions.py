"""Applicability conditions (apply.md §1.3)."""

from __future__ import annotations

import pytest

from fhir_cds.errors import ContentError
from fhir_cds.reasoning import assemble
from fhir_cds.reasoning.outcome import Verdict

from .support import BASE, Define, action, by_id, engine, library, plan, run, verdicts, when

CQF = "http://hl7.org/fhir/StructureDefinition"


def test_co_01_only_applicability_gates() -> None:
    """CO-01: start and stop conditions are copied forward, never evaluated."""
    start = {"kind": "start", "expression": {"language": "text/cql-identifier", "expression": "Broken"}}
    applied = run(plan(action("a", when("Yes"), start)))
    assert verdicts(applied) == {"a": "applicable"}
    group = assemble.careplan(applied)["contained"][0]
    assert group["action"][0]["condition"][1] == start


def test_co_02_none_and_several_conditions() -> None:
    """CO-02: no condition applies; several are joined by AND; a false parent prunes all below it."""
    applied = run(
        plan(
            action("none"),
            action("both", when("Yes"), when("Yes")),
            action("one", when("Yes"), when("No")),
            action("pruned", when("No"), action=[action("below")]),
        )
    )
    assert verdicts(applied) == {
        "none": "applicable",
        "both": "applicable",
        "one": "not-applicable",
        "pruned": "not-applicable",
    }


@pytest.mark.parametrize(
    ("names", "verdict"),
    [
        (("Yes", "Null"), Verdict.UNKNOWN),
        (("Null", "Yes"), Verdict.UNKNOWN),
        (("No", "Null"), Verdict.NOT_APPLICABLE),
        (("Null", "No"), Verdict.NOT_APPLICABLE),
        (("Null", "Null"), Verdict.UNKNOWN),
        (("No", "Broken"), Verdict.FAILED),
        (("Null", "Broken"), Verdict.FAILED),
    ],
)
def test_co_02_and_is_three_valued(names: tuple[str, str], verdict: Verdict) -> None:
    """CO-02, CO-07: false decides, null makes unknown; an error is never hidden by another condition."""
    applied = run(plan(action("a", *(when(name) for name in names))))
    assert by_id(applied)["a"].outcome.verdict is verdict


@pytest.mark.parametrize("language", ["text/cql-identifier", "text/cql.identifier", "text/cql.name", "text/cql"])
def test_co_03_spellings_of_a_named_define(language: str) -> None:
    """CO-03: every spelling of "the name of a define" that real content uses."""
    assert verdicts(run(plan(action("a", when("No", language))))) == {"a": "not-applicable"}


@pytest.mark.parametrize("text", ["Is it so", '"Is it so"', '"Logic"."Is it so"', 'Logic."Is it so"'])
def test_co_03_names_with_spaces_and_quotes(text: str) -> None:
    """CO-03: a define's name may have spaces, quotes and its library before it."""
    applied = run(plan(action("a", when(text, "text/cql"))), defines={"Is it so": Define(True)})
    assert verdicts(applied) == {"a": "applicable"}


@pytest.mark.parametrize(
    ("language", "text", "says"),
    [
        ("text/cql-expression", "1 = 1", "inline CQL"),
        ("text/cql.expression", "Yes", "inline CQL"),
        ("text/cql", "Yes and No", "inline CQL"),
        ("text/cql", "exists([Condition])", "inline CQL"),
        ("application/x-fhir-query", "Condition?code=1", "not supported"),
        ("text/python", "True", "not known"),
    ],
)
def test_co_03_unsupported_languages_are_said(language: str, text: str, says: str) -> None:
    """CO-03: what cannot be evaluated fails its action with an issue that names plan and place."""
    applied = run(plan(action("a", when(text, language)), action("b")))
    assert verdicts(applied) == {"a": "failed", "b": "applicable"}
    (issue,) = by_id(applied)["a"].outcome.issues
    assert says in issue["diagnostics"]
    assert f"{BASE}/PlanDefinition/plan|1" in issue["diagnostics"]
    assert issue["expression"] == ["PlanDefinition.action[0].condition[0]"]


def test_co_04_reference_wins() -> None:
    """CO-04: Expression.reference names the library, whatever the plan's libraries are."""
    made = plan(action("a", when("Yes", reference=f"{BASE}/Library/Logic")), library=[f"{BASE}/Library/Other"])
    assert verdicts(run(made, library("Other"))) == {"a": "applicable"}


def test_co_04_several_libraries_need_a_qualified_name() -> None:
    """CO-04: with two libraries a bare name is refused, a qualified one is taken."""
    both = [f"{BASE}/Library/Logic", f"{BASE}/Library/Other"]
    made = plan(action("bare", when("Yes")), action("named", when('"Logic"."Yes"')), library=both)
    applied = run(made, library("Other"))
    assert verdicts(applied) == {"bare": "failed", "named": "applicable"}
    assert "2 libraries" in by_id(applied)["bare"].outcome.issues[0]["diagnostics"]


def test_co_04_a_library_that_is_not_the_plans() -> None:
    """CO-04: a qualified name must name a library of the plan."""
    applied = run(plan(action("a", when('"Other"."Yes"'))))
    assert "not one of its plan" in by_id(applied)["a"].outcome.issues[0]["diagnostics"]


@pytest.mark.parametrize("on", ["expression", "condition"])
def test_co_06_alternative_expression(on: str) -> None:
    """CO-06: the alternative is taken when the primary has no value, and only then."""

    def condition(primary: str, other: str) -> dict[str, object]:
        alternative = {"language": "text/cql-identifier", "expression": other}
        extension = [{"url": f"{CQF}/cqf-alternativeExpression", "valueExpression": alternative}]
        made = when(primary)
        (made["expression"] if on == "expression" else made)["extension"] = extension
        return made

    applied = run(
        plan(
            action("null", condition("Null", "Yes")),
            action("false", condition("No", "Yes")),
            action("both", condition("Null", "Null")),
        )
    )
    assert verdicts(applied) == {"null": "applicable", "false": "not-applicable", "both": "unknown"}


def test_co_06_alternative_in_a_language_that_works() -> None:
    """CO-06: where the primary's language is not supported, the alternative answers."""
    condition = when("1 = 1", "text/cql-expression")
    condition["expression"]["extension"] = [
        {
            "url": f"{CQF}/cqf-alternativeExpression",
            "valueExpression": {"language": "text/cql-identifier", "expression": "No"},
        }
    ]
    assert verdicts(run(plan(action("a", condition)))) == {"a": "not-applicable"}


def test_co_07_null_is_unknown_and_names_the_facts() -> None:
    """CO-07: null is unknown, with the facts whose absence left it so; nothing below is looked at."""
    defines = {
        "Applies": Define(None, ("Few", "Small", "Old")),
        "Few": Define(None, ("Count",)),
        "Small": Define(True, ("Size",)),
        "Old": Define(False, ("Age",)),
        "Count": Define(None, (), "metastasis_count", type="Integer"),
        "Size": Define(3, (), "lesion_size", type="Integer"),
        "Age": Define(None, (), "age", type="Integer"),
    }
    applied = run(plan(action("a", when("Applies"), action=[action("below")])), defines=defines)
    assert verdicts(applied) == {"a": "unknown"}
    assert by_id(applied)["a"].outcome.missing == ("metastasis_count",)


def test_co_07_unknown_is_written_on_the_condition() -> None:
    """CO-07: the result keeps the action, says unknown on its condition, and carries no request for it."""
    careplan = assemble.careplan(run(plan(action("a", when("Null"), definitionUri="http://example.org/x"))))
    found = careplan["contained"][0]["action"][0]
    assert found["condition"][0]["extension"][0]["valueCode"] == "unknown"
    assert found["resource"] == {"display": "A"}
    messages = next(r for r in careplan["contained"] if r["resourceType"] == "OperationOutcome")
    assert "not known whether the action applies" in messages["issue"][0]["diagnostics"]


@pytest.mark.parametrize("name", ["Text", "Two"])
def test_co_07_what_is_no_boolean_fails(name: str) -> None:
    """CO-07: a value that is no single Boolean fails the action; it is not taken for false."""
    applied = run(plan(action("a", when(name))))
    assert verdicts(applied) == {"a": "failed"}
    assert "a Boolean is expected" in by_id(applied)["a"].outcome.issues[0]["diagnostics"]


def test_co_07_an_error_is_an_issue() -> None:
    """CO-07, ER-01: an error fails the action and names library, define and locator; the rest goes on."""
    applied = run(plan(action("a", when("Broken")), action("b", when("Yes"))))
    assert verdicts(applied) == {"a": "failed", "b": "applicable"}
    assert 'Logic."Broken" (1:1-1:2)' in by_id(applied)["a"].outcome.issues[0]["diagnostics"]


@pytest.mark.parametrize(
    "behaviour",
    [
        {"applicabilityBehavior": "any"},
        {"extension": [{"url": f"{CQF}/cqf-applicabilityBehavior", "valueCode": "any"}]},
    ],
)
def test_co_08_any_stops_at_the_first_applicable(behaviour: dict[str, object]) -> None:
    """CO-08: `any` takes the first applicable child, in R5's element and in the R4 extension."""
    children = [action("no", when("No")), action("yes", when("Yes")), action("too", when("Yes"))]
    applied = run(plan(action("group", action=children, **behaviour)))
    assert verdicts(applied) == {
        "group": "applicable",
        "no": "not-applicable",
        "yes": "applicable",
        "too": "not-applicable",
    }


@pytest.mark.parametrize(("name", "verdict"), [("Null", "unknown"), ("Broken", "failed")])
def test_co_08_any_pauses_at_what_is_not_decided(name: str, verdict: str) -> None:
    """CO-08, CO-07: an unknown or failed child must not fall through to the next."""
    children = [action("open", when(name)), action("next", when("Yes"))]
    applied = run(plan(action("group", action=children, applicabilityBehavior="any")))
    assert verdicts(applied) == {"group": "applicable", "open": verdict, "next": "unknown"}


def test_co_08_any_on_the_plan_itself() -> None:
    """CO-08: the extension on the plan governs its top level."""
    extension = [{"url": f"{CQF}/cqf-applicabilityBehavior", "valueCode": "any"}]
    applied = run(plan(action("a"), action("b"), extension=extension))
    assert verdicts(applied) == {"a": "applicable", "b": "not-applicable"}


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        ({"kind": "applicability", "expression": {"expression": "Yes"}}, "names no language"),
        ({"kind": "applicability", "expression": {"language": "text/cql-identifier"}}, "has no text"),
        ({"kind": "applicability"}, "no expression"),
        (when("Absent"), 'no define "Absent"'),
    ],
)
def test_co_09_incomplete_expressions(condition: dict[str, object], says: str) -> None:
    """CO-09: missing language, text, expression or define: an issue, other actions still processed."""
    applied = run(plan(action("a", condition), action("b")))
    assert verdicts(applied) == {"a": "failed", "b": "applicable"}
    assert says in by_id(applied)["a"].outcome.issues[0]["diagnostics"]


def test_co_09_missing_library() -> None:
    """CO-09: a plan without library, or with one that is not there."""
    without = run(plan(action("a", when("Yes")), library=[]))
    assert "needs a library" in by_id(without)["a"].outcome.issues[0]["diagnostics"]
    absent = run(plan(action("a", when("Yes")), library=[f"{BASE}/Library/None"]))
    assert f"{BASE}/Library/None is not in the content" in by_id(absent)["a"].outcome.issues[0]["diagnostics"]


def test_content_is_cross_checked_when_it_is_loaded() -> None:
    """Invariant 5: every fault of the content is listed at once, with its file."""
    bad = plan(
        action("a", when("Absent"), definitionCanonical=f"{BASE}/ActivityDefinition/none"),
        action("a", relatedAction=[{"actionId": "gone", "relationship": "after"}]),
        library=[f"{BASE}/Library/Logic"],
    )
    with pytest.raises(ContentError) as caught:
        engine(bad)
    for text in ('no define "Absent"', '"a" stands 2 times', 'no action "gone"', "ActivityDefinition/none is not"):
        assert text in caught.value.message
    assert "PlanDefinition-plan.json" in caught.value.message


def test_al_06_rings_of_plans_are_found_when_content_is_loaded() -> None:
    """AL-06: A applies B applies A is a fault of the content."""
    one = plan(action("x", definitionCanonical=f"{BASE}/PlanDefinition/b"), key="a")
    two = plan(action("y", definitionCanonical=f"{BASE}/PlanDefinition/a"), key="b")
    with pytest.raises(ContentError, match=r"a\|1 -> .*b\|1 -> .*a\|1"):
        engine(one, two)
