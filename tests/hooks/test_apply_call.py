"""The call of `$apply` over HTTP (docs/guide/apply-conformance.md IN, GR, TI); each test carries the id of its line."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from small import (
    BASE,
    DATA,
    SUBJECT,
    action,
    actions,
    activity,
    bundle,
    content,
    data,
    group,
    issue,
    messages,
    patient,
    plan,
    post,
    text,
)
from starlette.testclient import TestClient

from fhir_cds.server.sandbox import Store, application

SCAN = f"{BASE}/ActivityDefinition/scan"
APPLY = "PlanDefinition/plan/$apply"
R5 = "PlanDefinition/plan/$r5.apply"
Make = Callable[..., TestClient]


def part(name: str, **parts: Any) -> dict[str, Any]:
    """Return a parameter with parts; a dict with resourceType is a resource, a text a string."""
    listed = [
        {"name": key, "resource": value}
        if isinstance(value, dict) and "resourceType" in value
        else {"name": key, "valueDataRequirement" if isinstance(value, dict) else "valueString": value}
        for key, value in parts.items()
    ]
    return {"name": name, "part": listed}


def condition(key: str, of: str = "p") -> dict[str, Any]:
    """Return a Condition of a patient."""
    subject = {"reference": f"Patient/{of}"}
    return {"resourceType": "Condition", "id": key, "subject": subject, "code": {"text": key}}


READS = {"id": "problems", "type": "Condition"}
"""An action's input: the patient's Conditions, as %problems."""


def counting(key: str, number: int) -> dict[str, Any]:
    """Return an action that applies when the record has this many Conditions."""
    return action(key, f"%problems.count() = {number}", input=[READS])


@pytest.mark.parametrize("kind", ["PlanDefinition", "ActivityDefinition"])
def test_in_01_by_address_canonical_or_inline(make_client: Make, kind: str) -> None:
    """IN-01: one definition, however it is named, gives one answer; address and parameter together are refused."""
    definition = plan(action("a")) if kind == "PlanDefinition" else activity("plan")
    client = make_client(content(definition))
    name = "planDefinition" if kind == "PlanDefinition" else "activityDefinition"
    url = definition["url"]
    expected = post(client, f"{kind}/plan/$apply", SUBJECT, DATA)
    assert expected.status_code == 200, expected.text
    for ways in (
        [{"name": name, "resource": definition}],
        [text("url", url)],
        [text("url", url), text("version", "1")],
        [text("canonical", f"{url}|1")],
    ):
        assert post(client, f"{kind}/$apply", SUBJECT, DATA, *ways).json() == expected.json()
        assert issue(post(client, f"{kind}/plan/$apply", SUBJECT, DATA, *ways), 400)["expression"]


def test_in_02_none_two_or_unknown(make_client: Make) -> None:
    """IN-02: no definition or two are 400; an unknown canonical is 404 and is named."""
    client = make_client(content(plan(action("a"))))
    here = text("url", f"{BASE}/PlanDefinition/plan")
    assert issue(post(client, "PlanDefinition/$apply", SUBJECT, DATA), 400)["expression"] == ["url"]
    issue(post(client, "PlanDefinition/$apply", SUBJECT, DATA, here, text("canonical", "x")), 400)
    issue(post(client, "PlanDefinition/$apply", SUBJECT, DATA, text("version", "1")), 400)
    for unknown in ("http://example.org/none", f"{BASE}/PlanDefinition/plan|9"):
        found = issue(post(client, "PlanDefinition/$apply", SUBJECT, DATA, text("canonical", unknown)), 404)
        assert found["code"] == "not-found"
        assert unknown in found["diagnostics"]


def test_in_03_subjects(make_client: Make) -> None:
    """IN-03: a bare id is a patient's; none is 400; several give a Bundle of CarePlans, in R5 one Bundle each."""
    client = make_client(content(plan(action("a"))))
    both = data(patient("p"), patient("q"))
    issue(post(client, APPLY, DATA), 400)
    assert post(client, APPLY, text("subject", "p"), DATA).json()["subject"] == {"reference": "Patient/p"}
    made = post(client, APPLY, text("subject", "p"), text("subject", "Patient/q"), both).json()
    assert made["resourceType"] == "Bundle"
    subjects = [entry["resource"]["subject"]["reference"] for entry in made["entry"]]
    assert subjects == ["Patient/p", "Patient/q"]
    returned = post(client, R5, text("subject", "p"), text("subject", "q"), both).json()["parameter"]
    assert [item["name"] for item in returned] == ["return", "return"]
    first = [item["resource"]["entry"][0]["resource"] for item in returned]
    assert [(one["resourceType"], one["subject"]["reference"]) for one in first] == [
        ("RequestGroup", "Patient/p"),
        ("RequestGroup", "Patient/q"),
    ]


