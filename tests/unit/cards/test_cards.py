"""Applied plans become few, ordered cards; failure and doubt are visible, and nobody else gets a card."""

import json
import re
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from msgspec.structs import replace as changed

from fhir_cds.cards.cards import LIMIT, chosen, recommendations_of
from fhir_cds.cards.facts import Facts, places
from fhir_cds.cards.outgoing import Card, OverrideReason, Response
from fhir_cds.cards.projection import Projection
from fhir_cds.fhir import codec
from fhir_cds.reasoning.outcome import Applied, AppliedAction, Outcome, Stated, Verdict, Visit

from . import card_builders as b

SCHEMA = json.loads((Path(__file__).parents[2] / "hooks" / "schema" / "response.json").read_text())
RECORD = {
    "Observation/o": {"resourceType": "Observation", "id": "o", "effectiveDateTime": "2025-11-02T10:00:00Z"},
    "Condition/c": {
        "resourceType": "Condition",
        "id": "c",
        "onsetDateTime": "2024-03",
        "code": {"text": "Sarcoma | <b>x</b>"},
    },
}
ORDER = {"resourceType": "ServiceRequest", "id": "sr", "status": "draft", "intent": "option", "code": {"text": "CT"}}
PROJECTION = Projection(Facts({"metastasis_count": "Number of lesions"}, RECORD), seed="call-1")


def cards(*applied: Applied, projection: Projection = PROJECTION) -> tuple[Card, ...]:
    """Return the cards, checked against our schema of the response."""
    made = b.cards_from(chosen(applied, projection), projection)
    jsonschema.Draft202012Validator(SCHEMA).validate(
        codec.decode(codec.encode(Response.of(cards=made)).replace(b"\\u0000", b""))
    )
    return made


def detail(card: Card) -> str:
    """Return the body of a card."""
    assert card.detail is not None
    return card.detail


def test_nothing_applies() -> None:
    """CH-07: recommendations that do not apply give no card."""
    assert cards(b.group(b.strategy(), b.leaf(b.rule("1.1"), b.NO))) == ()


@pytest.mark.parametrize("verdict", [Verdict.NOT_APPLICABLE, Verdict.UNKNOWN])
def test_outside_the_population(verdict: Verdict) -> None:
    """Who is not, or not known to be, in a strategy's population gets no card, whatever is unknown inside."""
    assert cards(b.group(b.strategy(), b.leaf(b.rule("1.1"), b.unknown("x")), verdict=verdict)) == ()


def test_one_card_per_strategy() -> None:
    """The recommendations of one strategy share a card: statement, grade, vote, citation, facts."""
    made = cards(b.group(b.strategy(), b.leaf(b.rule("1.1"), b.YES), b.leaf(b.rule("1.2"), b.YES)))
    assert len(made) == 1
    text = detail(made[0])
    assert "Says 1.1" in text
    assert "Says 1.2" in text
    assert "level V, strength B · 92 %, 33 of 36 · recommendation 1.1 · [Guide 2025](https://doi.org/10.1/x)" in text
    assert made[0].summary == "Do 1.1 (+1 more)"
    assert made[0].source.label == "Guide 2025"
    assert made[0].source.topic is not None
    assert made[0].source.url == "https://doi.org/10.1/x"


def test_why_shows_value_date_and_resource() -> None:
    """Each fact stands once, with its text from the content, value, date and record."""
    made = cards(b.group(b.strategy(), b.leaf(b.rule("1"), b.YES), b.leaf(b.rule("2"), b.YES)))
    assert detail(made[0]).count("- Metastasis count — 3 · `Observation/o` (2025-11-02)") == 1


def test_each_record_of_a_fact_has_its_own_date() -> None:
    """A fact that rests on several records says when each was, and takes its words from the first alone."""
    outcome = Outcome(
        Verdict.APPLICABLE, (), Stated((b.reason("staged", True, "Observation/o", "Condition/c", "Patient/p"),))
    )
    made = cards(b.group(b.strategy(), b.leaf(b.rule("1"), outcome)))
    assert "- Staged — yes · `Observation/o` (2025-11-02), `Condition/c` (2024-03), `Patient/p`" in detail(made[0])


