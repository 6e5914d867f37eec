"""Asking for missing facts: a Task to fill in the questionnaire that has them, which a clinician may accept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from fhir_cds.cards import words
from fhir_cds.cards.facts import Facts
from fhir_cds.reasoning.special import COLLECT, CPG_ACTIVITY

_SDC: Final = "http://hl7.org/fhir/uv/sdc/CodeSystem/temp"


def tasks(
    missing: Sequence[str], forms: Mapping[str, str], facts: Facts, subject: str, now: str
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield a Task for each questionnaire that asks for missing facts, with how many; `forms`: canonicals by fact."""
    for canonical in dict.fromkeys(forms[fact] for fact in missing if fact in forms):
        asked = [facts.text(fact) for fact in missing if forms.get(fact) == canonical]
        task = {
            "resourceType": "Task",
            "status": "draft",
            "intent": "proposal",
            "code": {"coding": [{"system": CPG_ACTIVITY, "code": COLLECT}]},
            "description": words.ASKED.format(facts="; ".join(asked)),
            "for": {"reference": subject},
            "authoredOn": now,
            "input": [
                {
                    "type": {"coding": [{"system": _SDC, "code": "questionnaire"}]},
                    "valueCanonical": canonical,
                }
            ],
        }
        yield len(asked), task
