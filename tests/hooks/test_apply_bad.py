"""Bad input to `$apply` over HTTP: the right status, and an OperationOutcome that names the place (ER-03, ER-04)."""

import json
from collections.abc import Callable
from typing import Any

import faulty
import pytest
import small
from small import (
    BASE,
    DATA,
    SUBJECT,
    action,
    activity,
    bundle,
    content,
    data,
    issue,
    messages,
    patient,
    plan,
    post,
    text,
)
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

APPLY = "PlanDefinition/plan/$apply"
TYPE = "PlanDefinition/$apply"
Make = Callable[..., TestClient]


def inline(definition: dict[str, Any]) -> dict[str, Any]:
    """Return a plan as parameter."""
    return {"name": "planDefinition", "resource": definition}


def named(language: str, expression: str, **more: Any) -> dict[str, Any]:
    """Return an action with one condition."""
    condition = {"kind": "applicability", "expression": {"language": language, "expression": expression}}
    return action("a", **more) | {"condition": [condition]}


@pytest.mark.parametrize(
    ("actions", "place", "says"),
    [
        ([named("text/cql-identifier", "Met")], "PlanDefinition.action[0].condition[0]", "needs a library"),
        ([named("text/fhirpath", "(1")], "PlanDefinition.action[0].condition[0]", ""),
        ([named("text/fhirpath", "1 / 'x'")], "PlanDefinition.action[0].condition[0]", ""),
        ([named("text/cql-expression", "1 = 1")], "PlanDefinition.action[0].condition[0]", "inline CQL"),
        ([named("text/klingon", "x")], "PlanDefinition.action[0].condition[0]", "text/klingon"),
        (
            [action("a", definitionCanonical=f"{BASE}/none|1")],
            "PlanDefinition.action[0].definitionCanonical",
            f"{BASE}/none|1",
        ),
        ([action("a", action=[named("text/fhirpath", "%x")])], "PlanDefinition.action[0].action[0].condition[0]", "x"),
    ],
)
def test_er_04_a_fault_in_a_plan_names_its_place(
    make_client: Make, actions: list[dict[str, Any]], place: str, says: str
) -> None:
    """ER-02, ER-03, ER-04: a fault of one action is an issue with FHIRPath and canonical; the rest is answered, 200."""
    client = make_client(content(plan(action("x"))))
    faulty_plan = plan(*actions, action("rest"), key="inline")
    answer = post(client, TYPE, SUBJECT, DATA, inline(faulty_plan))
    assert answer.status_code == 200, answer.text
    assert small.actions(answer.json())[-1] == "rest"
    told = messages(answer.json())
    assert [item["expression"] for item in told] == [[place]]
    assert told[0]["severity"] == "error"
    assert f"{BASE}/PlanDefinition/inline|1" in told[0]["diagnostics"]
    assert says in told[0]["diagnostics"]


def test_er_04_a_library_that_is_not_here(make_client: Make) -> None:
    """ER-04, CO-09: a library that the server does not have is named, at the action that needs it."""
    client = make_client(content(plan(action("x"))))
    needy = plan(named("text/cql-identifier", "Met"), key="inline", library=[f"{BASE}/Library/none"])
    (told,) = messages(post(client, TYPE, SUBJECT, DATA, inline(needy)).json())
    assert f"Library {BASE}/Library/none is not in the content" in told["diagnostics"]


def test_al_06_a_ring_of_plans(make_client: Make) -> None:
    """AL-06: a plan that a caller sends and that leads back to itself ends in an issue that shows the ring."""
    inner = plan(action("i", definitionCanonical=f"{BASE}/PlanDefinition/plan"), key="inner")
    client = make_client(content(plan(action("x")), inner))
    ring = plan(action("o", definitionCanonical=inner["url"]), action("rest"))
    made = post(client, TYPE, SUBJECT, DATA, inline(ring)).json()
    assert small.actions(made) == ["o", "rest"]
    (told,) = messages(made)
    assert told["expression"] == ["PlanDefinition.action[0].definitionCanonical"]
    url = f"{BASE}/PlanDefinition"
    assert f"{url}/plan|1 -> {url}/inner|1 -> {url}/plan|1" in told["diagnostics"]


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ([SUBJECT, data()], "data"),
        ([SUBJECT, data(patient("q"))], "data"),
        ([SUBJECT, data(patient(), patient("q"))], "data"),
        (
            [SUBJECT, data(patient(), {"resourceType": "Flag", "id": "f", "subject": {"reference": "Patient/q"}})],
            "data.Flag.subject",
        ),
        ([SUBJECT, {"name": "data", "resource": patient()}], "data"),
        ([SUBJECT, {"name": "data", "resource": {**bundle(patient()), "type": "history"}}], "data.type"),
        ([SUBJECT, data(patient(), {"resourceType": "Nothing", "id": "n"})], "data.entry[1].resource.resourceType"),
        ([SUBJECT, data(patient(), {"resourceType": "Flag", "id": "not an id"})], "data.entry[1].resource.id"),
        ([SUBJECT, DATA, inline({"resourceType": "Patient", "id": "p"})], "resourceType"),
        ([SUBJECT, DATA, inline({**plan(), "title": 5})], "PlanDefinition.title"),
        ([SUBJECT, DATA, inline({**plan(), "colour": "red"})], "PlanDefinition.colour"),
    ],
)
def test_er_03_wrong_data_and_definitions(make_client: Make, given: list[dict[str, Any]], place: str) -> None:
    """ER-03: another patient's data, data that are no R4, and a definition that is none are 400, naming the element."""
    client = make_client(content(plan(action("a"))))
    path = TYPE if any(item["name"] == "planDefinition" for item in given) else APPLY
    assert issue(post(client, path, *given), 400)["expression"] == [place]


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 400), (b"{", 400), (b"[]", 400), (b"null", 400), (b'{"resourceType":"Parameters","parameter":"x"}', 400)],
)
def test_er_03_what_is_no_parameters(make_client: Make, body: bytes, status: int) -> None:
    """ER-03: a body that is no Parameters resource is 400."""
    client = make_client(content(plan(action("a"))))
    issue(client.post(f"/fhir/{APPLY}", content=body, headers=small.FHIR), status)


