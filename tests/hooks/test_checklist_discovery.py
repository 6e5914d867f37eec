"""CDS Hooks checklist: discovery (D) and the prefetch templates we publish (P); ids as in the conformance table."""

import json
import re
from collections.abc import Callable
from typing import Any

import ehr
import pytest
from joserfc.jwk import ECKey
from starlette.testclient import TestClient

from fhir_cds.cards.contexts import HOOKS
from fhir_cds.cards.discovery import document, offers
from fhir_cds.fhir import codec
from fhir_cds.reasoning.requirements import types_read
from fhir_cds.server.state import Loaded

TOKEN = re.compile(r"\{\{([^}]*)\}\}")
USER_TOKENS = {"userPractitionerId", "userPractitionerRoleId", "userPatientId", "userRelatedPersonId"}
MODIFIERS = re.compile(r"^(?P<name>[a-z_-]+)(?P<modifier>:[a-z-]+)?$", re.IGNORECASE)


@pytest.fixture
def services(client: TestClient) -> list[dict[str, Any]]:
    """Return the services of discovery."""
    found: list[dict[str, Any]] = client.get("/cds-services").json()["services"]
    return found


def templates(services: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return (hook, template) of every prefetch key."""
    return [(service["hook"], query) for service in services for query in service["prefetch"].values()]


def nothing_empty(value: Any) -> bool:
    """Say whether a JSON value holds no null, empty text, list or object."""
    if isinstance(value, dict):
        return bool(value) and all(nothing_empty(item) for item in value.values())
    if isinstance(value, list):
        return bool(value) and all(nothing_empty(item) for item in value)
    return value is not None and value != ""


def test_d1_discovery_is_an_object_with_services(client: TestClient) -> None:
    """GET /cds-services is 200 with an object that has an array services."""
    answer = client.get("/cds-services")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert isinstance(answer.json()["services"], list)


def test_d2_no_services_is_an_empty_list() -> None:
    """Without services the list is empty, not missing."""
    assert codec.decode(document(offers(()))[0]) == {"services": []}


def test_d3_mandatory_members(client: TestClient, services: list[dict[str, Any]]) -> None:
    """Each entry has hook, id and description, and its id is the last segment of its address."""
    ehr.validator("discovery").validate({"services": services})
    for service in services:
        assert client.post(f"/cds-services/{service['id']}", json={}).status_code == 400


def test_d4_title(services: list[dict[str, Any]]) -> None:
    """Each entry has a title."""
    assert all(service["title"] for service in services)


def test_d5_prefetch_is_an_object(services: list[dict[str, Any]]) -> None:
    """Prefetch is an object of key and query."""
    assert all(isinstance(query, str) for _, query in templates(services))


def test_d6_usage_requirements(services: list[dict[str, Any]]) -> None:
    """Each entry says what it needs."""
    assert all(service["usageRequirements"] for service in services)


def test_d7_version(services: list[dict[str, Any]]) -> None:
    """Each entry names the version of CDS Hooks it implements as a semantic version."""
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", service["version"]) for service in services)


def test_d8_hook_version_is_left_out(services: list[dict[str, Any]]) -> None:
    """No version of a hook is claimed, so none can be wrong."""
    assert not any("hookVersion" in service for service in services)


def test_d9_nothing_empty(client: TestClient) -> None:
    """Discovery and cards hold no null, empty text, list or object where the standard does not allow them."""
    assert nothing_empty(client.get("/cds-services").json())
    body = ehr.request(client, "metachronous-leiomyosarcoma", "sarcoma-liver-metastases")
    assert nothing_empty(ehr.cards(client, "sarcoma-liver-metastases", body))


def test_d10_one_id_on_several_hooks(client: TestClient, services: list[dict[str, Any]]) -> None:
    """An id listed on two hooks answers both, told apart by the body's hook."""
    hooks = {service["hook"] for service in services if service["id"] == "sarcoma-liver-metastases"}
    assert hooks == {"patient-view", "encounter-start"}
    for hook in hooks:
        body = ehr.request(client, "metachronous-leiomyosarcoma", "sarcoma-liver-metastases", hook=hook)
        assert ehr.cards(client, "sarcoma-liver-metastases", body)


def test_d11_discovery_needs_the_jwt_too(make_client: Callable[..., TestClient], tmp_path: Any) -> None:
    """Where callers must prove who they are, discovery is no exception; the refusal is bare."""
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps({"keys": [ECKey.generate_key("P-384", {"kid": "1"}).as_dict(private=False)]}))
    issuer = {"iss": "https://ehr.example.org", "jwks_file": file}
    answer = make_client(issuers=(issuer,), public_url="https://cds.example.org").get("/cds-services")
    assert (answer.status_code, answer.content) == (401, b"")