def test_patient_text_is_escaped() -> None:
    """Text of the record cannot break the list or bring markup."""
    outcome = Outcome(Verdict.APPLICABLE, (), Stated((b.reason("sts_diagnosis", True, "Condition/c"),)))
    made = cards(b.group(b.strategy(), b.leaf(b.rule("1"), outcome)))
    assert r"- Sts diagnosis — yes: Sarcoma \| \<b\>x\</b\> · `Condition/c` (2024-03)" in detail(made[0])


def test_unknown_names_what_is_missing() -> None:
    """An unknown recommendation of the population names its missing facts, the most useful first, and what is met."""
    made = cards(
        b.group(
            b.strategy(),
            b.leaf(b.rule("1"), b.unknown("zeta", "metastasis_count")),
            b.leaf(b.rule("2"), b.unknown("metastasis_count")),
        )
    )
    text = detail(made[0])
    assert made[0].summary == "Question s: cannot be decided yet, 2 missing"
    assert text.index("| Number of lesions | 1, 2 |") < text.index("| zeta | 1 |")
    assert "**Not decided yet: Do 1**" in text
    assert "**Do 1**" not in text
    assert "**Met so far**" in text
    assert made[0].suggestions is None


def test_what_decides_as_much_stands_in_the_order_of_the_questionnaire() -> None:
    """Of facts that decide as much the one stands first that the content asks first; a number stands once."""
    asked = {"zeta": "Zeta?", "beta": "Beta?"}
    projection = Projection(Facts(asked, RECORD, places=places(asked)), seed="call-1")
    rule = b.rule("1")
    made = cards(
        b.group(
            b.strategy(), b.leaf(rule, b.unknown("alpha", "beta", "zeta")), b.leaf(rule, b.unknown("beta", "zeta"))
        ),
        projection=projection,
    )
    assert "| Zeta? | 1 |\n| Beta? | 1 |\n| alpha | 1 |" in detail(made[0])


def test_unknown_beside_applicable() -> None:
    """What is missing also shows on a card that already has advice."""
    made = cards(b.group(b.strategy(), b.leaf(b.rule("1"), b.YES), b.leaf(b.rule("2"), b.unknown("zeta"))))
    assert "| zeta | 2 |" in detail(made[0])
    assert made[0].summary == "Do 1"


def test_failure_is_never_silence() -> None:
    """A failed recommendation gives a warning that says where."""
    made = cards(b.group(b.strategy(), b.leaf(b.rule("1"), b.FAILED)))
    assert made[0].indicator == "warning"
    assert made[0].summary == "Question s: could not be evaluated, no advice given"
    assert 'Do 1: Logic."D" (1:1-1:2) failed' in detail(made[0])


def test_failed_population_is_shown() -> None:
    """When the population itself cannot be evaluated, that is said."""
    made = cards(b.group(b.strategy(), b.leaf(b.rule("1"), b.YES), verdict=Verdict.FAILED))
    assert len(made) == 1
    assert "broken" in detail(made[0])


def test_issues_of_a_plan_are_shown() -> None:
    """An error beside the outcomes (a definition that is not there) is shown too; a warning is not a failure."""
    issue = {"severity": "error", "code": "not-found", "diagnostics": "no ActivityDefinition"}
    applied = b.group(b.strategy(), b.leaf(b.rule("1"), b.NO), issues=(issue,))
    assert "no ActivityDefinition" in detail(cards(applied)[0])
    assert cards(changed(applied, issues=({**issue, "severity": "warning"},))) == ()


