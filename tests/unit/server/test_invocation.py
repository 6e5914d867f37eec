"""The parameters of `$apply`."""

from datetime import date
from typing import Any

import pytest

from fhir_cds.errors import InputError
from fhir_cds.server.invocation import Invocation, Prefetched, invocation
from fhir_cds.server.operations import APPLY
from fhir_cds.server.parameters import Given, of_body, of_query

BUNDLE = {"resourceType": "Bundle", "type": "collection"}
PLAN = {"resourceType": "PlanDefinition", "id": "p"}


def body(*parameters: dict[str, Any]) -> dict[str, Any]:
    """Return a Parameters resource."""
    return {"resourceType": "Parameters", "parameter": list(parameters)}


def from_body(document: Any) -> Invocation:
    """Return the call in a Parameters resource."""
    return invocation(Given.of(of_body(document), APPLY))


SUBJECT = {"name": "subject", "valueString": "123"}


def test_everything() -> None:
    """Each parameter arrives where it belongs."""
    found = from_body(
        body(
            SUBJECT,
            {"name": "subject", "valueReference": {"reference": "Patient/2"}},
            {"name": "url", "valueUri": "https://e.org/p"},
            {"name": "version", "valueString": "1"},
            {"name": "encounter", "valueString": "e"},
            {"name": "practitioner", "valueString": "Practitioner/d"},
            {"name": "userLanguage", "valueCodeableConcept": {"coding": [{"code": "de"}]}},
            {"name": "setting", "valueCodeableConcept": {"text": "ward"}},
            {
                "name": "parameters",
                "resource": body(
                    {"name": "A", "valueInteger": 1},
                    {"name": "A", "valueInteger": 2},
                    {"name": "B", "part": [{"name": "c", "valueString": "d"}]},
                    {"name": "C", "resource": PLAN},
                ),
            },
            {"name": "data", "resource": BUNDLE},
            {"name": "evaluationDateTime", "valueDateTime": "2026-01-31"},
            {"name": "mergeNestedCarePlans", "valueBoolean": True},
            {"name": "collectTasks", "valueBoolean": True},
            {"name": "requestStatus", "valueCode": "active"},
            {"name": "selectedAction", "valueString": "a"},
            {"name": "selectedAction", "valueString": "b"},
            {"name": "documentedOmission", "valueString": "c"},
            {
                "name": "actionStart",
                "part": [{"name": "action", "valueString": "a"}, {"name": "start", "valueDateTime": "2026-02-01"}],
            },
            {"name": "start", "valueDate": "2026-02-02"},
            {"name": "until", "valueDate": "2026-12-31"},
            {"name": "contentEndpoint", "valueString": "https://e.org/fhir"},
        )
    )
    assert found.subjects == ("Patient/123", "Patient/2")
    assert found.definition == "https://e.org/p|1"
    assert found.data == BUNDLE
    assert found.now == "2026-01-31"
    context = found.context
    assert (context.encounter, context.practitioner, context.language) == ("Encounter/e", "Practitioner/d", "de")
    assert context.variables["setting"] == {"text": "ward"}
    assert context.parameters == {"A": [1, 2], "B": {"c": "d"}, "C": PLAN}
    assert context.merge_nested
    assert context.collect_tasks
    assert context.status == "active"
    assert (context.selected, context.documented) == (("a", "b"), frozenset({"c"}))
    assert context.starts == {"a": "2026-02-01"}
    assert (found.start, found.until) == (date(2026, 2, 2), date(2026, 12, 31))
    assert [issue["expression"] for issue in found.remarks()] == [["contentEndpoint"]]


def test_query_string() -> None:
    """Simple parameters come in a query string too."""
    found = invocation(
        Given.of(
            of_query([("subject", "Patient/1"), ("dataEndpoint", "https://e.org/fhir"), ("canonical", "https://p|1")]),
            APPLY,
        )
    )
    assert (found.subjects, found.endpoint, found.definition) == (("Patient/1",), "https://e.org/fhir", "https://p|1")


def test_prefetch_data() -> None:
    """prefetchData is kept by key; without data the key is known to be empty."""
    item = {"name": "prefetchData", "part": [{"name": "key", "valueString": "k"}, {"name": "data", "resource": BUNDLE}]}
    empty = {"name": "prefetchData", "part": [{"name": "key", "valueString": "e"}]}
    assert from_body(body(SUBJECT, item, empty)).prefetch == {"k": Prefetched(BUNDLE), "e": Prefetched(None)}


def test_inline_definition_and_endpoint() -> None:
    """A plan and an Endpoint may be given as resources."""
    endpoint = {"resourceType": "Endpoint", "address": "https://e.org/fhir"}
    found = from_body(
        body({"name": "planDefinition", "resource": PLAN}, {"name": "dataEndpoint", "resource": endpoint})
    )
    assert (found.definition, found.endpoint) == (PLAN, "https://e.org/fhir")


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"resourceType": "Bundle"},
        {"resourceType": "Parameters", "parameter": {}},
        body({"valueString": "x"}),
        body({"name": "colour", "valueString": "red"}),
        body({"name": "data", "resource": BUNDLE}, {"name": "prefetchData", "part": []}),
        body({"name": "prefetchData", "part": []}),
        body({"name": "url", "valueUri": "a"}, {"name": "canonical", "valueCanonical": "b"}),
        body({"name": "version", "valueString": "1"}),
        body({"name": "subject", "valueInteger": 7}),
        body({"name": "encounter", "valueString": "a"}, {"name": "encounter", "valueString": "b"}),
        body({"name": "data", "resource": BUNDLE}, {"name": "data", "resource": BUNDLE}),
        body({"name": "data", "resource": "x"}),
        body({"name": "dataEndpoint", "resource": {"resourceType": "Endpoint"}}),
        body({"name": "start", "valueDate": "2026-02"}),
        body({"name": "requestStatus", "valueCode": "completed"}),
        body({"name": "mergeNestedCarePlans", "valueString": "perhaps"}),
        body({"name": "actionStart", "part": [{"name": "action", "valueString": "a"}]}),
        body(
            {
                "name": "actionStart",
                "part": [{"name": "action", "valueString": "a"}, {"name": "start", "valueDate": "x"}],
            }
        ),
    ],
)
def test_wrong_parameters(document: Any) -> None:
    """What cannot be used is refused, naming the place."""
    with pytest.raises(InputError):
        from_body(document)
