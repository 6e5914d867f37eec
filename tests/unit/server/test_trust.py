"""Callers: the CDS Hooks JWT in every way it can be wrong, and development mode."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import OctKey
from starlette.requests import Request

from fhir_cds.errors import FhirServerError
from fhir_cds.server.keys import COOL_DOWN_SECONDS, LIFE_SECONDS, Keys, parse
from fhir_cds.server.settings import Issuer, Settings
from fhir_cds.server.trust import Caller, Replay, Trust, UnauthorizedError

from .token_builders import EC, ENDPOINT, ISS, NOW, OTHER, PUBLIC, RSA, jwks, request, token


@pytest.fixture
def trust(tmp_path: Path) -> Trust:
    """Return the check of one issuer whose keys are in a file."""
    file = tmp_path / "jwks.json"
    file.write_bytes(jwks(EC, RSA))
    issuer = Issuer(iss=ISS, jwks_file=file, tenants=("t1",))
    return Trust(Settings(mode="production", issuers=(issuer,), public_url=PUBLIC))


@pytest.mark.parametrize("key", [EC, RSA])
async def test_s5_both_algorithms(trust: Trust, key: Any) -> None:
    """ES384 and RS384 tokens are accepted; issuer, tenant and id come out."""
    caller = await trust.authenticate(request(f"Bearer {token(key)}"), NOW)
    assert caller == Caller(ISS, "t1", "j1")


@pytest.mark.parametrize(("version", "trial"), [("2.0", False), ("3.0", True)])
async def test_d14_the_operator_says_who_knows_the_ballot(tmp_path: Path, version: Any, *, trial: bool) -> None:
    """Members of the 3.0 ballot are switched on per issuer; nothing that a caller sends does it."""
    file = tmp_path / "jwks.json"
    file.write_bytes(jwks(EC))
    issuer = Issuer(iss=ISS, jwks_file=file, cds_hooks=version)
    caller = await Trust(Settings(issuers=(issuer,), public_url=PUBLIC)).authenticate(
        request(f"Bearer {token(version='3.0')}"), NOW
    )
    assert caller.trial is trial


async def test_audience_may_be_a_list(trust: Trust) -> None:
    """`aud` may hold several audiences."""
    await trust.authenticate(request(f"Bearer {token(aud=['https://other', ENDPOINT])}"), NOW)


async def test_s11_audience_is_the_public_address(trust: Trust) -> None:
    """The address that the process sees behind a proxy does not count."""
    with pytest.raises(UnauthorizedError):
        await trust.authenticate(request(f"Bearer {token(aud='http://127.0.0.1/cds-services/s')}"), NOW)


WRONG: dict[str, tuple[str, Callable[[], str | None]]] = {
    "absent": ("no bearer token", lambda: None),
    "basic": ("no bearer token", lambda: f"Basic {token()}"),
    "empty": ("no bearer token", lambda: "Bearer "),
    "not a token": ("form", lambda: "Bearer abc"),
    "not json": ("form", lambda: "Bearer YQ.YQ.YQ"),
    "list header": ("form", lambda: "Bearer W10.W10.YQ"),
    "huge": ("no bearer token", lambda: f"Bearer {'a' * 9000}"),
    "issuer": ("issuer", lambda: f"Bearer {token(iss='https://evil.example.org')}"),
    "no issuer": ("iss", lambda: f"Bearer {token(iss=None)}"),
    "audience": ("audience", lambda: f"Bearer {token(aud=PUBLIC)}"),
    "no audience": ("audience", lambda: f"Bearer {token(aud=None)}"),
    "expired": ("expired", lambda: f"Bearer {token(exp=NOW - 61, iat=NOW - 300)}"),
    "no exp": ("exp", lambda: f"Bearer {token(exp=None)}"),
    "exp is text": ("exp", lambda: f"Bearer {token(exp='soon')}"),
    "future": ("not yet valid", lambda: f"Bearer {token(iat=NOW + 61, exp=NOW + 300)}"),
    "not before": ("not yet valid", lambda: f"Bearer {token(nbf=NOW + 61)}"),
    "lives too long": ("life", lambda: f"Bearer {token(iat=NOW, exp=NOW + 901)}"),
    "tenant": ("tenant", lambda: f"Bearer {token(tenant='t2')}"),
    "no tenant": ("tenant", lambda: f"Bearer {token(tenant=None)}"),
    "no jti": ("jti", lambda: f"Bearer {token(jti=None)}"),
    "no kid": ("kid", lambda: f"Bearer {token(header={'kid': None})}"),
    "unknown kid": ("key", lambda: f"Bearer {token(header={'kid': 'x'})}"),
    "other key": ("signature", lambda: f"Bearer {token(OTHER)}"),
    "hmac": ("algorithm", lambda: f"Bearer {token(OctKey.import_key(b'x' * 32, {'kid': 'ec'}))}"),
    "tampered": ("signature", lambda: f"Bearer {token()[:-6]}AAAAAA"),
}


@pytest.mark.parametrize("name", WRONG)
async def test_s9_every_fault_is_the_same(trust: Trust, name: str) -> None:
    """Whatever is wrong, the error says no more than that the call is not accepted; the log alone names the reason."""
    reason, authorization = WRONG[name]
    with pytest.raises(UnauthorizedError) as caught:
        await trust.authenticate(request(authorization()), NOW)
    assert str(caught.value) == "unauthorized"
    assert caught.value.reason == reason


async def test_s4_none_is_never_accepted(trust: Trust) -> None:
    """A token that claims to need no signature is refused."""
    header = "eyJhbGciOiJub25lIiwia2lkIjoiZWMifQ"
    with pytest.raises(UnauthorizedError):
        await trust.authenticate(request(f"Bearer {header}.{token().split('.')[1]}."), NOW)


async def test_s8_replay(trust: Trust) -> None:
    """A token works once; the same id works again after it has expired."""
    await trust.authenticate(request(f"Bearer {token()}"), NOW)
    with pytest.raises(UnauthorizedError):
        await trust.authenticate(request(f"Bearer {token()}"), NOW + 1)
    later = NOW + 1000
    await trust.authenticate(request(f"Bearer {token(iat=later, exp=later + 100)}"), later)


async def test_s8_replay_within_the_tolerance(trust: Trust) -> None:
    """A token that is accepted a little after its end, because clocks differ, is not accepted twice for that."""
    late = token(exp=NOW + 30)
    await trust.authenticate(request(f"Bearer {late}"), NOW)
    with pytest.raises(UnauthorizedError) as caught:
        await trust.authenticate(request(f"Bearer {late}"), NOW + 60)
    assert caught.value.reason == "replay"


async def test_a_refused_token_is_not_used_up(trust: Trust) -> None:
    """A forged token does not spend the id of the true one."""
    with pytest.raises(UnauthorizedError):
        await trust.authenticate(request(f"Bearer {token(OTHER)}"), NOW)
    await trust.authenticate(request(f"Bearer {token()}"), NOW)


def test_replay_memory_is_bounded() -> None:
    """The oldest ids are forgotten when there are too many."""
    seen = Replay(limit=2)
    assert all(seen.first_use("i", str(n), NOW + 100, NOW) for n in range(3))
    assert len(seen._seen) == 2


async def test_s7_jku_of_the_token_is_never_fetched() -> None:
    """A token with another jku than the issuer's is refused and nothing is fetched."""
    asked: list[str] = []

    async def fetch(url: str) -> bytes:
        asked.append(url)
        return jwks(EC)

    issuer = Issuer(iss=ISS, jku="https://ehr.example.org/jwks")
    settings = Settings(mode="production", issuers=(issuer,), public_url=PUBLIC)
    trust = Trust(settings, Keys(fetch))
    with pytest.raises(UnauthorizedError):
        await trust.authenticate(request(f"Bearer {token(header={'jku': 'https://evil.example.org'})}"), NOW)
    assert asked == []
    await trust.authenticate(request(f"Bearer {token(header={'jku': issuer.jku})}"), NOW)
    assert asked == [issuer.jku]