def test_no_consensus_is_an_open_question() -> None:
    """A proposal without consensus is never a suggestion nor the summary's advice."""
    open_plan = b.rule("3.2", display="no-consensus")
    made = cards(b.group(b.strategy(), b.leaf(open_plan, b.YES, resource=ORDER)))
    assert made[0].summary == "Question s: open question, no consensus"
    assert made[0].suggestions is None
    assert "**Open questions (no consensus, not advice)**\n\n- Says 3.2 — level V" in detail(made[0])


def test_background_supports_only() -> None:
    """Ungraded text stands under a card and never makes one."""
    background = b.leaf(b.rule("N1", display="background"), b.YES)
    assert cards(b.group(b.strategy(), background)) == ()
    made = cards(b.group(b.strategy(), b.leaf(b.rule("1"), b.YES), background))
    assert "**Background**\n\n- Says N1" in detail(made[0])


def test_studies_stand_as_evidence() -> None:
    """The studies of what is shown stand in a section of their own, each once, and are no citation."""
    study = {
        "type": "justification",
        "display": "Series of 24 patients | no control",
        "extension": [{"url": f"{b.BASE}/StructureDefinition/evidence-figures", "extension": []}],
    }
    rules = [b.rule(number) for number in ("1", "2")]
    for rule in rules:
        rule["relatedArtifact"].append(study)
    made = cards(b.group(b.strategy(), *(b.leaf(rule, b.YES) for rule in rules), b.leaf(b.rule("3"), b.NO)))
    assert detail(made[0]).count("**Evidence**\n\n- Series of 24 patients \\| no control") == 1
    assert detail(made[0]).count("Series of 24") == 1


@pytest.mark.parametrize("outcome", [b.YES, b.FAILED, b.unknown("zeta")])
def test_suppressed_is_never_shown(outcome: Outcome) -> None:
    """A suppressed recommendation gives nothing, whatever its outcome."""
    assert cards(b.group(b.strategy(), b.leaf(b.rule("9", display="suppressed"), outcome))) == ()


def test_orders_become_a_suggestion() -> None:
    """The realised orders of a recommendation can be accepted together."""
    made = cards(b.group(b.strategy(), b.leaf(b.rule("1"), b.YES, resource=ORDER)))
    assert made[0].selection_behavior == "any"
    assert made[0].suggestions is not None
    action = made[0].suggestions[0].actions
    assert action is not None
    assert action[0].resource == ORDER
    assert action[0].description == "Create ServiceRequest: CT"


@pytest.mark.parametrize(
    ("resource", "said"),
    [
        (
            ORDER | {"occurrencePeriod": {"start": "2026-02-01", "end": "2026-03-01T10:00:00Z"}},
            "CT, 2026-02-01 to 2026-03-01",
        ),
        (ORDER | {"occurrencePeriod": {"start": "2026-02-01"}}, "CT, from 2026-02-01"),
        (ORDER | {"occurrenceDateTime": "2026-02-01T10:00:00Z"}, "CT, 2026-02-01"),
        ({"resourceType": "Task", "id": "t", "code": {"coding": [{"code": "x"}]}, "description": "Ask"}, "Ask"),
        ({"resourceType": "Goal", "id": "g", "description": {"text": "No pain"}}, ""),
        ({"resourceType": "RequestGroup", "id": "r", "action": [{}, {"title": "First"}]}, "First"),
    ],
)
def test_c11_an_action_says_what_and_when(resource: dict[str, Any], said: str) -> None:
    """An action says what it creates, in words before codes, and when that should be done where it has a date."""
    made = cards(b.group(b.strategy(), b.leaf(b.rule("1"), b.YES, resource=resource)))
    assert made[0].suggestions is not None
    (action,) = made[0].suggestions[0].actions or ()
    assert action.description == f"Create {resource['resourceType']}" + (f": {said}" if said else "")


@pytest.mark.parametrize(
    ("priority", "indicator"),
    [("routine", "info"), ("urgent", "warning"), ("asap", "warning"), ("stat", "critical")],
)
def test_priority_gives_the_indicator(priority: str, indicator: str) -> None:
    """Each request priority has its indicator."""
    assert cards(b.group(b.strategy(), b.leaf(b.rule("1", priority=priority), b.YES)))[0].indicator == indicator


