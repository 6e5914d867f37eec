"""Terminology, data requirements, packages and evaluation over HTTP, on the content."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import ehr
import pytest
import small
from small import issue, post, text
from starlette.testclient import TestClient

from fhir_cds.fhir import codec
from fhir_cds.knowledge.load import Knowledge
from fhir_cds.knowledge.registry import Registry
from fhir_cds.reasoning.apply import apply_plan, begin
from fhir_cds.reasoning.assemble import careplan
from fhir_cds.reasoning.engine import Engine
from fhir_cds.server.state import Loaded

SITE = "https://fhir-cds.github.io/sarcoma"
PLAN = "ibero2025-strategy-follow-up"
RESECTED = "after-resection-one-overdue"
Make = Callable[..., TestClient]

SYSTEM = {
    "resourceType": "CodeSystem",
    "id": "colours",
    "url": "http://example.org/CodeSystem/colours",
    "version": "2",
    "name": "Colours",
    "status": "active",
    "content": "complete",
    "concept": [
        {"code": "r", "display": "Red", "definition": "The first"},
        {"code": "g", "display": "Green", "concept": [{"code": "l", "display": "Lime green"}]},
    ],
}
WARM = {
    "resourceType": "ValueSet",
    "id": "all",
    "url": "http://example.org/ValueSet/all",
    "version": "1",
    "status": "active",
    "compose": {"include": [{"system": SYSTEM["url"]}]},
}


def valid(resource: Mapping[str, Any]) -> None:
    """Check a resource against R4."""
    kind = resource["resourceType"]
    getattr(import_module(f"fhir.resources.R4B.{kind.lower()}"), kind).model_validate(resource)


def values(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of Parameters by name."""
    return {
        item["name"]: next(value for key, value in item.items() if key != "name") for item in parameters["parameter"]
    }


@pytest.fixture
def colours(make_client: Make) -> TestClient:
    """Return a client of a service with one code system and one value set."""
    return make_client(small.content(SYSTEM, WARM))


def test_expand(colours: TestClient) -> None:
    """All codes with their displays; by text, by page; by id and by canonical; valid R4."""
    made = colours.get("/fhir/ValueSet/all/$expand").json()
    valid(made)
    assert [item["code"] for item in made["expansion"]["contains"]] == ["g", "l", "r"]
    assert made["expansion"]["timestamp"] == "2026-01-31T00:00:00+00:00"
    for more in ([text("url", WARM["url"])], [text("url", WARM["url"]), text("valueSetVersion", "1")]):
        assert post(colours, "ValueSet/$expand", *more).json() == made
    green = colours.get("/fhir/ValueSet/all/$expand?filter=GREEN").json()["expansion"]
    assert ([item["code"] for item in green["contains"]], green["total"]) == (["g", "l"], 2)
    assert green["parameter"] == [{"name": "filter", "valueString": "GREEN"}]
    page = colours.get("/fhir/ValueSet/all/$expand?offset=1&count=1").json()
    valid(page)
    assert ([item["code"] for item in page["expansion"]["contains"]], page["expansion"]["total"]) == (["l"], 3)
    assert "contains" not in colours.get("/fhir/ValueSet/all/$expand?filter=blue").json()["expansion"]


@pytest.mark.parametrize(
    ("path", "status", "place"),
    [
        ("ValueSet/$expand", 400, "url"),
        ("ValueSet/all/$expand?url=x", 400, "url"),
        ("ValueSet/$expand?url=http://example.org/none", 404, "url"),
        ("ValueSet/$expand?url=http://example.org/ValueSet/all&valueSetVersion=9", 404, "url"),
        ("ValueSet/none/$expand", 404, "ValueSet/none"),
        ("ValueSet/all/$expand?count=x", 400, "count"),
        ("ValueSet/all/$expand?count=-1", 400, "count"),
        ("ValueSet/all/$expand?colour=red", 400, "Parameters.parameter"),
        ("ValueSet/all/$validate-code", 400, "code"),
        ("ValueSet/all/$validate-code?code=r", 400, "code"),
        ("ValueSet/all/$validate-code?system=x", 400, "code"),
        ("CodeSystem/$lookup?code=r&system=http://none", 404, "system"),
        ("CodeSystem/$lookup?code=z&system=http://example.org/CodeSystem/colours", 404, "code"),
        ("CodeSystem/$lookup?code=r&version=9&system=http://example.org/CodeSystem/colours", 404, "system"),
        ("CodeSystem/$lookup?code=r&code=g&system=http://none", 400, "code"),
    ],
)
def test_wrong_terminology(colours: TestClient, path: str, status: int, place: str) -> None:
    """What is not here or not asked well is refused, naming the parameter."""
    assert issue(colours.get(f"/fhir/{path}"), status)["expression"] == [place]


