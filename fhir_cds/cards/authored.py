"""What the content says, ready for a card: what does not depend on the patient is worked out when content is loaded.

A plan or an action that is not in the content, or that dynamic values changed for a patient, is worked out on the spot.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal

from msgspec import ValidationError

from fhir_cds.cards import markdown, words
from fhir_cds.cards.evidence import Citation, Evidence, Relation, evidence
from fhir_cds.cards.outgoing import Coding, Indicator, Link, Source
from fhir_cds.errors import ContentError
from fhir_cds.reasoning import plans
from fhir_cds.reasoning.engine import Engine
from fhir_cds.reasoning.outcome import Json

SelectionBehavior = Literal["at-most-one", "any"]
SELECTION: Final[Mapping[str, SelectionBehavior]] = MappingProxyType(
    {
        "any": "any",
        "one-or-more": "any",
        "all": "any",
        "all-or-none": "any",
        "exactly-one": "at-most-one",
        "at-most-one": "at-most-one",
    }
)
"""PlanDefinition selection behaviour → card; `all` and `all-or-none` also make one suggestion of all their actions."""

INDICATORS: Final[Mapping[str, Indicator]] = MappingProxyType(
    {"routine": "info", "urgent": "warning", "asap": "warning", "stat": "critical"}
)
"""Request priority → card indicator; `asap`, which the CDS Hooks mapping leaves open, is a warning."""

URGENCY: Final[Mapping[str, int]] = MappingProxyType({"critical": 0, "warning": 1, "info": 2})
UNGRADED: Final = "\uffff"
_TOPICS: Final = "/decision-topic"
_DIFFERENT: Final = ("differs", "contradicts")


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What one recommendation says.

    `id` is `source:number`; `title` and `text` are the content's words. `rank` orders recommendations: urgency, then
    strength, then level. The rest is GFM: the title as a heading, the same of what is not decided yet, the statement
    (the text where it says more than the title, then grade, vote and citation), and all of it on one line. `differs`
    are its relations to recommendations that say something else, `opposite` the ids of those that it can differ from;
    `cited` is the first publication that it cites.
    """

    plan: Json
    url: str | None
    evidence: Evidence
    id: str
    title: str
    text: str
    indicator: Indicator
    rank: tuple[int, str, str]
    heading: str
    undecided: str
    statement: str
    line: str
    figures: tuple[str, ...]
    differs: tuple[Relation, ...]
    opposite: frozenset[str]
    links: tuple[Link, ...]
    cited: Citation | None

    @property
    def in_full(self) -> str:
        """The text, else the title, with grade and vote."""
        return f"{markdown.escape(self.text or self.title)} — {self.evidence.graded}"

    @property
    def by_title(self) -> str:
        """The title with grade and vote."""
        return f"{markdown.escape(self.title)} — {self.evidence.graded}"


@dataclass(frozen=True, slots=True)
class Strategy:
    """What the plan of a decision says: `key` is its canonical, `question` the decision topic, `topic` the card's.

    `rule` says that it is one recommendation rather than a strategy; `heading` is its title, escaped.
    """

    plan: Json
    key: str
    url: str | None
    rule: bool
    title: str
    heading: str
    publisher: str | None
    question: str | None
    topic: Coding
    selection: SelectionBehavior


