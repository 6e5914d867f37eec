"""Draft orders against the guidelines: they reach the logic as a parameter and are never kept."""

from typing import Any

import ehr
import pytest
from starlette.testclient import TestClient

SERVICE = "sarcoma-order-check"
PATIENT = "retroperitoneal"
SARCOMA = {"system": "http://snomed.info/sct", "code": "722229001", "display": "Primary sarcoma of retroperitoneum"}
ASPIRATION = {"system": "http://snomed.info/sct", "code": "257759008", "display": "Fine needle aspiration"}
ACTIVE = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "active"}]}
SUBJECT = {"reference": f"Patient/{PATIENT}"}


def order(coding: dict[str, str] = ASPIRATION, **changes: Any) -> dict[str, Any]:
    """Return a draft order."""
    base = {"resourceType": "ServiceRequest", "id": "draft-1", "status": "draft", "intent": "order"}
    return base | {"subject": SUBJECT, "code": {"coding": [coding]}} | changes


def call(client: TestClient, hook: str, *orders: dict[str, Any]) -> dict[str, Any]:
    """Return a call with draft orders for a patient with sarcoma of the retroperitoneum."""
    condition = {"resourceType": "Condition", "id": "c", "subject": SUBJECT, "clinicalStatus": ACTIVE}
    condition |= {"code": {"coding": [SARCOMA]}, "onsetDateTime": "2026-01-02"}
    drafts = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": item} for item in orders]}
    document = {"entry": [{"resource": {"resourceType": "Patient", "id": PATIENT}}, {"resource": condition}]}
    context = {"userId": "Practitioner/d", "patientId": PATIENT, "draftOrders": drafts}
    if hook == "order-select":
        context["selections"] = [f"ServiceRequest/{item['id']}" for item in orders]
    prefetch = ehr.prefetch(document, ehr.templates(client, SERVICE, hook))
    return {"hook": hook, "hookInstance": ehr.INSTANCE, "context": context, "prefetch": prefetch}


@pytest.mark.parametrize("hook", ["order-select", "order-sign"])
def test_an_order_against_the_guideline(client: TestClient, hook: str) -> None:
    """CH-06: a draft order that the guideline advises against is said, on both hooks."""
    found = ehr.cards(client, SERVICE, call(client, hook, order()))
    assert any("aspiration" in card["detail"].lower() for card in found)


def test_no_orders_no_card(client: TestClient) -> None:
    """Without draft orders there is nothing to check."""
    assert ehr.cards(client, SERVICE, call(client, "order-sign")) == []


def test_another_order(client: TestClient) -> None:
    """An order that no guideline speaks about raises nothing."""
    other = order({"system": "http://loinc.org", "code": "24323-8"})
    assert ehr.cards(client, SERVICE, call(client, "order-sign", other)) == []


def test_orders_of_another_patient(client: TestClient) -> None:
    """Draft orders of somebody else are refused."""
    other = order(subject={"reference": "Patient/somebody-else"})
    assert ehr.post(client, SERVICE, call(client, "order-sign", other)).status_code == 400


def test_selections_must_be_drafts(client: TestClient) -> None:
    """A selection that is not among the drafts is refused."""
    body = call(client, "order-select", order())
    body["context"]["selections"] = ["ServiceRequest/other"]
    assert ehr.post(client, SERVICE, body).status_code == 400


def liver_call(client: TestClient, *orders: dict[str, Any], born: str = "1970-01-01") -> dict[str, Any]:
    """Return a call of order-sign for a patient with leiomyosarcoma and a liver metastasis."""
    made = call(client, "order-sign", *orders)
    sarcoma = {"system": "http://snomed.info/sct", "code": "443719001", "display": "Leiomyosarcoma"}
    liver = {"system": "http://snomed.info/sct", "code": "94381002", "display": "Liver metastasis"}
    conditions = [
        {"resourceType": "Condition", "id": name, "subject": SUBJECT, "clinicalStatus": ACTIVE, "onsetDateTime": day}
        | {"code": {"coding": [coding]}}
        for name, coding, day in (("primary", sarcoma, "2021-03-10"), ("liver", liver, "2026-01-08"))
    ]
    patient = {"resourceType": "Patient", "id": PATIENT, "birthDate": born}
    document = {"entry": [{"resource": item} for item in (patient, *conditions)]}
    return made | {"prefetch": ehr.prefetch(document, ehr.templates(client, SERVICE, "order-sign"))}


