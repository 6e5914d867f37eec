"""Faults of FHIR servers, each from a server that is scripted to show it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from fhir_cds.data.client import Connections, authorization_of
from fhir_cds.data.guard import Guard
from fhir_cds.errors import FhirServerError, InputError

from .conftest import FAST, PATIENT, Reply, Script, condition, searchset

QUERY = "Condition?patient=1"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422, 500])
async def test_status_is_kept(script: Script, connections: Connections, status: int) -> None:
    """Every error status reaches the caller, and is not tried again."""
    script.on(QUERY, Reply(status=status))
    with pytest.raises(FhirServerError) as caught:
        await connections.client(script.base).search(QUERY)
    assert caught.value.http_status == status
    assert script.asked(QUERY) == 1


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_busy_server_is_asked_again(script: Script, connections: Connections, status: int) -> None:
    """Transient answers are tried again, and the third try counts."""
    script.on(QUERY, Reply(status=status), Reply(status=status), searchset(condition(1)))
    found = await connections.client(script.base).search(QUERY)
    assert [item["id"] for item in found.resources] == ["c1"]
    assert script.asked(QUERY) == 3


async def test_tries_are_bounded(script: Script, connections: Connections) -> None:
    """A server that stays busy is given up after the retries, with its status."""
    script.on(QUERY, Reply(status=503))
    with pytest.raises(FhirServerError) as caught:
        await connections.client(script.base).search(QUERY)
    assert caught.value.http_status == 503
    assert script.asked(QUERY) == FAST.retries + 1


async def test_retry_after_beyond_the_budget_is_not_waited_for(script: Script, connections: Connections) -> None:
    """A wait that the budget does not allow fails at once."""
    script.on(QUERY, Reply(status=429, headers={"Retry-After": "60"}))
    with pytest.raises(FhirServerError, match="asked too often"):
        await connections.client(script.base).search(QUERY)
    assert script.asked(QUERY) == 1


async def test_retry_after_as_date_counts_from_the_servers_own_clock(script: Script, connections: Connections) -> None:
    """Retry-After as a date is measured against the answer's Date header."""
    dates = {"Retry-After": "Sat, 31 Jan 2026 10:01:00 GMT", "Date": "Sat, 31 Jan 2026 10:00:00 GMT"}
    script.on(QUERY, Reply(status=503, headers=dates))
    with pytest.raises(FhirServerError):
        await connections.client(script.base).search(QUERY)
    assert script.asked(QUERY) == 1
    dates["Retry-After"] = dates["Date"]
    script.on(QUERY, Reply(status=503, headers=dates), searchset())
    assert (await connections.client(script.base).search(QUERY)).resources == ()


async def test_writes_are_never_sent_twice(script: Script, connections: Connections) -> None:
    """POST is not repeated, whatever the answer."""
    script.on("Condition", Reply(status=503))
    with pytest.raises(FhirServerError):
        await connections.client(script.base).execute("Condition", "post", condition(1))
    assert script.asked("Condition") == 1


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (Reply(b"<html>"), "not JSON"),
        (Reply(b'{"resourceType": "Bundle", "type"'), "not JSON"),
        (Reply(b'{"resourceType": "Bundle"', cut=True), "cannot be read"),
        (Reply(b"[1]"), "a FHIR Bundle is expected"),
        (Reply(None), "a FHIR Bundle is expected"),
        (Reply({"resourceType": "Patient", "id": "1"}), "a FHIR Bundle is expected"),
        (Reply({"resourceType": "Bundle", "type": "history"}), "type"),
        (Reply({"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": {}}]}), "resourceType"),
        (Reply(b"[" * 50_000), "nested too deeply"),
        (Reply(b'"' + b"x" * 300_000 + b'"'), "more than 200000 bytes"),
        (Reply(silent=True), "did not answer"),
    ],
)
async def test_wrong_answers(
    script: Script, connections: Connections, hasty: Connections, reply: Reply, message: str
) -> None:
    """Garbage, truncation, other forms, size and silence are errors that say so and name the kind of resource."""
    script.on(QUERY, reply)
    with pytest.raises(FhirServerError, match=message) as caught:
        await (hasty if reply.silent else connections).client(script.base).search(QUERY)
    assert (caught.value.where or "").startswith("FHIR server, Condition")


