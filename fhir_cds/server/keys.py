"""Public keys of the issuers: from a file, or from the one https address that is allow-listed for each.

Keys are cached, fetched by one caller at a time, fetched again when an unknown `kid` turns up (not more often than the
cool-down allows), and kept in use when the address does not answer. Nothing that a token names is ever fetched.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, RSAKey

from fhir_cds.errors import FhirServerError, InputError
from fhir_cds.fhir import codec
from fhir_cds.server.settings import Issuer

Key = ECKey | RSAKey
Fetch = Callable[[str], Awaitable[bytes]]

LIFE_SECONDS: Final = 3600.0
COOL_DOWN_SECONDS: Final = 60.0
SIZE_LIMIT: Final = 200_000
TIMEOUT_SECONDS: Final = 5.0
_MODULUS_CHARS: Final = 342
"""2048 bits in base64url."""


@dataclass(slots=True)
class _Held:
    """The keys of one issuer, when they were last asked for, and since when they are held."""

    keys: dict[str, tuple[Key, ...]]
    asked: float
    held: float


class Keys:
    """The key cache; `monotonic` is the clock for ages, `fetch` reads an address."""

    def __init__(self, fetch: Fetch | None = None, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch or download
        self._monotonic = monotonic
        self._held: dict[str, _Held] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def find(self, issuer: Issuer, kid: str) -> tuple[Key, ...]:
        """Return the keys of an issuer with this id: one, none, or several that share it."""
        held = self._held.get(issuer.iss)
        if held is not None and kid in held.keys and self._monotonic() - held.held < LIFE_SECONDS:
            return held.keys[kid]
        async with self._locks.setdefault(issuer.iss, asyncio.Lock()):
            held = await self._refresh(issuer, kid)
        return held.keys.get(kid, ())

    async def _refresh(self, issuer: Issuer, kid: str) -> _Held:
        """Read the keys again unless another caller just did, or it was tried too recently."""
        now = self._monotonic()
        held = self._held.get(issuer.iss)
        fresh = held is not None and now - held.held < LIFE_SECONDS
        if held is not None and ((fresh and kid in held.keys) or now - held.asked < COOL_DOWN_SECONDS):
            return held
        try:
            keys = parse(await self._read(issuer))
        except (InputError, FhirServerError):
            old = held.keys if held is not None else {}
            renewed = _Held(old, now, held.held if held is not None else now - LIFE_SECONDS)
        else:
            renewed = _Held(keys, now, now)
        self._held[issuer.iss] = renewed
        return renewed

    async def _read(self, issuer: Issuer) -> bytes:
        """Return the JWK Set document of an issuer."""
        if issuer.jwks_file is not None:
            try:
                return await asyncio.to_thread(issuer.jwks_file.read_bytes)
            except OSError as error:
                raise InputError(f"cannot be read: {error.strerror}", where=str(issuer.jwks_file)) from None
        return await self._fetch(str(issuer.jku))


def check_files(issuers: Sequence[Issuer]) -> None:
    """Raise InputError naming the first setting whose key file cannot be read, or holds no key that can be used.

    It is for the start: later a file that is gone leaves the keys that are held in use.
    """
    for number, issuer in enumerate(issuers):
        if issuer.jwks_file is None:
            continue
        where = f"issuers.{number}.jwks_file"
        try:
            keys = parse(issuer.jwks_file.read_bytes())
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror}", where=where) from None
        except InputError as error:
            raise InputError(error.message, where=where) from None
        if not keys:
            raise InputError("holds no key with an id for ES384 (P-384) or RS384 (2048 bits or more)", where=where)


def parse(document: bytes) -> dict[str, tuple[Key, ...]]:
    """Return the EC and RSA keys of a JWK Set by key id.

    Left out are symmetric keys, keys without id, and what ES384 and RS384 must not be used with: another curve than
    P-384, an RSA key of less than 2048 bits (RFC 7518 §3.3, §3.4). Raises InputError for what is no JWK Set.
    """
    value = codec.decode(document, where="JWK Set", limit=SIZE_LIMIT)
    if not isinstance(value, dict) or not isinstance(value.get("keys"), list):
        raise InputError("not a JWK Set", where="JWK Set")
    found: dict[str, tuple[Key, ...]] = {}
    for item in value["keys"]:
        if not isinstance(item, dict) or not _usable(item) or not isinstance(item.get("kid"), str):
            continue
        public = {name: part for name, part in item.items() if name not in {"d", "p", "q", "dp", "dq", "qi", "oth"}}
        try:
            (key,) = KeySet.import_key_set({"keys": [public]}).keys
        except (JoseError, ValueError, TypeError, KeyError):
            continue
        if isinstance(key, (ECKey, RSAKey)):
            found[item["kid"]] = (*found.get(item["kid"], ()), key)
    return found


def _usable(item: Mapping[str, Any]) -> bool:
    """Say whether a JWK is of a kind and strength that the algorithms allow."""
    if item.get("kty") == "EC":
        return item.get("crv") == "P-384"
    modulus = item.get("n")
    return item.get("kty") == "RSA" and isinstance(modulus, str) and len(modulus.rstrip("=")) >= _MODULUS_CHARS


async def download(url: str) -> bytes:
    """Return what an https address holds, up to the size limit, without following redirects.

    Raises FhirServerError when it does not answer in time, with another status than 200, or with more than the limit.
    """
    body = bytearray()
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=True) as session,
            session.get(url, allow_redirects=False) as answer,
        ):
            if answer.status != 200:
                raise FhirServerError("the key address did not answer with 200", http_status=answer.status)
            async for piece in answer.content.iter_any():
                body += piece
                if len(body) > SIZE_LIMIT:
                    raise FhirServerError("the key address answers with too much")
    except (aiohttp.ClientError, TimeoutError) as error:
        raise FhirServerError(f"the key address cannot be read: {type(error).__name__}") from None
    return bytes(body)
