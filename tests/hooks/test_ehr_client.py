"""An EHR written in Python, over real HTTP in production mode: it signs each call with RS384."""

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import conftest
import ehr
import pytest
import requests
from joserfc import jws
from joserfc.jwk import RSAKey
from starlette.applications import Starlette

from fhir_cds.fhir import codec
from fhir_cds.server.app import create_app
from fhir_cds.server.settings import Settings
from fhir_cds.server.state import Loaded

ISS = "https://ehr.example.org"
NOW = int(conftest.NOW.timestamp())
CLIENT = tuple[Starlette, "Ehr"]


class Ehr:
    """A client that holds a key and the address that the operator gave it."""

    def __init__(self, public: str, address: str, key: RSAKey) -> None:
        self.public, self._address, self._key = public, address, key
        self._session = requests.Session()

    def token(self, audience: str) -> str:
        """Return a token for one address, good for one call."""
        claims = {"iss": ISS, "aud": audience, "iat": NOW, "exp": NOW + 300, "jti": str(uuid.uuid4())}
        registry = jws.JWSRegistry(algorithms=["RS384"])
        header = {"alg": "RS384", "kid": "one", "typ": "JWT"}
        return jws.serialize_compact(header, json.dumps(claims), self._key, registry=registry)

    def ask(self, path: str, body: Any = None, token: str | None = None) -> requests.Response:
        """Return the answer to a signed call."""
        bearer = token or self.token(f"{self.public}{path}")
        headers = {"Authorization": f"Bearer {bearer}", "Content-Type": "application/json"}
        data = None if body is None else codec.encode(body)
        method = "GET" if body is None else "POST"
        return self._session.request(method, f"{self._address}{path}", data=data, headers=headers, timeout=30)

    def close(self) -> None:
        """Close its connections."""
        self._session.close()


@pytest.fixture
def client(content: Loaded, serve: Callable[[Starlette], str], tmp_path: Path) -> Any:
    """Return the service and an EHR that is registered with it; the public address is that of a proxy."""
    key = RSAKey.generate_key(2048, {"kid": "one"})
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [key.as_dict(private=False)]}))
    settings = Settings(
        issuers=({"iss": ISS, "jwks_file": tmp_path / "jwks.json"},),  # type: ignore[arg-type]
        public_url="https://cds.example.org",
        feedback_url=f"sqlite:///{tmp_path}/f.sqlite3",
    )
    app = create_app(content, settings, clock=conftest.clock)
    own = Ehr("https://cds.example.org", serve(app), key)
    yield app, own
    own.close()


def test_the_whole_round(client: CLIENT) -> None:
    """Discovery, prefetch by its templates, cards, an accepted and an overridden card, and their counts."""
    app, own = client
    offered = own.ask("/cds-services").json()["services"]
    document = ehr.bundle("after-resection-one-overdue")
    found: dict[str, list[Any]] = {}
    for service in (item for item in offered if item["hook"] == "patient-view"):
        context = {"userId": "Practitioner/d", "patientId": ehr.patient_id(document)}
        body = {"hook": service["hook"], "hookInstance": str(uuid.uuid4()), "context": context}
        body["prefetch"] = ehr.prefetch(document, service["prefetch"])
        found[service["id"]] = own.ask(f"/cds-services/{service['id']}", body).json()["cards"]
    (accepted,) = found["sarcoma-follow-up"]
    overridden = found["sarcoma-liver-metastases"][0]
    taken = {"outcome": "accepted", "acceptedSuggestions": [{"id": accepted["suggestions"][0]["uuid"]}]}
    reason = {key: overridden["overrideReasons"][0][key] for key in ("code", "system")}
    refused = {"outcome": "overridden", "overrideReason": {"reason": reason}}
    for name, card, item in (
        ("sarcoma-follow-up", accepted, taken),
        ("sarcoma-liver-metastases", overridden, refused),
    ):
        told = {"card": card["uuid"], "outcomeTimestamp": conftest.NOW.isoformat(), **item}
        assert own.ask(f"/cds-services/{name}/feedback", {"feedback": [told]}).status_code == 200
    app.state.fhir_cds.audit.close()
    counts = app.state.fhir_cds.store.counts()
    assert sum(count.accepted for count in counts if count.recommendation == "ibero2025:13.1") == 1
    assert {count.reasons[0] for count in counts if count.overridden} == {(f"{reason['system']}|{reason['code']}", 1)}


def test_a_token_is_good_for_one_address_and_one_call(client: CLIENT) -> None:
    """Used again, or for another address, a token gets a bare 401 over the wire too."""
    _, own = client
    token = own.token(f"{own.public}/cds-services")
    assert own.ask("/cds-services", token=token).status_code == 200
    for path in ("/cds-services", "/fhir/PlanDefinition/$apply"):
        answer = own.ask(path, token=token)
        assert (answer.status_code, answer.content) == (401, b"")
