"""How strongly a recommendation speaks: grade, vote, direction, display and citation, read from its PlanDefinition.

Extensions are found by the last segment of their canonical, so that content under another base works the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from fhir_cds.cards import markdown, words
from fhir_cds.reasoning import plans
from fhir_cds.reasoning.outcome import Json

RECOMMENDATION: Final = "recommendation"
BACKGROUND: Final = "background"
NO_CONSENSUS: Final = "no-consensus"
SUPPRESSED: Final = "suppressed"
_FIGURES: Final = "evidence-figures"
_RELATION: Final = "/recommendation-relation"


@dataclass(frozen=True, slots=True)
class Vote:
    """A panel's vote on one recommendation."""

    voters: int
    yes: int
    percent: Decimal

    def __str__(self) -> str:
        """Return the vote as `92 %, 33 of 36`."""
        whole = self.percent.quantize(Decimal(1), ROUND_HALF_UP)
        return words.VOTE.format(percent=whole, yes=self.yes, voters=self.voters)


@dataclass(frozen=True, slots=True)
class Citation:
    """A published text: how it is cited and where it can be read."""

    text: str
    url: str | None = None

    def markdown(self) -> str:
        """Return the citation as GFM, a link where there is an address."""
        return markdown.link(self.text, self.url) if self.url else markdown.escape(self.text)


@dataclass(frozen=True, slots=True)
class Relation:
    """A relation to other recommendations: its entry's id, how they relate, the others as `source:number`, texts.

    `unless` are recommendations (`source:number`) of which any that applies means that nothing differs for the patient.
    """

    id: str
    code: str
    others: tuple[str, ...]
    text: str
    resolution: str | None
    unless: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that says how a recommendation is to be taken; `label` is the plan's subtitle (source and number).

    `figures` are the studies that it rests on, each in a sentence. As GFM: `graded` is grade and vote, `line` grade,
    vote, number and citation on one line.
    """

    source: str
    number: str
    display: str
    level: str | None
    strength: str | None
    vote: Vote | None
    citations: tuple[Citation, ...]
    label: str | None = None
    relations: tuple[Relation, ...] = ()
    figures: tuple[str, ...] = ()
    graded: str = field(init=False, compare=False)
    line: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        graded = " · ".join([self.grade(), *([str(self.vote)] if self.vote else [])])
        object.__setattr__(self, "graded", markdown.escape(graded))
        object.__setattr__(self, "line", self._line())

    @property
    def name(self) -> str:
        """The label, else source and number."""
        return self.label or f"{self.source} {self.number}".strip()

    def grade(self) -> str:
        """Return `level V, strength B`, or that the source does not grade it."""
        parts = [words.LEVEL.format(self.level)] if self.level else []
        parts += [words.STRENGTH.format(self.strength)] if self.strength else []
        return ", ".join(parts) or words.NOT_GRADED

    def _line(self) -> str:
        parts = [markdown.escape(self.grade())]
        parts += [markdown.escape(str(self.vote))] if self.vote else []
        cited = self.citations[0] if self.citations else None
        if self.label and cited:
            parts.append(Citation(self.label, cited.url).markdown())
        else:
            parts += [words.RECOMMENDATION.format(markdown.escape(self.number))] if self.number else []
            parts += [cited.markdown()] if cited else []
        return " · ".join(parts)


def evidence(plan: Json, action: Json) -> Evidence:
    """Return the evidence of a recommendation: what the action says goes before what its plan says."""
    said = {_name(extension): extension for element in (plan, action) for extension in _backwards(element)}
    source, number = plans.recommendation_id(plan) or (str(plan.get("id", "")), "")
    display = _value(said.get("recommendation-display"))
    return Evidence(
        source=source,
        number=number,
        display=display or RECOMMENDATION,
        level=_value(said.get("cqf-qualityOfEvidence")),
        strength=_value(said.get("cqf-strengthOfRecommendation")),
        vote=_vote(said.get("consensus-vote")),
        citations=tuple(_citations([*action.get("documentation", ()), *plan.get("relatedArtifact", ())])),
        label=plan.get("subtitle"),
        relations=tuple(_relations(plan)),
        figures=tuple(_figures(plan.get("relatedArtifact", ()))),
    )


def _relations(plan: Json) -> Iterator[Relation]:
    """Yield what a recommendation's plan declares of its relations."""
    for extension in plan.get("extension", ()):
        if not str(extension.get("url", "")).endswith(_RELATION):
            continue
        parts: dict[str, list[str]] = {}
        for part in extension.get("extension", ()):
            value = next((content for name, content in part.items() if name.startswith("value")), "")
            parts.setdefault(str(part.get("url")), []).append(str(value))
        first = {name: values[0] for name, values in parts.items()}
        yield Relation(
            id=first.get("id", ""),
            code=first.get("relation", ""),
            others=tuple(parts.get("with", ())),
            text=first.get("text", ""),
            resolution=first.get("resolution"),
            unless=tuple(parts.get("unless", ())),
        )


def _backwards(element: Json) -> Iterable[Json]:
    """Return the extensions of an element, last first: in a table by name the first one stays."""
    return reversed(element.get("extension", ()))


def _name(extension: Json) -> str:
    """Return the last segment of an extension's canonical."""
    return str(extension.get("url", "")).rpartition("/")[2]


def _value(extension: Json | None) -> str | None:
    """Return the value of an extension as the text that identifies it: code before display before text."""
    if extension is None:
        return None
    value = next((content for key, content in extension.items() if key.startswith("value")), None)
    if isinstance(value, dict):
        coding = next(iter(value.get("coding", ())), value)
        value = coding.get("code") or coding.get("display") or value.get("text")
    return None if value is None else str(value)


def _vote(extension: Json | None) -> Vote | None:
    """Return the vote of the nested extension, None when there is none."""
    if extension is None:
        return None
    parts: dict[str, Any] = {str(part.get("url")): _value(part) for part in extension.get("extension", ())}
    if parts.get("voters") is None or parts.get("yes") is None:
        return None
    voters, yes = int(parts["voters"]), int(parts["yes"])
    percent = Decimal(parts["percent"]) if parts.get("percent") else Decimal(100 * yes) / max(voters, 1)
    return Vote(voters, yes, percent)


def _figures(artifacts: Iterable[Json]) -> Iterable[str]:
    """Yield what the related artifacts say of the studies whose figures they hold."""
    for artifact in artifacts:
        if any(_name(extension) == _FIGURES for extension in artifact.get("extension", ())):
            yield str(artifact.get("display") or artifact.get("label"))


def _citations(artifacts: Iterable[Json]) -> Iterable[Citation]:
    """Yield what the related artifacts cite, each text once."""
    seen: set[str] = set()
    for artifact in artifacts:
        if artifact.get("type") not in {"citation", "documentation"}:
            continue
        text = artifact.get("citation") or artifact.get("display") or artifact.get("label")
        if text and text not in seen:
            seen.add(text)
            yield Citation(str(text), artifact.get("url"))