def test_in_04_each_subject_has_its_own_data(make_client: Make) -> None:
    """IN-04: of one Bundle each patient is answered from his own data and from what is nobody's."""
    client = make_client(content(plan(counting("one", 1), counting("two", 2))))
    both = data(patient("p"), patient("q"), condition("c1"), condition("c2", "q"), condition("c3", "q"))
    made = post(client, APPLY, text("subject", "p"), text("subject", "q"), both).json()
    assert [actions(entry["resource"]) for entry in made["entry"]] == [["one"], ["two"]]
    third = data(patient("p"), patient("q"), condition("c1", "r"))
    issue(post(client, APPLY, text("subject", "p"), text("subject", "q"), third), 400)


@pytest.mark.parametrize("subject", ["Group/g", "Practitioner/d", "Patient/", "urn:uuid:1"])
def test_in_04_other_kinds_of_subject(make_client: Make, subject: str) -> None:
    """IN-04: a subject that is no patient is 400, and so is a plan about something else."""
    client = make_client(content(plan(action("a")), plan(key="other", subjectCodeableConcept=ABOUT)))
    assert issue(post(client, APPLY, text("subject", subject), DATA), 400)["expression"] == ["subject"]
    assert issue(post(client, "PlanDefinition/other/$apply", SUBJECT, DATA), 400)["expression"] == ["subject"]


ABOUT = {"coding": [{"code": "Organization"}]}


def test_in_05_who_asks(make_client: Make) -> None:
    """IN-05: encounter, practitioner and organization, with or without type, reach plan, group and request."""
    client = make_client(content(plan(action("a", definitionCanonical=SCAN)), activity()))
    called = [text("encounter", "e"), text("practitioner", "Practitioner/d"), text("organization", "o")]
    made = post(client, APPLY, SUBJECT, DATA, *called).json()
    request = next(item for item in made["contained"] if item["resourceType"] == "ServiceRequest")
    for resource in (made, group(made), request):
        assert resource["encounter"] == {"reference": "Encounter/e"}
    assert made["author"] == group(made)["author"] == request["requester"] == {"reference": "Practitioner/d"}
    only = post(client, APPLY, SUBJECT, DATA, called[2]).json()
    assert only["author"] == {"reference": "Organization/o"}


def test_in_06_concepts_are_variables(make_client: Make) -> None:
    """IN-06, IN-14: the CodeableConcepts of a call are variables of expressions; a language is that of the result."""
    names = ("userType", "userTaskContext", "setting", "settingContext", "userLanguage")
    listed = [action(name, f"%{name}.coding.code = 'x'") for name in names]
    client = make_client(content(plan(*listed)))
    given = [{"name": name, "valueCodeableConcept": {"coding": [{"code": "x"}]}} for name in names]
    made = post(client, APPLY, SUBJECT, DATA, *given).json()
    assert actions(made) == list(names)
    assert made["language"] == "x"


def test_in_08_data_or_prefetch(make_client: Make) -> None:
    """IN-08: data and prefetchData exclude each other; a key without data is known to be empty."""
    client = make_client(content(plan(counting("none", 0), counting("one", 1))))
    fetched = part("prefetchData", key="patient", data=bundle(patient()))
    full = part("prefetchData", key="problems", data=bundle(condition("c")))
    empty = part("prefetchData", key="problems")
    assert actions(post(client, APPLY, SUBJECT, fetched, full).json()) == ["one"]
    assert actions(post(client, APPLY, SUBJECT, fetched, empty).json()) == ["none"]
    assert issue(post(client, APPLY, SUBJECT, fetched, DATA), 400)["expression"] == ["data"]
    issue(post(client, APPLY, SUBJECT, {"name": "prefetchData", "part": []}), 400)


def test_in_09_order_of_look_up(make_client: Make, serve: Callable[..., str]) -> None:
    """IN-09: what the call brings goes first, the endpoint gives the rest; a key known to be empty is not asked."""
    server = serve(application(Store({"p": bundle(patient(), condition("c1"), condition("c2"))})))
    client = make_client(content(plan(*(counting(str(number), number) for number in range(4)))))
    endpoint = text("dataEndpoint", server)
    assert actions(post(client, APPLY, SUBJECT, endpoint).json()) == ["2"]
    own = data(patient(), condition("c2"), condition("c3"))
    assert actions(post(client, APPLY, SUBJECT, own, endpoint).json()) == ["3"]
    assert actions(post(client, APPLY, SUBJECT, own).json()) == ["2"]
    known = part("prefetchData", key="k", descriptor={"type": "Condition"})
    assert actions(post(client, APPLY, SUBJECT, known, endpoint).json()) == ["0"]
    flag = {"name": "useServerData", "valueBoolean": False}
    assert actions(post(client, APPLY, SUBJECT, flag, endpoint).json()) == ["2"]
    assert issue(post(client, APPLY, SUBJECT, flag), 412)["expression"] == ["data"]