def test_validate_code(colours: TestClient) -> None:
    """A code is in the set or not, however it is given; another display is said."""
    system = text("system", SYSTEM["url"])
    path = "ValueSet/all/$validate-code"
    found = post(colours, path, text("code", "l"), system).json()
    valid(found)
    assert values(found) == {"result": True, "display": "Lime green"}
    coding = {"system": SYSTEM["url"], "code": "l"}
    assert post(colours, path, {"name": "coding", "valueCoding": coding}).json() == found
    concept = {"coding": [{"system": "http://other", "code": "l"}, coding]}
    assert post(colours, path, {"name": "codeableConcept", "valueCodeableConcept": concept}).json() == found
    assert values(post(colours, path, text("code", "z"), system).json())["result"] is False
    assert values(post(colours, path, text("code", "l"), text("system", "http://other")).json())["result"] is False
    assert (
        values(post(colours, path, text("code", "l"), system, text("display", "lime GREEN")).json())["result"] is True
    )
    wrong = values(post(colours, path, text("code", "l"), system, text("display", "Lemon")).json())
    assert (wrong["result"], "Lime green" in wrong["message"]) == (False, True)
    issue(post(colours, path, {"name": "coding", "valueCoding": {"code": "l"}}), 400)
    issue(post(colours, path, text("code", "l"), {"name": "coding", "valueCoding": coding}), 400)


def test_lookup(colours: TestClient) -> None:
    """A code's display and definition, of nested concepts too."""
    found = colours.get(
        "/fhir/CodeSystem/$lookup", params={"system": SYSTEM["url"], "code": "r", "version": "2"}
    ).json()
    valid(found)
    assert values(found) == {"name": "Colours", "version": "2", "display": "Red", "definition": "The first"}
    coding = {"name": "coding", "valueCoding": {"system": SYSTEM["url"], "code": "l"}}
    assert values(post(colours, "CodeSystem/$lookup", coding).json())["display"] == "Lime green"


def test_every_value_set_expands(client: TestClient) -> None:
    """Each value set of the content has a valid expansion, and each of its codes is in it."""
    page = client.get("/fhir/ValueSet?_count=500&_elements=url").json()
    for entry in page["entry"]:
        name = entry["resource"]["id"]
        expansion = client.get(f"/fhir/ValueSet/{name}/$expand").json()["expansion"]
        assert expansion["total"] == len(expansion["contains"]) > 0, name
        first = expansion["contains"][0]
        query = {"system": first["system"], "code": first["code"]}
        assert values(client.get(f"/fhir/ValueSet/{name}/$validate-code", params=query).json())["result"] is True


def test_io_03_data_requirements_over_http(client: TestClient) -> None:
    """IO-03: what a plan reads, by id and by canonical, as a valid Library; an unknown plan is 404."""
    made = client.get(f"/fhir/PlanDefinition/{PLAN}/$data-requirements").json()
    valid(made)
    assert {"Procedure", "Patient"} <= {item["type"] for item in made["dataRequirement"]}
    url = text("url", f"{SITE}/PlanDefinition/{PLAN}")
    assert post(client, "PlanDefinition/$data-requirements", url).json() == made
    issue(client.get("/fhir/PlanDefinition/none/$data-requirements"), 404)
    issue(client.get("/fhir/PlanDefinition/$data-requirements"), 400)


def test_io_03_package_stands_alone(client: TestClient, content: Loaded) -> None:
    """IO-03: what `$package` gives is all that the plan needs: loaded alone it gives the same CarePlan."""
    made = codec.decode(client.get(f"/fhir/PlanDefinition/{PLAN}/$package").content)
    valid({**made, "entry": [{"request": entry["request"]} for entry in made["entry"]]})
    resources = [entry["resource"] for entry in made["entry"]]
    assert made["type"] == "transaction"
    assert [entry["request"]["url"] for entry in made["entry"]] == [f"{r['resourceType']}/{r['id']}" for r in resources]
    kinds = [resource["resourceType"] for resource in resources]
    assert kinds.index("ValueSet") < kinds.index("Library") < kinds.index("ActivityDefinition") < len(kinds) - 1
    assert kinds[-1] == "PlanDefinition"
    assert "NamingSystem" in kinds
    assert 0 < kinds.count("PlanDefinition") < len(content.knowledge.registry.by_type("PlanDefinition"))
    registry = Registry.of([(f"{r['resourceType']}-{r['id']}.json", r) for r in resources])
    names = {resource["name"] for resource in resources if resource["resourceType"] == "Library"}
    elm = {name: document for name, document in content.knowledge.elm.items() if name in names}
    alone = Engine.load(Knowledge(registry, elm, ()))
    record = ehr.record(RESECTED)
    results = [careplan(apply_plan(engine, PLAN, record, "2026-01-31")) for engine in (alone, content.engine)]
    assert results[0] == results[1]
    version = [text("url", f"{SITE}/PlanDefinition/{PLAN}"), text("version", "0.1.0")]
    assert codec.decode(post(client, "PlanDefinition/$package", *version).content) == made
    issue(post(client, f"PlanDefinition/{PLAN}/$package", *version), 400)


