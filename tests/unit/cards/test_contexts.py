"""The context of each hook: what must be there, in which form, under which names."""

import pytest

from fhir_cds.cards import contexts
from fhir_cds.errors import InputError

DRAFT = {"resourceType": "ServiceRequest", "id": "s1"}
DRAFTS = {"resourceType": "Bundle", "entry": [{"resource": DRAFT}]}
BASE = {"userId": "Practitioner/1", "patientId": "p", "encounterId": "e"}

VALID = {
    "patient-view": {"userId": "RelatedPerson/1", "patientId": "p"},
    "order-select": {**BASE, "selections": ["ServiceRequest/s1"], "draftOrders": DRAFTS},
    "order-sign": {**BASE, "draftOrders": DRAFTS},
    "order-dispatch": {"patientId": "p", "dispatchedOrders": ["ServiceRequest/1"], "performer": "Organization/1"},
    "encounter-start": BASE,
    "encounter-discharge": BASE,
    "appointment-book": {**BASE, "appointments": {"resourceType": "Bundle"}},
    "problem-list-item-create": {**BASE, "conditions": {"resourceType": "Bundle"}},
    "allergyintolerance-create": {**BASE, "allergyIntolerance": {"resourceType": "AllergyIntolerance"}},
    "medication-refill": {"patientId": "p", "medications": {"resourceType": "Bundle"}},
    "medication-verify": {**BASE, "order": {"resourceType": "MedicationRequest"}},
}


def test_every_hook_is_tried() -> None:
    """The table of examples covers the table of hooks."""
    assert VALID.keys() == contexts.HOOKS.keys()


@pytest.mark.parametrize("hook", VALID)
def test_valid_contexts(hook: str) -> None:
    """A context as the library defines it is accepted."""
    assert contexts.check(hook, VALID[hook])["patientId"] == "p"


@pytest.mark.parametrize(
    ("hook", "name"), [(hook, f.name) for hook, fields in contexts.HOOKS.items() for f in fields if f.required]
)
def test_required_members(hook: str, name: str) -> None:
    """Each mandatory member is missed by its name."""
    aliases = next(f.aliases for f in contexts.HOOKS[hook] if f.name == name)
    cut = {key: value for key, value in VALID[hook].items() if key != name and key not in aliases}
    with pytest.raises(InputError, match=name) as caught:
        contexts.check(hook, cut)
    assert caught.value.where == f"context.{name}"


@pytest.mark.parametrize(
    ("hook", "changes", "place"),
    [
        ("patient-view", {"userId": "Device/1"}, "context.userId"),
        ("order-sign", {"userId": "Patient/1"}, "context.userId"),
        ("patient-view", {"userId": "1"}, "context.userId"),
        ("patient-view", {"patientId": "Practitioner/1"}, "context.patientId"),
        ("patient-view", {"patientId": 7}, "context.patientId"),
        ("patient-view", {"patientId": "a b"}, "context.patientId"),
        ("order-sign", {"draftOrders": [DRAFT]}, "context.draftOrders"),
        ("order-sign", {"draftOrders": {"resourceType": "Bundle", "entry": [{}]}}, "context.draftOrders.entry[0]"),
        ("order-select", {"selections": ["s1"]}, "context.selections"),
        ("order-select", {"selections": ["ServiceRequest/other"]}, "context.selections"),
        ("encounter-start", {"encounterId": None}, "context.encounterId"),
    ],
)
def test_wrong_members(hook: str, changes: dict[str, object], place: str) -> None:
    """A member of the wrong form is named."""
    with pytest.raises(InputError) as caught:
        contexts.check(hook, {**VALID[hook], **changes})
    assert caught.value.where == place


def test_patient_id_with_type_is_stripped() -> None:
    """CH-05: `Patient/p`, as a published sample sends it, is taken as p."""
    assert contexts.check("patient-view", {**BASE, "patientId": "Patient/p"})["patientId"] == "p"


def test_older_order_dispatch() -> None:
    """The older form of order-dispatch (one `order`, a `task`) is brought into the new one."""
    task = {"resourceType": "Task", "id": "t"}
    given = {"patientId": "p", "order": "ServiceRequest/1", "performer": "Organization/1", "task": task}
    checked = contexts.check("order-dispatch", given)
    assert checked["dispatchedOrders"] == ["ServiceRequest/1"]
    assert checked["fulfillmentTasks"] == [task]


def test_wrapped_resource() -> None:
    """A resource wrapped in `{resource}` is unwrapped."""
    wrapped = {"resource": {"resourceType": "AllergyIntolerance"}}
    checked = contexts.check("allergyintolerance-create", {**BASE, "allergyIntolerance": wrapped})
    assert contexts.resources(checked, "allergyIntolerance") == [{"resourceType": "AllergyIntolerance"}]


def test_own_hooks_need_a_patient() -> None:
    """A hook that the library does not define needs a patient and nothing else."""
    assert contexts.check("org.example.tumour-board", {"patientId": "p", "x": 1})["x"] == 1
    with pytest.raises(InputError):
        contexts.check("org.example.tumour-board", {})


def test_resources_of_a_bundle() -> None:
    """The resources of a Bundle in the context come out in order."""
    checked = contexts.check("order-sign", VALID["order-sign"])
    assert contexts.resources(checked, "draftOrders") == [DRAFT]
    assert contexts.resources(checked, "missing") == []


def test_tokens_are_first_level_primitives() -> None:
    """Only ids and references may stand in a prefetch template, never Bundles."""
    tokens = {f.name for fields in contexts.HOOKS.values() for f in fields if f.token}
    assert tokens == {"userId", "patientId", "encounterId", "performer"}