def test_in_09_a_patient_in_the_call_is_not_read(make_client: Make, serve: Callable[..., str]) -> None:
    """IN-09: an endpoint that holds no Patient is enough where the call brings it; without that it is 404."""
    server = serve(application(Store({"p": bundle(condition("c1"))})))
    client = make_client(content(plan(counting("one", 1))))
    endpoint = text("dataEndpoint", server)
    assert actions(post(client, APPLY, SUBJECT, data(patient()), endpoint).json()) == ["one"]
    fetched = part("prefetchData", key="who", data=bundle(patient()))
    assert actions(post(client, APPLY, SUBJECT, fetched, endpoint).json()) == ["one"]
    assert issue(post(client, APPLY, SUBJECT, endpoint), 404)["expression"] == ["subject"]


def test_in_10_endpoints(make_client: Make, serve: Callable[..., str]) -> None:
    """IN-10: dataEndpoint is a URL or an Endpoint; the endpoints that are not used are named in the answer."""
    server = serve(application(Store({"p": bundle(patient(), condition("c1"))})))
    client = make_client(content(plan(counting("one", 1))))
    resource = {"resourceType": "Endpoint", "status": "active", "address": server}
    assert actions(post(client, APPLY, SUBJECT, {"name": "dataEndpoint", "resource": resource}).json()) == ["one"]
    for name in ("contentEndpoint", "terminologyEndpoint", "artifactEndpointConfiguration"):
        made = post(client, APPLY, SUBJECT, DATA, text(name, "https://example.org/fhir")).json()
        told = messages(made)
        assert [(item["severity"], item["expression"]) for item in told] == [("warning", [name])]
    assert messages(post(client, APPLY, SUBJECT, DATA).json()) == []


def test_in_11_merged(make_client: Make) -> None:
    """IN-11: a nested plan is a group of its own, or folded into the outer one."""
    inner = plan(action("i"), key="inner")
    client = make_client(content(plan(action("o", definitionCanonical=inner["url"])), inner))
    groups = []
    for merge in (False, True):
        made = post(client, APPLY, SUBJECT, DATA, {"name": "mergeNestedCarePlans", "valueBoolean": merge}).json()
        groups.append(sum(item["resourceType"] == "RequestGroup" for item in made["contained"]))
    assert groups == [2, 1]


def test_in_12_evaluation_date(make_client: Make) -> None:
    """IN-12: evaluationDateTime is the instant of evaluation; without it the clock is."""
    client = make_client(content(plan(action("a", "today() = @2025-03-01"), action("b", "today() = @2026-01-31"))))
    date = {"name": "evaluationDateTime", "valueDateTime": "2025-03-01T12:00:00+01:00"}
    assert actions(post(client, APPLY, SUBJECT, DATA, date).json()) == ["a"]
    assert actions(post(client, APPLY, SUBJECT, DATA).json()) == ["b"]
    issue(post(client, APPLY, SUBJECT, DATA, text("evaluationDateTime", "2025-03")), 400)


def test_in_13_get_and_post(make_client: Make, serve: Callable[..., str]) -> None:
    """IN-13: GET with simple parameters is the same call; nothing on either server is changed by calls."""
    store = Store({"p": bundle(patient(), condition("c1"))})
    server = serve(application(store))
    client = make_client(content(plan(counting("one", 1))))
    before = client.get("/fhir/PlanDefinition").json(), str(store.by_type)
    for operation in ("$apply", "$r5.apply"):
        path = f"PlanDefinition/plan/{operation}"
        posted = post(client, path, SUBJECT, text("dataEndpoint", server))
        got = client.get(f"/fhir/{path}", params={"subject": "Patient/p", "dataEndpoint": server})
        assert (got.status_code, got.json()) == (posted.status_code, posted.json())
        query = {"subject": "p", "dataEndpoint": server, "url": f"{BASE}/PlanDefinition/plan"}
        typed = client.get(f"/fhir/PlanDefinition/{operation}", params=query)
        assert typed.json() == posted.json()
    assert (client.get("/fhir/PlanDefinition").json(), str(store.by_type)) == before
    described = client.get("/fhir/OperationDefinition/PlanDefinition-apply").json()
    assert described["affectsState"] is False