def five_megabytes() -> list[dict[str, Any]]:
    """Return a patient with some five megabytes of Observations."""
    note = [{"text": "x" * 900}]
    subject = {"reference": "Patient/p"}
    head = {"resourceType": "Observation", "status": "final", "code": {"text": "c"}, "subject": subject, "note": note}
    return [patient(), *({**head, "id": f"o{number}"} for number in range(4900))]


def test_five_megabytes(make_client: Make) -> None:
    """A Bundle of five megabytes is answered; over the limit it is 413, and the limit is named."""
    counted = action("a", "%all.count() = 4900", input=[{"id": "all", "type": "Observation"}])
    large = [SUBJECT, data(*five_megabytes())]
    size = len(json.dumps(large))
    assert size > 5_000_000
    loaded = content(plan(counted))
    assert small.actions(post(make_client(loaded), APPLY, *large).json()) == ["a"]
    refused = issue(post(make_client(loaded, body_limit_bytes=1_000_000), APPLY, *large), 413)
    assert (refused["code"], refused["expression"]) == ("too-long", ["body"])
    assert "1000000" in refused["diagnostics"]


READS = {"id": "problems", "type": "Condition"}


@pytest.mark.parametrize("fault", ["401", "404", "429", "500", "garbage", "truncated", "not a bundle", "redirect"])
def test_a_server_that_fails(make_client: Make, serve: Callable[[Any], str], fault: str) -> None:
    """A dataEndpoint that refuses, fails or answers nonsense: 502 (404 for no such patient), naming the parameter."""
    client = make_client(content(plan(action("a", "%problems.exists()", input=[READS]))))
    server = f"{serve(faulty.application(fault))}/fhir"
    found = issue(post(client, APPLY, SUBJECT, text("dataEndpoint", server)), 404 if fault == "404" else 502)
    assert found["expression"] == (["subject"] if fault == "404" else ["dataEndpoint"])
    assert "patient" in found["diagnostics"]
    assert "Planted" not in found["diagnostics"]


@pytest.mark.parametrize("place", ["first page", "second page"])
def test_a_server_that_goes_down_in_the_middle(make_client: Make, serve: Callable[[Any], str], place: str) -> None:
    """A server that breaks off while it is read: 502 that names the key; nothing is answered from half of the data."""

    async def read(_request: Request) -> Response:
        return JSONResponse(patient())

    async def search(request: Request) -> Response:
        if place == "second page" and "page" not in request.query_params:
            link = [{"relation": "next", "url": str(request.url.include_query_params(page=2))}]
            condition = {"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/p"}}
            found = {**bundle(condition), "type": "searchset", "link": link}
            return JSONResponse(found)
        raise ConnectionAbortedError  # uvicorn answers 500 and drops the connection

    broken = Starlette(routes=[Route("/fhir/Patient/{id}", read), Route("/fhir/{kind}", search)])
    client = make_client(content(plan(action("a", "%problems.exists()", input=[READS]))))
    found = issue(post(client, APPLY, SUBJECT, text("dataEndpoint", f"{serve(broken)}/fhir")), 502)
    assert found["expression"] == ["dataEndpoint"]
    assert "Condition" in found["diagnostics"]


def test_nobody_answers_and_addresses_that_are_not_allowed(make_client: Make) -> None:
    """A server that is not there is 502; one that may not be called is refused before it is."""
    client = make_client(content(plan(action("a"))))
    found = issue(post(client, APPLY, SUBJECT, text("dataEndpoint", "http://127.0.0.1:9/fhir")), 502)
    assert (found["code"], found["expression"]) == ("transient", ["dataEndpoint"])
    for address in ("file:///etc/passwd", "http://169.254.169.254/latest", "no address", "https://example.org/fhir"):
        assert post(client, APPLY, SUBJECT, text("dataEndpoint", address)).status_code in {400, 403}, address


def test_activity_that_is_not_here_or_makes_nothing(make_client: Make) -> None:
    """ActivityDefinition: unknown is 404, two subjects are 422, a kind that is no request is 422."""
    client = make_client(content(activity(), activity("odd", kind="Patient")))
    issue(post(client, "ActivityDefinition/none/$apply", SUBJECT, DATA), 404)
    both = data(patient(), patient("q"))
    assert issue(post(client, "ActivityDefinition/scan/$apply", SUBJECT, text("subject", "q"), both), 400)[
        "expression"
    ] == ["subject"]
    assert issue(post(client, "ActivityDefinition/odd/$apply", SUBJECT, DATA), 422)["code"] == "not-supported"
