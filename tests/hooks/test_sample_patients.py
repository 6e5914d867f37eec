"""The sample patients through the whole service: who gets cards, and that the way of the data does not matter."""

import json
from typing import Any

import ehr
import pytest
from starlette.testclient import TestClient

from fhir_cds.server.state import Loaded

NAMES = sorted(path.stem for path in ehr.PATIENTS.glob("*.json"))
SERVICES = ("sarcoma-follow-up", "sarcoma-liver-metastases")
NEW = "sarcoma-new-metastasis"
WITHOUT_CARDS = {"no-cancer", "gist", "breast-cancer-liver-metastasis", "tarpswg-gist"}


@pytest.mark.parametrize("name", NAMES)
def test_cards_of_every_sample(client: TestClient, name: str) -> None:
    """Every sample gives a valid answer; those outside the guideline's population give no card at all."""
    found = [card for service in SERVICES for card in ehr.cards(client, service, ehr.request(client, name, service))]
    assert bool(found) is (name not in WITHOUT_CARDS)
    assert len({card["uuid"] for card in found}) == len(found)


def test_overdue_visit(client: TestClient) -> None:
    """After resection the card says what is overdue, and its suggestion is one transaction around a CarePlan."""
    (card,) = ehr.cards(
        client, "sarcoma-follow-up", ehr.request(client, "after-resection-one-overdue", "sarcoma-follow-up")
    )
    assert card["indicator"] == "warning"
    assert "overdue" in card["summary"]
    resources = [action["resource"] for action in card["suggestions"][0]["actions"]]
    plan = resources[-1]
    assert plan["resourceType"] == "CarePlan"
    assert "contained" not in plan
    created = {f"{resource['resourceType']}/{resource['id']}" for resource in resources}
    referred = {item["reference"]["reference"] for item in plan["activity"] if "reference" in item}
    assert referred == created - {f"CarePlan/{plan['id']}"}


def test_the_follow_up_ct_is_ordered_with_oral_contrast(client: TestClient) -> None:
    """13.1 asks for oral and intravenous contrast: the order of the visit says so."""
    found = ehr.cards(
        client, "sarcoma-follow-up", ehr.request(client, "after-resection-one-overdue", "sarcoma-follow-up")
    )
    accepted = json.dumps([suggestion for card in found for suggestion in card.get("suggestions", ())])
    assert "oral and intravenous contrast" in accepted


def test_missing_lesion_count_is_named(client: TestClient, content: Loaded) -> None:
    """A record without the lesion count gets a card that names it instead of silence."""
    body = ehr.request(client, "lesion-count-missing", "sarcoma-liver-metastases")
    text = "\n".join(card["detail"] for card in ehr.cards(client, "sarcoma-liver-metastases", body))
    assert f"| {content.fact_texts['metastasis_count']} |" in text


def test_same_call_same_bytes(client: TestClient) -> None:
    """The same call gives the same bytes."""
    body = ehr.request(client, "metachronous-leiomyosarcoma", "sarcoma-liver-metastases")
    first = ehr.post(client, "sarcoma-liver-metastases", body).content
    assert ehr.post(client, "sarcoma-liver-metastases", body).content == first


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("service", SERVICES)
def test_p9_prefetch_or_server_gives_the_same_cards(
    client: TestClient, fhir_server: str, name: str, service: str
) -> None:
    """Prefetch alone, server alone, and half of each give the same cards (P9, F8)."""
    body = ehr.request(client, name, service)
    by_prefetch = ehr.cards(client, service, body)
    by_server = ehr.cards(client, service, {**body, "prefetch": {}, "fhirServer": fhir_server})
    half = dict(list(body["prefetch"].items())[::2])
    by_both = ehr.cards(client, service, {**body, "prefetch": half, "fhirServer": fhir_server})
    assert by_prefetch == by_server == by_both


