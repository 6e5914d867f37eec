"""CDS Hooks checklist: the cards (C), over all sample patients."""

import json
import re
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import ehr
import pytest
from msgspec import ValidationError
from starlette.testclient import TestClient

from fhir_cds.cards.outgoing import Card, Source

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


def test_c1_root_object(client: TestClient) -> None:
    """The root object has cards, and no systemActions when there are none."""
    answer = ehr.post(client, SERVICE, ehr.request(client, PATIENT, SERVICE)).json()
    assert answer.keys() == {"cards"}


def test_c2_every_card_has_a_uuid(all_cards: list[dict[str, Any]]) -> None:
    """Each card and each suggestion has a UUID of its own, whatever patient and service they are for."""
    found = [item["uuid"] for item in (*all_cards, *suggestions(all_cards))]
    assert all(str(uuid.UUID(one)) == one for one in found)
    assert len(set(found)) == len(found) > 10


def test_c2_a_new_call_has_new_cards(client: TestClient) -> None:
    """The same call again gives the same cards; a new hookInstance gives the same advice under uuids of its own."""
    call = ehr.request(client, PATIENT, SERVICE)
    first, again, other = (
        ehr.cards(client, SERVICE, one) for one in (call, call, call | {"hookInstance": str(uuid.uuid4())})
    )
    assert first == again
    assert [card["summary"] for card in first] == [card["summary"] for card in other]
    names = [{item["uuid"] for item in (*cards, *suggestions(cards))} for cards in (first, other)]
    assert not names[0] & names[1]


def test_c3_summary_under_140(all_cards: list[dict[str, Any]]) -> None:
    """Each summary is one line of fewer than 140 characters."""
    assert all(0 < len(card["summary"]) < 140 and "\n" not in card["summary"] for card in all_cards)


def test_c4_detail_is_markdown_without_html(all_cards: list[dict[str, Any]]) -> None:
    """No card holds an HTML tag."""
    assert not any("<" in card["detail"] for card in all_cards)


def test_c4_text_of_the_record_stays_text(client: TestClient) -> None:
    """What the record calls a disease or finding is shown as it stands: no tag, link, image or table comes of it."""
    hostile = "<b>x</b> ![i](https://e.org/i.png) | [l](https://e.org)"
    call = ehr.codec.encode(ehr.request(client, PATIENT, SERVICE))
    changed = re.sub(rb'("display|text"):"[^"]*"', b"\\1:" + json.dumps(hostile).encode(), call)
    changed = re.sub(rb'"display":"[^"]*"', b'"display":' + json.dumps(hostile).encode(), changed)
    told = "\n".join(card["detail"] for card in ehr.cards(client, SERVICE, changed))
    shown = r"\<b\>x\</b\> !\[i\](https\://e.org/i.png) \| \[l\](https\://e.org)"
    assert shown in told
    assert hostile not in told
    assert "<" not in told.replace(r"\<", "")


def test_c5_indicator(all_cards: list[dict[str, Any]]) -> None:
    """The indicator is info, warning or critical."""
    assert {card["indicator"] for card in all_cards} <= {"info", "warning", "critical"}


def test_c6_source(all_cards: list[dict[str, Any]]) -> None:
    """The source has a label, and its URL is absolute; it is a publication wherever the card cites one."""
    assert all(card["source"]["label"] for card in all_cards)
    for card in all_cards:
        if "](https://doi.org/" in card["detail"]:
            assert urlsplit(card["source"]["url"]).scheme == "https"


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
    assert any(item.get("isRecommended") is True for item in suggestions(all_cards))


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
    """Created resources have ids; what points to another of them does so by `Type/id`, and comes after it."""
    pointed = 0
    for item in suggestions(all_cards):
        resources = [action["resource"] for action in item["actions"]]
        names = [f"{resource['resourceType']}/{resource['id']}" for resource in resources]
        assert len(set(names)) == len(names)
        for number, resource in enumerate(resources):
            assert "contained" not in resource
            activities = [item for item in resource.get("activity", ()) if "reference" in item]
            referred = {activity["reference"]["reference"] for activity in activities}
            assert referred <= set(names[:number])
            pointed += len(referred)
            assert '"#' not in json.dumps(resource, default=str)
    assert pointed


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
    assert found[-1]["summary"].partition(" ")[2].startswith("further topics: ")
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


def test_c20_extensions_are_objects(client: TestClient, all_cards: list[dict[str, Any]]) -> None:
    """Ours have none; a card could not have one that is no object; steering members of content are not sent."""
    assert not any("extension" in card for card in all_cards)
    assert b"org.fhir-cds" not in client.get("/cds-services").content
    for wrong in ([], {}, "x"):
        with pytest.raises(ValidationError):
            Card.of(uuid="u", summary="s", indicator="info", source=Source(label="l"), extension=wrong)


def test_at_most_seven_cards(client: TestClient) -> None:
    """The services of one hook give a patient seven cards together at most, six of them each; some get six."""
    most = 0
    for path in sorted(ehr.PATIENTS.glob("*.json")):
        numbers = [len(ehr.cards(client, name, ehr.request(client, path.stem, name))) for name in SERVICES]
        assert max(numbers) <= 6
        assert sum(numbers) <= 7
        most = max(most, *numbers)
    assert most == 6


def test_no_consensus_is_never_suggested(client: TestClient) -> None:
    """What found no consensus is shown as an open question and never as a suggestion."""
    seen = 0
    for path in sorted(ehr.PATIENTS.glob("*.json")):
        for card in ehr.cards(client, SERVICE, ehr.request(client, path.stem, SERVICE)):
            open_part = card["detail"].partition("**Open questions")[2].partition("\n\n**")[0]
            seen += bool(open_part)
            for label in (item["label"] for item in card.get("suggestions", ())):
                assert label not in open_part
    assert seen


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
            if card["summary"].partition(" ")[2].startswith("further topics: "):
                lines = [line for line in card["detail"].split("\n") if line.startswith("- ")]
                assert len(lines) == len(set(lines)), path.stem
                shared += 1
    assert shared