async def test_no_server(connections: Connections) -> None:
    """A port where nobody listens is an error without status."""
    with pytest.raises(FhirServerError, match="cannot be read") as caught:
        await connections.client("http://127.0.0.1:9/fhir").search(QUERY)
    assert caught.value.http_status is None


async def test_total_budget(script: Script) -> None:
    """Calls that are each fast enough stop when the budget for all is used up."""
    script.on("Condition?patient=1&p=1", Reply(searchset(), delay=0.15))
    async with Connections(Guard(loopback=True), replace(FAST, total_seconds=0.2)) as connections:
        client = connections.client(script.base)
        script.on(QUERY, Reply(searchset(link=f"{script.base}/Condition?patient=1&p=1"), delay=0.15))
        with pytest.raises(FhirServerError, match=r"did not answer|used up"):
            await client.search(QUERY)


async def test_pages_are_followed(script: Script, connections: Connections) -> None:
    """Absolute and relative next links below the base are followed to the end."""
    script.on(QUERY, searchset(condition(1), link=f"{script.base}?_getpages=abc&_offset=1"))
    script.on("?_getpages=abc&_offset=1", searchset(condition(2), link="Condition?patient=1&page=3"))
    script.on("Condition?patient=1&page=3", searchset(condition(3), link="/fhir/Condition?patient=1&page=4"))
    script.on("Condition?patient=1&page=4", searchset(condition(4)))
    found = await connections.client(script.base, authorization="Bearer t").search(QUERY)
    assert [item["id"] for item in found.resources] == ["c1", "c2", "c3", "c4"]
    assert found.incomplete is None
    assert {token for _, _, token, _ in script.seen} == {"Bearer t"}


async def test_circle_of_pages(script: Script, connections: Connections) -> None:
    """Pages that lead back are found out and the result is called incomplete."""
    script.on(QUERY, searchset(condition(1), link=f"{script.base}/Condition?patient=1&p=2"))
    script.on("Condition?patient=1&p=2", searchset(condition(2), link=f"{script.base}/Condition?patient=1&p=2"))
    found = await connections.client(script.base).search(QUERY)
    assert "circle" in (found.incomplete or "")


async def test_endless_pages(script: Script, connections: Connections) -> None:
    """A server that always has one page more is stopped at the cap, and the result is incomplete."""
    for page in range(20):
        query = QUERY if page == 0 else f"Condition?p={page}"
        script.on(query, searchset(condition(page), link=f"{script.base}/Condition?p={page + 1}"))
    found = await connections.client(script.base).search(QUERY)
    assert "more than 5 pages" in (found.incomplete or "")
    assert len(script.seen) == 5


@pytest.mark.parametrize(
    "link",
    [
        "{other}/fhir/Condition?page=2",
        "{other}/x?u={base}/Condition",
        "http://user@{host}/fhir/Condition",
        "{root}/fhir-other/Condition",
        "{root}/secret",
        "{base}/../secret",
        "{base}/%2e%2e/secret",
        "//{otherhost}/fhir/Condition",
        "https://{host}/fhir/Condition",
        "http://[broken",
    ],
)
async def test_token_goes_nowhere_else(script: Script, other: Script, connections: Connections, link: str) -> None:
    """A next link that leaves scheme, host, port or path of the base is refused before anything is sent."""
    root, other_root = script.base.removesuffix("/fhir"), other.base.removesuffix("/fhir")
    names = {"base": script.base, "root": root, "other": other_root, "host": root[7:], "otherhost": other_root[7:]}
    script.on(QUERY, searchset(condition(1), link=link.format(**names)))
    with pytest.raises(FhirServerError, match="link"):
        await connections.client(script.base, authorization="Bearer secret").search(QUERY)
    assert other.seen == []
    assert len(script.seen) == 1


async def test_redirects_are_refused(script: Script, other: Script, connections: Connections) -> None:
    """A redirect is not followed, so the token does not travel."""
    script.on(QUERY, Reply(status=302, headers={"Location": f"{other.base}/Condition?patient=1"}))
    with pytest.raises(FhirServerError, match="redirects") as caught:
        await connections.client(script.base, authorization="Bearer secret").search(QUERY)
    assert caught.value.http_status == 302
    assert other.seen == []


