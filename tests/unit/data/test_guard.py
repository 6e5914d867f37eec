"""Servers that may be called, and those that may not."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver

from fhir_cds.data.client import Connections
from fhir_cds.data.guard import Guard, GuardedResolver
from fhir_cds.errors import FhirServerError, InputError

from .conftest import Script

EHR = "https://ehr.example.org/fhir"


@pytest.mark.parametrize("url", [EHR, EHR + "/", "https://EHR.example.org:443/fhir"])
def test_listed_server(url: str) -> None:
    """A listed server may be called, however its URL is spelled."""
    assert Guard((EHR,)).check(url) == EHR


@pytest.mark.parametrize(
    "url",
    [
        "https://ehr.example.org",
        "https://ehr.example.org/fhir2",
        "https://ehr.example.org:8443/fhir",
        "https://ehr.example.org.evil.net/fhir",
        "http://ehr.example.org/fhir",
        "https://user:pw@ehr.example.org/fhir",
        "https://ehr.example.org/fhir?x=1",
        "ftp://ehr.example.org/fhir",
        "file:///etc/passwd",
        "not a url",
        "",
        "https://",
        "http://169.254.169.254/latest",
        "https://10.0.0.1/fhir",
    ],
)
def test_other_servers_are_refused(url: str) -> None:
    """Anything that is not on the list is refused, naming fhirServer."""
    with pytest.raises(InputError) as caught:
        Guard((EHR,)).check(url)
    assert caught.value.where == "fhirServer"


@pytest.mark.parametrize("url", ["https://10.0.0.1/fhir", "https://[fd00::1]/fhir"])
def test_private_literal_needs_permission(url: str) -> None:
    """A listed private address still needs the operator's permission for private networks."""
    with pytest.raises(InputError, match="address"):
        Guard((url,)).check(url)
    assert Guard((url,), private_addresses=True).check(url)


@pytest.mark.parametrize("url", ["http://localhost:8080/fhir", "http://127.0.0.1/fhir", "http://[::1]:1/fhir"])
def test_loopback_is_for_development(url: str) -> None:
    """This machine's servers may be called, over http, in development only."""
    assert Guard(loopback=True).check(url) == url
    with pytest.raises(InputError):
        Guard().check(url)
    with pytest.raises(InputError):
        Guard(loopback=True).check("http://ehr.example.org/fhir")


@pytest.mark.parametrize(
    ("address", "public", "private", "loopback"),
    [
        ("93.184.216.34", True, True, True),
        ("10.1.2.3", False, True, False),
        ("192.168.1.1", False, True, False),
        ("127.0.0.1", False, True, True),
        ("::1", False, True, True),
        ("::ffff:127.0.0.1", False, True, True),
        ("::ffff:10.0.0.1", False, True, False),
        ("169.254.169.254", False, False, False),
        ("::", False, False, False),
        ("fe80::1%eth0", False, False, False),
    ],
)
def test_addresses(address: str, public: bool, private: bool, loopback: bool) -> None:
    """Which addresses may be connected to: by default, with private networks, in development."""
    assert Guard().permits(address) is public
    assert Guard(private_addresses=True).permits(address) is private
    assert Guard(loopback=True).permits(address) is loopback


class _Names(AbstractResolver):
    """Names that point where the test says."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[Any]:
        return [
            {"hostname": host, "host": item, "port": port, "family": family, "proto": 0, "flags": 0}
            for item in self.addresses
        ]

    async def close(self) -> None:
        """Nothing to release."""


async def test_name_that_points_inside() -> None:
    """A public name with a private address gives no connection; its public addresses stay usable."""
    with pytest.raises(OSError, match="no address"):
        await GuardedResolver(Guard(), _Names("10.0.0.1")).resolve("ehr.example.org")
    resolver = GuardedResolver(Guard(), _Names("10.0.0.1", "93.184.216.34"))
    found = await resolver.resolve("ehr.example.org")
    assert [item["host"] for item in found] == ["93.184.216.34"]
    await resolver.close()


async def test_connection_uses_the_guard(script: Script) -> None:
    """A listed name that resolves to this machine is not connected to outside development."""
    base = script.base.replace("127.0.0.1", "localhost")
    async with Connections(Guard((base,), plain_http=True)) as connections:
        with pytest.raises(FhirServerError, match="cannot be read"):
            await connections.client(base).search("Condition?patient=1")
    assert script.seen == []
