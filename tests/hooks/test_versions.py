"""Requests as clients of CDS Hooks 1.0, 2.0 and the 3.0 ballot send them; answers that all of them can read."""

from collections.abc import Callable
from typing import Any

import ehr
import pytest
from starlette.testclient import TestClient

SERVICE = "sarcoma-follow-up"
PATIENT = "after-resection-one-overdue"
TOKEN = {"access_token": "t", "token_type": "Bearer", "expires_in": 300, "subject": "client"}

STYLES: dict[str, dict[str, Any]] = {
    "1.0": {"fhirAuthorization": {**TOKEN, "scope": "patient/*.read user/*.read"}},
    "2.0": {
        "fhirAuthorization": {**TOKEN, "scope": "patient/*.read", "patient": "elif"},
        "extension": {"org.e": {"a": 1}},
    },
    "3.0": {
        "fhirAuthorization": {**TOKEN, "scope": "patient/Condition.rs patient/*.rs", "patient": "elif"},
        "extension": {"org.e": {"a": 1}},
    },
}
"""What a client of each version adds to a call."""

V2: dict[str, set[str]] = {
    "response": {"cards", "systemActions"},
    "card": {
        "uuid",
        "summary",
        "detail",
        "indicator",
        "source",
        "suggestions",
        "selectionBehavior",
        "overrideReasons",
        "links",
    },
    "source": {"label", "url", "icon", "topic"},
    "suggestion": {"label", "uuid", "isRecommended", "actions"},
    "action": {"type", "description", "resource", "resourceId"},
    "link": {"label", "url", "type", "appContext"},
}
"""Members of CDS Hooks 2.0; 2.0.1 adds `autolaunchable` to links, the 3.0 ballot `actionSelectionBehavior` too."""


@pytest.mark.parametrize("version", STYLES)
def test_requests_of_every_version(client: TestClient, fhir_server: str, version: str) -> None:
    """The same cards, whichever version the client speaks and whichever way the data came."""
    call = ehr.request(client, PATIENT, SERVICE)
    expected = ehr.cards(client, SERVICE, call)
    assert expected
    styled = call | STYLES[version] | {"fhirServer": fhir_server}
    assert ehr.cards(client, SERVICE, styled) == expected
    assert ehr.cards(client, SERVICE, styled | {"prefetch": {}}) == expected


def test_states_of_prefetch_that_came_later(client: TestClient) -> None:
    """1.0 leaves a failed key out, 2.0 sends null or an OperationOutcome, 3.0 an empty Bundle: each says its own."""
    call = ehr.request(client, PATIENT, SERVICE)
    outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "timeout"}]}
    empty = {"resourceType": "Bundle", "type": "searchset", "total": 0}
    for value, gap in ((None, False), (empty, False), (outcome, True)):
        changed = call | {"prefetch": call["prefetch"] | {"encounters": value}}
        assert all(("encounters" in card["detail"]) is gap for card in ehr.cards(client, SERVICE, changed))
    left_out = {key: value for key, value in call["prefetch"].items() if key != "encounters"}
    assert all("encounters" in card["detail"] for card in ehr.cards(client, SERVICE, call | {"prefetch": left_out}))


def test_answers_hold_members_of_two_only(make_client: Callable[..., TestClient]) -> None:
    """No member of an answer is newer than 2.0, so that clients of 2.0, 2.0.1 and 3.0 can read it."""
    client = make_client(smart_app_url="https://app.example.org/launch")
    checked: set[str] = set()

    def check(kind: str, item: dict[str, Any]) -> None:
        checked.add(kind)
        assert item.keys() <= V2[kind]

    offered = client.get("/cds-services").json()["services"]
    services = [service["id"] for service in offered if service["hook"] == "patient-view"]
    for name in (PATIENT, "metachronous-leiomyosarcoma", "tarpswg-lung-and-liver"):
        for service in services:
            answer = ehr.post(client, service, ehr.request(client, name, service)).json()
            check("response", answer)
            for card in answer["cards"]:
                check("card", card)
                check("source", card["source"])
                for link in card.get("links", ()):
                    check("link", link)
                for suggestion in card.get("suggestions", ()):
                    check("suggestion", suggestion)
                    for action in suggestion["actions"]:
                        check("action", action)
    assert checked == V2.keys()
