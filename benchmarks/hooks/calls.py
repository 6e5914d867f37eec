"""Calls of the service as an EHR sends them, no two alike: other ids, other dates, another hookInstance each time."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from functools import cache
from itertools import count, cycle
from pathlib import Path
from typing import Any, Final

from fhir_cds.fhir import codec

ROOT: Final = Path(__file__).parents[2]
PATIENTS: Final = ROOT / "tests" / "patients"
SERVICE: Final = "sarcoma-liver-metastases"
WRITTEN_FOR: Final = date(2026, 1, 31)
"""The day for which the sample patients were written; their dates move with today."""
SHIFTS: Final = 8
_INSTANCE: Final = "3f0b8a8e-5d0e-4a63-9c38-7f5d2f2b7c11"
_MARK: Final = b"0badc0de"
_DAY: Final = re.compile(rb'(?<=")\d{4}-\d{2}-\d{2}(?=["T])')
_NUMBER: Final = count(1)
Json = dict[str, Any]


def calls(patients: Sequence[str], size: int, today: date) -> Iterator[bytes]:
    """Yield calls without end, each of about `size` bytes, for sample patients (by name) in turn.

    Every call has ids and a hookInstance of its own, and its dates moved by up to a week, so that nothing in it was
    seen before.
    """
    for template in cycle(_templates(tuple(patients), size, today)):
        instance = str(uuid.uuid4()).encode()
        yield template.replace(_MARK, b"%08x" % next(_NUMBER)).replace(_INSTANCE.encode(), instance)


@cache
def _templates(patients: tuple[str, ...], size: int, today: date) -> tuple[bytes, ...]:
    """Return the calls with marks in place of what differs from call to call, for each patient on several dates."""
    entry = codec.decode((ROOT / "hooks" / f"{SERVICE}.json").read_bytes())
    bodies = [_template(name, size, entry["prefetch"]) for name in patients]
    since = (today - WRITTEN_FOR).days
    return tuple(_moved(body, since - shift) for shift in range(SHIFTS) for body in bodies)


def _moved(body: bytes, days: int) -> bytes:
    """Return a call with all its days moved."""
    moved = timedelta(days=days)
    return _DAY.sub(lambda found: (date.fromisoformat(found[0].decode()) + moved).isoformat().encode(), body)


def _template(name: str, size: int, prefetch: dict[str, str]) -> bytes:
    """Return a call for a sample patient padded with laboratory results to about `size` bytes, its ids marked."""
    document = codec.decode((PATIENTS / f"{name}.json").read_bytes())
    resources = [entry["resource"] for entry in document["entry"]]
    patient = next(item["id"] for item in resources if item["resourceType"] == "Patient")
    base = len(_call(resources, prefetch, patient))
    one = len(_call([*resources, laboratory(0, patient)], prefetch, patient)) - base
    padding = [laboratory(number, patient) for number in range(max(0, (size - base) // one))]
    body = _call([*resources, *padding], prefetch, patient)
    for identifier in {str(item["id"]) for item in (*resources, *padding) if "id" in item}:
        own, marked = identifier.encode(), identifier.encode() + b"-" + _MARK
        for before in (b'"id":"', b"/", b'"patientId":"'):
            body = body.replace(before + own + b'"', before + marked + b'"')
    return body


def _call(resources: Sequence[Json], prefetch: dict[str, str], patient: str) -> bytes:
    sent: Json = {}
    for key, query in prefetch.items():
        kind = query.partition("?")[0].partition("/")[0]
        found = [{"resource": item} for item in resources if item["resourceType"] == kind]
        searchset = {"resourceType": "Bundle", "type": "searchset", "entry": found}
        sent[key] = searchset if "?" in query else found[0]["resource"]
    context = {"userId": "Practitioner/1", "patientId": patient}
    return codec.encode({"hook": "patient-view", "hookInstance": _INSTANCE, "context": context, "prefetch": sent})


def laboratory(number: int, patient: str) -> Json:
    """Return a result that has nothing to do with the guideline."""
    coding = {"system": "http://loinc.org", "code": "718-7", "display": "Hemoglobin [Mass/volume] in Blood"}
    category = {"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}
    return {
        "resourceType": "Observation",
        "id": f"laboratory-{number}",
        "status": "final",
        "category": [{"coding": [category]}],
        "code": {"coding": [coding], "text": "Haemoglobin"},
        "subject": {"reference": f"Patient/{patient}"},
        "effectiveDateTime": f"2025-{number % 12 + 1:02}-{number % 28 + 1:02}T08:30:00+01:00",
        "valueQuantity": {"value": 13.2, "unit": "g/dL", "system": "http://unitsofmeasure.org", "code": "g/dL"},
    }