def test_d12_fhir_json_is_standard(client: TestClient) -> None:
    """Embedded FHIR resources have a type and plain JSON members; there are no comments."""
    body = ehr.request(client, "after-resection-one-overdue", "sarcoma-follow-up")
    for card in ehr.cards(client, "sarcoma-follow-up", body):
        for suggestion in card["suggestions"]:
            assert all("fhir_comments" not in str(action) for action in suggestion["actions"])
            assert all(action["resource"]["resourceType"] for action in suggestion["actions"])


def test_d13_stable_with_etag(client: TestClient) -> None:
    """Discovery is the same every time, has an ETag, and is 304 for who has it."""
    first, second = client.get("/cds-services"), client.get("/cds-services")
    assert first.content == second.content
    again = client.get("/cds-services", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/cds-services", headers={"if-none-match": '"other"'}).status_code == 200


def test_d14_no_trial_members(client: TestClient) -> None:
    """actionSelectionBehavior, which a 2.0 client does not know, is not sent."""
    body = ehr.request(client, "after-resection-one-overdue", "sarcoma-follow-up")
    assert b"actionSelectionBehavior" not in ehr.post(client, "sarcoma-follow-up", body).content


def test_p1_templates_are_reads_or_searches(services: list[dict[str, Any]]) -> None:
    """Each template is a relative FHIR read or type search."""
    assert all(re.fullmatch(r"[A-Z][A-Za-z]+(/[^?/]+|\?.+)", query) for _, query in templates(services))


def test_p2_and_p3_tokens(services: list[dict[str, Any]]) -> None:
    """P2, P3: tokens are first-level primitive fields of the hook's context, or the four user tokens."""
    for hook, query in templates(services):
        allowed = {f"context.{field.name}" for field in HOOKS[hook] if field.token} | USER_TOKENS
        assert set(TOKEN.findall(query)) <= allowed


test_p2_tokens = test_p2_and_p3_tokens
test_p3_tokens = test_p2_and_p3_tokens


def test_p4_no_fhirpath_tokens(services: list[dict[str, Any]]) -> None:
    """No template needs the FHIRPath tokens of the 3.0 ballot."""
    assert not any("(" in query or "%" in query for _, query in templates(services))


def test_p6_recommended_query_subset(services: list[dict[str, Any]]) -> None:
    """Searches use plain parameters: no modifier but :in, no chaining, no _include."""
    for _, query in templates(services):
        for pair in query.partition("?")[2].split("&") if "?" in query else ():
            name = MODIFIERS.fullmatch(pair.partition("=")[0])
            assert name is not None
            assert name["modifier"] in {None, ":in"}
            assert not name["name"].startswith("_") or name["name"] in {"_count", "_sort"}


def test_p8_keys_have_names(services: list[dict[str, Any]]) -> None:
    """Prefetch keys are words, not numbered items."""
    keys = {key for service in services for key in service["prefetch"]}
    assert all(re.fullmatch(r"[a-z][A-Za-z]+", key) for key in keys)


def test_prefetch_covers_the_logic(content: Loaded) -> None:
    """Whatever type of resource the logic of a service reads is in its prefetch, or comes with its hook's context."""
    for offer in content.offers:
        asked = {re.split(r"[?/]", query)[0] for query in offer.service.prefetch.values()}
        for url in offer.service.plans:
            plan = content.knowledge.registry.resolve(url, "PlanDefinition", where=offer.service.id)
            assert set(types_read(content.engine, plan)) <= asked, offer.service.id
