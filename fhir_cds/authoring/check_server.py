"""Whether a FHIR server runs our content and gives our answers: what `fhir-cds check-server` does on the server.

It writes under ids of its own and with a tag of its own; content that is there already is used as it stands and never
changed. Whatever it wrote, and what an earlier run left behind, it deletes again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import product
from typing import Any, Final

from fhir_cds.authoring import parity
from fhir_cds.authoring.publish import TAG_SYSTEM, Change, Step, publish, tagged
from fhir_cds.authoring.remote import Answer, Remote, operations
from fhir_cds.data.record import PatientRecord, from_resources
from fhir_cds.errors import FhirCdsError, FhirServerError
from fhir_cds.fhir import bundle, reference
from fhir_cds.reasoning import assemble
from fhir_cds.reasoning.apply import apply_plan
from fhir_cds.reasoning.engine import Engine

Resource = dict[str, Any]

RELEASE: Final = "4.0"
OPERATION: Final = "apply"
EVERY_RUN: Final = "check"
LEFT_BEHIND: Final = timedelta(hours=1)
STAGES: Final = 8
_PATIENT_FIRST: Final = "Patient"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: whether it is as it should be (None: not tried), in a sentence, with details."""

    name: str
    ok: bool | None
    text: str
    details: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the finding for scripts."""
        return {"check": self.name, "ok": self.ok, "text": self.text, "details": list(self.details)}


@dataclass(frozen=True, slots=True)
class Sample:
    """A synthetic patient as stored on the server."""

    name: str
    resources: tuple[Resource, ...]

    @property
    def subject(self) -> str:
        """`Patient/id` on the server."""
        return next(reference.of(item) for item in self.resources if item["resourceType"] == _PATIENT_FIRST)


Drive = Callable[[Sample], Awaitable[list[str]]]
Tell = Callable[[str], None]


@dataclass(slots=True)
class Check:
    """One run against one server; `run` is what its ids and its tag carry."""

    remote: Remote
    engine: Engine
    systems: Mapping[str, str]
    run: str
    tell: Tell = lambda text: None
    stage: int = 0

    def _begin(self) -> None:
        """Count a stage that begins: of `STAGES` when everything is checked."""
        self.stage += 1

    @property
    def tags(self) -> list[dict[str, str]]:
        """The tags on everything that this run writes: one of every run, one of its own."""
        return [{"system": TAG_SYSTEM, "code": code} for code in (EVERY_RUN, self.run)]

    async def everything(self, samples: Sequence[Sample], plans: Sequence[str], drive: Drive) -> list[Finding]:
        """Check the server by writing to it, and clean up.

        `samples` are records as of the server's today; `drive` asks our CDS service about one, reading from there,
        and returns what went wrong. Raises FhirServerError when the server cannot be reached at all.
        """
        findings = await self.reading(told_content=False)
        if not findings[0].ok:
            return findings
        findings.append(await self.leftovers())
        mine = [self._own(sample) for sample in samples]
        try:
            findings.append(await self._store(mine[:1], "write access"))
            if findings[-1].ok:
                findings.append(await self._publish())
                findings.append(await self._store(mine[1:], "synthetic patients"))
                findings.append(await self._apply(mine, plans))
                findings.append(await self._drive(mine, drive))
        except FhirServerError as error:
            findings.append(Finding("server", ok=False, text=str(error)))
        finally:
            self._begin()
            findings.append(await self._clean("clean-up", {"_tag": f"{TAG_SYSTEM}|{self.run}"}))
        return findings

    async def reading(self, *, told_content: bool = True) -> list[Finding]:
        """Look without writing: what the server says of itself and, if `told_content`, what it has of our content."""
        self._begin()
        self.tell("capability statement")
        answer = await self.remote.call("GET", "metadata")
        if not answer.ok or not isinstance(answer.body, Mapping):
            return [Finding("capability", ok=False, text=f"no CapabilityStatement: {answer.why}")]
        software = answer.body.get("software", {})
        name = " ".join(str(software[key]) for key in ("name", "version") if key in software) or "unnamed software"
        release = str(answer.body.get("fhirVersion"))
        findings = [Finding("capability", release.startswith(RELEASE), f"{name}, FHIR {release}")]
        if not findings[0].ok:
            return findings
        offered = sorted(operations(answer.body))
        has = any(operation.endswith(f"${OPERATION}") for operation in offered)
        text = "PlanDefinition/$apply is listed" if has else "PlanDefinition/$apply is not listed"
        findings.append(Finding("clinical reasoning", has, text, tuple(offered)))
        if told_content:
            steps = await publish(self.remote, self.engine.registry, dry_run=True, tell=self._step)
            there = sum(step.change is Change.UNCHANGED for step in steps)
            others = [f"{reference.of(s.resource)}: {s.detail}" for s in steps if s.change is Change.UPDATED]
            findings.append(
                Finding("content", not others, f"{there} of {len(steps)} resources are there", tuple(others))
            )
        return findings

    def _step(self, step: Step) -> None:
        self.tell(reference.of(step.resource))

    def _own(self, sample: Sample) -> Sample:
        """Return a sample under ids and with the tag of this run."""
        named = parity.renamed(sample.resources, f"check-{self.run}-")
        return Sample(sample.name, tuple(tagged(item, self.tags) for item in named))

    async def leftovers(self) -> Finding:
        """Delete what earlier runs that were cut short have left behind."""
        self._begin()
        before = (datetime.now(UTC) - LEFT_BEHIND).isoformat(timespec="seconds").replace("+00:00", "Z")
        return await self._clean("earlier runs", {"_tag": f"{TAG_SYSTEM}|{EVERY_RUN}", "_lastUpdated": f"lt{before}"})

    async def _publish(self) -> Finding:
        """Bring what is not there, tagged; what is there in another form is a finding, not overwritten."""
        self._begin()
        looked = await publish(self.remote, self.engine.registry, dry_run=True, tell=self._step)
        others = tuple(f"{reference.of(s.resource)}: {s.detail}" for s in looked if s.change is Change.UPDATED)
        refused = tuple(f"{reference.of(s.resource)}: {s.detail}" for s in looked if s.change is Change.REFUSED)
        new = [tagged(s.resource, self.tags) for s in looked if s.change is Change.CREATED]
        steps = await publish(self.remote, new, tell=self._step)
        refused += tuple(
            f"{reference.of(s.resource)}: {s.detail}" for s in steps if s.change in {Change.REFUSED, Change.HELD_BACK}
        )
        counts = f"{len(new) - len(refused)} published, {len(looked) - len(new) - len(others)} there already"
        if others:
            counts += f", {len(others)} there in another form (left as they are; fhir-cds publish would update them)"
        return Finding("content", not others and not refused, counts, (*others, *refused))

    async def _store(self, samples: Sequence[Sample], name: str) -> Finding:
        self._begin()
        for sample in samples:
            self.tell(sample.name)
            answer = await self.remote.call("POST", "", parity.puts(sample.resources))
            if not answer.ok:
                return Finding(name, ok=False, text=f"the server does not take {sample.name}: {answer.why}")
        return Finding(name, ok=True, text=f"{counted(len(samples), 'record')} stored" if samples else "none but that")

    async def _apply(self, samples: Sequence[Sample], plans: Sequence[str]) -> Finding:
        """Compare `$apply` of every plan for every sample."""
        self._begin()
        details: list[str] = []
        agreed = unknown = 0
        total = len(samples) * len(plans)
        for number, (sample, plan) in enumerate(product(samples, plans), start=1):
            self.tell(f"$apply {number} of {total}: {plan}, {sample.name}")
            found = await self._compare(sample, plan)
            unknown += found[1]
            agreed += not found[0]
            details += [f"{plan}, {sample.name}: {text}" for text in found[0]]
        text = f"{agreed} of {total} answers agree with ours"
        if unknown:
            text += f"; {counted(unknown, 'action')} for which facts are missing: unknown to us, left out there"
        return Finding("$apply", agreed == total, text, tuple(details))

    async def _compare(self, sample: Sample, plan: str) -> tuple[list[str], int]:
        url = self.engine.plan(plan)["url"]
        stored = await self.remote.find("PlanDefinition", url=url)
        if len(stored) != 1:
            return [f"the server has the plan {len(stored)} times"], 0
        query = {"subject": sample.subject}
        answer = await self.remote.call("GET", f"PlanDefinition/{stored[0]['id']}/$apply", query=query)
        if not answer.ok:
            return [answer.why], 0
        today = (answer.today or datetime.now(UTC).date()).isoformat()
        ours = parity.normal_form(assemble.careplan(apply_plan(self.engine, plan, self.record(sample), today)))
        try:
            return parity.differences(ours, parity.normal_form(answer.body)), len(ours.unknown)
        except FhirServerError as error:
            return [str(error)], 0

    def record(self, sample: Sample) -> PatientRecord:
        """Return a sample as our engine reads it."""
        return from_resources(sample.resources, systems=self.systems, where=sample.name)

    async def _drive(self, samples: Sequence[Sample], drive: Drive) -> Finding:
        self._begin()
        details: list[str] = []
        for sample in samples:
            self.tell(f"CDS service, {sample.name}")
            try:
                details += [f"{sample.name}: {text}" for text in await drive(sample)]
            except FhirCdsError as error:
                details.append(f"{sample.name}: {error}")
        text = f"our service reads {counted(len(samples), 'patient')} from this server and gives the cards of prefetch"
        failed = "our service, reading from this server, does not give the cards that it gives from prefetch"
        return Finding("CDS service", not details, failed if details else text, tuple(details))

    async def _clean(self, name: str, query: Mapping[str, str]) -> Finding:
        """Delete what a search finds, in several rounds: a server may refuse while something else refers to it."""
        deleted = 0
        kinds = self._kinds()
        refused: dict[str, str] = {}
        for _ in range(3):
            refused = {}
            for kind in kinds:
                self.tell(f"{name}: {kind}")
                try:
                    found = await self.remote.find(kind, **query)
                except FhirServerError as error:
                    refused[kind] = error.message
                    continue
                for item in found:
                    answer = await self._delete(item)
                    deleted += answer.ok
                    if not answer.ok:
                        refused[reference.of(item)] = answer.why
            if not refused:
                break
        details = tuple(f"{place}: {why}" for place, why in refused.items())
        text = f"{counted(deleted, 'resource')} deleted" if deleted else "nothing to delete"
        left = f", {len(refused)} refused: delete what carries the tag {query['_tag']}" if refused else ""
        return Finding(name, not refused, text + left, details)

    async def _delete(self, item: Mapping[str, Any]) -> Answer:
        """Delete a resource; content loses its tags first, so that what is published there later does not get them."""
        ours = any(item["resourceType"] == resource["resourceType"] for resource in self.engine.registry)
        if ours:
            await self.remote.retag("meta-delete", item, TAG_SYSTEM)
        answer = await self.remote.call("DELETE", reference.of(item))
        if ours and not answer.ok:
            await self.remote.retag("meta-add", item, TAG_SYSTEM)
        return answer

    def _kinds(self) -> list[str]:
        """Return the types that may carry our tag, those that refer to others first."""
        held = {item["resourceType"] for item in self.engine.registry}
        first = [kind for kind in _CLINICAL if kind not in held]
        return [*first, _PATIENT_FIRST, "PlanDefinition", *sorted(held - {"PlanDefinition"})]


_CLINICAL: Final = (
    "Appointment",
    "BodyStructure",
    "CarePlan",
    "ClinicalImpression",
    "Condition",
    "DiagnosticReport",
    "DocumentReference",
    "Encounter",
    "ImagingStudy",
    "MedicationAdministration",
    "MedicationRequest",
    "MedicationStatement",
    "Observation",
    "Procedure",
    "ServiceRequest",
    "Specimen",
    "Medication",
    "Organization",
    "Practitioner",
)


def samples_for(documents: Mapping[str, Any], written_for: date, today: date) -> list[Sample]:
    """Return synthetic patients moved in time: written for one day, they read on another as they did then."""
    days = (today - written_for).days
    return [
        Sample(name, tuple(parity.shifted(dict(item), days) for item in bundle.read(document, where=name).resources))
        for name, document in documents.items()
    ]


def counted(count: int, noun: str) -> str:
    """Return a count with its noun."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def roots(engine: Engine) -> list[str]:
    """Return the ids of the plans that no other plan names: applying them applies all."""
    plans = engine.registry.by_type("PlanDefinition")
    inner = {url.partition("|")[0] for plan in plans for url in _definitions(plan.get("action", ()))}
    return [str(plan["id"]) for plan in plans if plan["url"] not in inner]


def _definitions(actions: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    for action in actions:
        if "definitionCanonical" in action:
            yield action["definitionCanonical"]
        yield from _definitions(action.get("action", ()))