def test_order_is_urgency_then_strength() -> None:
    """More urgent cards come first, then the stronger recommendation, then what is unknown."""
    made = cards(
        b.group(b.strategy("unknown"), b.leaf(b.rule("1"), b.unknown("zeta"))),
        b.group(b.strategy("weak"), b.leaf(b.rule("2", strength="C"), b.YES)),
        b.group(b.strategy("strong"), b.leaf(b.rule("3", strength="A"), b.YES)),
        b.group(b.strategy("urgent"), b.leaf(b.rule("4", strength="C", priority="urgent"), b.YES)),
    )
    assert [card.summary for card in made] == [
        "Do 4",
        "Do 3",
        "Do 2",
        "Question unknown: cannot be decided yet, 1 missing",
    ]


def test_one_order_is_offered_once_on_a_card() -> None:
    """Two recommendations that ask for the same give one suggestion, the more urgent; a different order stays."""
    other = {**ORDER, "id": "other", "code": {"text": "MRI"}}
    made = cards(
        b.group(
            b.strategy(),
            b.leaf(b.rule("1"), b.YES, resource={**ORDER, "priority": "routine"}),
            b.leaf(b.rule("2", priority="urgent"), b.YES, resource={**ORDER, "id": "again", "priority": "urgent"}),
            b.leaf(b.rule("3"), b.YES, resource=other),
        )
    )
    offered = [action.resource for choice in made[0].suggestions or () for action in choice.actions or ()]
    assert offered == [{**ORDER, "id": "again", "priority": "urgent"}, other]


def test_at_most_the_limit_and_nothing_lost() -> None:
    """Beyond the limit the last card holds the rest."""
    applied = [
        b.group(b.strategy(f"s{n}"), b.leaf(b.rule(str(n)), b.YES, resource={**ORDER, "code": {"text": f"CT {n}"}}))
        for n in range(9)
    ]
    made = cards(*applied)
    assert sum(len(card.suggestions or ()) for card in made) == 9
    behind = recommendations_of(made, chosen(applied, PROJECTION))
    assert {card.uuid for card in made} == behind.keys()
    assert sum(len(numbers) for numbers in behind.values()) == 9
    assert len(made) == LIMIT
    assert made[-1].summary.startswith("4 further topics: Question ")
    everything = "\n".join(detail(card) for card in made)
    assert all(f"Says {n}" in everything for n in range(9))


def test_the_limit_stays_itself() -> None:
    """Exactly as many decisions as the limit give that many cards of their own."""
    applied = [b.group(b.strategy(f"s{n}"), b.leaf(b.rule(str(n)), b.YES)) for n in range(LIMIT)]
    assert [card.summary for card in cards(*applied)] == [f"Do {n}" for n in range(LIMIT)]


def test_uuids_are_stable_within_a_call_and_differ_between_calls() -> None:
    """The same call gives the same uuids, another call others."""
    applied = b.group(b.strategy(), b.leaf(b.rule("1"), b.YES, resource=ORDER))
    first, again = cards(applied), cards(applied)
    other = cards(applied, projection=replace(PROJECTION, seed="call-2"))
    assert first == again
    assert first[0].uuid != other[0].uuid
    assert first[0].suggestions is not None
    assert other[0].suggestions is not None
    assert first[0].suggestions[0].uuid != other[0].suggestions[0].uuid


def test_c17_links_are_what_the_source_does_not_say() -> None:
    """The publication that the source names is no link again; another one is, and one at the same address too."""
    others = [
        {"type": "citation", "citation": "Guide 2018", "url": "https://doi.org/10.1/y"},
        {"type": "documentation", "display": "Guide 2025, supplement", "url": "https://doi.org/10.1/x"},
    ]
    plan = b.rule("1")
    plan["relatedArtifact"] += others
    (card,) = cards(b.group(b.strategy(), b.leaf(plan, b.YES)))
    assert (card.source.label, card.source.url) == ("Guide 2025", "https://doi.org/10.1/x")
    assert [(link.label, link.url, link.type) for link in card.links or ()] == [
        ("Guide 2018", "https://doi.org/10.1/y", "absolute"),
        ("Guide 2025, supplement", "https://doi.org/10.1/x", "absolute"),
    ]


