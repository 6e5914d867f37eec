"""SDC over HTTP, and answers as part of a call's data, on the content."""

from typing import Any

import ehr
import pytest
from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.questionnaire import Questionnaire
from fhir.resources.R4B.questionnaireresponse import QuestionnaireResponse
from fhir.resources.R4B.task import Task
from small import issue, post, text
from starlette.testclient import TestClient

from fhir_cds.fhir import codec

FORM = "https://fhir-cds.github.io/sarcoma/Questionnaire/sarcoma-facts"
LACKING = "lesion-count-missing"
NOW = text("evaluationDateTime", "2026-01-31T00:00:00+00:00")


def data(*more: dict[str, Any]) -> dict[str, Any]:
    document = ehr.bundle(LACKING)
    entries = [*document["entry"], *({"resource": resource} for resource in more)]
    return {"name": "data", "resource": {"resourceType": "Bundle", "type": "collection", "entry": entries}}


def subject() -> str:
    return ehr.record(LACKING).subject


def answers(**elements: Any) -> dict[str, Any]:
    """Return a completed response with a lesion count."""
    count = {"linkId": "metastasis_count.all", "answer": [{"valueInteger": 2}]}
    return {
        "resourceType": "QuestionnaireResponse",
        "id": "answers",
        "questionnaire": f"{FORM}|0.1.0",
        "status": "completed",
        "subject": {"reference": subject()},
        "authored": "2026-01-30",
        "item": [{"linkId": "metastases", "item": [{"linkId": "metastasis_count", "item": [count]}]}],
        **elements,
    }


def parts(answer: Any) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    return {item["name"]: item["resource"] for item in answer.json()["parameter"]}


@pytest.mark.parametrize("path", ["Questionnaire/sarcoma-facts/$populate", "Questionnaire/$populate"])
def test_populate(client: TestClient, path: str) -> None:
    """A response begun and the questionnaire with missing facts first, by id and by canonical."""
    named = [] if "sarcoma-facts" in path else [text("questionnaire", FORM)]
    found = parts(post(client, path, *named, text("subject", subject()), data(), NOW))
    QuestionnaireResponse.model_validate(found["response"])
    Questionnaire.model_validate(found["questionnaire"])
    assert found["response"]["status"] == "in-progress"
    assert found["response"]["questionnaire"] == f"{FORM}|0.1.0"
    assert "metastasis_count" in [item["linkId"] for item in found["questionnaire"]["item"][0]["item"]]


def test_extract(client: TestClient) -> None:
    """A completed response becomes a transaction that creates what it says, about its subject, derived from it."""
    given = {"name": "questionnaire-response", "resource": answers()}
    found = parts(post(client, "QuestionnaireResponse/$extract", given))
    assert found.keys() == {"return"}
    Bundle.model_validate(found["return"])
    (entry,) = found["return"]["entry"]
    assert entry["request"] == {"method": "POST", "url": "Observation"}
    assert entry["resource"]["valueInteger"] == 2
    assert entry["resource"]["subject"] == {"reference": subject()}
    assert entry["resource"]["derivedFrom"] == [{"reference": "QuestionnaireResponse/answers"}]
    assert "id" not in entry["resource"]


def test_extract_tells_what_cannot_be_read(client: TestClient) -> None:
    """An answer that does not fit is a warning; with nothing read there is no Bundle."""
    wrong = answers(item=[{"linkId": "metastatic_disease", "answer": [{"valueString": "perhaps"}]}])
    found = parts(post(client, "QuestionnaireResponse/$extract", {"name": "questionnaire-response", "resource": wrong}))
    assert found.keys() == {"issues"}
    (told,) = found["issues"]["issue"]
    assert told["severity"] == "warning"
    assert "metastatic_disease" in told["diagnostics"]
    assert "perhaps" not in told["diagnostics"]