def fetcher(answers: list[bytes | Exception], asked: list[str]) -> Callable[[str], Awaitable[bytes]]:
    """Return a fetch that gives one answer after the other, the last one for ever."""

    async def fetch(url: str) -> bytes:
        asked.append(url)
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    return fetch


async def test_s6_keys_are_cached_rotated_and_kept() -> None:
    """Keys are fetched once, again for an unknown kid after the cool-down, and kept when the address fails."""
    asked: list[str] = []
    time = [0.0]
    issuer = Issuer(iss=ISS, jku="https://ehr.example.org/jwks")
    answers: list[bytes | Exception] = [jwks(EC), jwks(EC, RSA), FhirServerError("down")]
    keys = Keys(fetcher(answers, asked), lambda: time[0])
    assert await keys.find(issuer, "ec")
    assert await keys.find(issuer, "ec")
    assert not await keys.find(issuer, "rsa")
    assert len(asked) == 1
    time[0] = COOL_DOWN_SECONDS
    assert await keys.find(issuer, "rsa")
    assert len(asked) == 2
    time[0] += LIFE_SECONDS
    assert await keys.find(issuer, "rsa")
    assert len(asked) == 3


async def test_keys_that_never_came() -> None:
    """An address that does not answer gives no key and is not asked all the time."""
    asked: list[str] = []
    keys = Keys(fetcher([FhirServerError("down")], asked), lambda: 0.0)
    issuer = Issuer(iss=ISS, jku="https://ehr.example.org/jwks")
    assert not await keys.find(issuer, "ec")
    assert not await keys.find(issuer, "ec")
    assert len(asked) == 1


