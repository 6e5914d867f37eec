"""Where guidelines meet: decisions on one question become one card, and where what applies differs, it says so.

Strategies of several guidelines that carry the same decision topic answer the same question: the one that the service
names first leads, the others join it. Recommendations declare in the extension `recommendation-relation` how they
relate; a difference is shown when recommendations of at least two sources in it apply (of one source, where the
relation is within that source), unless one applies that settles it for this patient.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from fhir_cds.cards.decisions import Decision, Difference, Item, Part
from fhir_cds.cards.evidence import SUPPRESSED, Relation

_CONTEXT: Final = "context"


def join(found: Iterable[Part]) -> list[Decision]:
    """Return the decisions: the first part of a question leads, joined by the later ones of it, in the given order."""
    asked: dict[str, list[Part]] = {}
    for number, part in enumerate(found):
        question = part.strategy.question
        asked.setdefault(f"#{number}" if question is None or question == _CONTEXT else question, []).append(part)
    return [Decision.of(*parts) for parts in asked.values()]


def shown(joined: Sequence[Decision]) -> list[Decision]:
    """Return the decisions with something to say, the most pressing first.

    What stands beside every decision (the topic `context`: whom a guideline is for, what a series found) and has no
    card of its own is on the first one.
    """
    found = sorted((decision for decision in joined if decision.shown), key=lambda decision: decision.rank)
    beside = [one.parts[0] for one in joined if not one.shown and one.strategy.question == _CONTEXT]
    background = [part for part in beside if part.background]
    if found and background:
        found[0] = Decision.of(*found[0].parts, *background)
    return found


def with_differences(chosen: Sequence[Decision]) -> tuple[Decision, ...]:
    """Return the decisions of one call, each with the differences it shows: a difference stands on one card only.

    That is the card with most of the recommendations concerned, the first one among equals. A recommendation of several
    actions is named by the first of them that applies.
    """
    places: dict[str, tuple[int, Item]] = {}
    for number, decision in enumerate(chosen):
        for part in decision.parts:
            for item in part.items:
                if item.applies and item.said.evidence.display != SUPPRESSED:
                    places.setdefault(item.said.id, (number, item))
    if all(places.keys().isdisjoint(item.said.opposite) for _, item in places.values()):
        return tuple(chosen)
    placed: dict[int, list[Difference]] = {}
    for difference, ends in _differences(places):
        counts = [0] * len(chosen)
        for end in ends:
            counts[places[end][0]] += 1
        placed.setdefault(counts.index(max(counts)), []).append(difference)
    return tuple(
        replace(decision, differences=tuple(placed[number])) if number in placed else decision
        for number, decision in enumerate(chosen)
    )


def _differences(places: Mapping[str, tuple[int, Item]]) -> Iterator[tuple[Difference, tuple[str, ...]]]:
    """Yield each difference between recommendations that apply, with their keys, by the id of its entry."""
    declared: dict[tuple[str, str], list[tuple[str, Relation]]] = {}
    for key in sorted(places):
        for relation in places[key][1].said.differs:
            if places.keys().isdisjoint(relation.unless):
                declared.setdefault((relation.id, relation.code), []).append((key, relation))
    for _, found in sorted(declared.items()):
        pairs = [(key, other) for key, relation in found for other in relation.others if other in places]
        if pairs and len({_source(end) for key, relation in found for end in (key, *relation.others)}) > 1:
            pairs = [(key, other) for key, other in pairs if _source(key) != _source(other)]
        applying = tuple(dict.fromkeys(end for pair in pairs for end in pair))
        if applying:
            first = found[0][1]
            yield Difference(first.text, first.resolution, tuple(places[end][1] for end in applying)), applying


def _source(end: str) -> str:
    return end.partition(":")[0]