async def test_decimals_keep_their_digits(script: Script, connections: Connections) -> None:
    """1.10 arrives as 1.10, in raw reads and through fhirpy's search language."""
    script.on("Observation/o", b'{"resourceType":"Observation","id":"o","valueQuantity":{"value":1.10}}')
    script.on(
        "Observation?code=x",
        b'{"resourceType":"Bundle","type":"searchset","entry":[{"resource":'
        b'{"resourceType":"Observation","id":"o","valueQuantity":{"value":1.10}}}]}',
    )
    client = connections.client(script.base)
    assert str((await client.read("Observation/o"))["valueQuantity"]["value"]) == "1.10"
    found = await client.resources("Observation").search(code="x").fetch_all()
    assert found[0]["valueQuantity"]["value"] == Decimal("1.10")


async def test_decimals_are_written_as_they_are(script: Script, connections: Connections) -> None:
    """What is sent keeps its decimals and is typed as FHIR JSON."""
    script.on("Observation", {"resourceType": "Observation", "id": "o"})
    await connections.client(script.base).execute(
        "Observation", "post", {"resourceType": "Observation", "valueQuantity": {"value": Decimal("4.10")}}
    )
    assert '"value":4.10' in script.seen[0][3]


async def test_long_query_goes_by_post(script: Script) -> None:
    """A query too long for a URL is sent as a form to _search."""
    script.on("Condition/_search", searchset(condition(1)))
    async with Connections(Guard(loopback=True), replace(FAST, url_chars=30)) as connections:
        found = await connections.client(script.base).search(QUERY + "&code=" + "1," * 40)
    assert len(found.resources) == 1
    method, path, _, body = script.seen[0]
    assert (method, path) == ("POST", "Condition/_search")
    assert body.startswith("patient=1&code=")


async def test_batch(script: Script, connections: Connections) -> None:
    """Several searches in one round trip; each has its own answer or error."""
    answers = [
        {"response": {"status": "200 OK"}, "resource": searchset(condition(1))},
        {"response": {"status": "404"}},
        {"response": {"status": "200"}, "resource": PATIENT},
    ]
    script.on("", {"resourceType": "Bundle", "type": "batch-response", "entry": answers})
    first, second, third = await connections.client(script.base).batch([QUERY, "Device?patient=1", "Patient/1"])
    assert not isinstance(first, FhirServerError)
    assert [item["id"] for item in first.resources] == ["c1"]
    assert isinstance(second, FhirServerError)
    assert second.http_status == 404
    assert not isinstance(third, FhirServerError)
    assert third.resources == (PATIENT,)


async def test_outcome_entry_makes_the_search_incomplete(script: Script, connections: Connections) -> None:
    """An OperationOutcome entry with an error among the results is not passed over."""
    outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "timeout"}]}
    script.on(QUERY, searchset(condition(1), outcome))
    found = await connections.client(script.base).search(QUERY)
    assert found.incomplete == "the server reports an error (timeout)"


async def test_one_session_per_server(script: Script, other: Script, connections: Connections) -> None:
    """Clients of one base share a session; another base has its own."""
    script.on(QUERY, searchset())
    other.on(QUERY, searchset())
    for base in (script.base, script.base + "/", other.base):
        await connections.client(base).search(QUERY)
    assert len(connections._sessions) == 2


async def test_errors_do_not_tell_of_the_patient(script: Script, connections: Connections) -> None:
    """Neither id, nor token, nor the server's text stand in the message."""
    outcome = {
        "resourceType": "OperationOutcome",
        "issue": [{"severity": "error", "code": "security", "diagnostics": "Jane Doe"}],
    }
    script.on("Patient/secret-id", Reply(outcome, status=403))
    with pytest.raises(FhirServerError) as caught:
        await connections.client(script.base, authorization="Bearer hidden").read("Patient/secret-id")
    assert str(caught.value) == "FHIR server, Patient: answered 403: it does not allow this (security)"


async def test_token_from_a_provider(script: Script, connections: Connections) -> None:
    """A callable gives the authorisation for each request."""

    async def provider() -> str:
        return "Bearer fresh"

    script.on(QUERY, searchset())
    await connections.client(script.base, authorization=provider).search(QUERY)
    assert script.seen[0][2] == "Bearer fresh"


def test_token_must_fit_a_header() -> None:
    """A token with line breaks or spaces is refused; none gives none."""
    assert authorization_of(None) is None
    assert authorization_of("abc") == "Bearer abc"
    for bad in ("", "a b", "a\r\nX: y", "ä"):
        with pytest.raises(InputError):
            authorization_of(bad)
