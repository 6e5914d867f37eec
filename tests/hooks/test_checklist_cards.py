"""CDS Hooks checklist: the call (Q) and the cards (C), over all sample patients."""

import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import ehr
import pytest
from starlette.testclient import TestClient

SERVICES = ("sarcoma-follow-up", "sarcoma-liver-metastases")
SERVICE = "sarcoma-liver-metastases"
REASONS = "http://terminology.hl7.org/CodeSystem/non-adherence-reason-codes"
"""As in HL7/cds-hooks, input/vocabulary, 2026-06-24."""

PATIENT = "metachronous-leiomyosarcoma"


@pytest.fixture
def all_cards(client: TestClient) -> list[dict[str, Any]]:
    """Return every card of some sample patients."""
    names = ("after-resection-one-overdue", "clear-cell-sarcoma", "major-hepatectomy-ordered", "partial-dates", PATIENT)
    return [
        card
        for name in names
        for service in SERVICES
        for card in ehr.cards(client, service, ehr.request(client, name, service))
    ]


def suggestions(cards: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the suggestions of cards."""
    return [suggestion for card in cards for suggestion in card.get("suggestions", ())]


@pytest.mark.parametrize("member", ["hook", "hookInstance", "context"])
def test_q1_mandatory_members(client: TestClient, member: str) -> None:
    """A body without hook, hookInstance or context is 400."""
    answer = ehr.post(client, SERVICE, ehr.request(client, PATIENT, SERVICE) | {member: None})
    assert answer.status_code == 400
    assert member in answer.text


def test_q2_hook_instance_is_a_uuid(client: TestClient) -> None:
    """hookInstance must be a UUID."""
    call = ehr.request(client, PATIENT, SERVICE)
    assert ehr.post(client, SERVICE, call | {"hookInstance": "1"}).status_code == 400
    assert ehr.post(client, SERVICE, call | {"hookInstance": str(uuid.uuid4())}).status_code == 200


def test_q3_hook_not_offered(client: TestClient) -> None:
    """A hook that the service does not answer is 400."""
    assert ehr.post(client, SERVICE, ehr.request(client, PATIENT, SERVICE) | {"hook": "order-sign"}).status_code == 400


def test_q4_context_is_checked(client: TestClient) -> None:
    """The context is checked against the hook's table; `Patient/x` is tolerated as patientId."""
    call = ehr.request(client, PATIENT, SERVICE)
    context = call["context"]
    prefixed = context | {"patientId": f"Patient/{context['patientId']}"}
    assert ehr.cards(client, SERVICE, call | {"context": prefixed}) == ehr.cards(client, SERVICE, call)
    assert ehr.post(client, SERVICE, call | {"context": context | {"userId": "somebody"}}).status_code == 400


def test_q5_resources_in_context_are_r4(client: TestClient) -> None:
    """What is no R4 resource in the context is 400."""
    call = ehr.request(client, PATIENT, "sarcoma-new-metastasis", hook="problem-list-item-create")
    entry = [{"resource": {"resourceType": "NoSuchType", "id": "x"}}]
    call["context"]["conditions"] = {"resourceType": "Bundle", "type": "collection", "entry": entry}
    assert ehr.post(client, "sarcoma-new-metastasis", call).status_code == 400


def test_q6_extensions_are_tolerated(client: TestClient) -> None:
    """Unknown members and extensions at any level change nothing."""
    call = ehr.request(client, PATIENT, SERVICE)
    extended = call | {"extension": {"org.example": {"a": 1}}, "somethingNew": True}
    extended["context"] = call["context"] | {"extension": {"org.example": 1}, "other": [1]}
    assert ehr.cards(client, SERVICE, extended) == ehr.cards(client, SERVICE, call)


def test_q7_nothing_to_say(client: TestClient) -> None:
    """A patient to whom nothing applies gets 200 with an empty list."""
    answer = ehr.post(client, SERVICE, ehr.request(client, "no-cancer", SERVICE))
    assert (answer.status_code, answer.json()) == (200, {"cards": []})


def test_q8_data_that_cannot_be_had(client: TestClient) -> None:
    """Needed data that cannot be had is 412."""
    assert ehr.post(client, SERVICE, ehr.request(client, PATIENT, SERVICE, prefetch=None)).status_code == 412


def test_q9_other_statuses(client: TestClient) -> None:
    """404, 405 and 415 where they belong (413, 429, 500: see the other files)."""
    assert ehr.post(client, "nothing", {}).status_code == 404
    assert client.delete(f"/cds-services/{SERVICE}").status_code == 405
    assert ehr.post(client, SERVICE, b"x", headers={"content-type": "text/plain"}).status_code == 415


def test_q10_errors_are_operation_outcomes(client: TestClient) -> None:
    """Every error carries an OperationOutcome, as FHIR JSON when asked for."""
    answer = ehr.post(client, "nothing", {}, headers={"accept": "application/fhir+json"})
    assert answer.headers["content-type"] == "application/fhir+json; charset=utf-8"
    assert answer.json()["resourceType"] == "OperationOutcome"
    assert client.get("/nothing").headers["content-type"] == "application/json"


def test_c1_root_object(client: TestClient) -> None:
    """The root object has cards, and no systemActions when there are none."""
    answer = ehr.post(client, SERVICE, ehr.request(client, PATIENT, SERVICE)).json()
    assert answer.keys() == {"cards"}


def test_c2_every_card_has_a_uuid(all_cards: list[dict[str, Any]]) -> None:
    """Each card has a UUID of its own within a call."""
    assert all(str(uuid.UUID(card["uuid"])) == card["uuid"] for card in all_cards)


def test_c3_summary_under_140(all_cards: list[dict[str, Any]]) -> None:
    """Each summary is one line of fewer than 140 characters."""
    assert all(0 < len(card["summary"]) < 140 and "\n" not in card["summary"] for card in all_cards)


def test_c4_detail_is_markdown_without_html(all_cards: list[dict[str, Any]]) -> None:
    """No card holds an HTML tag."""
    unescaped = [card["detail"].replace("\\<", "") for card in all_cards]
    assert not any("<" in detail for detail in unescaped)


def test_c5_indicator(all_cards: list[dict[str, Any]]) -> None:
    """The indicator is info, warning or critical."""
    assert {card["indicator"] for card in all_cards} <= {"info", "warning", "critical"}


def test_c6_source(all_cards: list[dict[str, Any]]) -> None:
    """The source has a label, and its URL is absolute."""
    assert all(card["source"]["label"] for card in all_cards)
    assert all(urlsplit(card["source"]["url"]).scheme == "https" for card in all_cards if "url" in card["source"])


def test_c7_topic(all_cards: list[dict[str, Any]]) -> None:
    """The topic is a Coding with code and system."""
    assert all(card["source"]["topic"].keys() >= {"code", "system"} for card in all_cards)


def test_c8_selection_behavior(all_cards: list[dict[str, Any]]) -> None:
    """Where there are suggestions there is a selectionBehavior of 2.0, and nowhere else."""
    for card in all_cards:
        assert ("suggestions" in card) == ("selectionBehavior" in card)
        assert card.get("selectionBehavior", "any") in {"any", "at-most-one"}


def test_c9_suggestions_have_label_and_uuid(all_cards: list[dict[str, Any]]) -> None:
    """Each suggestion has a label and a UUID."""
    found = suggestions(all_cards)
    assert found
    assert all(item["label"] and uuid.UUID(item["uuid"]) for item in found)


def test_c10_recommended(all_cards: list[dict[str, Any]]) -> None:
    """isRecommended is a boolean, at most once true where at most one can be chosen."""
    for card in all_cards:
        flags = [item.get("isRecommended") for item in card.get("suggestions", ())]
        assert all(isinstance(flag, bool) for flag in flags if flag is not None)
        assert card.get("selectionBehavior") != "at-most-one" or flags.count(True) <= 1


def test_c11_actions_say_what_they_do(all_cards: list[dict[str, Any]]) -> None:
    """Each action has a type and a description."""
    actions = [action for item in suggestions(all_cards) for action in item["actions"]]
    assert all(action["type"] in {"create", "update", "delete"} and action["description"] for action in actions)


def test_c12_whole_resources(all_cards: list[dict[str, Any]]) -> None:
    """Creates carry a whole resource about the patient."""
    for item in suggestions(all_cards):
        for action in item["actions"]:
            resource = action["resource"]
            about = resource["for"] if resource["resourceType"] == "Task" else resource["subject"]
            assert about["reference"].startswith("Patient/")
            assert resource["status"]
            assert resource["intent"]


def test_c13_deletes(all_cards: list[dict[str, Any]]) -> None:
    """Nothing is deleted; that a delete would carry resourceId alone is shown with the models."""
    assert all(action["type"] == "create" for item in suggestions(all_cards) for action in item["actions"])


def test_c14_one_transaction(all_cards: list[dict[str, Any]]) -> None:
    """Created resources have ids, and what points to another of them does so by `Type/id`."""
    for item in suggestions(all_cards):
        resources = [action["resource"] for action in item["actions"]]
        names = {f"{resource['resourceType']}/{resource['id']}" for resource in resources}
        assert len(names) == len(resources)
        for resource in resources:
            assert "contained" not in resource
            activities = [item for item in resource.get("activity", ()) if "reference" in item]
            referred = {activity["reference"]["reference"] for activity in activities}
            assert referred <= names


def test_c16_override_reasons(client: TestClient, all_cards: list[dict[str, Any]]) -> None:
    """Override reasons have code, system and display, and are the same on every card with advice."""
    offered = [tuple(r["code"] for r in card["overrideReasons"]) for card in all_cards if "overrideReasons" in card]
    assert offered
    assert len(set(offered)) == 1
    reasons = [reason for card in all_cards for reason in card.get("overrideReasons", ())]
    assert all(reason["code"] and reason["display"] for reason in reasons)
    assert {reason["system"] for reason in reasons} == {REASONS}


def test_c17_links(all_cards: list[dict[str, Any]]) -> None:
    """Links are absolute URLs with label and type, none says what the source says, which is a link already; the text
    links each recommendation to its publication."""
    for card in all_cards:
        source = (card["source"]["label"], card["source"].get("url"))
        for link in card.get("links", ()):
            assert link["type"] == "absolute"
            assert "appContext" not in link
            assert link["label"]
            assert urlsplit(link["url"]).netloc
            assert (link["label"], link["url"]) != source
        assert card["source"].get("url") is None or f"]({card['source']['url']})" in card["detail"]


def test_c17_smart_link(make_client: Callable[..., TestClient]) -> None:
    """With an app configured each card has one smart link, also the one of further topics; its context is its uuid."""
    client = make_client(smart_app_url="https://app.example.org/launch")
    found = ehr.cards(client, SERVICE, ehr.request(client, PATIENT, SERVICE))
    assert found[-1]["summary"].endswith("further topics")
    for card in found:
        smart = [link for link in card.get("links", ()) if link["type"] == "smart"]
        assert [(link["url"], link["appContext"]) for link in smart] == [
            ("https://app.example.org/launch", card["uuid"])
        ], card["summary"]


def test_c18_not_autolaunchable(all_cards: list[dict[str, Any]]) -> None:
    """No link starts by itself: a card must be seen."""
    assert not any("autolaunchable" in link for card in all_cards for link in card.get("links", ()))


def test_c19_no_system_actions(client: TestClient) -> None:
    """Nothing is done behind the clinician's back."""
    body = ehr.request(client, "after-resection-one-overdue", "sarcoma-follow-up")
    assert "systemActions" not in ehr.post(client, "sarcoma-follow-up", body).json()


def test_c20_extensions_are_objects(all_cards: list[dict[str, Any]]) -> None:
    """Where a card has an extension it is an object with reverse-domain names."""
    for card in all_cards:
        assert all("." in name for name in card.get("extension", {"org.example": 1}))


def test_at_most_seven_cards(client: TestClient) -> None:
    """No call gives more than seven cards."""
    for path in sorted(ehr.PATIENTS.glob("*.json")):
        for service in SERVICES:
            assert len(ehr.cards(client, service, ehr.request(client, path.stem, service))) <= 7


def test_no_consensus_is_never_suggested(client: TestClient) -> None:
    """What found no consensus is shown as an open question and never as a suggestion."""
    for path in sorted(ehr.PATIENTS.glob("*.json")):
        for card in ehr.cards(client, SERVICE, ehr.request(client, path.stem, SERVICE)):
            open_part = card["detail"].partition("**Open questions")[2].partition("\n\n**")[0]
            for label in (item["label"] for item in card.get("suggestions", ())):
                assert label not in open_part


@pytest.mark.parametrize("service", SERVICES)
def test_an_order_is_offered_once_a_call(client: TestClient, service: str) -> None:
    """No answer offers an order twice; a card whose order another card offers names that one."""
    named = 0
    for path in sorted(ehr.PATIENTS.glob("*.json")):
        found = ehr.cards(client, service, ehr.request(client, path.stem, service))
        orders = [
            ehr.codec.canonical({**action["resource"], "id": None, "priority": None})
            for item in suggestions(found)
            for action in item["actions"]
        ]
        assert len(orders) == len(set(orders)), path.stem
        for card in found:
            for line in card["detail"].partition("**Offered on another card**\n\n")[2].partition("\n\n")[0].split("\n"):
                if line:
                    label, _, other = line.removeprefix("- ").partition(": on the card “")
                    (on,) = [one for one in found if one["summary"] == other.removesuffix("”")]
                    assert any(label in item["label"] for item in on["suggestions"])
                    named += 1
    assert named or service != SERVICE


def test_a_line_stands_once_among_further_topics(client: TestClient) -> None:
    """The card that several topics share holds no fact, gap or title twice."""
    shared = 0
    for path in sorted(ehr.PATIENTS.glob("*.json")):
        for card in ehr.cards(client, SERVICE, ehr.request(client, path.stem, SERVICE)):
            if card["summary"].endswith("further topics"):
                lines = [line for line in card["detail"].split("\n") if line.startswith("- ")]
                assert len(lines) == len(set(lines)), path.stem
                shared += 1
    assert shared
