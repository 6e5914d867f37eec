"""Rules that hold the content against the catalogue of recommendations, and recommendations against their cases."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from fhir_cds.authoring.lint.resources import faults
from fhir_cds.authoring.lint.view import Content, Json, Remark, actions
from fhir_cds.reasoning.outcome import Verdict

LEVEL: Final = "cqf-qualityOfEvidence"
STRENGTH: Final = "cqf-strengthOfRecommendation"
DIRECTION: Final = "recommendation-direction"
DISPLAY: Final = "recommendation-display"
VOTE: Final = "consensus-vote"
POINT: Final = re.compile(r"[AC]\d{2}")
"""The id of an ambiguity or a conflict of the catalogue."""

NOTES: Final = ("Our note, not part of the source: ", "Figures of the same source: ")
"""How text that is added to the words of a source begins."""

_NEEDED: Final = (Verdict.APPLICABLE, Verdict.NOT_APPLICABLE, Verdict.UNKNOWN)


def extension(plan: Json, name: str) -> Json | None:
    """Return the extension whose url ends with `name`, on the plan or on its first action."""
    holders = (plan, *plan.get("action", ())[:1])
    found = (e for holder in holders for e in holder.get("extension", ()) if e["url"].rpartition("/")[2] == name)
    return next(found, None)


def value(holder: Json | None) -> Any:
    """Return the value of an extension as plain text, number or code; None without one."""
    for key, item in (holder or {}).items():
        if key.startswith("value"):
            if not isinstance(item, Mapping):
                return item
            codings = item.get("coding") or [item]
            return codings[0].get("code") or item.get("text")
    return None


def graded(plan: Json) -> dict[str, Any]:
    """Return what a plan says of its evidence: level, strength, direction, display and the parts of the vote."""
    vote = extension(plan, VOTE) or {}
    return {
        "level_of_evidence": value(extension(plan, LEVEL)),
        "strength": value(extension(plan, STRENGTH)),
        "direction": value(extension(plan, DIRECTION)),
        "display": value(extension(plan, DISPLAY)),
        **{part["url"]: value(part) for part in vote.get("extension", ())},
    }


def expected(entry: Json) -> dict[str, Any]:
    """Return what the catalogue says of the same things."""
    consensus = entry.get("consensus") or {}
    voted = consensus.get("voters") is not None
    return {
        "level_of_evidence": entry["grading"].get("level_of_evidence"),
        "strength": entry["grading"].get("strength"),
        "direction": (entry.get("action") or {}).get("direction"),
        "display": entry.get("display"),
        **({name: consensus.get(name) for name in ("voters", "yes", "no", "category")} if voted else {}),
    }


def grades(content: Content) -> Iterator[Remark]:
    """C022: grade, direction, display and vote are those of the catalogue; its numbers exist."""
    if content.catalogue is None:
        return
    for file, source, number in content.recommendations():
        entry = content.catalogue.recommendations.get(f"{source}:{number}")
        if entry is None:
            yield Remark(file.name, f"{source}:{number} is not in the catalogue")
            continue
        held = graded(file.document)
        for name, wanted in expected(entry).items():
            if str(held.get(name)) != str(wanted):
                yield Remark(file.name, f"{name} is {held.get(name)}, the catalogue has {wanted}")
        percents = _percents(entry)
        if percents and held.get("percent") not in percents:
            yield Remark(file.name, f"percent is {held.get('percent')}, the catalogue has {percents[0]}")


def _percents(entry: Json) -> list[Any]:
    """Return the share of yes votes as printed and as computed from the counts."""
    consensus = entry.get("consensus") or {}
    names = ("percent_yes_printed", "percent_yes_exact")
    return [consensus[name] for name in names if consensus.get(name) is not None]


def suppressed(content: Content) -> Iterator[Remark]:
    """C029: what was not recommended gives no order: no definition under a plan that is not a recommendation."""
    for file, _, _ in content.recommendations():
        shown = graded(file.document)["display"]
        if shown in {"no-consensus", "suppressed"}:
            for path, action in actions(file.document):
                if "definitionCanonical" in action:
                    yield Remark(f"{file.name} {path}", f"display is {shown}, yet it defines an activity")


def wording(content: Content) -> Iterator[Remark]:
    """C030: graded text is the catalogue's statement, what is added to it is marked; one plan has one grade."""
    for file, source, number in content.recommendations():
        plan = file.document
        spoken = [(path, action) for path, action in actions(plan) if _own(action, DIRECTION)]
        for path, action in spoken:
            if any(_own(action, name) != extension(plan, name) for name in (LEVEL, STRENGTH, DIRECTION, DISPLAY, VOTE)):
                yield Remark(f"{file.name} {path}", "its grade, vote, direction or display is not that of the plan")
        entry = content.catalogue.recommendations.get(f"{source}:{number}") if content.catalogue else None
        statement = (entry or {}).get("statement")
        if statement is None:
            continue
        if plan.get("description", statement) != statement:
            yield Remark(file.name, "its description is not the catalogue's statement")
        for path, action in spoken:
            added = str(action.get("description", "")).removeprefix(statement)
            if added and not added.startswith(tuple(f" {note}" for note in NOTES)):
                yield Remark(f"{file.name} {path}", "its text is not the statement with a marked note behind it")