RESECTION = {"system": "http://snomed.info/sct", "code": "174431000", "display": "Wedge resection of liver"}
BIOPSY = {"system": "http://snomed.info/sct", "code": "86259008", "display": "Biopsy of liver"}


@pytest.mark.parametrize(
    ("coding", "number"), [(RESECTION, "5.1"), (RESECTION, "7.2"), (BIOPSY, "3.3")], ids=["5.1", "7.2", "3.3"]
)
def test_an_order_of_the_liver(client: TestClient, coding: dict[str, str], number: str) -> None:
    """The resection or biopsy that is being signed meets what the Ibero-American consensus asks of it."""
    found = ehr.cards(client, SERVICE, liver_call(client, order(coding)))
    assert any(f"consensus 2025, {number}" in card["detail"] for card in found)


def test_a_resection_for_another_reason(client: TestClient) -> None:
    """A resection for a haemangioma is not one of liver metastases."""
    reason = [{"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "D18.03"}]}]
    found = ehr.cards(client, SERVICE, liver_call(client, order(RESECTION, reasonCode=reason)))
    assert not any("consensus 2025, 5.1" in card["detail"] for card in found)


@pytest.mark.parametrize(("born", "said"), [("2010-06-01", True), ("1970-01-01", False)])
def test_the_sources_address_adults(client: TestClient, born: str, said: bool) -> None:
    """Under 18 the first card says that the sources address adults (A29)."""
    found = ehr.cards(client, SERVICE, liver_call(client, order(RESECTION), born=born))
    assert any("no lower age limit" in card["detail"].lower() or "adults" in card["detail"] for card in found) is said


def sandbox_draft(coding: dict[str, str]) -> dict[str, Any]:
    """Return an order of a drug as the CDS Hooks sandbox drafts it: without intent while the drug is chosen."""
    subject = {"reference": "Patient/lena"}
    dose = {"doseQuantity": {"value": 1, "system": "http://unitsofmeasure.org", "code": "{pill}"}}
    timing = {"repeat": {"frequency": 1, "period": 1, "periodUnit": "d"}}
    base = {"resourceType": "MedicationRequest", "id": "request-123", "status": "draft", "authoredOn": "2026-01-31"}
    base |= {"dosageInstruction": [{"timing": timing, "doseAndRate": [dose]}], "subject": subject}
    return base | {"medicationCodeableConcept": {"text": coding["display"], "coding": [coding]}}


@pytest.mark.parametrize("hook", ["order-select", "order-sign"])
def test_a_drug_as_the_sandbox_drafts_it(client: TestClient, hook: str) -> None:
    """A product that is ordered in liposarcoma meets 43d, in a Bundle without type; another product does not."""

    def found(code: str, name: str) -> list[dict[str, Any]]:
        draft = sandbox_draft({"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": code, "display": name})
        orders = {"resourceType": "Bundle", "entry": [{"resource": draft}]}
        context = {"userId": "Practitioner/d", "patientId": "lena", "draftOrders": orders}
        context |= {"selections": ["MedicationRequest/request-123"]} if hook == "order-select" else {}
        call = ehr.request(client, "tarpswg-dedifferentiated-later-line", SERVICE, hook=hook, context=context)
        return ehr.cards(client, SERVICE, call)

    (card,) = found("867502", "pazopanib 200 MG Oral Tablet")
    assert "43d" in card["detail"]
    assert "MedicationRequest/request-123" in card["detail"]
    assert found("197687", "Etoposide 50 MG Oral Capsule") == []


def test_an_order_is_named_by_its_own_code(client: TestClient) -> None:
    """What a card says was ordered is the order under review, not another drug or finding of the record."""
    pazopanib = {"system": "http://www.whocc.no/atc", "code": "L01EX03", "display": "Pazopanib"}
    doxorubicin = {"system": "http://www.whocc.no/atc", "code": "L01DB01", "display": "Doxorubicin"}
    base = {"resourceType": "MedicationRequest", "status": "draft", "intent": "plan", "subject": SUBJECT}
    drafted = base | {"id": "new", "intent": "order", "medicationCodeableConcept": {"coding": [pazopanib]}}
    recorded = base | {"id": "old", "medicationCodeableConcept": {"coding": [doxorubicin]}}
    liposarcoma = {"system": "http://snomed.info/sct", "code": "722515001", "display": "Liposarcoma of retroperitoneum"}
    lung = {"system": "http://snomed.info/sct", "code": "94391008", "display": "Lung metastasis"}
    conditions = [
        {"resourceType": "Condition", "id": name, "subject": SUBJECT, "clinicalStatus": ACTIVE, "onsetDateTime": day}
        | {"code": {"coding": [coding]}}
        for name, coding, day in (("primary", liposarcoma, "2021-03-10"), ("lung", lung, "2026-01-08"))
    ]
    histology = {
        "url": "http://hl7.org/fhir/us/mcode/StructureDefinition/mcode-histology-morphology-behavior",
        "valueCodeableConcept": {
            "coding": [{"system": "http://terminology.hl7.org/CodeSystem/icd-o-3", "code": "8858/3"}],
        },
    }
    conditions[0]["extension"] = [histology]
    patient = {"resourceType": "Patient", "id": PATIENT}
    document = {"entry": [{"resource": item} for item in (patient, *conditions, recorded)]}
    body = call(client, "order-sign", drafted)
    body["prefetch"] = ehr.prefetch(document, ehr.templates(client, SERVICE, "order-sign"))
    (line,) = [
        line
        for card in ehr.cards(client, SERVICE, body)
        for line in card["detail"].splitlines()
        if line.startswith("- Pazopanib Ordered")
    ]
    assert line.startswith("- Pazopanib Ordered — yes: Pazopanib · `MedicationRequest/new`")


@pytest.mark.parametrize("hook", ["order-select", "order-sign"])
def test_an_order_without_an_id(client: TestClient, hook: str) -> None:
    """A draft that the EHR has not yet given an id is checked like any other."""
    nameless = order()
    body = call(client, hook, nameless)
    del nameless["id"]
    body["context"].pop("selections", None)
    if hook == "order-select":
        body["context"]["selections"] = []
    found = ehr.cards(client, SERVICE, body)
    assert any("aspiration" in card["detail"].lower() for card in found)


def test_a_biopsy_of_the_liver_is_offered_once(client: TestClient) -> None:
    """Two guidelines that ask for more cores of one liver lesion offer one order, that of the liver."""
    codes = {
        "primary": {
            "system": "http://snomed.info/sct",
            "code": "722513008",
            "display": "Leiomyosarcoma of retroperitoneum",
        },
        "liver": {"system": "http://snomed.info/sct", "code": "94381002", "display": "Liver metastasis"},
    }
    conditions = [
        {"resourceType": "Condition", "id": name, "subject": SUBJECT, "clinicalStatus": ACTIVE, "onsetDateTime": day}
        | {"code": {"coding": [codes[name]]}}
        for name, day in (("primary", "2021-03-10"), ("liver", "2026-01-08"))
    ]
    document = {"entry": [{"resource": item} for item in ({"resourceType": "Patient", "id": PATIENT}, *conditions)]}
    guided = {"system": "http://loinc.org", "code": "44158-4", "display": "US guidance for aspiration of liver"}
    body = call(client, "order-sign", order(guided))
    body["prefetch"] = ehr.prefetch(document, ehr.templates(client, SERVICE, "order-sign"))
    orders = [
        action["resource"]["code"]["coding"][0]["code"]
        for card in ehr.cards(client, SERVICE, body)
        for suggestion in card.get("suggestions", [])
        for action in suggestion["actions"]
        if action["resource"]["resourceType"] == "ServiceRequest"
    ]
    assert orders == ["87042-8"]
