"""The result of `$r5.apply`: a Bundle per subject whose first entry is the RequestGroup (apply.md AL-02).

In R5's rule a request that is a component of a group has the intent `option` (DF-01). Resources stand beside each
other, so references are `Type/id`. R4 servers have no RequestOrchestration: its R4 form, RequestGroup, takes its place.
"""

from __future__ import annotations

from typing import Any, Final

from fhir_cds.fhir import ids, reference
from fhir_cds.reasoning import assemble, plans
from fhir_cds.reasoning.kinds import KINDS
from fhir_cds.reasoning.outcome import Applied, Json

OPTION: Final = "option"
URN: Final = "urn:uuid:"


def bundle(applied: Applied, *, merge_nested: bool = False) -> dict[str, Any]:
    """Return the Bundle of one applied plan: the RequestGroup first, then what it refers to."""
    careplan = assemble.careplan(applied, merge_nested=merge_nested)
    root = careplan["activity"][0]["reference"]["reference"].removeprefix("#")
    contained = careplan["contained"]
    first = next(resource for resource in contained if resource["id"] == root)
    if "extension" in careplan:
        first = {**first, "extension": [*first.get("extension", ()), *careplan["extension"]]}
    ordered = [first, *(resource for resource in contained if resource["id"] != root)]
    names = {f"#{resource['id']}": reference.of(resource) for resource in ordered}
    return {
        "resourceType": "Bundle",
        "id": ids.stable_uuid("Bundle", plans.canonical(applied.plan), applied.subject, applied.now[:10]),
        "type": "collection",
        "entry": [
            {"fullUrl": f"{URN}{resource['id']}", "resource": reference.renamed(_option(resource), names)}
            for resource in ordered
        ],
    }


def _option(resource: Json) -> Json:
    kind = KINDS.get(resource["resourceType"])
    return {**resource, "intent": OPTION} if kind is not None and kind.intent else resource