def subject_and_data() -> list[dict[str, Any]]:
    """Return the parameters about the sample patient."""
    document = ehr.bundle(RESECTED)
    return [text("subject", ehr.patient_id(document)), {"name": "data", "resource": document}]


def test_evaluate_a_library(client: TestClient, content: Loaded) -> None:
    """Library/$evaluate gives every define's value, as the engine has it; some by name; null and empty are said."""
    given = subject_and_data()
    answer = post(client, "Library/IberoLogic/$evaluate", *given)
    assert answer.status_code == 200, answer.text
    made = answer.json()
    valid({**made, "parameter": [item for item in made["parameter"] if "resource" not in item and "part" not in item]})
    session = begin(content.engine, ehr.record(RESECTED), "2026-01-31")
    booleans = {item["name"]: item["valueBoolean"] for item in made["parameter"] if "valueBoolean" in item}
    assert len(booleans) > 20
    assert {name: session.evaluation.value("IberoLogic", name) for name in booleans} == booleans
    silent = [item["name"] for item in made["parameter"] if "_valueBoolean" in item]
    assert silent
    assert all(session.evaluation.value("IberoLogic", name) in (None, []) for name in silent)
    names = sorted(booleans)[:2]
    some = post(client, "Library/IberoLogic/$evaluate", *given, *(text("expression", name) for name in names)).json()
    assert [item["name"] for item in some["parameter"]] == names
    by_url = post(
        client, "Library/$evaluate", *given, text("url", f"{SITE}/Library/IberoLogic"), text("expression", names[0])
    )
    assert by_url.json()["parameter"] == some["parameter"][:1]
    assert issue(post(client, "Library/IberoLogic/$evaluate", *given, text("expression", "None")), 404)[
        "expression"
    ] == ["expression"]
    issue(post(client, "Library/None/$evaluate", *given), 404)
    issue(post(client, "Library/$evaluate", *given), 400)
    issue(post(client, "Library/IberoLogic/$evaluate", given[0]), 412)


def test_cql_by_name(client: TestClient) -> None:
    """$cql gives a define named with its library, quoted or not, or alone with the library given; no other CQL."""
    given = subject_and_data()
    listed = post(client, "Library/IberoLogic/$evaluate", *given).json()["parameter"]
    name, value = next((item["name"], item["valueBoolean"]) for item in listed if "valueBoolean" in item)
    library = {"name": "library", "part": [{"name": "url", "valueCanonical": f"{SITE}/Library/IberoLogic"}]}
    for more in (
        [text("expression", f'IberoLogic."{name}"')],
        [text("expression", f'"IberoLogic"."{name}"')],
        [text("expression", f'"{name}"'), library],
    ):
        made = post(client, "$cql", *given, *more)
        assert made.json()["parameter"] == [{"name": "return", "valueBoolean": value}], made.text
    for wrong, status in (
        ('IberoLogic."None"', 404),
        ('Nowhere."None"', 422),
        ("1 + 1", 422),
        ('exists "x"', 422),
    ):
        issue(post(client, "$cql", *given, text("expression", wrong)), status)
    issue(post(client, "$cql", *given), 400)


def test_evaluated_values_are_fhir() -> None:
    """Lists repeat, tuples have parts, resources are resources, null and empty lists are said by extensions."""
    from decimal import Decimal

    from fhir_cds.cql.runtime.clinical import Code
    from fhir_cds.cql.runtime.interval import Interval
    from fhir_cds.cql.runtime.quantity import Quantity
    from fhir_cds.cql.runtime.temporal_text import parse_date
    from fhir_cds.reasoning.values import EMPTY_LIST, parameters

    assert parameters("a", [1, 2]) == [{"name": "a", "valueInteger": 1}, {"name": "a", "valueInteger": 2}]
    assert parameters("a", {"b": "c", "d": None})[0]["part"][0] == {"name": "b", "valueString": "c"}
    assert parameters("a", {"resourceType": "Flag", "id": "f"}) == [
        {"name": "a", "resource": {"resourceType": "Flag", "id": "f"}}
    ]
    assert parameters("a", [])[0]["_valueBoolean"]["extension"][0]["url"] == EMPTY_LIST
    assert parameters("a", Decimal("1.50")) == [{"name": "a", "valueDecimal": Decimal("1.50")}]
    assert parameters("a", Quantity(Decimal(2), "mg"))[0]["valueQuantity"]["code"] == "mg"
    assert parameters("a", Code("c", "s"))[0]["valueCoding"] == {"system": "s", "code": "c"}
    assert parameters("a", parse_date("2026-01-31"))[0]["valueDate"] == "2026-01-31"
    period = Interval(parse_date("2026-01-01"), parse_date("2026-01-31"))
    assert parameters("a", period)[0]["valuePeriod"] == {"start": "2026-01-01", "end": "2026-01-31"}
