"""Callers: tokens and key sets that are allowed but unusual, and numbers that no clock has."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, RSAKey

from fhir_cds.server.keys import parse
from fhir_cds.server.settings import Issuer, Settings
from fhir_cds.server.trust import Trust, UnauthorizedError

from .token_builders import EC, ENDPOINT, ISS, NOW, OTHER, PUBLIC, RSA, jwks, request, token

SAME_ID = RSAKey.generate_key(2048, {"kid": "ec"})


@pytest.fixture
def trusting(tmp_path: Path) -> Callable[[bytes], Trust]:
    """Return a function that gives the check of one issuer with some JWK Set."""

    def make(document: bytes) -> Trust:
        file = tmp_path / "jwks.json"
        file.write_bytes(document)
        return Trust(Settings(issuers=(Issuer(iss=ISS, jwks_file=file),), public_url=PUBLIC))

    return make


@pytest.mark.parametrize(
    "header", [{"org.example": "x"}, {"x5t": "YQ", "cty": "JWT"}, {"x5c": ["A" * 3000]}], ids=["own", "x5t", "x5c"]
)
async def test_members_of_the_header_that_nobody_knows_are_ignored(
    trusting: Callable[[bytes], Trust], header: dict[str, Any]
) -> None:
    """RFC 7515 §4: unknown members of the header are ignored, and a certificate chain has room."""
    assert (await trusting(jwks(EC)).authenticate(request(f"Bearer {token(header=header)}"), NOW)).iss == ISS


def critical() -> str:
    """Return a token whose header says that it must be understood otherwise (RFC 7797)."""
    head, *rest = token().split(".")
    members = json.loads(base64.urlsafe_b64decode(head + "=="))
    changed = json.dumps(members | {"crit": ["b64"], "b64": False}).encode()
    return ".".join([base64.urlsafe_b64encode(changed).rstrip(b"=").decode(), *rest])


async def test_a_critical_header_is_refused(trusting: Callable[[bytes], Trust]) -> None:
    """RFC 7515 §4.1.11: what a token calls critical and we do not know refuses it, whatever its signature."""
    with pytest.raises(UnauthorizedError) as caught:
        await trusting(jwks(EC)).authenticate(request(f"Bearer {critical()}"), NOW)
    assert caught.value.reason == "critical header"


@pytest.mark.parametrize("number", ["9" * 400, "-" + "9" * 400, "1e400", "-1e400", "1e4000000000000000000000"])
@pytest.mark.parametrize("claim", ["exp", "iat", "nbf"])
async def test_a_time_that_no_clock_has(trusting: Callable[[bytes], Trust], claim: str, number: str) -> None:
    """A number beyond all times refuses the token, whoever made it, and is no fault of ours."""
    claims = {"iss": ISS, "aud": ENDPOINT, "iat": NOW - 5, "exp": NOW + 100, "nbf": NOW - 5, "jti": "j"}
    payload = json.dumps(claims | {claim: "@"}).replace('"@"', number)
    with pytest.raises(UnauthorizedError):
        await trusting(jwks(EC)).authenticate(request(f"Bearer {token(payload=payload)}"), NOW)


@pytest.mark.parametrize("order", [(EC, SAME_ID), (SAME_ID, EC), (OTHER, EC), (EC, OTHER)])
async def test_keys_of_one_id_are_all_tried(trusting: Callable[[bytes], Trust], order: tuple[Any, ...]) -> None:
    """RFC 7517 §4.5: keys of a set may share an id; in whatever order they stand, a token of either is accepted."""
    trust = trusting(jwks(*order))
    for number, key in enumerate(order):
        caller = await trust.authenticate(request(f"Bearer {token(key, jti=f'j{number}')}"), NOW)
        assert caller.iss == ISS


async def test_no_key_of_the_id_has_signed(trusting: Callable[[bytes], Trust]) -> None:
    """Several keys of one id do not let in what none of them signed."""
    trust = trusting(jwks(SAME_ID, OTHER))
    with pytest.raises(UnauthorizedError) as caught:
        await trust.authenticate(request(f"Bearer {token(EC)}"), NOW)
    assert caught.value.reason == "signature"


@pytest.mark.filterwarnings("ignore:Key size should be")
def test_keys_that_are_too_weak_are_left_out() -> None:
    """RFC 7518 §3.3: an RSA key has 2048 bits at least; ES384 needs the curve P-384."""
    weak = (RSAKey.generate_key(1024, {"kid": "short"}), ECKey.generate_key("P-256", {"kid": "p256"}))
    assert list(parse(jwks(*weak, RSA, EC))) == ["rsa", "ec"]
