"""A FHIR server as these tests speak to it: plain requests, decimals kept."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from email.utils import parsedate_to_datetime
from typing import Any

from fhir_cds.authoring import parity
from fhir_cds.fhir import codec

SECONDS = 300
PARAMETER_DEFINITION = "http://hl7.org/fhir/uv/cpg/StructureDefinition/cpg-parameterDefinition"


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

    def today(self) -> date:
        """Return the day of the server's clock."""
        return self.call("GET", "metadata?_summary=true").today

    def apply(
        self,
        plan: str,
        subject: str,
        data: Iterable[Mapping[str, Any]] | None = None,
        lists: Mapping[str, Iterable[Mapping[str, Any]]] | None = None,
    ) -> Reply:
        """Return the answer to `$apply` of a plan (by id) for a subject.

        With `data` the server is to use that record and none of its own; `lists` are parameters of the logic.
        """
        parts: list[dict[str, Any]] = [{"name": "subject", "valueString": subject}]
        if data is not None:
            record = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": item} for item in data]}
            parts += [{"name": "data", "resource": record}, {"name": "useServerData", "valueBoolean": False}]
        if lists:
            entries = [_item(name, item) for name, items in lists.items() for item in items]
            parts.append({"name": "parameters", "resource": {"resourceType": "Parameters", "parameter": entries}})
        return self.call("POST", f"PlanDefinition/{plan}/$apply", {"resourceType": "Parameters", "parameter": parts})


def _item(name: str, resource: Mapping[str, Any]) -> dict[str, Any]:
    """Return a parameter that is one item of a list; without the definition HAPI takes a single item for no list."""
    definition = {"name": name, "use": "in", "max": "*", "type": resource["resourceType"]}
    extension = {"url": PARAMETER_DEFINITION, "valueParameterDefinition": definition}
    return {"extension": [extension], "name": name, "resource": resource}


def _reply(status: int, data: bytes, headers: Mapping[str, str]) -> Reply:
    return Reply(status, codec.decode(data) if data else None, parsedate_to_datetime(headers["Date"]).date())