async def test_missing_key_file_refuses(tmp_path: Path) -> None:
    """An issuer whose key file is gone cannot call; the service goes on."""
    issuer = Issuer(iss=ISS, jwks_file=tmp_path / "none.json")
    assert not await Keys().find(issuer, "ec")


def test_symmetric_keys_are_left_out() -> None:
    """Only EC and RSA keys with an id count."""
    oct_key = {"kty": "oct", "k": "AAAA", "kid": "h"}
    broken = {"kty": "EC", "kid": "b"}
    document = json.dumps({"keys": [oct_key, broken, {"kty": "RSA"}, 1, EC.as_dict(private=True)]}).encode()
    assert list(parse(document)) == ["ec"]


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost", "[::1]:8080"])
async def test_development_mode_is_for_this_machine(host: str) -> None:
    """Without issuers and on loopback no token is needed."""
    assert (await Trust(Settings()).authenticate(request(None, host=host), NOW)).iss == "local"


@pytest.mark.parametrize(
    "headers",
    [{"host": "cds.example.org"}, {"host": "10.0.0.1:80"}, {}, {"host": "localhost", "x_forwarded_for": "1.2.3.4"}],
)
async def test_development_mode_refuses_others(headers: dict[str, str]) -> None:
    """Another host name, or a proxy in front, is refused."""
    with pytest.raises(UnauthorizedError):
        await Trust(Settings()).authenticate(request(None, **headers), NOW)


async def test_development_mode_with_issuers_needs_their_tokens(tmp_path: Path) -> None:
    """A browser client can be tried on this machine with its own tokens: they are checked, still only from here."""
    file = tmp_path / "jwks.json"
    file.write_bytes(jwks(EC))
    trust = Trust(Settings(mode="development", issuers=(Issuer(iss=ISS, jwks_file=file),)))
    local = "http://127.0.0.1:8080"
    good = token(aud=f"{local}/cds-services/s")
    assert (await trust.authenticate(request(f"Bearer {good}", host="127.0.0.1:8080"), NOW)).iss == ISS
    for headers in ({"host": "127.0.0.1:8080"}, {"host": "cds.example.org"}):
        with pytest.raises(UnauthorizedError):
            await trust.authenticate(request(None, **headers), NOW)
    again = token(aud=f"{local}/cds-services/s", jti="j2")
    with pytest.raises(UnauthorizedError):
        await trust.authenticate(request(f"Bearer {again}", host="127.0.0.1:8080", x_forwarded_for="1.2.3.4"), NOW)


async def test_s1_mutual_tls_behind_a_proxy(tmp_path: Path) -> None:
    """An issuer with a client certificate needs it besides its token, named by the proxy once, from its address."""
    file = tmp_path / "jwks.json"
    file.write_bytes(jwks(EC))
    issuer = Issuer(iss=ISS, jwks_file=file, client_certificate="CN=ehr")
    settings = {"mode": "production", "issuers": (issuer,), "public_url": PUBLIC, "trusted_proxies": ("10.0.0.5",)}
    trust = Trust(Settings(client_certificate_header="x-client-subject", **settings))  # type: ignore[arg-type]
    shown = {"x_client_subject": "CN=ehr"}

    async def call(jti: str, peer: str = "10.0.0.5", **headers: str) -> Caller:
        return await trust.authenticate(request(f"Bearer {token(jti=jti)}", peer=peer, **headers), NOW)

    assert (await call("m1", **shown)).iss == ISS
    with pytest.raises(UnauthorizedError):
        await call("m2")
    with pytest.raises(UnauthorizedError):
        await call("m3", x_client_subject="CN=other")
    with pytest.raises(UnauthorizedError):
        await call("m4", peer="10.0.0.6", **shown)
    twice = request(f"Bearer {token(jti='m5')}", peer="10.0.0.5", **shown)
    twice.scope["headers"].append((b"x-client-subject", b"CN=other"))
    with pytest.raises(UnauthorizedError):
        await trust.authenticate(Request(twice.scope), NOW)
    with pytest.raises(UnauthorizedError):
        await trust.authenticate(request(None, peer="10.0.0.5", **shown), NOW)
