"""Case files: what a patient's record holds and what the recommendations must then say (docs/guide/cases.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fhir_cds.authoring import shorthand, strict_yaml
from fhir_cds.authoring.shorthand import Words
from fhir_cds.errors import FhirCdsError, InputError, NotFoundError
from fhir_cds.fhir import bundle, codec, reference
from fhir_cds.reasoning.outcome import Verdict

CASES: Final = Path("tests/recommendations")
WORDS: Final = "shorthand.yaml"
STORIES: Final = "stories"
"""The folder of cases about a whole patient; every other folder is named after its plan."""

Bases = dict[Path, tuple[dict[str, Any], ...]]
"""Patients that cases start from, by file; they are shared and never changed."""

OPEN_END: Final = "..."
_NEEDED: Final = frozenset({"id", "title", "guideline", "now", "expect"})
_KEYS: Final = _NEEDED | {"facts", "patient", "remove", "drafts", "parameters", "note"}
_EXPECT: Final = frozenset({"outcome", "missing", "defines", "schedule", "outcomes", "schedules"})
_VISIT: Final = frozenset({"number", "phase", "earliest", "latest", "status", "activities", "done", "booked"})
_DATE_LENGTH: Final = len("2026-01-31")


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What a plan must say: its outcome and, where given, exactly these missing facts."""

    outcome: Verdict
    missing: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Visits:
    """The visits that a plan's schedule must have; `open_end` says that more may follow."""

    visits: tuple[Mapping[str, Any], ...]
    open_end: bool


@dataclass(frozen=True, slots=True)
class Expectation:
    """All that a case expects; outcomes and schedules by plan."""

    outcomes: Mapping[str, Verdicts]
    defines: Mapping[str, Any]
    schedules: Mapping[str, Visits]


@dataclass(frozen=True, slots=True)
class Case:
    """One case; `plan` is the id of the plan that its folder is named after (None in a story).

    `parameters` are CQL parameters by name: what a site may set.
    """

    path: Path
    id: str
    title: str
    guideline: str
    now: str
    plan: str | None
    resources: tuple[dict[str, Any], ...]
    drafts: tuple[dict[str, Any], ...]
    parameters: Mapping[str, Any]
    expect: Expectation


def find(root: Path, selection: Sequence[str] = ()) -> list[Path]:
    """Return the case files under a content root, sorted; `selection` holds plan ids, folders, files or case ids.

    Raises NotFoundError for a selection that matches nothing.
    """
    folder = root / CASES
    every = sorted(path for path in folder.glob("*/*.yaml") if not path.parent.name.startswith("_"))
    if not selection:
        return every
    chosen: dict[Path, None] = {}
    for wanted in selection:
        place = Path(wanted).resolve()
        found = [p for p in every if wanted in {p.parent.name, p.stem} or place in {p.resolve(), p.parent.resolve()}]
        if not found:
            raise NotFoundError("no such plan, folder, case file or case", where=wanted)
        chosen.update(dict.fromkeys(found))
    return list(chosen)


def words(root: Path) -> Words:
    """Return the shorthand vocabulary of a content root."""
    return Words.of(strict_yaml.load(root / CASES / WORDS))


def load(path: Path, vocabulary: Words, bases: Bases | None = None) -> Case:
    """Return the case in a file; raises InputError naming file and key.

    `bases` keeps the patients that cases start from, so that many cases read each once.
    """
    document = strict_yaml.load(path)
    where = f"{path.parent.name}/{path.name}"
    if not isinstance(document, Mapping):
        raise InputError("keys and values are expected", where=where)
    _refuse(set(document) - _KEYS, "unknown key", where)
    _refuse(_NEEDED - set(document), "missing key", where)
    if document["id"] != path.stem:
        raise InputError(f"id is not the file's name, {path.stem}", where=where)
    now = document["now"]
    if not shorthand.is_date(now) or len(now) < _DATE_LENGTH:
        raise InputError("now is a day, 2026-01-31, or an instant with its zone", where=where)
    plan = None if path.parent.name == STORIES else path.parent.name
    resources = patient(document, path, vocabulary, {} if bases is None else bases)
    subject = next(resource["id"] for resource in resources if resource["resourceType"] == "Patient")
    return Case(
        path=path,
        id=document["id"],
        title=str(document["title"]),
        guideline=str(document["guideline"]),
        now=now if "T" in now else f"{now}T00:00:00+00:00",
        plan=plan,
        resources=tuple(resources),
        drafts=tuple(shorthand.resources(document.get("drafts") or [], vocabulary, f"{where} drafts", subject)),
        parameters=document.get("parameters") or {},
        expect=_expectation(document["expect"], plan, where),
    )