def test_a_source_is_one_publication() -> None:
    """A publication without an address is not given that of another one on the card."""
    plans = [b.rule("1"), b.rule("2", strength="C")]
    plans[0]["relatedArtifact"] = [{"type": "citation", "citation": "Printed only"}]
    (card,) = cards(b.group(b.strategy(), *(b.leaf(plan, b.YES) for plan in plans)))
    assert (card.source.label, card.source.url) == ("Printed only", None)
    assert [link.label for link in card.links or ()] == ["Guide 2025"]


def further(*last: Applied, projection: Projection = PROJECTION) -> Card:
    """Return the card of further topics: more urgent ones fill the cards before it."""
    before = [b.group(b.strategy(f"s{n}"), b.leaf(b.rule(f"p{n}", priority="urgent"), b.YES)) for n in range(LIMIT - 1)]
    made = cards(*before, *last, projection=projection)
    assert [card.summary for card in made[:-1]] == [f"Do p{n}" for n in range(LIMIT - 1)]
    assert made[-1].summary.startswith(f"{len(last)} further topics: Question ")
    return made[-1]


def test_a_fact_stands_once_on_the_card_of_further_topics() -> None:
    """What stands above is not repeated for a later topic, which says so, whether it applies or is open."""
    more = Outcome(Verdict.APPLICABLE, (), Stated((*b.YES.because, b.reason("sts_diagnosis", True))))
    open_one = Outcome(Verdict.UNKNOWN, ("zeta",), Stated((*b.YES.because, b.reason("age", 4))))
    last = further(
        b.group(b.strategy("a"), b.leaf(b.rule("1", strength="A"), b.YES)),
        b.group(b.strategy("b"), b.leaf(b.rule("2"), more)),
        b.group(b.strategy("c"), b.leaf(b.rule("3", strength="C"), b.YES)),
        b.group(b.strategy("d"), b.leaf(b.rule("4"), open_one)),
    )
    text = detail(last)
    assert text.count("Metastasis count — 3") == 1
    first, second, third, fourth = re.split(r"\*\*(?:Do 2|Do 3|Question d: [^*]*)\*\*", text)
    assert "**Why**\n\n- Metastasis count" in first
    assert "**Why, besides the facts above**\n\n- Sts diagnosis — yes" in second
    assert "**Why**\n\nFacts that stand above." in third
    assert "**Met so far, besides the facts above**\n\n- Age — 4" in fourth


def test_facts_that_do_not_meet_are_not_called_further() -> None:
    """Where nothing of what stands above bears on a topic, its facts are simply why."""
    other = Outcome(Verdict.APPLICABLE, (), Stated((b.reason("age", 4),)))
    last = further(
        b.group(b.strategy("a"), b.leaf(b.rule("1", strength="A"), b.YES)),
        b.group(b.strategy("b"), b.leaf(b.rule("2"), other)),
    )
    assert "**Why**\n\n- Age — 4" in detail(last)
    assert "besides" not in detail(last)


def test_a_further_topic_is_named_once() -> None:
    """The title of a topic's first recommendation stands once, and those that follow are not counted in it."""
    last = further(
        b.group(b.strategy("a"), b.leaf(b.rule("1", strength="A"), b.YES), b.leaf(b.rule("2"), b.YES)),
        b.group(b.strategy("b"), b.leaf(b.rule("3"), b.YES)),
    )
    assert re.findall(r"\*\*(Do .*)\*\*", detail(last)) == ["Do 1", "Do 2", "Do 3"]


