"""A FHIR server that content is published to: one request at a time, each refusal told in the server's own words.

Content and synthetic patients only go through here, so a server's diagnostics may be shown; patients' records are read
with `fhir_cds.data.client`, which shows none.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from fhir_cds.data.guard import is_loopback, normal_base
from fhir_cds.data.transport import FHIR_JSON
from fhir_cds.errors import FhirServerError, InputError
from fhir_cds.fhir import bundle, codec, reference

_BUSY: Final = frozenset({429, 502, 503, 504})
TRIES: Final = 4
_FIRST_WAIT: Final = 1.0
_LONGEST_WAIT: Final = 30.0
_TEXT: Final = 300
_ISSUES: Final = 3


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered; `body` is None where it is empty or no JSON."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether the server did what it was asked."""
        return 200 <= self.status < 300

    @property
    def today(self) -> date | None:
        """The day of the server's clock in UTC, None when it does not tell."""
        try:
            return parsedate_to_datetime(self.headers.get("Date", "")).date()
        except (ValueError, TypeError):
            return None

    @property
    def why(self) -> str:
        """The status with what the server says about it."""
        told: list[str] = []
        if isinstance(self.body, Mapping) and self.body.get("resourceType") == "OperationOutcome":
            for issue in bundle.issues_of(self.body)[:_ISSUES]:
                text = issue.get("diagnostics") or issue.get("details", {}).get("text") or issue.get("code")
                told.append(str(text)[:_TEXT])
        return f"{self.status}: {'; '.join(told)}" if told else str(self.status)


class Remote:
    """One FHIR server; made by `connect`."""

    def __init__(self, base: str, session: aiohttp.ClientSession) -> None:
        self.base = base
        self._session = session

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        tries: int = TRIES,
    ) -> Answer:
        """Return the server's answer to a request, whatever its status; a busy server is asked again.

        Raises FhirServerError when it cannot be reached.
        """
        tail = f"{path}?{urlencode(query)}" if query else path
        url = URL(f"{self.base}/{tail}".rstrip("/"), encoded=True)
        data = None if body is None else codec.encode(body)
        sent = {"Accept": FHIR_JSON, "Cache-Control": "no-cache"}
        if data is not None:
            sent["Content-Type"] = FHIR_JSON
        for attempt in range(tries):
            last = attempt + 1 == tries
            wait = _FIRST_WAIT * 2**attempt
            try:
                async with self._session.request(method, url, data=data, headers=sent, allow_redirects=False) as got:
                    answer = Answer(got.status, _decoded(await got.read()), dict(got.headers))
                if answer.status not in _BUSY or last:
                    return answer
                after = answer.headers.get("Retry-After", "")
                wait = min(float(after) if after.isdigit() else wait, _LONGEST_WAIT)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                if last:
                    raise FhirServerError(f"cannot be reached ({type(error).__name__})", where=self.base) from None
            await asyncio.sleep(wait)
        raise AssertionError("the last try returns or raises")

    async def find(self, kind: str, **query: str) -> list[dict[str, Any]]:
        """Return the resources that a search finds, page after page; raises FhirServerError when it is refused."""
        found: list[dict[str, Any]] = []
        answer = await self.call("GET", kind, query=query)
        while True:
            if not answer.ok or not isinstance(answer.body, dict):
                raise FhirServerError(
                    f"refused a search: {answer.why}", where=f"{self.base}/{kind}", http_status=answer.status
                )
            entries = answer.body.get("entry", ())
            found += [entry["resource"] for entry in entries if entry.get("resource", {}).get("resourceType") == kind]
            link = bundle.next_link(answer.body)
            if link is None:
                return found
            if not link.startswith(self.base):
                raise FhirServerError("a next link leads away from the server", where=f"{self.base}/{kind}")
            answer = await self.call("GET", link.removeprefix(self.base).lstrip("/"))

    async def retag(self, operation: str, item: Mapping[str, Any], system: str) -> Answer:
        """Take the tags of a system off a resource (`meta-delete`) or put them back (`meta-add`); R4 operations.

        Some servers keep tags over a deletion, and give them to what is stored there next.
        """
        tags = [tag for tag in item.get("meta", {}).get("tag", ()) if tag.get("system") == system]
        meta = {"name": "meta", "valueMeta": {"tag": tags}}
        place = reference.of(item)
        return await self.call("POST", f"{place}/${operation}", {"resourceType": "Parameters", "parameter": [meta]})


@asynccontextmanager
async def connect(url: str, token: str | None = None, seconds: float = 120.0) -> AsyncIterator[Remote]:
    """Open a server for the time of the block; `seconds` is the longest wait for one answer.

    The token goes to this server only, and over https only (loopback aside). Raises InputError for an address or token
    that cannot be used.
    """
    base = normal_base(url)
    parts = URL(base)
    if token and parts.scheme != "https" and not is_loopback(parts.host or ""):
        raise InputError("a token is not sent over plain http", where=base)
    if token and (not token.isascii() or any(character.isspace() for character in token)):
        raise InputError("not a bearer token", where="token")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    timeout = aiohttp.ClientTimeout(total=seconds)
    jar = aiohttp.DummyCookieJar()
    async with aiohttp.ClientSession(headers=headers, timeout=timeout, cookie_jar=jar, trust_env=True) as session:
        yield Remote(base, session)


def _decoded(data: bytes) -> Any:
    try:
        return codec.decode(data) if data else None
    except InputError:
        return None


def operations(statement: Mapping[str, Any]) -> Iterator[str]:
    """Yield the operations on definitions that a CapabilityStatement lists, as `Type/$name`."""
    for rest in statement.get("rest", ()):
        for resource in rest.get("resource", ()):
            if resource.get("type") in {"PlanDefinition", "ActivityDefinition", "Library", "ValueSet"}:
                for operation in resource.get("operation", ()):
                    yield f"{resource['type']}/${operation.get('name')}"
