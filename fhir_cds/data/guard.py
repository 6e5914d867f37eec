"""Which FHIR servers may be called: the address comes from the caller, the network is ours (CDS Hooks 2.0).

Two checks: the base URL against the operator's list, before any call; and the addresses its name resolves to, at the
moment of connecting, so that a name cannot point at one address when checked and another when used.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from fhir_cds.errors import InputError

WHERE: Final = "fhirServer"


@dataclass(frozen=True, slots=True)
class Guard:
    """The rule for outgoing calls; as made without arguments it lets nothing through.

    `allowed` are the base URLs that may be called; `loopback` also allows any server of this machine (development);
    `plain_http` allows http; `private_addresses` allows hosts on private networks.

    >>> Guard(("https://ehr.example.org/fhir",)).check("https://ehr.example.org/fhir/")
    'https://ehr.example.org/fhir'
    """

    allowed: tuple[str, ...] = ()
    loopback: bool = False
    plain_http: bool = False
    private_addresses: bool = False

    def check(self, base_url: str) -> str:
        """Return the base URL without a final slash; raises InputError when it must not be called."""
        base = normal_base(base_url)
        url = URL(base)
        own_machine = self.loopback and is_loopback(url.host or "")
        if url.scheme != "https" and not (self.plain_http or own_machine):
            raise InputError("https is required", where=WHERE)
        if not own_machine and base not in {normal_base(item) for item in self.allowed}:
            raise InputError("this server is not on the list of FHIR servers that may be called", where=WHERE)
        literal = _literal(url.host or "")
        if literal is not None and not self.permits(literal):
            raise InputError("this address may not be called", where=WHERE)
        return base

    def permits(self, address: str) -> bool:
        """Say whether a connection to this IP address may be made."""
        ip = ipaddress.ip_address(address.partition("%")[0])
        mapped = getattr(ip, "ipv4_mapped", None)
        ip = mapped or ip
        if ip.is_link_local:  # where clouds keep their credentials service
            return False
        if ip.is_loopback:
            return self.loopback or self.private_addresses
        return ip.is_global or (self.private_addresses and ip.is_private and not ip.is_unspecified)


def normal_base(base_url: str) -> str:
    """Return a FHIR base URL in one spelling: lower-case host, no default port, no final slash; raises InputError."""
    try:
        url = URL(base_url)
    except (ValueError, TypeError):
        raise InputError("not a URL", where=WHERE) from None
    if url.scheme not in {"http", "https"} or not url.host:
        raise InputError("the http(s) base URL of a FHIR server is expected", where=WHERE)
    if url.user or url.password or url.query_string or url.fragment:
        raise InputError("a base URL has no user, query or fragment", where=WHERE)
    return str(url).rstrip("/")


def is_loopback(host: str) -> bool:
    """Say whether a host name or address is this machine."""
    literal = _literal(host)
    return host == "localhost" if literal is None else ipaddress.ip_address(literal).is_loopback


def _literal(host: str) -> str | None:
    try:
        return str(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        return None


class GuardedResolver(AbstractResolver):
    """Name resolution that gives only addresses the guard permits."""

    def __init__(self, guard: Guard, inner: AbstractResolver) -> None:
        self._guard = guard
        self._inner = inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the permitted addresses of `host`; raises OSError when there is none."""
        found = await self._inner.resolve(host, port, family)
        permitted = [item for item in found if self._guard.permits(item["host"])]
        if not permitted:
            raise OSError("no address of this host may be called")
        return permitted

    async def close(self) -> None:
        """Release the inner resolver."""
        await self._inner.close()
