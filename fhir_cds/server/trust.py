"""Who may call: the CDS Hooks JWT (2.0 §Security), checked in the order iss, aud, times, tenant, signature, jti.

Every failure is the same bare 401: a caller learns nothing about why. Only the reason's name goes to the log. In
development mode only this machine can call: a loopback Host, and nothing forwarded by a proxy; a token is needed only
where issuers are set. Mutual TLS ends at the proxy: an issuer with a client certificate must also come with that, as
the proxy says in a header, and from the proxy's address.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import logging
import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from joserfc import jws
from joserfc.errors import JoseError
from starlette.requests import Request

from fhir_cds.errors import FhirCdsError, InputError
from fhir_cds.fhir import codec
from fhir_cds.server.http import header
from fhir_cds.server.keys import Key, Keys
from fhir_cds.server.settings import Issuer, Settings, is_loopback

ALGORITHMS: Final = ("ES384", "RS384")
TOKEN_LIMIT: Final = 8_000
SEEN_LIMIT: Final = 200_000
LOCAL: Final = "local"
_REGISTRY: Final = jws.JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
_REGISTRY.max_header_length = TOKEN_LIMIT
"""Unknown members of a header are ignored (RFC 7515 §4), and a certificate chain fits in (`x5c`)."""

_FORWARDED: Final = frozenset({b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip", b"via"})

log: Final = logging.getLogger("fhir_cds.server.trust")


class UnauthorizedError(FhirCdsError):
    """A call that is not accepted; `reason` is for the log, never for the caller."""

    status = 401
    code = "login"

    def __init__(self, reason: str) -> None:
        super().__init__("unauthorized")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: the issuer, its tenant and the token's id (all may be logged); `trial`: it knows the 3.0 ballot."""

    iss: str
    tenant: str | None = None
    jti: str | None = None
    trial: bool = False


_THIS_MACHINE: Final = Caller(LOCAL)


class Replay:
    """The ids of tokens already used, until they expire; when full, the oldest go first."""

    def __init__(self, limit: int = SEEN_LIMIT) -> None:
        self._seen: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._limit = limit

    def first_use(self, iss: str, jti: str, expires: float, now: float) -> bool:
        """Return whether a token id was not seen before, and remember it."""
        key = (iss, jti)
        if self._seen.get(key, 0.0) > now:
            return False
        self._seen.pop(key, None)
        self._seen[key] = expires
        while self._seen and (len(self._seen) > self._limit or next(iter(self._seen.values())) <= now):
            self._seen.popitem(last=False)
        return True


FirstUse = Callable[[str, str, float, float], Awaitable[bool]]
"""Says whether (iss, jti, expires, now) is the first use of a token id, and remembers it."""


def _alone(replay: Replay) -> FirstUse:
    """Return the memory of one process as a FirstUse."""

    async def first_use(iss: str, jti: str, expires: float, now: float) -> bool:
        return replay.first_use(iss, jti, expires, now)

    return first_use