def test_in_14_people_are_resources(make_client: Make) -> None:
    """IN-14: %subject, %encounter, %practitioner are resources where the data hold them."""
    listed = [action("s", "%subject.gender = 'female'"), action("e", "%encounter.status = 'finished'")]
    client = make_client(content(plan(*listed, action("d", "%practitioner.name.family = 'D'"))))
    encounter = {"resourceType": "Encounter", "id": "e", "status": "finished", "subject": {"reference": "Patient/p"}}
    doctor = {"resourceType": "Practitioner", "id": "d", "name": [{"family": "D"}]}
    held = data(patient(gender="female"), encounter, doctor)
    made = post(client, APPLY, SUBJECT, held, text("encounter", "e"), text("practitioner", "d")).json()
    assert actions(made) == ["s", "e", "d"]


def test_al_03_status_for_other_servers(make_client: Make) -> None:
    """AL-03: requestStatus active gives what servers give that say active; any other is refused."""
    client = make_client(content(plan(action("a", definitionCanonical=SCAN)), activity()))
    made = post(client, APPLY, SUBJECT, DATA, {"name": "requestStatus", "valueCode": "active"}).json()
    assert {made["status"], *(item["status"] for item in made["contained"])} == {"active"}
    issue(post(client, APPLY, SUBJECT, DATA, text("requestStatus", "completed")), 400)


def test_gr_04_a_clinicians_selection(make_client: Make) -> None:
    """GR-04, GR-05: chosen actions only; a choice that the group forbids, or that leaves out what must be, is 400."""
    choice = action("choice", selectionBehavior="exactly-one", action=[action("x"), action("y")])
    must = action("must", requiredBehavior="must-unless-documented")
    client = make_client(content(plan(choice, must)))

    def select(*names: str, omitted: str | None = None) -> Any:
        listed = [text("selectedAction", name) for name in names]
        more = [text("documentedOmission", omitted)] if omitted else []
        return post(client, APPLY, SUBJECT, DATA, *listed, *more)

    made = select("x", "must").json()
    assert actions(made) == ["choice", "must"]
    assert [item["id"] for item in group(made)["action"][0]["action"]] == ["x"]
    for wrong, says in ((("x", "y", "must"), "exactly one"), (("x",), "is required"), (("x", "z", "must"), '"z"')):
        found = issue(select(*wrong), 400)
        assert found["expression"] == ["selected"]
        assert says in found["diagnostics"]
    assert actions(select("x", omitted="must").json()) == ["choice"]


def test_gr_07_no_relation_to_what_was_not_chosen(make_client: Make) -> None:
    """GR-07: a relation to an action that the clinician left out is left out, and that is said."""
    related = [{"actionId": "x", "relationship": "after"}]
    client = make_client(content(plan(action("x"), action("y", relatedAction=related))))
    made = post(client, APPLY, SUBJECT, DATA, text("selectedAction", "y")).json()
    assert "relatedAction" not in group(made)["action"][0]
    assert "left out" in messages(made)[0]["diagnostics"]


def test_df_03_tasks_for_questionnaires(make_client: Make) -> None:
    """DF-03: with collectTasks a questionnaire becomes a Task to fill it in."""
    form = {"resourceType": "Questionnaire", "id": "q", "url": f"{BASE}/Questionnaire/q", "status": "active"}
    client = make_client(content(plan(action("a", definitionCanonical=form["url"])), form))
    plain = post(client, APPLY, SUBJECT, DATA).json()
    assert group(plain)["action"][0]["resource"]["reference"] == "Questionnaire/q"
    made = post(client, APPLY, SUBJECT, DATA, {"name": "collectTasks", "valueBoolean": True}).json()
    task = next(item for item in made["contained"] if item["resourceType"] == "Task")
    assert task["focus"]["reference"] == "Questionnaire/q"


