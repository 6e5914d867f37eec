"""Sending one request to a FHIR server: time budget, retries, size limit, and errors that keep the HTTP status.

Messages name the kind of resource, never ids, parameters or content.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, Final

import aiohttp
from yarl import URL

from fhir_cds.errors import FhirServerError, InputError
from fhir_cds.fhir import bundle, codec, issues

Authorization = str | Callable[[], Awaitable[str]]

FHIR_JSON: Final = "application/fhir+json"
FORM: Final = "application/x-www-form-urlencoded"

_RETRIED: Final = frozenset({429, 502, 503, 504})
_CHUNK: Final = 65536
_MEANING: Final[Mapping[int, str]] = {
    401: "it did not accept the authorisation",
    403: "it does not allow this",
    404: "it has no such resource",
    410: "the resource is deleted",
    429: "it is asked too often",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """How long and how much: seconds, bytes, counts.

    `call_seconds` is the longest wait for one answer, `total_seconds` for everything about one patient; `retries` are
    those after the first try, waiting `first_wait` seconds, then twice as long each time, unless the server says.
    A query longer than `url_chars` goes by POST `_search`; `batch` asks all queries in one batch Bundle.
    """

    call_seconds: float = 3.0
    total_seconds: float = 8.0
    retries: int = 2
    first_wait: float = 0.2
    pages: int = 50
    answer_bytes: int = 16_000_000
    parallel: int = 6
    url_chars: int = 4000
    batch: bool = False


class Deadline:
    """The moment until which everything must be done, by the event loop's monotonic clock."""

    def __init__(self, seconds: float) -> None:
        self._until = asyncio.get_running_loop().time() + seconds

    def left(self) -> float:
        """Return the seconds that remain, 0 when it has passed."""
        return max(0.0, self._until - asyncio.get_running_loop().time())


@dataclass(frozen=True, slots=True)
class Request:
    """One request to be sent, perhaps again; `place` stands for it in messages."""

    method: str
    url: str
    place: str
    body: bytes | None = None
    content_type: str = FHIR_JSON
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def repeatable(self) -> bool:
        """Whether sending it twice does what sending it once does: reads, and searches sent as a form."""
        return self.method == "GET" or self.content_type == FORM


class Transport:
    """Sends requests for one patient within one deadline."""

    def __init__(self, session: aiohttp.ClientSession, limits: Limits, authorization: Authorization | None) -> None:
        self.limits = limits
        self._session = session
        self._authorization = authorization
        self._deadline = Deadline(limits.total_seconds)

    async def send(self, request: Request) -> tuple[Any, int]:
        """Send one request, again where that is safe and worthwhile; return the decoded answer and its status.

        Raises FhirServerError for everything that is not a good answer in good time.
        """
        headers = {"Accept": FHIR_JSON, **request.headers}
        if request.body is not None:
            headers["Content-Type"] = request.content_type
        if self._authorization is not None:
            headers["Authorization"] = (
                self._authorization if isinstance(self._authorization, str) else await self._authorization()
            )
        tries = self.limits.retries + 1 if request.repeatable else 1
        for attempt in range(tries):
            status, received, answer = await self._once(request, headers)
            if 200 <= status < 300:
                return _decoded(answer, request.place, status), status
            wait = _wait(received, attempt, self.limits.first_wait)
            if status not in _RETRIED or attempt + 1 == tries or wait >= self._deadline.left():
                break
            await asyncio.sleep(wait)
        raise refused(status, request.place, answer)

    async def _once(self, request: Request, headers: Mapping[str, str]) -> tuple[int, Mapping[str, str], bytes]:
        seconds = min(self.limits.call_seconds, self._deadline.left())
        if seconds <= 0:
            raise FhirServerError("the time for reading this patient is used up", where=request.place)
        url = URL(request.url, encoded=True)
        try:
            async with (
                asyncio.timeout(seconds),
                self._session.request(
                    request.method, url, headers=headers, data=request.body, allow_redirects=False
                ) as response,
            ):
                return response.status, dict(response.headers), await self._body(response, request.place)
        except TimeoutError:
            raise FhirServerError(f"did not answer within {seconds:.3g} s", where=request.place) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise FhirServerError(f"cannot be read ({type(error).__name__})", where=request.place) from None

    async def _body(self, response: aiohttp.ClientResponse, place: str) -> bytes:
        chunks: list[bytes] = []
        size = 0
        async for chunk in response.content.iter_chunked(_CHUNK):
            size += len(chunk)
            if size > self.limits.answer_bytes:
                text = f"answered more than {self.limits.answer_bytes} bytes"
                raise FhirServerError(text, where=place, http_status=response.status)
            chunks.append(chunk)
        return b"".join(chunks)


def _decoded(answer: bytes, place: str, status: int) -> Any:
    """Return the decoded answer, None for an empty one; raises FhirServerError when it is not JSON."""
    if not answer:
        return None
    try:
        return codec.decode(answer)
    except InputError as error:
        raise FhirServerError(f"answered wrongly: {error.message}", where=place, http_status=status) from None


def refused(status: int, place: str, answer: bytes = b"") -> FhirServerError:
    """Return the error for an answer that is not a success; of its body only the issue codes are told."""
    meaning = "it redirects, which is not followed" if 300 <= status < 400 else _MEANING.get(status)
    told = _told(answer)
    text = f"answered {status}" + (f": {meaning}" if meaning else "") + (f" ({told})" if told else "")
    return FhirServerError(text, where=place, http_status=status)


def _wait(headers: Mapping[str, str], attempt: int, first: float) -> float:
    """Return the seconds to wait: those the server names, else twice as long each time (no jitter: reproducible)."""
    named = {key.lower(): value for key, value in headers.items()}
    after = named.get("retry-after", "").strip()
    if after.isdigit():
        return float(after)
    try:
        then, now = parsedate_to_datetime(after), parsedate_to_datetime(named.get("date", ""))
        return max(0.0, (then - now).total_seconds())
    except (ValueError, TypeError):
        return float(first * 2**attempt)


def _told(answer: bytes) -> str:
    """Return the issue codes of an OperationOutcome: FHIR's own words, no data."""
    try:
        value = codec.decode(answer)
    except InputError:
        return ""
    if not isinstance(value, dict) or value.get("resourceType") != "OperationOutcome":
        return ""
    return issues.codes(bundle.issues_of(value))
