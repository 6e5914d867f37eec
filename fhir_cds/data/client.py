"""The FHIR client of the service: fhirpy's, with the guards that a bearer token and a time budget need.

What it adds to `fhirpy.AsyncFHIRClient`: one pooled session per server, decimals kept, a time budget over all calls,
bounded retries that honour Retry-After, the HTTP status on every error, caps on pages and bytes, redirects refused, and
a next link followed only below the server's own base URL, so that the token goes nowhere else.

    async with Connections(Guard(("https://ehr.example.org/fhir",))) as connections:
        client = connections.client("https://ehr.example.org/fhir", authorization="Bearer …")
        found = await client.search("Condition?patient=1")
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import aiohttp
from fhirpy import AsyncFHIRClient
from fhirpy.base.utils import AttrDict, encode_params
from yarl import URL

from fhir_cds.data.guard import Guard, GuardedResolver
from fhir_cds.data.transport import FORM, Authorization, Limits, Request, Transport, refused
from fhir_cds.errors import FhirServerError, InputError
from fhir_cds.fhir import bundle, codec, issues

Resource = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """What a search gave: all resources of all pages read; `incomplete` says why some may be missing, else None."""

    resources: tuple[Resource, ...]
    incomplete: str | None = None


class Connections:
    """One pooled session per FHIR server, for the life of the service; no cookies, no proxies from the environment."""

    def __init__(self, guard: Guard, limits: Limits | None = None) -> None:
        self.guard = guard
        self.limits = limits or Limits()
        self._sessions: dict[str, aiohttp.ClientSession] = {}

    def client(self, base_url: str, *, authorization: Authorization | None = None) -> FhirClient:
        """Return a client for one patient's reading, its time budget running from now.

        Raises InputError when the guard does not let this server be called.
        """
        base = self.guard.check(base_url)
        session = self._sessions.get(base)
        if session is None or session.closed:
            session = self._sessions[base] = self._open()
        return FhirClient(base, session, self.limits, authorization)

    def _open(self) -> aiohttp.ClientSession:
        resolver = GuardedResolver(self.guard, aiohttp.ThreadedResolver())
        connector = aiohttp.TCPConnector(resolver=resolver, limit=4 * self.limits.parallel)
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)

    async def close(self) -> None:
        """Close all sessions."""
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class FhirClient(AsyncFHIRClient):  # type: ignore[misc]
    """A FHIR server as one patient's reading sees it. Made by `Connections.client`.

    fhirpy's own search language works on it too: `await client.resources("Condition").search(...).fetch_all()`.
    All faults are FhirServerError with the HTTP status; messages hold no data.
    """

    def __init__(
        self, base: str, session: aiohttp.ClientSession, limits: Limits, authorization: Authorization | None = None
    ) -> None:
        super().__init__(base)
        self.limits = limits
        self._base = URL(base)
        self._transport = Transport(session, limits, authorization)

    async def read(self, query: str) -> Resource:
        """Return the resource that `Type/id` or an operation answers with."""
        answer = await self._do_request("get", query)
        if not isinstance(answer, dict) or "resourceType" not in answer:
            raise FhirServerError("answered something that is no FHIR resource", where=self._place(query))
        return answer

    async def search(self, query: str) -> Found:
        """Return what `Type?parameters` finds, page after page; a long query goes by POST `_search`."""
        return await self._pages(await self._first_page(query), query)

    async def follow(self, link: str, query: str) -> Found:
        """Return what the page at `link` and those after it hold; `query` names them in messages."""
        return await self._pages(await self._do_request("get", self._absolute(link)), query)

    async def batch(self, queries: Sequence[str]) -> list[Found | FhirServerError]:
        """Return what each query finds, all asked in one batch Bundle (R4 §3.1.0.11); further pages are then read."""
        entry = [{"request": {"method": "GET", "url": query}} for query in queries]
        answer = await self._do_request("post", "", {"resourceType": "Bundle", "type": "batch", "entry": entry})
        entries = answer.get("entry") if isinstance(answer, dict) else None
        if not isinstance(entries, list) or len(entries) != len(queries):
            raise FhirServerError("answered a batch with something else than its answers", where="batch")
        return [await self._batched(item, query) for item, query in zip(entries, queries, strict=True)]

    async def _batched(self, item: Any, query: str) -> Found | FhirServerError:
        response = item.get("response", {}) if isinstance(item, dict) else {}
        digits = str(response.get("status", ""))[:3]
        status = int(digits) if digits.isdigit() else None
        if status is None or not 200 <= status < 300:
            return refused(status or 500, self._place(query))
        resource = item.get("resource")
        try:
            if isinstance(resource, dict) and resource.get("resourceType") == query.partition("/")[0]:
                return Found((resource,))
            return await self._pages(resource, query)
        except FhirServerError as error:
            return error

    async def _first_page(self, query: str) -> Any:
        if len(query) <= self.limits.url_chars:
            return await self._do_request("get", query)
        path, _, parameters = query.partition("?")
        url = self._absolute(f"{path}/_search")
        return (await self._transport.send(Request("POST", url, self._place(query), parameters.encode(), FORM)))[0]

    async def _pages(self, first: Any, query: str) -> Found:
        place = self._place(query)
        resources: list[Resource] = []
        seen: set[str] = set()
        page = first
        while True:
            held = self._held(page, place)
            resources += held.resources
            grave = issues.grave(held.issues)
            if grave:
                return Found(tuple(resources), f"the server reports an error ({issues.codes(grave)})")
            if held.next is None:
                return Found(tuple(resources))
            link = self._absolute(held.next)
            if link in seen:
                return Found(tuple(resources), "the server's pages go round in a circle")
            if len(seen) + 1 >= self.limits.pages:
                return Found(tuple(resources), f"the server has more than {self.limits.pages} pages")
            seen.add(link)
            page = await self._do_request("get", link)

    def _held(self, page: Any, place: str) -> bundle.Held:
        try:
            return bundle.read(page, where=place, bases=(str(self._base),))
        except InputError as error:
            raise FhirServerError(f"answered wrongly: {error.message}", where=error.where) from None

    async def _do_request(
        self,
        method: str,
        path: str,
        data: Any = None,
        params: Any = None,
        extra_headers: Mapping[str, str] | None = None,
        *,
        returning_status: bool = False,
    ) -> Any:
        body = None if data is None else codec.encode(data)
        url = self._build_request_url(path, params)
        request = Request(method.upper(), url, self._place(path), body, headers=extra_headers or {})
        answer = await self._transport.send(request)
        return answer if returning_status else answer[0]

    def _build_request_url(self, path: str, params: Any) -> str:
        query = encode_params(params or {})
        return self._absolute(f"{path}{'&' if '?' in path else '?'}{query}" if query else path)

    async def _fetch_resource(self, path: str, params: Any = None) -> Any:
        return _attributes(await self._do_request("get", path, params=params))

    def _absolute(self, link: str) -> str:
        """Return the absolute URL of a path or link; raises FhirServerError when it leaves the server's base URL."""
        base, folder = self._base, self._base.path.rstrip("/") + "/"
        try:
            url = URL(link)
            if not url.absolute:
                url = URL(f"{base}/{link.removeprefix(folder).lstrip('/')}".rstrip("/"))
        except ValueError:
            raise FhirServerError("a link is no URL", where=self._place(link)) from None
        same_server = (url.scheme, url.host, url.port) == (base.scheme, base.host, base.port)
        inside = (url.path.rstrip("/") + "/").startswith(folder) and ".." not in url.path.split("/")
        if not (same_server and inside) or url.user:
            raise FhirServerError("a link leads away from the FHIR server; it is not followed", where="link")
        return str(url)

    @staticmethod
    def _place(query: str) -> str:
        """Return what stands for a query in messages: the resource type; ids and parameters may tell of the patient."""
        path = query.partition("?")[0]
        kinds = [part for part in path.split("/") if part[:1].isupper() and part.isalpha()]
        return f"FHIR server, {kinds[-1]}" if kinds else "FHIR server"


def _attributes(value: Any) -> Any:
    """Return JSON in the form that fhirpy's search language reads."""
    if isinstance(value, dict):
        return AttrDict({key: _attributes(item) for key, item in value.items()})
    return [_attributes(item) for item in value] if isinstance(value, list) else value


def authorization_of(token: str | None) -> str | None:
    """Return the header value for an access token; raises InputError for a token that cannot stand in a header."""
    if token is None:
        return None
    if not token or not token.isascii() or any(character.isspace() for character in token):
        raise InputError("not a bearer token", where="fhirAuthorization.access_token")
    return f"Bearer {token}"


def queries_of(items: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return key -> query; raises InputError when two queries have the same key."""
    table: dict[str, str] = {}
    for key, query in items:
        if table.setdefault(key, query) != query:
            raise InputError(f'two queries have the key "{key}"')
    return table
