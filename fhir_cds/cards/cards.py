"""Cards from applied plans: few, ordered, each valid by construction.

One card per decision with the recommendations that bear on it; at most `LIMIT`, what is beyond shares the last one.
Unknown answers say what is missing and what is met so far, failed ones say so: neither ever becomes silence. Each order
is offered once a call.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final

from fhir_cds.cards import choices, detail, markdown, meeting, once, suggestions, words
from fhir_cds.cards.decisions import Decision, parts
from fhir_cds.cards.facts import Facts
from fhir_cds.cards.once import Share
from fhir_cds.cards.outgoing import SUMMARY_LIMIT, Card, Link, Source, Suggestion
from fhir_cds.cards.projection import Projection
from fhir_cds.cards.visits import pressing, window
from fhir_cds.fhir import ids
from fhir_cds.reasoning.outcome import Applied

LIMIT: Final = 6
"""The most cards of one call: with the card of the follow-up service, called beside it, a patient gets seven."""

Group = tuple[Decision, ...]
"""The decisions of one card."""


def with_orders(chosen: Sequence[Decision], projection: Projection) -> list[tuple[Card, tuple[str, ...]]]:
    """Return each card of the decisions with the orders that it asks for and another one offers, as `Type/id` there."""
    groups = _groups(chosen)
    summaries = [_summary(group) for group in groups]
    shares = once.share([choices.offer(group, projection) for group in groups])
    return [
        (_card(group, summary, share, _elsewhere(share, summaries), projection), share.orders)
        for group, summary, share in zip(groups, summaries, shares, strict=True)
    ]


def _groups(chosen: Sequence[Decision]) -> list[Group]:
    """Return the decisions by card: one each, those beyond the limit share the last one."""
    if len(chosen) <= LIMIT:
        return [(decision,) for decision in chosen]
    return [*((decision,) for decision in chosen[: LIMIT - 1]), tuple(chosen[LIMIT - 1 :])]


def chosen(applied: Sequence[Applied], projection: Projection) -> tuple[Decision, ...]:
    """Return the decisions that get a card, the most pressing first; none when nothing applies or is in question."""
    found = meeting.join(
        part for part in parts(applied, projection.authored) if part.strategy.url not in projection.left_out
    )
    concerned = (
        decision
        for decision in meeting.shown(found)
        if not projection.about or decision.broken or decision.resources & projection.about
    )
    return meeting.with_differences(tuple(concerned))


def _card(group: Group, summary: str, share: Share, elsewhere: Collection[str], projection: Projection) -> Card:
    """Return the card of one decision, or of several that share it."""
    uuid = ids.stable_uuid("card", projection.seed, *[decision.strategy.key for decision in group])
    source = _source(group[0], projection)
    offered = _suggestions(share)
    return Card.of(
        uuid=uuid,
        summary=summary,
        detail="\n\n".join([*_bodies(group, projection.facts), *detail.closing(elsewhere, projection.gaps)]),
        indicator=group[0].indicator,
        source=source,
        suggestions=offered or None,
        selectionBehavior=share.selection if offered else None,
        overrideReasons=projection.override_reasons or None if any(one.applicable for one in group) else None,
        links=_links(group, source, projection, uuid) or None,
    )


def _summary(group: Group) -> str:
    """Return what a card says in one sentence."""
    if len(group) == 1:
        return markdown.fit(_said(group[0]), SUMMARY_LIMIT)
    subjects = words.BETWEEN_SUBJECTS.join([decision.strategy.title for decision in group])
    return markdown.fit(words.MORE_SUMMARY.format(count=len(group), subjects=subjects), SUMMARY_LIMIT)


def _bodies(group: Group, facts: Facts) -> Iterator[str]:
    """Yield what the card says of each decision, under its title where several share the card."""
    above: set[str] = set()
    for decision in group:
        said = _said(decision, alone=len(group) == 1)
        body = detail.detail(decision, facts, said, above)
        yield body if len(group) == 1 else markdown.section(markdown.escape(said), body)


def _said(decision: Decision, *, alone: bool = True) -> str:
    """Return what a decision says in one sentence.

    Over the body of one that does not stand alone on its card the first recommendation is named without the number of
    others, which follow.
    """
    applicable = decision.applicable
    if applicable:
        due = pressing((part, visit) for part in decision.parts if part.applicable for visit in part.visits)
        if due is not None:
            part, visit = due
            return words.DUE_SUMMARY.format(
                subject=part.strategy.title,
                status=words.VISIT_STATUS[visit.status],
                window=window(visit),
            )
        text = applicable[0].said.title
        more = len(applicable) - 1
        follow = not alone and bool(decision.parts[0].applicable)
        return words.OTHERS.format(text=text, count=more) if more and not follow else text
    title = decision.strategy.title
    if decision.broken:
        return words.FAILED_SUMMARY.format(subject=title)
    if decision.unknown:
        count = len({fact for item in decision.unknown for fact in item.outcome.missing})
        template = words.MISSING_SUMMARY if count else words.UNDECIDED_SUMMARY
        return template.format(subject=title, count=count)
    return words.OPEN_SUMMARY.format(subject=title)


def _elsewhere(share: Share, summaries: Sequence[str]) -> Collection[str]:
    """Return the lines that say on which card an order is offered."""
    escape = markdown.escape  # of what is ours and often plain, apart from the quotation marks, which are not
    return [
        words.ON_CARD.format(order=escape(text), summary=escape(summaries[card]))
        for text, card in dict.fromkeys(share.elsewhere)
    ]


def _suggestions(share: Share) -> tuple[Suggestion, ...]:
    """Return what the card offers; where at most one can be accepted, only the first recommended one stays so."""
    found: list[Suggestion] = []
    taken = False
    for choice in share.choices:
        recommended = choice.recommended and not taken
        found.append(suggestions.suggestion(choice, recommended))
        taken = taken or (share.selection == "at-most-one" and recommended is True)
    return tuple(found)


def _links(group: Group, source: Source, projection: Projection, uuid: str) -> tuple[Link, ...]:
    """Return the publications behind the recommendations that are not the card's source, each once, then the SMART app.

    A client shows the source's address as a link already. The app's context is the card's uuid, an opaque id.
    """
    found: dict[str, Link] = {}
    for part in (part for decision in group for part in decision.parts):
        for item in (*part.applicable, *part.unknown, *part.open_questions):
            for link in item.said.links:
                if link.url != source.url or link.label != source.label:
                    found[link.url] = link
    if projection.app_url is None:
        return tuple(found.values())
    return (*found.values(), Link.of(label=words.APP_LINK, url=projection.app_url, type="smart", appContext=uuid))


def _source(decision: Decision, projection: Projection) -> Source:
    """Return the publication the card speaks for, that of its first recommendation, with the card's topic."""
    for part in decision.parts:
        for item in (*part.applicable, *part.unknown, *part.failed, *part.open_questions):
            if item.said.cited is not None:
                return projection.authored.source(decision.strategy, item.said.cited)
    return projection.authored.source(decision.strategy, None)


def recommendations_of(cards: Sequence[Card], chosen: Sequence[Decision]) -> dict[str, tuple[str, ...]]:
    """Return, by card uuid, the recommendations (`source:number`) that apply in it: what feedback is counted by.

    `cards` are those of the decisions that were chosen (`with_orders`).
    """
    return {card.uuid: _numbers(group) for card, group in zip(cards, _groups(chosen), strict=True)}


def _numbers(found: Iterable[Decision]) -> tuple[str, ...]:
    """Return the recommendations that apply in some decisions, as `source:number`."""
    items = (item for decision in found for part in decision.parts for item in part.items)
    return tuple(item.said.id for item in items if item.applies and item.said.evidence.number)
