"""CDS Hooks checklist: security over HTTP (S) and time (T); the token itself is tested in tests/unit/server."""

import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ehr
import faulty
import pytest
from joserfc import jws
from joserfc.jwk import ECKey
from starlette.testclient import TestClient

from fhir_cds.errors import InputError

ISS = "https://ehr.example.org"
OTHER_ISS = "https://other.example.org"
PUBLIC = "https://cds.example.org"
SERVICE = "sarcoma-liver-metastases"
PATIENT = "metachronous-leiomyosarcoma"
NOW = 1_769_817_600.0
KEY = ECKey.generate_key("P-384", {"kid": "k"})


def token(path: str, jti: str, iss: str = ISS) -> str:
    """Return a token for one address."""
    claims = {"iss": iss, "aud": f"{PUBLIC}{path}", "iat": NOW - 5, "exp": NOW + 100, "jti": jti}
    registry = jws.JWSRegistry(algorithms=["ES384"])
    return jws.serialize_compact({"alg": "ES384", "kid": "k", "typ": "JWT"}, json.dumps(claims), KEY, registry=registry)


@pytest.fixture
def production(make_client: Callable[..., TestClient], tmp_path: Path) -> Callable[..., TestClient]:
    """Return a factory of clients of the service in production mode."""
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps({"keys": [KEY.as_dict(private=False)]}))

    def make(issuer: dict[str, Any] | None = None, **settings: Any) -> TestClient:
        known = {"iss": ISS, "jwks_file": file} | (issuer or {})
        return make_client(issuers=(known, known | {"iss": OTHER_ISS}), public_url=PUBLIC, **settings)

    return make


def headers(path: str, jti: str, iss: str = ISS) -> dict[str, str]:
    """Return the headers of an authenticated call."""
    return {"authorization": f"Bearer {token(path, jti, iss)}", "content-type": "application/json"}


def test_s2_and_s3_calls_need_a_token(production: Callable[..., TestClient], client: TestClient) -> None:
    """S2, S3: discovery, call and feedback need a token whose audience is the address called."""
    service = production()
    call = ehr.codec.encode(ehr.request(client, PATIENT, SERVICE))
    for number, (method, path, content) in enumerate(
        (
            ("GET", "/cds-services", b""),
            ("POST", f"/cds-services/{SERVICE}", call),
            ("POST", f"/cds-services/{SERVICE}/feedback", b'{"feedback": []}'),
        )
    ):
        assert service.request(method, path, content=content).status_code == 401
        wrong = headers("/cds-services/other", f"w{number}")
        assert service.request(method, path, content=content, headers=wrong).status_code == 401
        answer = service.request(method, path, content=content, headers=headers(path, f"r{number}"))
        assert answer.status_code in {200, 400}


test_s2_authentication = test_s2_and_s3_calls_need_a_token
test_s3_token_on_every_endpoint = test_s2_and_s3_calls_need_a_token
test_b7_feedback_needs_the_token = test_s2_and_s3_calls_need_a_token


def test_s8_replay_across_workers(production: Callable[..., TestClient], tmp_path: Path) -> None:
    """Two workers on one store: a token that one has seen is refused by the other."""
    store = f"sqlite:///{tmp_path}/shared.sqlite3"
    first, second = (production(workers=2, feedback_url=store) for _ in range(2))
    used = headers("/cds-services", "once")
    assert first.get("/cds-services", headers=used).status_code == 200
    assert second.get("/cds-services", headers=used).status_code == 401
    assert second.get("/cds-services", headers=headers("/cds-services", "twice")).status_code == 200


def test_s9_bare_401_and_no_token_in_logs(
    production: Callable[..., TestClient], caplog: pytest.LogCaptureFixture
) -> None:
    """A refusal has no body; the log names the reason, never the token."""
    bad = token("/cds-services", "x")[:-4] + "AAAA"
    with caplog.at_level(logging.DEBUG):
        answer = production().get("/cds-services", headers={"authorization": f"Bearer {bad}"})
    assert (answer.status_code, answer.content) == (401, b"")
    assert any(getattr(record, "reason", "") == "signature" for record in caplog.records)
    assert bad not in caplog.text + ehr.logged(caplog.records)