def points(content: Content) -> Iterator[Remark]:
    """C031: every ambiguity and conflict of the catalogue is carried by a plan, and none is unknown to it."""
    if content.catalogue is None:
        return
    carried = {
        str(value(part)): file.name
        for file in content.of("PlanDefinition")
        for holder in file.document.get("extension", ())
        if holder["url"].rpartition("/")[2] in {"recommendation-ambiguity", "recommendation-relation"}
        for part in holder.get("extension", ())
        if part["url"] == "id"
    }
    for point in sorted(content.catalogue.points - carried.keys()):
        yield Remark("plandefinitions", f"{point} is carried by no plan")
    for point in sorted(carried.keys() - content.catalogue.points):
        if POINT.fullmatch(point):
            yield Remark(carried[point], f"{point} is not in the catalogue")


def _own(action: Json, name: str) -> Json | None:
    """Return the extension of an action whose url ends with `name`."""
    return next((e for e in action.get("extension", ()) if e["url"].rpartition("/")[2] == name), None)


def coverage(content: Content) -> Iterator[Remark]:
    """C014: each recommendation has a case that applies, one that does not, and one that cannot say."""
    seen: dict[str, set[Verdict]] = {}
    for case in content.cases:
        for plan, verdicts in case.expect.outcomes.items():
            seen.setdefault(plan, set()).add(verdicts.outcome)
    for file, _, _ in content.recommendations():
        absent = [v.value for v in _NEEDED if v not in seen.get(str(file.document.get("id")), set())]
        if absent and any(action.get("condition") for _, action in actions(file.document)):
            yield Remark(file.name, f"no case is {', '.join(absent)}")


def case_names(content: Content) -> Iterator[Remark]:
    """C015: a case's file begins with the number of its recommendation, and stands in the folder of a plan."""
    numbers = {str(file.document.get("id")): (source, number) for file, source, number in content.recommendations()}
    plans = {str(file.document.get("id")) for file in content.of("PlanDefinition")}
    for case in content.cases:
        where = f"{case.path.parent.name}/{case.path.name}"
        if case.plan is not None and case.plan not in plans:
            yield Remark(where, f"there is no plan {case.plan}")
        elif case.plan in numbers and not case.id.startswith(f"{numbers[case.plan][1]}-"):
            yield Remark(where, f"should begin with {numbers[case.plan][1]}-")


def case_files(content: Content) -> Iterator[Remark]:
    """C026: every case can be read, and the facts in it are valid R4."""
    for path, error in content.broken:
        yield Remark(f"{path.parent.name}/{path.name}", str(error))
    seen: set[str] = set()
    for case in content.cases:
        for resource in (*case.resources, *case.drafts):
            if repr(resource) in seen:
                continue
            seen.add(repr(resource))
            for place, text in faults(resource):
                where = f"{case.path.parent.name}/{case.path.name} {resource['resourceType']}/{resource['id']}"
                yield Remark(where, f"{place}: {text}")