def test_ti_02_dated_requests_from_a_day(make_client: Make) -> None:
    """TI-02, TI-03: with start each timing becomes dated requests; endless ones need until, and that is said."""
    weekly = {"repeat": {"frequency": 1, "period": 1, "periodUnit": "wk", "count": 3}}
    endless = {"repeat": {"frequency": 1, "period": 1, "periodUnit": "d"}}
    listed = [action("w", timingTiming=weekly, definitionCanonical=SCAN)]
    listed.append(action("e", timingTiming=endless, definitionCanonical=SCAN))
    client = make_client(content(plan(*listed), activity()))

    def days(*more: dict[str, Any], operation: str = "$apply") -> list[str]:
        made = post(client, f"PlanDefinition/plan/{operation}", SUBJECT, DATA, *more).json()
        if operation == "$apply":
            chosen = [activity["reference"]["reference"].removeprefix("#") for activity in made["activity"][1:]]
            resources = [item for item in made["contained"] if item["id"] in chosen]
        else:
            resources = [entry["resource"] for entry in made["parameter"][0]["resource"]["entry"]]
        return sorted(item["occurrenceDateTime"] for item in resources if "occurrenceDateTime" in item)

    start = {"name": "start", "valueDate": "2026-02-02"}
    until = {"name": "until", "valueDate": "2026-02-03"}
    assert days() == []
    assert days(start) == ["2026-02-02", "2026-02-09", "2026-02-16"]
    assert days(start, until) == ["2026-02-02", "2026-02-02", "2026-02-03"]
    assert days(start, until, operation="$r5.apply") == days(start, until)
    told = messages(post(client, APPLY, SUBJECT, DATA, start).json())
    assert [item["expression"] for item in told] == [["PlanDefinition.action[1].timing"]]


def test_ti_04_a_start_that_is_known(make_client: Make) -> None:
    """TI-04: actionStart dates an action, and what is related to it follows."""
    offset = {"value": 3, "unit": "mo", "system": "http://unitsofmeasure.org", "code": "mo"}
    related = [{"actionId": "x", "relationship": "after-end", "offsetDuration": offset}]
    client = make_client(content(plan(action("x"), action("y", relatedAction=related))))
    made = post(client, APPLY, SUBJECT, DATA, part("actionStart", action="x", start="2026-01-31")).json()
    dated = {item["id"]: item.get("timingDateTime") for item in group(made)["action"]}
    assert dated == {"x": "2026-01-31", "y": "2026-04-30"}


def test_ti_06_doses_of_a_regimen(make_client: Make) -> None:
    """TI-06: days 1 and 8, and day 1, of six cycles of 21 days are 12 and 6 dated doses; infusion times are kept."""

    def drug(name: str) -> dict[str, Any]:
        length = {"repeat": {"duration": 30, "durationUnit": "min"}}
        head = {"resourceType": "ActivityDefinition", "id": name, "status": "draft", "kind": "MedicationRequest"}
        return {**head, "productCodeableConcept": {"text": name}, "dosage": [{"text": "once", "timing": length}]}

    def days(*numbers: int) -> list[dict[str, Any]]:
        inner = [{"url": "day", "valueInteger": number} for number in numbers]
        return [{"url": "http://hl7.org/fhir/StructureDefinition/timing-daysOfCycle", "extension": inner}]

    doses = [action("one", definitionCanonical="#one", extension=days(1, 8))]
    doses.append(action("two", definitionCanonical="#two", extension=days(1)))
    cycle = {"repeat": {"count": 6, "duration": 21, "durationUnit": "d"}}
    regimen = plan(action("cycles", timingTiming=cycle, action=doses), contained=[drug("one"), drug("two")])
    client = make_client(content(regimen))
    made = post(client, APPLY, SUBJECT, DATA, {"name": "start", "valueDate": "2026-02-02"}).json()
    dated = [
        (item["medicationCodeableConcept"]["text"], item["dosageInstruction"][0]["timing"])
        for item in made["contained"]
        if item["resourceType"] == "MedicationRequest" and "event" in item["dosageInstruction"][0]["timing"]
    ]
    assert Counter(name for name, _ in dated) == {"one": 12, "two": 6}
    assert all(timing["repeat"] == {"duration": 30, "durationUnit": "min"} for _, timing in dated)
    ids = [item["id"] for item in made["contained"]]
    assert len(set(ids)) == len(ids)


def test_er_01_issues_of_a_lone_activity(make_client: Make) -> None:
    """ER-01, ER-02: what an activity could not do stands in the request it made; one that makes none is 422."""
    broken = [{"path": "note.text", "expression": {"language": "text/fhirpath", "expression": "%nobody"}}]
    client = make_client(content(activity(dynamicValue=broken), activity("none", kind="Patient")))
    made = post(client, "ActivityDefinition/scan/$apply", SUBJECT, DATA)
    assert made.status_code == 200
    assert made.json()["extension"][0]["url"].endswith("/cqf-messages")
    assert messages(made.json())[0]["expression"] == ["ActivityDefinition.dynamicValue[0]"]
    issue(post(client, "ActivityDefinition/none/$apply", SUBJECT, DATA), 422)
