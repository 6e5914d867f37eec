"""Every state of the prefetch table (CDS Hooks, requirements on prefetch received), by its name."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_cds.data.prefetch import ABSENT, RULES, State, answer, answers, fill, is_read, type_of, unasked
from fhir_cds.errors import InputError

from .conftest import PATIENT, condition, searchset

QUERY = "Condition?patient=1"
OUTCOME = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "timeout"}]}
WARNING = {"resourceType": "OperationOutcome", "issue": [{"severity": "warning", "code": "incomplete"}]}

STATES: dict[State, tuple[str, Any, bool, bool, int]] = {  # query, value -> complete, may be asked, resources
    State.ABSENT: (QUERY, ABSENT, False, True, 0),
    State.NULL: (QUERY, None, True, False, 0),
    State.EMPTY: (QUERY, searchset(), True, False, 0),
    State.FAILED: (QUERY, OUTCOME, False, False, 0),
    State.PARTIAL: (QUERY, searchset(condition(1), OUTCOME), False, False, 1),
    State.PAGED: (QUERY, searchset(condition(1), link="http://x.example.org/2"), False, True, 1),
    State.SINGLE: (QUERY, condition(1), True, False, 1),
    State.LISTED: ("Patient/1", searchset(PATIENT), True, False, 1),
    State.FULL: (QUERY, searchset(condition(1), condition(2)), True, False, 2),
}


@pytest.mark.parametrize("state", list(State))
def test_state_table(state: State) -> None:
    """Each state is recognised, and says whether the data are complete and the server may be asked."""
    query, value, complete, ask, count = STATES[state]
    found = answer("k", query, value)
    assert found.state is state
    assert (found.rule.complete, found.rule.ask) == (complete, ask)
    assert len(found.resources) == count


def test_every_state_has_a_rule() -> None:
    """No state without a row."""
    assert set(RULES) == set(State) == set(STATES)


def test_outcome_with_warning_is_no_gap() -> None:
    """A Bundle with a warning is complete; only error and fatal make it partial."""
    assert answer("k", QUERY, searchset(condition(1), WARNING)).state is State.FULL


def test_empty_first_page_with_more_is_paged() -> None:
    """A page without entries but with a next link is not 'nothing matched'."""
    assert answer("k", QUERY, searchset(link="http://x.example.org/2")).state is State.PAGED


def test_reason_names_the_issue_codes_only() -> None:
    """The reason tells FHIR's issue code, not the server's text."""
    outcome = {
        "resourceType": "OperationOutcome",
        "issue": [{"severity": "error", "code": "login", "diagnostics": "Jane Doe"}],
    }
    assert answer("k", QUERY, outcome).reason == "the client tried to read it and failed (login)"


@pytest.mark.parametrize(
    ("query", "value", "where"),
    [
        (QUERY, searchset(condition(1), {"resourceType": "Observation", "id": "o"}), "prefetch.k.entry[1].resource"),
        (QUERY, PATIENT, "prefetch.k"),
        ("Patient/1", condition(1), "prefetch.k"),
        (QUERY, "text", "prefetch.k"),
        (QUERY, [condition(1)], "prefetch.k"),
        (QUERY, {"id": "x"}, "prefetch.k"),
        (QUERY, {"resourceType": "Bundle", "type": "history"}, "prefetch.k.type"),
        (QUERY, {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": 7}]}, "prefetch.k.entry[0]"),
    ],
)
def test_wrong_values_are_refused(query: str, value: Any, where: str) -> None:
    """A wrong type, or no FHIR at all, is an error that names the key and the entry."""
    with pytest.raises(InputError) as caught:
        answer("k", query, value)
    assert (caught.value.where or "").startswith(where)
    assert caught.value.status == 400


def test_included_resources_may_be_of_other_types() -> None:
    """Entries of mode include, and answers to operations, may hold any type."""
    value = searchset(condition(1))
    value["entry"].append({"resource": {"resourceType": "Encounter", "id": "e"}, "search": {"mode": "include"}})
    assert len(answer("k", QUERY, value).resources) == 2
    assert answer("k", "Patient/1/$everything", searchset(condition(1))).state is State.FULL


def test_answers_in_the_order_asked() -> None:
    """Keys asked for are answered in order; others are passed over and can be told."""
    templates = {"b": "Condition?patient=1", "a": "Patient/1"}
    sent = {"a": PATIENT, "zz": condition(9)}
    assert [item.key for item in answers(templates, sent)] == ["b", "a"]
    assert [item.state for item in answers(templates, None)] == [State.ABSENT, State.ABSENT]
    assert unasked(templates, sent) == ("zz",)
    with pytest.raises(InputError, match="object"):
        answers(templates, [])


@pytest.mark.parametrize(
    ("template", "context", "query"),
    [
        ("Patient/{{context.patientId}}", {"patientId": "1"}, "Patient/1"),
        ("Patient/{{ context.patientId }}", {"patientId": "Patient/1"}, "Patient/1"),
        ("Encounter/{{context.encounterId}}", {}, None),
        ("Practitioner/{{userPractitionerId}}", {"userId": "Practitioner/7"}, "Practitioner/7"),
        ("Practitioner/{{userPractitionerId}}", {"userId": "Patient/7"}, None),
        ("Task?owner={{context.performer}}", {"performer": "a&b=c"}, "Task?owner=a%26b%3Dc"),
        ("Condition?code=x", {}, "Condition?code=x"),
    ],
)
def test_fill(template: str, context: dict[str, Any], query: str | None) -> None:
    """Tokens take their values; one without value gives no query; values cannot add parameters."""
    assert fill(template, context) == query


@pytest.mark.parametrize("value", ["1&_has=x", "../Patient/2", "", 7, {"a": 1}, "a b"])
def test_fill_refuses_what_is_no_id(value: Any) -> None:
    """A patientId that is no FHIR id is refused."""
    with pytest.raises(InputError, match="expected"):
        fill("Patient/{{context.patientId}}", {"patientId": value})


def test_kind_of_query() -> None:
    """Reads, searches and operations are told apart."""
    assert is_read("Patient/1")
    assert not is_read("Condition?patient=1")
    assert not is_read("Patient/1/$everything")
    assert type_of("Condition?patient=1") == "Condition"
    assert type_of("$batch") is None