def test_a_further_topic_that_starts_with_what_is_open() -> None:
    """Where the recommendation that names a topic is not the first thing said of it, its title tells of the others."""
    topic = {"topic": [{"coding": [{"system": f"{b.BASE}/CodeSystem/decision-topic", "code": "x"}]}]}
    last = b.group(b.strategy("a") | topic, b.leaf(b.rule("1"), b.unknown("zeta")))
    joined = b.group(b.strategy("b") | topic, b.leaf(b.rule("2"), b.YES), b.leaf(b.rule("3"), b.YES))
    before = [b.group(b.strategy(f"s{n}"), b.leaf(b.rule(f"p{n}", priority="urgent"), b.YES)) for n in range(LIMIT)]
    text = detail(cards(*before, last, joined)[-1])
    assert re.findall(r"\*\*(Do [^p].*)\*\*", text) == ["Do 2 (+1 more)", "Do 2", "Do 3"]


def test_gaps_are_said_once_on_the_card_of_further_topics() -> None:
    """Data that could not be read are named at the end of the card, once."""
    topics = [b.group(b.strategy(name), b.leaf(b.rule(name), b.YES)) for name in "ab"]
    last = further(*topics, projection=replace(PROJECTION, gaps=("observations: 500",)))
    assert detail(last).count("observations: 500") == 1
    assert detail(last).endswith("**Data that could not be read**\n\n- observations: 500")


VISITS = (
    Visit(1, "to month 24", date(2025, 4, 10), date(2025, 5, 10), "completed", ("ct",), "guide:13", date(2025, 4, 20)),
    Visit(2, "to month 24", date(2025, 7, 20), date(2025, 8, 20), "overdue", ("ct",), "guide:13"),
    Visit(3, "to month 24", date(2025, 11, 20), date(2025, 12, 20), "scheduled", ("ct",), "guide:13"),
)


def careplan() -> dict[str, Any]:
    """Return a care plan with contained orders."""
    return {
        "resourceType": "CarePlan",
        "id": "cp",
        "status": "draft",
        "intent": "proposal",
        "instantiatesCanonical": [f"{b.BASE}/PlanDefinition/r-13|1"],
        "subject": {"reference": "Patient/p"},
        "contained": [{**ORDER, "id": "o1"}],
        "activity": [{"reference": {"reference": "#o1"}}],
    }


def test_follow_up_card() -> None:
    """The schedule says what is overdue, and the care plan with its orders is one transaction."""
    applied = b.group(b.strategy(), changed(b.leaf(b.rule("13"), b.YES, resource=ORDER), visits=VISITS))
    made = cards(applied, projection=replace(PROJECTION, careplans=(careplan(),)))
    assert made[0].summary == "Question s: overdue, 2025-07-20 to 2025-08-20"
    assert made[0].indicator == "warning"
    assert "| 2 | 2025\u201107\u201120 to 2025\u201108\u201120 | overdue | to month 24 |" in detail(made[0])
    assert made[0].suggestions is not None
    assert len(made[0].suggestions) == 1
    actions = made[0].suggestions[0].actions
    assert actions is not None
    order, plan = (action.resource for action in actions)
    assert order is not None
    assert plan is not None
    assert "contained" not in plan
    assert plan["activity"][0]["reference"]["reference"] == f"ServiceRequest/{order['id']}"


def test_gaps_are_said() -> None:
    """Data that could not be read are named on every card."""
    made = cards(
        b.group(b.strategy(), b.leaf(b.rule("1"), b.YES)), projection=replace(PROJECTION, gaps=("observations: 500",))
    )
    assert "**Data that could not be read**\n\n- observations: 500" in detail(made[0])


def test_override_reasons_and_app_link() -> None:
    """Configured override reasons and the SMART link are on the card; its context is the opaque uuid."""
    reasons = (OverrideReason.of(system="https://e.org/s", code="c", display="d"),)
    projection = replace(PROJECTION, override_reasons=reasons, app_url="https://app.example.org/launch")
    made = cards(b.group(b.strategy(), b.leaf(b.rule("1"), b.YES)), projection=projection)
    assert made[0].override_reasons == reasons
    assert made[0].links is not None
    assert made[0].links[-1].type == "smart"
    assert made[0].links[-1].app_context == made[0].uuid