@dataclass(frozen=True, slots=True)
class Authored:
    """What is known of the content: recommendations by identity of their actions, strategies by that of their plans.

    `names` are the names of defines as they stand on a card, `sources` what cards speak for, by the identity of a
    strategy's plan and the publication.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    recommendations: Mapping[int, Recommendation] = field(default_factory=dict)
    strategies: Mapping[int, Strategy] = field(default_factory=dict)
    sources: Mapping[tuple[int, Citation | None], Source] = field(default_factory=dict)

    @classmethod
    def of(cls, engine: Engine) -> Authored:
        """Return what the content of an engine says; raises ContentError naming the plan that no card can be made of.

        The actions are those as authored, and as produced for a patient for whom nothing in them is changed.
        """
        said: dict[int, Recommendation] = {}
        asked: dict[int, Strategy] = {}
        cited: dict[Citation | None, None] = {None: None}
        for plan in engine.registry.by_type("PlanDefinition"):
            try:
                asked[id(plan)] = found = strategy(plan)
                for laid in engine.layout(plan).actions if found.rule else ():
                    for action in (laid.action, laid.values):
                        said[id(action)] = one = recommendation(plan, action)
                        source(found, one.cited)
                        cited[one.cited] = None
            except ValidationError as error:
                raise ContentError(f"no card can be made of this plan: {error}", where=plans.canonical(plan)) from None
        names = {node.define.name: markdown.escape(node.define.name) for node in engine.graph.listed}
        sources = {(key, citation): source(found, citation) for key, found in asked.items() for citation in cited}
        return cls(MappingProxyType(names), MappingProxyType(said), MappingProxyType(asked), MappingProxyType(sources))

    def recommendation(self, plan: Json, action: Json) -> Recommendation:
        """Return what the action of a recommendation says."""
        return self.recommendations.get(id(action)) or recommendation(plan, action)

    def strategy(self, plan: Json) -> Strategy:
        """Return what the plan of a decision says."""
        return self.strategies.get(id(plan)) or strategy(plan)

    def source(self, of: Strategy, cited: Citation | None) -> Source:
        """Return what a card on a strategy speaks for: the publication, else who made the plan."""
        return self.sources.get((id(of.plan), cited)) or source(of, cited)


def recommendation(plan: Json, action: Json) -> Recommendation:
    """Return what the action of a recommendation's plan says; raises ValidationError for a citation that is no link."""
    found = evidence(plan, action)
    title = str(action.get("title") or plan.get("title") or plan.get("id"))
    text = str(action.get("description") or action.get("textEquivalent") or plan.get("description") or "")
    indicator = INDICATORS.get(str(action.get("priority", "routine")), "info")
    more = text and text != title
    differs = tuple(relation for relation in found.relations if relation.code in _DIFFERENT)
    return Recommendation(
        plan=plan,
        url=plan.get("url"),
        evidence=found,
        id=f"{found.source}:{found.number}",
        title=title,
        text=text,
        indicator=indicator,
        rank=(URGENCY[indicator], found.strength or UNGRADED, found.level or UNGRADED),
        heading=f"**{markdown.escape(title)}**",
        undecided=f"**{markdown.escape(words.UNDECIDED.format(text=title))}**",
        statement=f"{markdown.escape(text)}\n\n{found.line}" if more else found.line,
        line=f"{markdown.escape(text or title)} — {found.line}",
        figures=tuple(map(markdown.escape, found.figures)),
        differs=differs,
        opposite=frozenset(end for relation in differs for end in _opposite(found.source, relation)),
        links=tuple(Link.of(label=one.text, url=one.url, type="absolute") for one in found.citations if one.url),
        cited=found.citations[0] if found.citations else None,
    )


def _opposite(source: str, relation: Relation) -> Iterator[str]:
    """Yield the other ends of a relation, those of the same source only where there are no others."""
    others = [end for end in relation.others if end.partition(":")[0] != source]
    yield from others or relation.others


def strategy(plan: Json) -> Strategy:
    """Return what the plan of a decision says; raises ValidationError for a topic that no card can carry."""
    title = str(plan.get("title") or plan.get("id"))
    behaviour = next((action.get("selectionBehavior") for action in plan.get("action", ())), None)
    return Strategy(
        plan=plan,
        key=f"{plan.get('url', plan.get('id'))}|{plan.get('version', '')}",
        url=plan.get("url"),
        rule=plans.is_recommendation(plan),
        title=title,
        heading=markdown.escape(title),
        publisher=plan.get("publisher"),
        question=_question(plan),
        topic=_topic(plan, title),
        selection=SELECTION.get(str(behaviour), "any"),
    )


def source(of: Strategy, cited: Citation | None) -> Source:
    """Return what a card on a strategy speaks for; raises ValidationError for a publication that no card can name."""
    if cited is None:
        return Source.of(label=of.publisher or of.title, topic=of.topic)
    return Source.of(label=cited.text, url=cited.url, topic=of.topic)


def _question(plan: Json) -> str | None:
    """Return the decision topic of a plan, None without one."""
    for concept in plan.get("topic", ()):
        for coding in concept.get("coding", ()):
            if str(coding.get("system", "")).endswith(_TOPICS):
                return str(coding.get("code"))
    return None


def _topic(plan: Json, title: str) -> Coding:
    """Return the plan's first topic, else the plan itself as a code."""
    for concept in plan.get("topic", ()):
        for coding in concept.get("coding", ()):
            if coding.get("system") and coding.get("code"):
                return Coding.of(system=coding["system"], code=coding["code"], display=coding.get("display") or title)
    system, _, code = str(plan.get("url", "")).rpartition("/")
    return Coding.of(system=system or "urn:ietf:rfc:3986", code=str(plan.get("id") or code), display=title)
