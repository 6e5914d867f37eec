"""The 15 request kinds of R4 ActivityDefinition: where each keeps what an ActivityDefinition says (apply.md DF-08)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class Slot:
    """An element of a resource, and whether it repeats."""

    name: str
    many: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    """Where one resource type keeps each thing; None where it has no place for it.

    `dates` are elements that hold when the proposal was made; `required` those R4 requires: where nothing is known they
    say so with a data-absent-reason, as an object or inside an array.
    """

    status: str | None
    subject: Slot | None
    code: Slot | None = None
    intent: bool = False
    priority: bool = False
    do_not_perform: bool = False
    occurrence: str | None = None
    requester: str | None = None
    encounter: str | None = None
    performer: Slot | None = None
    performer_type: Slot | None = None
    location: Slot | None = None
    reason: Slot | None = None
    body_site: Slot | None = None
    product: str | None = None
    quantity: str | None = None
    text: str | None = None
    title: str | None = None
    instantiates: Slot | None = None
    dates: tuple[str, ...] = ()
    required: tuple[Slot, ...] = ()


_SUBJECT: Final = Slot("subject")
_PATIENT: Final = Slot("patient")
_REASONS: Final = Slot("reasonCode", many=True)
_CANONICALS: Final = Slot("instantiatesCanonical", many=True)

KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "Appointment": Kind(
            status="proposed",
            subject=None,
            code=Slot("serviceType", many=True),
            reason=_REASONS,
            text="description",
            dates=("created",),
        ),
        "AppointmentResponse": Kind(
            status=None,
            subject=Slot("actor"),
            code=Slot("participantType", many=True),
            text="comment",
            required=(Slot("appointment"),),
        ),
        "CarePlan": Kind(
            status="draft",
            subject=_SUBJECT,
            code=Slot("category", many=True),
            intent=True,
            requester="author",
            encounter="encounter",
            text="description",
            title="title",
            instantiates=_CANONICALS,
            dates=("created",),
        ),
        "Claim": Kind(
            status="draft",
            subject=_PATIENT,
            code=Slot("type"),
            requester="provider",
            dates=("created",),
            required=(Slot("type"), Slot("priority"), Slot("provider")),
        ),
        "CommunicationRequest": Kind(
            status="draft",
            subject=_SUBJECT,
            code=Slot("category", many=True),
            priority=True,
            do_not_perform=True,
            occurrence="occurrence",
            requester="requester",
            encounter="encounter",
            performer=Slot("recipient", many=True),
            reason=_REASONS,
            dates=("authoredOn",),
        ),
        "Contract": Kind(
            status="negotiable",
            subject=Slot("subject", many=True),
            code=Slot("type"),
            title="title",
            instantiates=Slot("instantiatesUri"),
            dates=("issued",),
        ),
        "DeviceRequest": Kind(
            status="draft",
            subject=_SUBJECT,
            code=Slot("codeCodeableConcept"),
            intent=True,
            priority=True,
            occurrence="occurrence",
            requester="requester",
            encounter="encounter",
            performer=Slot("performer"),
            performer_type=Slot("performerType"),
            reason=_REASONS,
            product="code",
            instantiates=_CANONICALS,
            dates=("authoredOn",),
            required=(Slot("codeCodeableConcept"),),
        ),
        "EnrollmentRequest": Kind(status="draft", subject=Slot("candidate"), requester="provider", dates=("created",)),
        "ImmunizationRecommendation": Kind(status=None, subject=_PATIENT, dates=("date",)),
        "MedicationRequest": Kind(
            status="draft",
            subject=_SUBJECT,
            code=Slot("medicationCodeableConcept"),
            intent=True,
            priority=True,
            do_not_perform=True,
            requester="requester",
            encounter="encounter",
            performer=Slot("performer"),
            performer_type=Slot("performerType"),
            reason=_REASONS,
            product="medication",
            instantiates=_CANONICALS,
            dates=("authoredOn",),
            required=(Slot("medicationCodeableConcept"),),
        ),
        "NutritionOrder": Kind(
            status="draft",
            subject=_PATIENT,
            intent=True,
            requester="orderer",
            encounter="encounter",
            instantiates=_CANONICALS,
            dates=("dateTime",),
        ),
        "ServiceRequest": Kind(
            status="draft",
            subject=_SUBJECT,
            code=Slot("code"),
            intent=True,
            priority=True,
            do_not_perform=True,
            occurrence="occurrence",
            requester="requester",
            encounter="encounter",
            performer=Slot("performer", many=True),
            performer_type=Slot("performerType"),
            location=Slot("locationReference", many=True),
            reason=_REASONS,
            body_site=Slot("bodySite", many=True),
            quantity="quantityQuantity",
            instantiates=_CANONICALS,
            dates=("authoredOn",),
        ),
        "SupplyRequest": Kind(
            status="draft",
            subject=None,
            code=Slot("itemCodeableConcept"),
            priority=True,
            occurrence="occurrence",
            requester="requester",
            performer=Slot("supplier", many=True),
            location=Slot("deliverTo"),
            reason=_REASONS,
            product="item",
            quantity="quantity",
            dates=("authoredOn",),
            required=(Slot("quantity"), Slot("itemCodeableConcept")),
        ),
        "Task": Kind(
            status="draft",
            subject=Slot("for"),
            code=Slot("code"),
            intent=True,
            priority=True,
            requester="requester",
            encounter="encounter",
            performer=Slot("owner"),
            performer_type=Slot("performerType", many=True),
            location=Slot("location"),
            reason=Slot("reasonCode"),
            text="description",
            instantiates=Slot("instantiatesCanonical"),
            dates=("authoredOn",),
        ),
        "VisionPrescription": Kind(
            status="draft",
            subject=_PATIENT,
            requester="prescriber",
            encounter="encounter",
            dates=("created", "dateWritten"),
            required=(Slot("prescriber"),),
        ),
    }
)