def test_s10_cors(make_client: Callable[..., TestClient], production: Callable[..., TestClient]) -> None:
    """Listed origins may call, preflight included, and read errors too; others and `*` may not."""
    origin = "https://app.example.org"
    service = production(cors_origins=(origin,))
    ask = {"origin": origin, "access-control-request-method": "POST"}
    asked = ask | {"access-control-request-headers": "authorization,content-type"}
    preflight = service.options(f"/cds-services/{SERVICE}", headers=asked)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == origin
    assert "authorization" in preflight.headers["access-control-allow-headers"].lower()
    refused = service.get("/cds-services", headers={"origin": origin})
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == origin
    assert "access-control-allow-credentials" not in refused.headers
    other = service.get("/cds-services", headers={"origin": "https://evil.example.org"})
    assert "access-control-allow-origin" not in other.headers
    assert "access-control-allow-origin" not in make_client().get("/cds-services", headers={"origin": origin}).headers


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "cannot be read: No such file"),
        ("", "JSON expected"),
        ("{}", "not a JWK Set"),
        ('{"keys": []}', "no key"),
        (
            json.dumps(
                {"keys": [{name: value for name, value in KEY.as_dict(private=False).items() if name != "kid"}]}
            ),
            "no key",
        ),
    ],
)
def test_a_key_file_that_lets_nobody_in_stops_the_start(
    production: Callable[..., TestClient], tmp_path: Path, text: str | None, told: str
) -> None:
    """A key file that is not there, or holds no key to use, is said at the start and not as a 401 of each call."""
    file = tmp_path / "other.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(InputError, match=r"issuers\.0\.jwks_file") as caught:
        production({"jwks_file": file})
    assert told in str(caught.value)


def test_rate_limit(make_client: Callable[..., TestClient]) -> None:
    """Beyond the rate a caller gets 429 with Retry-After."""
    service = make_client(rate_per_minute=2)
    statuses = [service.get("/cds-services").status_code for _ in range(3)]
    assert statuses == [200, 200, 429]
    assert int(service.get("/cds-services").headers["retry-after"]) > 0


def test_rate_limit_per_issuer(production: Callable[..., TestClient]) -> None:
    """An issuer's own rate holds for it alone, and refused tokens use up nobody's calls."""
    service = production({"rate_per_minute": 2})
    path = "/cds-services"

    def status(jti: str, iss: str = ISS) -> int:
        return int(service.get(path, headers=headers(path, jti, iss)).status_code)

    assert [service.get(path, headers=headers("/elsewhere", f"bad{n}")).status_code for n in range(4)] == [401] * 4
    assert [status(f"r{n}") for n in range(3)] == [200, 200, 429]
    assert [status(f"o{n}", OTHER_ISS) for n in range(3)] == [200, 200, 429]


