"""A FHIR server as these tests speak to it: plain requests, decimals kept."""

from __future__ import annotations

import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from email.utils import parsedate_to_datetime
from typing import Any

from fhir_cds.authoring import parity
from fhir_cds.fhir import codec

SECONDS = 300


@dataclass(frozen=True, slots=True)
class Reply:
    """A server's answer; `today` is the day of its clock (UTC, as the server is started)."""

    status: int
    body: Any
    today: date


@dataclass(frozen=True, slots=True)
class Server:
    """The server at a base URL, and the media type it speaks."""

    base: str
    media: str = "application/fhir+json"

    def call(self, method: str, path: str, body: Any = None) -> Reply:
        """Return the answer to a request, whatever its status."""
        data = None if body is None else codec.encode(body)
        headers = {"Content-Type": self.media, "Accept": self.media}
        request = urllib.request.Request(f"{self.base}/{path}".rstrip("/"), data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                return _reply(answer.status, answer.read(), answer.headers)
        except urllib.error.HTTPError as error:
            return _reply(error.code, error.read(), error.headers)

    def get(self, path: str) -> Any:
        """Return what a path gives; it must be there."""
        reply = self.call("GET", path)
        assert reply.status == 200, (path, reply.body)
        return reply.body

    def put(self, resources: Iterable[Mapping[str, Any]]) -> None:
        """Store resources under their ids, in one transaction."""
        reply = self.call("POST", "", parity.puts(resources))
        assert reply.status == 200, reply.body

    def apply(self, plan: str, subject: str) -> Reply:
        """Return the answer to `$apply` of a plan (by id) for a subject."""
        reply = self.call("GET", f"PlanDefinition/{plan}/$apply?subject={urllib.parse.quote(subject)}")
        assert reply.status == 200, reply.body
        return reply


def _reply(status: int, data: bytes, headers: Mapping[str, str]) -> Reply:
    return Reply(status, codec.decode(data) if data else None, parsedate_to_datetime(headers["Date"]).date())
