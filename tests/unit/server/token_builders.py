"""Tokens and requests as callers make them, for the tests of who may call."""

import json
from typing import Any

from joserfc.jwk import ECKey, OctKey, RSAKey
from joserfc.jws import JWSRegistry, serialize_compact
from starlette.requests import Request

ISS = "https://ehr.example.org"
PUBLIC = "https://cds.example.org/base"
ENDPOINT = f"{PUBLIC}/cds-services/s"
NOW = 1_800_000_000.0
EC = ECKey.generate_key("P-384", {"kid": "ec"})
RSA = RSAKey.generate_key(2048, {"kid": "rsa"})
OTHER = ECKey.generate_key("P-384", {"kid": "ec"})


def jwks(*keys: Any) -> bytes:
    """Return a JWK Set of public keys."""
    return json.dumps({"keys": [key.as_dict(private=False) for key in keys]}).encode()


def token(key: Any = EC, header: dict[str, Any] | None = None, payload: str | None = None, **claims: Any) -> str:
    """Return a signed token; a claim given as None is left out, `payload` goes before all claims."""
    base: dict[str, Any] = {
        "iss": ISS,
        "aud": ENDPOINT,
        "iat": NOW - 10,
        "exp": NOW + 290,
        "jti": "j1",
        "tenant": "t1",
    }
    told = {name: value for name, value in {**base, **claims}.items() if value is not None}
    kinds = {ECKey: "ES384", RSAKey: "RS384", OctKey: "HS256"}
    protected = {"alg": kinds[type(key)], "kid": key.kid, "typ": "JWT"} | (header or {})
    protected = {name: value for name, value in protected.items() if value is not None}
    registry = JWSRegistry(algorithms=[protected["alg"]])
    registry.strict_check_header = False
    registry.max_header_length = 100_000
    return serialize_compact(protected, payload or json.dumps(told), key, registry=registry)


def request(
    authorization: str | None, path: str = "/cds-services/s", peer: str = "127.0.0.1", **headers: str
) -> Request:
    """Return a request with an Authorization header, from a peer."""
    listed = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    if authorization is not None:
        listed.append((b"authorization", authorization.encode()))
    scope = {"type": "http", "path": path, "raw_path": path.encode(), "headers": listed, "query_string": b""}
    scope["client"] = (peer, 1)
    return Request({**scope, "server": ("127.0.0.1", 80), "scheme": "http", "method": "POST"})