def test_recommendations_behind_cards() -> None:
    """Each card uuid leads to the recommendations that apply in it."""
    applied = b.group(b.strategy(), b.leaf(b.rule("1"), b.YES), b.leaf(b.rule("2"), b.NO))
    (card,) = cards(applied)
    assert recommendations_of([card], chosen([applied], PROJECTION)) == {card.uuid: ("guide:1",)}


def test_a_lone_recommendation_has_its_own_card() -> None:
    """A recommendation plan applied without a strategy is its own decision."""
    made = cards(b.leaf(b.rule("1"), b.YES))
    assert made[0].summary == "Do 1"
    assert made[0].source.label == "Guide 2025"


def alternatives(behaviour: str, *, trial: bool) -> list[tuple[int, str | None]]:
    """Return, for each suggestion of a recommendation with two orders, its number of actions and how they exclude."""
    orders = [ORDER | {"id": name, "code": {"text": name}} for name in ("ct", "mr")]
    children = tuple(
        AppliedAction(order["id"], "PlanDefinition.action[0]", {}, {}, Outcome(Verdict.APPLICABLE), resource=order)
        for order in orders
    )
    applied = b.leaf(b.rule("1", selectionBehavior=behaviour), b.YES, children=children)
    made = b.cards_from(chosen([applied], PROJECTION), replace(PROJECTION, trial=trial))
    return [
        (len(suggestion.actions or ()), suggestion.action_selection_behavior)
        for suggestion in made[0].suggestions or ()
    ]


@pytest.mark.parametrize(
    ("behaviour", "selection"), [("any", "any"), ("one-or-more", "any"), ("exactly-one", "at-most-one")]
)
def test_c15_alternatives_for_clients_of_three(behaviour: str, selection: str) -> None:
    """Alternatives are suggestions of their own; a client of the 3.0 ballot gets them as actions of one suggestion."""
    assert alternatives(behaviour, trial=False) == [(1, None), (1, None)]
    assert alternatives(behaviour, trial=True) == [(2, selection)]


@pytest.mark.parametrize(
    ("group", "first", "behaviour", "flags"),
    [
        (None, None, "any", [None, None]),
        (None, "yes", "any", [True, None]),
        ("yes", None, "any", [True, True]),
        ("yes", "no", "any", [None, True]),
        ("yes", None, "all", [True]),
        (None, "yes", "all", [None]),
        ("yes", None, "exactly-one", [True, None]),
    ],
)
def test_gr_05_what_the_plan_chose_beforehand_is_recommended(
    group: str | None, first: str | None, behaviour: str, flags: list[bool | None]
) -> None:
    """GR-05: precheckBehavior of an action or of the group above it, for all orders of a suggestion."""
    stated = [{"precheckBehavior": first} if first else {}, {}]
    children = tuple(
        AppliedAction(
            name, "PlanDefinition.action[0]", {}, own, b.YES, resource=ORDER | {"id": name, "code": {"text": name}}
        )
        for name, own in zip(("ct", "mr"), stated, strict=True)
    )
    own = {"precheckBehavior": group} if group else {}
    applied = b.leaf(b.rule("1", selectionBehavior=behaviour, **own), b.YES, children=children)
    (card,) = b.cards_from(chosen([applied], PROJECTION), PROJECTION)
    assert [suggestion.is_recommended for suggestion in card.suggestions or ()] == flags


@pytest.mark.parametrize("trial", [False, True])
def test_orders_that_belong_together_stay_one_suggestion(*, trial: bool) -> None:
    """What must be ordered together is one suggestion for every client, without a member that 2.0 does not know."""
    assert alternatives("all", trial=trial) == [(2, None)]