def load_all(root: Path, selection: Sequence[str] = ()) -> Iterator[Case | tuple[Path, FhirCdsError]]:
    """Yield each case of a content root, or its path with what is wrong with it."""
    vocabulary = words(root)
    bases: Bases = {}
    for path in find(root, selection):
        try:
            yield load(path, vocabulary, bases)
        except FhirCdsError as error:
            yield path, error


def patient(document: Mapping[str, Any], path: Path, vocabulary: Words, bases: Bases) -> list[dict[str, Any]]:
    """Return the resources of a case: those of its base patient without `remove`, with `facts` added or in place."""
    where = f"{path.parent.name}/{path.name}"
    base = _kept(path.parent / document["patient"], vocabulary, bases) if document.get("patient") else ()
    subject = next((resource["id"] for resource in base if resource["resourceType"] == "Patient"), None)
    held = {reference.of(resource): resource for resource in base}
    added = shorthand.resources(document.get("facts") or [], vocabulary, where, subject, held)
    for removed in document.get("remove") or []:
        if held.pop(removed, None) is None:
            raise InputError(f"remove: {removed} is not in the patient", where=where)
    for resource in added:
        held[reference.of(resource)] = resource
    return list(held.values())


def _kept(path: Path, vocabulary: Words, bases: Bases) -> tuple[dict[str, Any], ...]:
    place = path.resolve()
    if place not in bases:
        bases[place] = tuple(_base(path, vocabulary))
    return bases[place]


def _base(path: Path, vocabulary: Words) -> list[dict[str, Any]]:
    if path.suffix == ".yaml":
        document = strict_yaml.load(path)
        if not isinstance(document, Mapping) or set(document) - {"title", "facts"}:
            raise InputError("a patient in shorthand has title and facts", where=path.name)
        return shorthand.resources(document.get("facts") or [], vocabulary, path.name)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=path.name) from None
    return [dict(resource) for resource in bundle.read(codec.decode(content, where=path.name)).resources]


def _expectation(value: Any, plan: str | None, where: str) -> Expectation:
    if not isinstance(value, Mapping) or not value:
        raise InputError("expect says nothing", where=where)
    _refuse(set(value) - _EXPECT, "unknown key in expect", where)
    outcomes = {str(name): _verdicts(entry, where) for name, entry in (value.get("outcomes") or {}).items()}
    if "outcome" in value:
        if plan is None:
            raise InputError("a story names its plans: expect.outcomes", where=where)
        outcomes[plan] = _verdicts({key: value[key] for key in ("outcome", "missing") if key in value}, where)
    schedules = {str(name): _visits(entry, where) for name, entry in (value.get("schedules") or {}).items()}
    if "schedule" in value:
        if plan is None:
            raise InputError("a story names its plans: expect.schedules", where=where)
        schedules[plan] = _visits(value["schedule"], where)
    return Expectation(outcomes, value.get("defines") or {}, schedules)


def _visits(value: Any, where: str) -> Visits:
    if not isinstance(value, list):
        raise InputError("a schedule is a list of visits", where=where)
    visits = [visit for visit in value if visit != OPEN_END]
    for visit in visits:
        if not isinstance(visit, Mapping):
            raise InputError("a visit is {earliest: …, latest: …, status: …}", where=where)
        _refuse(set(visit) - _VISIT, "unknown key in a visit", where)
    return Visits(tuple(visits), open_end=OPEN_END in value[-1:])


def _verdicts(value: Any, where: str) -> Verdicts:
    entry: Mapping[str, Any] = value if isinstance(value, Mapping) else {"outcome": value}
    _refuse(set(entry) - {"outcome", "missing"}, "unknown key in an outcome", where)
    try:
        outcome = Verdict(str(entry.get("outcome")))
    except ValueError:
        raise InputError(f"an outcome is one of {', '.join(Verdict)}", where=where) from None
    missing = entry.get("missing")
    return Verdicts(outcome, None if missing is None else tuple(missing))


def _refuse(keys: set[str] | frozenset[str], message: str, where: str) -> None:
    if keys:
        raise InputError(f"{message}: {', '.join(sorted(keys))}", where=where)
