"""A questionnaire for one patient: what decides most comes first, what is known is filled in, answers decide."""

from __future__ import annotations

from typing import Any

import pytest
from fhir.resources.R4B.questionnaire import Questionnaire
from fhir.resources.R4B.questionnaireresponse import QuestionnaireResponse

from fhir_cds.fhir import codec
from fhir_cds.reasoning import populate
from fhir_cds.reasoning.apply import begin
from fhir_cds.reasoning.needs import Need, needs
from fhir_cds.reasoning.outcomes import outcomes

from .forms_support import NOW, base, engine, forms, items, questionnaire, record, response


def steps_of(resources: list[dict[str, Any]]) -> tuple[Need, ...]:
    return needs(outcomes(engine(), record(resources), NOW))


def form() -> Any:
    return forms().by_canonical[questionnaire()["url"]]


@pytest.mark.parametrize("patient", ["primary-only", "metachronous", "resected", "recurrent", "synchronous"])
def test_every_open_recommendation_is_decided_by_the_facts_asked_for(patient: str) -> None:
    """Each unknown recommendation with missing facts is decided by one step, its facts asked for by then."""
    found = outcomes(engine(), record(base(patient)), NOW)
    steps = needs(found)
    asked: set[str] = set()
    decided: dict[str, set[str]] = {}
    for step in steps:
        assert step.facts
        assert not asked & set(step.facts)
        asked |= set(step.facts)
        decided |= {name: set(asked) for name in step.decides}
    waiting = {
        f"{i['source']}:{i['number']}": i["missing"] for i in found if i["outcome"] == "unknown" and i["missing"]
    }
    assert decided.keys() == waiting.keys()
    assert all(set(waiting[name]) <= facts for name, facts in decided.items())


def test_a_step_that_decides_more_comes_first() -> None:
    """One fact for many recommendations goes before one for a few."""
    steps = steps_of(base("metachronous", ("Observation/lesions",)))
    rates = [len(step.decides) / len(step.facts) for step in steps]
    assert rates[0] == max(rates)
    assert any("ibero2025:1.1" in step.decides for step in steps)


def test_missing_facts_come_first_and_are_not_filled_in() -> None:
    """The first group asks in the order of the steps; nothing in it has an initial value; nothing is asked twice."""
    resources = base("metachronous", ("Observation/lesions",))
    steps = steps_of(resources)
    made = populate.questionnaire(begin(engine(), record(resources), NOW), form(), steps)
    Questionnaire.model_validate(codec.decode(codec.encode(made)))
    asked = [fact for step in steps for fact in step.facts]
    assert [item["linkId"] for item in made["item"][0]["item"]] == asked
    assert not any("initial" in item for item, _ in items(made["item"][0]["item"]))
    links = [item["linkId"] for item, _ in items(made["item"])]
    wanted = [item["linkId"] for item, _ in items(questionnaire()["item"])]
    assert sorted(links) == sorted(["missing", *wanted])
    assert made["derivedFrom"] == [form().canonical]
    assert "url" not in made


def test_known_facts_are_filled_in() -> None:
    """Observations by their code, defines by their name: in the questionnaire, and in a response begun."""
    resources = base("metachronous")
    session = begin(engine(), record(resources), NOW)
    steps = needs(outcomes(engine(), record(resources), NOW))
    made = populate.questionnaire(session, form(), steps)
    held = {item["linkId"]: item for item, _ in items(made["item"])}
    assert held["metastasis_count.all"]["initial"] == [{"valueInteger": 2}]
    assert held["primary_diagnosis_date.known"]["initial"] == [{"valueDate": "2021-03-10"}]
    assert held["histologic_subtype"]["initial"][0]["valueCoding"]["code"] == "8890/3"
    chosen = [o["valueCoding"]["code"] for o in held["primary_tumour_status"]["answerOption"] if "initialSelected" in o]
    assert chosen == ["resected-complete"]
    begun = populate.response(session, form(), steps)
    QuestionnaireResponse.model_validate(codec.decode(codec.encode(begun)))
    answers = {item["linkId"]: item["answer"] for item, _ in items(begun["item"]) if "answer" in item}
    assert answers["metastasis_count.all"] == [{"valueInteger": 2}]
    assert begun["status"] == "in-progress"


def test_a_response_begun_and_completed_changes_nothing() -> None:
    """What was filled in and is confirmed says what the record said: no event is added, no outcome moves."""
    resources = base("resected")
    before = outcomes(engine(), record(resources), NOW)
    begun = populate.response(begin(engine(), record(resources), NOW), form(), needs(before))
    after = record([*resources, {**begun, "id": "answers", "status": "completed"}])
    assert after.gaps == ()
    made = [item for item in after.resources if item.get("meta", {}).get("source")]
    assert {item["resourceType"] for item in made} == {"Observation"}
    found = outcomes(engine(), after, NOW)
    assert [item["outcome"] for item in found] == [item["outcome"] for item in before]


def test_answers_decide() -> None:
    """The facts of a step, answered, decide its recommendations."""
    resources = base("metachronous", ("Observation/lesions",))
    open_ = {f"{i['source']}:{i['number']}": i["outcome"] for i in outcomes(engine(), record(resources), NOW)}
    assert open_["ibero2025:1.1"] == "unknown"
    answered = [*resources, response([("metastasis_count.all", 2), ("all_sites_treatable", "yes")])]
    found = {f"{i['source']}:{i['number']}": i["outcome"] for i in outcomes(engine(), record(answered), NOW)}
    assert found["ibero2025:1.1"] == "applicable"