@pytest.mark.parametrize(
    ("elements", "status"),
    [
        ({"status": "in-progress"}, 400),
        ({"questionnaire": f"{FORM}|9.9.9"}, 404),
        ({"questionnaire": "http://example.org/Questionnaire/other"}, 404),
        ({"subject": {"reference": "Group/g"}}, 400),
        ({"subject": None}, 400),
    ],
)
def test_responses_that_cannot_be_extracted(client: TestClient, elements: dict[str, Any], status: int) -> None:
    """One that is not completed, to another form or version, or about nobody is refused with what and where."""
    given = {"name": "questionnaire-response", "resource": answers(**elements)}
    issue(post(client, "QuestionnaireResponse/$extract", given), status)


def test_a_form_is_named_once(client: TestClient) -> None:
    """Neither or both ways of naming the questionnaire is a mistake; one that is not there is not found."""
    common = [text("subject", subject()), data(), NOW]
    assert "questionnaire" in issue(post(client, "Questionnaire/$populate", *common), 400)["expression"][0]
    both = [text("questionnaire", FORM), *common]
    issue(post(client, "Questionnaire/sarcoma-facts/$populate", *both), 400)
    issue(post(client, "Questionnaire/$populate", text("questionnaire", "http://example.org/q"), *common), 404)
    issue(post(client, "Questionnaire/other/$populate", *common), 404)


def test_the_statement_names_the_operations(client: TestClient) -> None:
    """The CapabilityStatement has both, and each has its definition."""
    (rest,) = client.get("/fhir/metadata").json()["rest"]
    offered = {
        (resource["type"], one["name"]) for resource in rest["resource"] for one in resource.get("operation", ())
    }
    assert {("Questionnaire", "populate"), ("QuestionnaireResponse", "extract")} <= offered
    assert client.get("/fhir/OperationDefinition/QuestionnaireResponse-extract").status_code == 200


def lesions(client: TestClient, *more: dict[str, Any]) -> int | None:
    """Return the number of lesions as the logic reads it from the data of a call."""
    asked = [text("subject", subject()), text("expression", "Number Of Lesions"), data(*more), NOW]
    answer = post(client, "Library/SarcomaMetastases/$evaluate", *asked)
    assert answer.status_code == 200, answer.text
    value: int | None = answer.json()["parameter"][0].get("valueInteger")
    return value


def test_answers_in_the_data_of_a_call(client: TestClient) -> None:
    """A completed response among the data decides; one in progress does not."""
    assert lesions(client) is None
    assert lesions(client, answers(status="in-progress")) is None
    assert lesions(client, answers()) == 2


def test_answers_in_prefetch(client: TestClient) -> None:
    """A completed response in prefetch is read: the card no longer asks for the count."""
    service = "sarcoma-liver-metastases"
    call = ehr.request(client, LACKING, service)
    before = codec.encode(ehr.cards(client, service, call)).decode()
    call["prefetch"]["answers"] = {
        "resourceType": "Bundle",
        "type": "searchset",
        "entry": [{"resource": answers(), "search": {"mode": "match"}}],
    }
    after = codec.encode(ehr.cards(client, service, call)).decode()
    assert "Number of metastatic lesions" in before
    assert "Number of metastatic lesions" not in after


def test_a_card_that_lacks_facts_offers_to_ask(client: TestClient) -> None:
    """Where a card has nothing else to accept, a Task asks for its missing facts with a questionnaire."""
    service = "sarcoma-liver-metastases"
    cards = ehr.cards(client, service, ehr.request(client, LACKING, service))
    offered = [(card, choice) for card in cards for choice in card.get("suggestions", ())]
    asking = [(card, c) for card, c in offered if c["label"].startswith("Ask for the missing facts")]
    assert asking
    for card, choice in asking:
        (action,) = choice["actions"]
        Task.model_validate(action["resource"])
        assert all(each["label"].startswith("Ask for the missing facts") for each in card["suggestions"])
        assert action["type"] == "create"
        assert action["resource"]["for"] == {"reference": subject()}
        assert action["resource"]["input"][0]["valueCanonical"] == f"{FORM}|0.1.0"
    assert any("Number of metastatic lesions" in c["actions"][0]["resource"]["description"] for _, c in asking)