class Trust:
    """The check of callers under some settings; several processes share a `first_use`."""

    def __init__(self, settings: Settings, keys: Keys | None = None, first_use: FirstUse | None = None) -> None:
        self._settings = settings
        self._development = settings.development
        self._issuers: Mapping[str, Issuer] = {issuer.iss: issuer for issuer in settings.issuers}
        self._keys = keys or Keys()
        self._first_use = first_use or _alone(Replay())

    async def authenticate(self, request: Request, now: float) -> Caller:
        """Return who makes a call; raises UnauthorizedError. `now` is in seconds since the epoch."""
        try:
            if self._development:
                local = _local(request)
                if not self._issuers:
                    return local
            base = self._settings.public_url or str(request.base_url)
            endpoint = f"{base.rstrip('/')}{request.url.path}"
            return await self._token(request, endpoint, now)
        except UnauthorizedError as refused:
            log.warning("call refused", extra={"reason": refused.reason, "path": request.url.path})
            raise

    async def _token(self, request: Request, endpoint: str, now: float) -> Caller:
        """Return the caller that a Bearer token proves."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token or len(token) > TOKEN_LIMIT:
            raise UnauthorizedError("no bearer token")
        header, claims = _unverified(token)
        if header.get("alg") not in ALGORITHMS:
            raise UnauthorizedError("algorithm")
        issuer = self._issuers.get(_text(claims, "iss"))
        if issuer is None:
            raise UnauthorizedError("issuer")
        self._certificate(request, issuer)
        if issuer.jku is not None and header.get("jku", issuer.jku) != issuer.jku:
            raise UnauthorizedError("jku")
        audience = claims.get("aud")
        if endpoint not in (audience if isinstance(audience, list) else [audience]):
            raise UnauthorizedError("audience")
        expires = self._times(claims, now)
        tenant = claims.get("tenant")
        if issuer.tenants and tenant not in issuer.tenants:
            raise UnauthorizedError("tenant")
        if "crit" in header:  # we know no header that changes what a token means (RFC 7515 §4.1.11)
            raise UnauthorizedError("critical header")
        await self._signature(token, issuer, _text(header, "kid"))
        jti = _text(claims, "jti")
        if not await self._first_use(issuer.iss, jti, expires + self._settings.clock_skew_seconds, now):
            raise UnauthorizedError("replay")
        return Caller(issuer.iss, tenant if isinstance(tenant, str) else None, jti, issuer.cds_hooks == "3.0")

    def _certificate(self, request: Request, issuer: Issuer) -> None:
        """Refuse an issuer whose client certificate the proxy did not see."""
        if issuer.client_certificate is None:
            return
        if request.client is None or request.client.host not in self._settings.trusted_proxies:
            raise UnauthorizedError("not from the proxy")
        shown = request.headers.getlist(str(self._settings.client_certificate_header))
        if len(shown) != 1 or not hmac.compare_digest(shown[0].encode(), issuer.client_certificate.encode()):
            raise UnauthorizedError("client certificate")

    def _times(self, claims: Mapping[str, Any], now: float) -> float:
        """Return when a token expires; refuses one that has, is from the future, or lives too long."""
        skew = self._settings.clock_skew_seconds
        issued, expires = _number(claims, "iat"), _number(claims, "exp")
        if expires + skew <= now:
            raise UnauthorizedError("expired")
        if issued - skew > now or _number(claims, "nbf", issued) - skew > now:
            raise UnauthorizedError("not yet valid")
        if expires - issued > self._settings.token_life_seconds:
            raise UnauthorizedError("life")
        return expires

    async def _signature(self, token: str, issuer: Issuer, kid: str) -> None:
        """Verify the signature with a key of that id of the issuer's; several may share one (RFC 7517 §4.5)."""
        keys = await self._keys.find(issuer, kid)
        if not keys:
            raise UnauthorizedError("key")
        if not any(_signed(token, key) for key in keys):
            raise UnauthorizedError("signature")


def _signed(token: str, key: Key) -> bool:
    """Say whether a key has signed a token."""
    try:
        jws.deserialize_compact(token, key, registry=_REGISTRY)
    except (JoseError, ValueError, TypeError):
        return False
    return True


def _local(request: Request) -> Caller:
    """Return the caller on this machine."""
    host = header(request.scope, b"host")
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    if not is_loopback(name):
        raise UnauthorizedError("development mode answers to loopback names only")
    if not _FORWARDED.isdisjoint([header for header, _ in request.scope["headers"]]):
        raise UnauthorizedError("development mode does not stand behind a proxy")
    return _THIS_MACHINE


def _unverified(token: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return header and claims of a compact JWS before its signature is checked."""
    parts = token.split(".")
    if len(parts) != 3:
        raise UnauthorizedError("form")
    header, claims = (_part(part) for part in parts[:2])
    return header, claims


def _part(text: str) -> Mapping[str, Any]:
    """Return the JSON object in one part of a token."""
    try:
        value = codec.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (InputError, binascii.Error, ValueError):
        raise UnauthorizedError("form") from None
    if not isinstance(value, dict):
        raise UnauthorizedError("form")
    return value


def _text(members: Mapping[str, Any], name: str) -> str:
    """Return a text claim that must be there."""
    value = members.get(name)
    if not isinstance(value, str) or not value:
        raise UnauthorizedError(name)
    return value


def _number(members: Mapping[str, Any], name: str, default: float | None = None) -> float:
    """Return a numeric date that must be there unless there is a default."""
    value = members.get(name, default)
    if value is None or isinstance(value, (str, bool, list, dict)):
        raise UnauthorizedError(name)
    try:
        seconds = float(value)
    except OverflowError:  # a whole number of hundreds of digits
        raise UnauthorizedError(name) from None
    if not math.isfinite(seconds):
        raise UnauthorizedError(name)
    return seconds
