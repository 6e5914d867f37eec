"""The content as a FHIR server gives it, over real HTTP: statements, reading, searching, media types, conditions."""

from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import conftest
import pytest
import requests
import small
from fhirpy import SyncFHIRClient
from starlette.applications import Starlette
from starlette.testclient import TestClient

from fhir_cds.server import fhir_api, search
from fhir_cds.server.app import create_app
from fhir_cds.server.content_api import TYPES
from fhir_cds.server.operations import OPERATIONS
from fhir_cds.server.settings import Settings
from fhir_cds.server.state import Loaded

FHIR_JSON = "application/fhir+json; charset=utf-8"
PLAN = "ibero2025-strategy-follow-up"


@pytest.fixture(scope="module")
def base(content: Loaded, serve: Callable[[Starlette], str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the address of the FHIR API."""
    folder: Path = tmp_path_factory.mktemp("store")
    settings = Settings(feedback_url=f"sqlite:///{folder}/f.sqlite3", rate_per_minute=1_000_000)
    return f"{serve(create_app(content, settings, clock=conftest.clock))}/fhir"


@pytest.fixture(scope="module")
def http() -> Iterator[requests.Session]:
    """Return an HTTP client."""
    with requests.Session() as session:
        yield session


def valid(resource: dict[str, Any]) -> dict[str, Any]:
    """Return a resource that is valid R4."""
    kind = resource["resourceType"]
    getattr(import_module(f"fhir.resources.R4B.{kind.lower()}"), kind).model_validate(resource)
    return resource


def refused(answer: requests.Response, status: int) -> dict[str, Any]:
    """Return the first issue of a refusal."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == FHIR_JSON
    issue: dict[str, Any] = valid(answer.json())["issue"][0]
    assert issue["diagnostics"]
    return issue


def statement(http: requests.Session, base: str) -> dict[str, Any]:
    """Return the CapabilityStatement."""
    return valid(http.get(f"{base}/metadata").json())


def test_statement_and_routes_are_one(http: requests.Session, base: str) -> None:
    """What the CapabilityStatement says is served, and what is served it says."""
    rest = statement(http, base)["rest"][0]
    stated = {f"/fhir/${operation['name']}" for operation in rest["operation"]}
    for resource in rest["resource"]:
        read = {"read", "search-type"} if resource["type"] in TYPES else set()
        assert {item["code"] for item in resource.get("interaction", ())} == read
        for operation in resource.get("operation", ()):
            described = valid(http.get(operation["definition"]).json())
            assert (described["code"], described["resource"]) == (operation["name"], [resource["type"]])
            stated |= {f"/fhir/{resource['type']}/${operation['name']}"} if described["type"] else set()
            stated |= {f"/fhir/{resource['type']}/{{id}}/${operation['name']}"} if described["instance"] else set()
    assert {route.path for route in fhir_api.ROUTES if "$" in route.path} == stated
    others = {route.path for route in fhir_api.ROUTES if "$" not in route.path}
    assert others == {"/fhir/metadata", "/fhir/{kind}", "/fhir/{kind}/_search", "/fhir/{kind}/{id}"}


def test_everything_stated_answers(http: requests.Session, base: str) -> None:
    """Each type is read and searched, by each parameter stated; each operation answers by GET and POST."""
    rest = statement(http, base)["rest"][0]
    held = [resource for resource in rest["resource"] if "interaction" in resource]
    assert [resource["type"] for resource in held] == list(TYPES)
    for resource in held:
        kind = resource["type"]
        first = http.get(f"{base}/{kind}", params={"_count": 1}).json()["entry"][0]["resource"]
        assert valid(http.get(f"{base}/{kind}/{first['id']}").json()) == first
        for parameter in resource["searchParam"]:
            found = http.get(f"{base}/{kind}", params={parameter["name"]: "zzz"})
            assert found.status_code == 200, (kind, parameter)
            assert found.json()["total"] == 0
    for operation in OPERATIONS:
        for path in operation.paths():
            address = f"{base}{path.replace('{id}', 'nothing')}"
            answers = [http.get(address), http.post(address, json={"resourceType": "Parameters"})]
            assert [refused(answer, answer.status_code)["code"] for answer in answers] != ["not-supported"] * 2, path
            assert {answer.status_code for answer in answers} <= {400, 404, 412}, path
            allowed = http.put(address, json={})
            assert (allowed.status_code, set(allowed.headers["allow"].split(", "))) == (405, {"GET", "HEAD", "POST"})


def test_what_is_not_stated_is_not_served(http: requests.Session, base: str) -> None:
    """Another type, a search parameter that is not stated, and writing are refused."""
    for resource in statement(http, base)["rest"][0]["resource"]:
        if resource["type"] not in TYPES:
            refused(http.get(f"{base}/{resource['type']}"), 404)
            continue
        stated = {parameter["name"] for parameter in resource["searchParam"]}
        for name in {*search.SEARCH, "colour", "_lastUpdated"} - stated:
            assert refused(http.get(f"{base}/{resource['type']}", params={name: "x"}), 400)["expression"] == [name]
    assert refused(http.get(f"{base}/Patient"), 404)["expression"] == ["Patient"]
    refused(http.get(f"{base}/Patient/1"), 404)
    refused(http.post(f"{base}/PlanDefinition", json={}), 405)
    refused(http.put(f"{base}/PlanDefinition/{PLAN}", json={}), 405)
    refused(http.delete(f"{base}/PlanDefinition/{PLAN}"), 405)
    refused(http.get(f"{base}/PlanDefinition/{PLAN}/_history/1"), 404)


def test_terminology_capabilities(http: requests.Session, base: str) -> None:
    """mode=terminology gives the code systems held; another mode is refused."""
    made = valid(http.get(f"{base}/metadata?mode=terminology").json())
    held = http.get(f"{base}/CodeSystem").json()["entry"]
    assert [system["uri"] for system in made["codeSystem"]] == [entry["resource"]["url"] for entry in held]
    refused(http.get(f"{base}/metadata?mode=other"), 400)


def test_operation_definitions(http: requests.Session, base: str) -> None:
    """Each operation is described, as an extension of the published one where there is one."""
    found = http.get(f"{base}/OperationDefinition").json()
    assert found["total"] == len(OPERATIONS)
    for entry in found["entry"]:
        described = valid(entry["resource"])
        assert described["base"].startswith("http://hl7.org/fhir/")
        assert [parameter["name"] for parameter in described["parameter"] if parameter["use"] == "out"] == ["return"]


@pytest.mark.parametrize(
    ("kind", "query", "count"),
    [
        ("PlanDefinition", "name:exact=Ibero2025StrategyFollowUp", 1),
        ("PlanDefinition", "name:exact=ibero2025strategyfollowup", 0),
        ("PlanDefinition", "name=ibero2025strategyfollowup", 1),
        ("PlanDefinition", f"_id={PLAN}&status=http://hl7.org/fhir/publication-status|active", 1),
        ("PlanDefinition", f"_id={PLAN}&status:not=active", 0),
        ("PlanDefinition", f"_id={PLAN}&status=draft,active", 1),
        ("PlanDefinition", f"_id={PLAN}&title:missing=false", 1),
        ("PlanDefinition", f"_id={PLAN}&title:missing=true", 0),
        ("PlanDefinition", f"_id={PLAN}&date=ge2026", 1),
        ("PlanDefinition", f"_id={PLAN}&date=lt2026-01", 0),
        ("PlanDefinition", f"_id={PLAN}&date=2026", 1),
        ("PlanDefinition", "url:below=https://fhir-cds.github.io/sarcoma/PlanDefinition/ibero2025-strategy-follow", 1),
        ("PlanDefinition", "title=a\\,b", 0),
        ("CodeSystem", "url=https://fhir-cds.github.io/sarcoma/CodeSystem/sarcoma-cds|0.1.0", 1),
        ("CodeSystem", "url=https://fhir-cds.github.io/sarcoma/CodeSystem/sarcoma-cds|9", 0),
        ("Library", "type=http://terminology.hl7.org/CodeSystem/library-type|logic-library&name=FHIRHelpers", 1),
        ("Library", "type=other-system|logic-library", 0),
        ("OperationDefinition", "name=PlandefinitionApply", 1),
        ("Questionnaire", "status=active", 1),
        ("PlanDefinition", f"_id={PLAN}&context=http://snomed.info/sct|424952003", 1),
        ("PlanDefinition", f"_id={PLAN}&context=http://snomed.info/sct|307219002", 0),
        ("PlanDefinition", "_id=tarpswg2018-pathway&context=307219002&context-type=focus", 1),
    ],
)
def test_search(http: requests.Session, base: str, kind: str, query: str, count: int) -> None:
    """Parameters with their modifiers, prefixes, systems and escapes."""
    answer = http.get(f"{base}/{kind}?{query}")
    assert answer.status_code == 200, answer.text
    found = answer.json()
    valid({**found, "entry": []})
    assert (found["total"], len(found.get("entry", []))) == (count, count)


def test_context_topic_and_identifier_are_tokens(make_client: Callable[..., TestClient]) -> None:
    """Tokens meet code, system|code, |code and system|; the value of a context, and the kind of context."""

    def about(key: str, code: str, system: str) -> dict[str, Any]:
        concept = {"coding": [{"system": system, "code": code}]}
        use = {"code": {"system": "http://contexts", "code": "focus"}, "valueCodeableConcept": concept}
        identifier = [{"system": system, "value": code}]
        return small.plan(key=key, topic=[concept], useContext=[use], identifier=identifier)

    plans = [about("a", "x", "http://one"), about("b", "x", "http://two"), about("c", "y", "http://one"), small.plan()]
    client = make_client(small.content(*plans))
    for name in ("topic", "context", "identifier"):
        for value, expected in (
            ("x", "ab"),
            ("http://one|x", "a"),
            ("http://one|", "ac"),
            ("|x", ""),
            ("z", ""),
            ("http://two|x,y", "bc"),
        ):
            page = client.get("/fhir/PlanDefinition", params={name: value}).json()
            assert "".join(entry["resource"]["id"] for entry in page.get("entry", ())) == expected, (name, value)
    assert client.get("/fhir/PlanDefinition?context-type=http://contexts|focus").json()["total"] == 3
    assert client.get("/fhir/PlanDefinition?topic:not=x").json()["total"] == 2
    assert client.get("/fhir/PlanDefinition?topic:missing=true").json()["total"] == 1
    assert client.get("/fhir/PlanDefinition?topic=x&identifier=http://two|x").json()["total"] == 1


def test_pages(http: requests.Session, base: str) -> None:
    """Pages in order, with first, previous and next; each entry once; _count=0 is the number alone."""
    total = http.get(f"{base}/ValueSet?_count=0").json()
    assert "entry" not in total
    seen: list[str] = []
    url: str | None = f"{base}/ValueSet?_count=40&_sort=-url"
    back: list[str] = []
    while url:
        page = http.get(url).json()
        seen += [entry["resource"]["url"] for entry in page["entry"]]
        links = {link["relation"]: link["url"] for link in page["link"]}
        assert http.get(links["self"]).json()["entry"] == page["entry"]
        back += [links["previous"]] if "previous" in links else []
        url = links.get("next")
    assert seen == sorted(seen, reverse=True)
    assert len(seen) == len(set(seen)) == total["total"] > 80
    assert [entry["resource"]["url"] for entry in http.get(back[0]).json()["entry"]] == seen[:40]
    refused(http.get(f"{base}/ValueSet?_sort=colour"), 400)


@pytest.mark.parametrize("kind", TYPES)
def test_summaries_are_those_of_r4(http: requests.Session, base: str, kind: str) -> None:
    """_summary=true keeps what R4 marks as summary, on reading too; a subset is marked and has what R4 requires."""
    model = getattr(import_module(f"fhir.resources.R4B.{kind.lower()}"), kind)
    marked = {
        field.alias or name
        for name, field in model.model_fields.items()
        if (field.json_schema_extra or {}).get("summary_element_property")
    }
    assert search.SUMMARY[kind] - {"resourceType"} == marked
    whole = http.get(f"{base}/{kind}?_count=1").json()["entry"][0]["resource"]
    for query, kept in (("_summary=true", marked), ("_elements=publisher", {"publisher"}), ("_summary=text", {"text"})):
        cut = http.get(f"{base}/{kind}?_count=1&{query}").json()["entry"][0]["resource"]
        assert cut == http.get(f"{base}/{kind}/{whole['id']}?{query}").json()
        assert cut["meta"]["tag"][-1]["code"] == "SUBSETTED"
        required = {"resourceType", "id", "meta", "status", *search.MANDATORY.get(kind, "").split()}
        assert set(cut) - kept - required == set(), query
        assert set(whole) & kept <= set(cut)
        if kind != "NamingSystem" or query != "_summary=true":
            valid(cut)
    assert set(whole) - set(http.get(f"{base}/{kind}/{whole['id']}?_summary=data").json()) <= {"text"}
    assert http.get(f"{base}/{kind}?_count=1&_summary=false").json()["entry"][0]["resource"] == whole
    refused(http.get(f"{base}/{kind}?_summary=maybe"), 400)


def test_lenient_and_strict(http: requests.Session, base: str) -> None:
    """A parameter that is not offered is 400; with handling=lenient it is passed over, and the answer says so."""
    address = f"{base}/PlanDefinition?colour=red&_id={PLAN}"
    assert refused(http.get(address), 400)["expression"] == ["colour"]
    refused(http.get(address, headers={"prefer": "handling=strict"}), 400)
    found = http.get(address, headers={"prefer": "handling=lenient"}).json()
    assert found["total"] == 1
    outcome = found["entry"][1]
    assert outcome["search"] == {"mode": "outcome"}
    assert outcome["resource"]["issue"][0]["expression"] == ["colour"]
    assert "colour" not in next(link["url"] for link in found["link"] if link["relation"] == "self")


def test_conditional_reading(http: requests.Session, base: str) -> None:
    """If-None-Match and If-Modified-Since give 304 for who has it; the tag goes before the date."""
    address = f"{base}/PlanDefinition/{PLAN}"
    first = http.get(address)
    etag, modified = first.headers["etag"], first.headers["last-modified"]
    assert parsedate_to_datetime(modified) == conftest.NOW

    def status(**headers: str) -> int:
        answer = http.get(address, headers={name.replace("_", "-"): value for name, value in headers.items()})
        assert answer.headers["etag"] == etag
        assert bool(answer.content) == (answer.status_code == 200)
        return answer.status_code

    assert status(if_none_match=etag) == status(if_none_match=f'"x", {etag}') == status(if_none_match="*") == 304
    assert status(if_none_match=etag.removeprefix("W/")) == 304
    assert status(if_none_match='"x"') == 200
    assert status(if_modified_since=modified) == 304
    assert status(if_modified_since="Fri, 30 Jan 2026 00:00:00 GMT") == 200
    assert status(if_modified_since="yesterday") == 200
    assert status(if_none_match='"x"', if_modified_since=modified) == 200
    assert http.get(f"{address}?_summary=true").headers["etag"] != etag
    assert http.head(address).headers["etag"] == etag


@pytest.mark.parametrize(
    ("headers", "query", "kind"),
    [
        ({}, "", "application/fhir+json"),
        ({"accept": "*/*"}, "", "application/fhir+json"),
        ({"accept": "application/fhir+json"}, "", "application/fhir+json"),
        ({"accept": "application/json"}, "", "application/json"),
        ({"accept": "application/fhir+json; fhirVersion=4.0"}, "", "application/fhir+json"),
        ({"accept": "application/fhir+xml;q=0.9, application/json;q=0.5"}, "", "application/json"),
        ({"accept": "text/html, application/xhtml+xml, */*;q=0.8"}, "", "application/fhir+json"),
        ({"accept": "application/fhir+xml"}, "_format=json", "application/fhir+json"),
        ({}, "_format=application/json", "application/json"),
        ({}, "_format=application/fhir%2Bjson", "application/fhir+json"),
        ({}, "_format=application/fhir+json", "application/fhir+json"),
        ({"accept": "application/fhir+xml"}, "", None),
        ({"accept": "application/fhir+json; fhirVersion=5.0"}, "", None),
        ({"accept": "application/json;q=0"}, "", None),
        ({}, "_format=xml", None),
        ({}, "_format=ttl", None),
    ],
)
def test_media_types(http: requests.Session, base: str, headers: dict[str, str], query: str, kind: str | None) -> None:
    """JSON of R4 in UTF-8 in the type asked for; _format goes before Accept; anything else is 406."""
    for path in ("metadata", f"PlanDefinition/{PLAN}", "ValueSet"):
        answer = http.get(f"{base}/{path}?{query}", headers=headers)
        if kind is None:
            refused(answer, 406)
        else:
            assert (answer.status_code, answer.headers["content-type"]) == (200, f"{kind}; charset=utf-8")


def test_media_types_of_bodies(http: requests.Session, base: str) -> None:
    """A body must be JSON of R4 in UTF-8; else 415."""
    address = f"{base}/ValueSet/$expand"
    body = b'{"resourceType":"Parameters","parameter":[]}'
    for good in ("application/fhir+json", "application/json; charset=UTF-8", "application/fhir+json; fhirVersion=4.0"):
        assert http.post(address, data=body, headers={"content-type": good}).status_code == 400
    for bad in (
        "application/fhir+xml",
        "text/plain",
        "application/json; charset=latin-1",
        "application/json; fhirVersion=3.0",
    ):
        refused(http.post(address, data=body, headers={"content-type": bad}), 415)


def test_links_go_by_the_public_address(content: Loaded, serve: Callable[[Starlette], str], tmp_path: Path) -> None:
    """Behind a proxy, links and canonicals of the server name the address that callers know."""
    public = "https://cds.example.org/sarcoma"
    settings = Settings(feedback_url=f"sqlite:///{tmp_path}/f.sqlite3", public_url=public)
    inside = f"{serve(create_app(content, settings, clock=conftest.clock))}/fhir"
    page = requests.get(f"{inside}/PlanDefinition?_count=1", timeout=10).json()
    assert page["link"][0]["url"].startswith(f"{public}/fhir/PlanDefinition?")
    assert page["entry"][0]["fullUrl"].startswith(f"{public}/fhir/PlanDefinition/")
    assert requests.get(f"{inside}/metadata", timeout=10).json()["implementation"]["url"] == f"{public}/fhir"


def test_a_fhir_client_can_use_it(base: str) -> None:
    """fhirpy, as it comes: search over pages, read, chained conditions, and operations."""
    client = SyncFHIRClient(base)
    found = client.resources("PlanDefinition").search(name__contains="strategy", status="active").limit(5).fetch_all()
    assert len(found) > 5
    assert {plan.resource_type for plan in found} == {"PlanDefinition"}
    plan = client.reference("PlanDefinition", PLAN).to_resource()
    assert plan["title"]
    assert client.resources("ValueSet").count() > 80
    first = client.resources("ValueSet").elements("url").first()
    expanded = client.execute("ValueSet/$expand", method="GET", params={"url": first["url"]})
    assert expanded["expansion"]["total"] > 0
    person = {"resourceType": "Patient", "id": "p"}
    data = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": person}]}
    asked = [{"name": "subject", "valueString": "Patient/p"}, {"name": "data", "resource": data}]
    parameters = {"resourceType": "Parameters", "parameter": asked}
    made = client.execute(f"PlanDefinition/{PLAN}/$apply", method="POST", data=parameters)
    assert (made["resourceType"], made["subject"]) == ("CarePlan", {"reference": "Patient/p"})