def test_new_problem_that_matters(client: TestClient) -> None:
    """A liver metastasis recorded just now brings the questions that rest on it, before the record has it."""
    document = ehr.bundle("metachronous-leiomyosarcoma")
    conditions = [entry["resource"] for entry in document["entry"] if entry["resource"]["resourceType"] == "Condition"]
    new = [item for item in conditions if "liver" in str(item).lower()]
    body = ehr.request(client, "metachronous-leiomyosarcoma", NEW, hook="problem-list-item-create")
    kept = [e for e in body["prefetch"]["conditions"]["entry"] if e["resource"] not in new]
    body["prefetch"]["conditions"]["entry"] = kept
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": item} for item in new]}
    body["context"]["conditions"] = bundle
    assert new
    assert ehr.cards(client, NEW, body)


def test_new_problem_that_does_not_matter(client: TestClient) -> None:
    """Another new problem of the same patient raises nothing."""
    body = ehr.request(client, "metachronous-leiomyosarcoma", NEW, hook="problem-list-item-create")
    other = {
        "resourceType": "Condition",
        "id": "new",
        "subject": {"reference": f"Patient/{body['context']['patientId']}"},
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "38341003"}]},
    }
    body["context"]["conditions"] = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": other}]}
    assert ehr.cards(client, NEW, body) == []


def test_new_problem_of_another_patient(client: TestClient) -> None:
    """A new problem of somebody else is refused."""
    body = ehr.request(client, "metachronous-leiomyosarcoma", NEW, hook="problem-list-item-create")
    other = {"resourceType": "Condition", "id": "new", "subject": {"reference": "Patient/somebody-else"}}
    body["context"]["conditions"] = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": other}]}
    assert ehr.post(client, NEW, body).status_code == 400


def appointment(start: str, **changes: Any) -> dict[str, Any]:
    """Return an appointment for the examination of a follow-up visit."""
    code = {"system": "http://snomed.info/sct", "code": "5880005"}
    base = {"resourceType": "Appointment", "id": "a", "status": "booked", "start": f"{start}T09:00:00+01:00"}
    base |= {"serviceType": [{"coding": [code]}]}
    return base | {"participant": [{"actor": {"reference": "Patient/elif"}, "status": "accepted"}]} | changes


def test_a_visit_that_is_booked(client: TestClient) -> None:
    """An appointment on record takes the urgency from a visit that was overdue, and no order for it is offered."""
    call = ehr.request(client, "after-resection-one-overdue", "sarcoma-follow-up")
    (before,) = ehr.cards(client, "sarcoma-follow-up", call)
    call["prefetch"]["appointments"] = appointment("2026-02-10")
    (after,) = ehr.cards(client, "sarcoma-follow-up", call)
    assert (before["indicator"], "overdue" in before["summary"]) == ("warning", True)
    assert after["indicator"] == "info"
    assert "booked, 2026-02-10" in after["summary"]
    assert "`Appointment/a`" in after["detail"]
    assert "overdue" not in after["detail"]
    (plan,) = (a["resource"] for a in after["suggestions"][0]["actions"] if a["resource"]["resourceType"] == "CarePlan")
    (planned,) = (a["detail"] for a in plan["activity"] if a.get("detail", {}).get("status") == "scheduled")
    assert planned["scheduledPeriod"] == {"start": "2026-02-10", "end": "2026-02-10"}
    orders = [a["resource"] for a in after["suggestions"][0]["actions"] if a["resource"]["resourceType"] != "CarePlan"]
    assert {order["occurrencePeriod"]["start"] for order in orders} == {"2026-02-20"}


def test_a_visit_that_is_being_booked(client: TestClient) -> None:
    """On appointment-book the appointment that is proposed counts as well; one for something else does not."""
    call = ehr.request(client, "after-resection-one-overdue", "sarcoma-follow-up", hook="appointment-book")

    def summary(*booked: dict[str, Any]) -> str:
        entries = [{"resource": item} for item in booked]
        call["context"]["appointments"] = {"resourceType": "Bundle", "type": "collection", "entry": entries}
        (card,) = ehr.cards(client, "sarcoma-follow-up", call)
        return str(card["summary"])

    assert "overdue" in summary()
    assert "booked, 2026-02-10" in summary(appointment("2026-02-10", status="proposed"))
    assert "overdue" in summary(appointment("2026-02-10", status="proposed", serviceType=[{"text": "Dentist"}]))