def test_no_patient_data_in_logs_metrics_or_store(
    make_client: Callable[..., TestClient],
    serve: Callable[[Any], str],
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    """Planted values of the record reach neither logs nor metrics nor the store: in success, in errors of every kind
    of the call and of the FHIR server, in feedback."""
    service = make_client(hash_key="k", **faulty.patience(""))
    hasty = make_client(hash_key="k", **faulty.patience(faulty.SLOW))
    call = json.loads(ehr.codec.encode(ehr.request(service, PATIENT, SERVICE)).replace(b'"ada', b'"planted-ada'))
    call["context"]["patientId"] = f"planted-{call['context']['patientId'].removeprefix('planted-')}"
    text = json.dumps(call).replace("Patient/ada", "Patient/planted-ada")
    broken = text.replace('"resourceType": "Condition"', '"resourceType": "Planted"', 1)
    with caplog.at_level(logging.DEBUG):
        statuses = [ehr.post(service, SERVICE, body.encode()).status_code for body in (text, broken, text[:-9])]
        reads: dict[str, int] = {}
        for fault in faulty.FAULTS:
            read = json.loads(text) | {"prefetch": {}, "fhirServer": f"{serve(faulty.application(fault))}/fhir"}
            asked = hasty if fault == faulty.SLOW else service
            reads[fault] = ehr.post(asked, SERVICE, read).status_code
        comment = {"userComment": "Mrs Planted"}
        item = {"card": "c", "outcome": "overridden", "outcomeTimestamp": "2026-01-31T00:00:00Z"}
        told = {"feedback": [item | {"overrideReason": comment}]}
        statuses.append(ehr.post(service, f"{SERVICE}/feedback", told).status_code)
    assert statuses == [200, 400, 400, 200]
    assert reads == {fault: 502 if fault == "other patient" else 412 for fault in faulty.FAULTS}
    for each in (service, hasty):
        each.app.state.fhir_cds.audit.close()  # type: ignore[attr-defined]
    logged = ehr.logged(caplog.records)
    assert "answered" in logged
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("*.sqlite3*"))
    metrics = [each.get("/metrics").text for each in (service, hasty)]
    for place in (logged, *metrics, kept.decode("latin-1")):
        assert "planted" not in place.lower()


def test_d14_trial_members_by_issuer(production: Callable[..., TestClient], client: TestClient) -> None:
    """An issuer set to 3.0 gets alternatives with actionSelectionBehavior, another gets the same orders without."""
    call = ehr.codec.encode(ehr.request(client, PATIENT, SERVICE))
    path = f"/cds-services/{SERVICE}"
    answers = [
        production({"cds_hooks": version}).post(path, content=call, headers=headers(path, version)).json()["cards"]
        for version in ("2.0", "3.0")
    ]
    found = [[suggestion for card in cards for suggestion in card.get("suggestions", ())] for cards in answers]
    assert not any("actionSelectionBehavior" in suggestion for suggestion in found[0])
    assert any("actionSelectionBehavior" in suggestion for suggestion in found[1])
    created = [[action["resource"]["code"] for one in listed for action in one["actions"]] for listed in found]
    assert created[0] == created[1]


def test_t1_reading_has_a_fixed_bound(make_client: Callable[..., TestClient], serve: Callable[[Any], str]) -> None:
    """However slow the FHIR server, the call ends with its budget and says so (how fast: benchmarks/hooks)."""
    client = make_client(fhir_timeout_seconds=30, budget_seconds=0.5)
    slow = serve(faulty.application("slow"))
    call = ehr.request(client, PATIENT, SERVICE, prefetch={}, fhirServer=f"{slow}/fhir")
    answer = ehr.post(client, SERVICE, call)
    assert answer.status_code == 412
    bounds = [float(bound) for bound in re.findall(r"did not answer within ([\d.]+) s", answer.text)]
    assert bounds
    assert max(bounds) <= 0.5


def test_t3_answers_are_not_stored(client: TestClient) -> None:
    """An answer says that it must not be kept for another call."""
    answer = ehr.post(client, SERVICE, ehr.request(client, PATIENT, SERVICE))
    assert answer.headers["cache-control"] == "no-store"


def test_t4_patient_data_is_not_kept(client: TestClient) -> None:
    """Two patients one after the other, and the first again: no answer holds anything of the other's record."""
    first = ehr.request(client, PATIENT, SERVICE)
    other = ehr.request(client, "lesion-count-missing", SERVICE)
    before, between, after = (ehr.post(client, SERVICE, call).text for call in (first, other, first))
    assert before == after
    names = [call["context"]["patientId"] for call in (first, other)]
    assert f"Patient/{names[0]}" not in between
    assert f"Patient/{names[1]}" not in after
