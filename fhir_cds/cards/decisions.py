"""From applied plans to decisions: one per strategy, holding the recommendations that bear on it.

A decision exists only inside its population: a plan or group whose own condition is not true hides everything in it
(an error in that condition is shown, an unknown one is not: who is not known to be in the population gets no card).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Final

from msgspec import Struct, field

from fhir_cds.cards.authored import UNGRADED, URGENCY, Authored, Recommendation, Strategy
from fhir_cds.cards.evidence import BACKGROUND, NO_CONSENSUS, RECOMMENDATION, SUPPRESSED
from fhir_cds.cards.outgoing import Indicator
from fhir_cds.cards.visits import current
from fhir_cds.reasoning.outcome import (
    APPLICABLE,
    FAILED,
    NOT_APPLICABLE,
    UNKNOWN,
    Applied,
    AppliedAction,
    Json,
    Outcome,
    Verdict,
    Visit,
)

_BY_URGENCY: Final[Sequence[Indicator]] = ("critical", "warning", "info")


class Item(Struct, frozen=True):
    """One recommendation as it came out for the patient, and what it says."""

    action: AppliedAction
    said: Recommendation

    @property
    def outcome(self) -> Outcome:
        """What its conditions gave."""
        return self.action.outcome

    @property
    def applies(self) -> bool:
        """Whether its conditions are met."""
        return self.action.outcome.verdict is APPLICABLE


class Difference(Struct, frozen=True):
    """A point on which recommendations that apply differ: what differs, how it is handled, and the recommendations."""

    text: str
    resolution: str | None
    sides: tuple[Item, ...]

    @property
    def said(self) -> str:
        """What differs, and how that is handled."""
        return " ".join(filter(None, (self.text, self.resolution)))


class Part(Struct, frozen=True):
    """What one guideline says to a question; recommendations that do not apply are not in it.

    `items` are all, in the order of the plans; the rest are sorted, strongest first. `applicable` and `unknown` are
    recommendations that apply, or cannot be decided yet; `open_questions` proposals that found no consensus and
    `background` ungraded text whose population applies; `failed` those whose evaluation failed (except suppressed
    ones); `failures` are issues that no recommendation carries.
    """

    strategy: Strategy
    items: tuple[Item, ...]
    applicable: tuple[Item, ...] = ()
    unknown: tuple[Item, ...] = ()
    open_questions: tuple[Item, ...] = ()
    background: tuple[Item, ...] = ()
    failed: tuple[Item, ...] = ()
    failures: tuple[Json, ...] = ()
    visits: tuple[Visit, ...] = ()


class Decision(Struct, frozen=True):
    """One question and what bears on it: the leading guideline's part, then those that share its card.

    `applicable` and `unknown` are those of all parts; `broken` says that the evaluation of one failed, `shown` that
    there is anything to say (background alone never is). `indicator` is the highest urgency of what applies (a failure
    is a warning, an overdue visit too); `rank` orders decisions: urgency, what applies before what is open, then the
    strongest recommendation. `differences` are what the card says of where recommendations differ.
    """

    parts: tuple[Part, ...]
    applicable: tuple[Item, ...]
    unknown: tuple[Item, ...]
    broken: bool
    shown: bool
    indicator: Indicator
    rank: tuple[int, int, str, str]
    differences: tuple[Difference, ...] = ()

    @classmethod
    def of(cls, *parts: Part) -> Decision:
        """Return the decision of some parts, the leading one first."""
        applicable = _all([part.applicable for part in parts])
        unknown = _all([part.unknown for part in parts])
        broken = any(part.failed or part.failures for part in parts)
        best = min([part.applicable[0].said.rank for part in parts if part.applicable], default=_LAST)
        urgency = best[0]
        if broken or any(visit.status == "overdue" for part in parts for visit in part.visits):
            urgency = min(urgency, URGENCY["warning"])
        kind = 0 if applicable else 1 if broken else 2 if unknown else 3
        return cls(
            parts,
            applicable,
            unknown,
            broken,
            shown=kind < 3 or any(part.open_questions for part in parts),
            indicator=_BY_URGENCY[urgency],
            rank=(urgency, kind, best[1], best[2]),
        )

    @property
    def strategy(self) -> Strategy:
        """The leading guideline's plan."""
        return self.parts[0].strategy

    @property
    def resources(self) -> frozenset[str]:
        """The resources (`Type/id`) of the positive facts that what is shown rests on."""
        shown = (item for part in self.parts for item in (*part.applicable, *part.unknown, *part.open_questions))
        reasons = (reason for item in shown for reason in item.outcome.facts if reason.fact and reason.value)
        return frozenset(ref for reason in reasons for ref in reason.resources)


_LAST: Final = (URGENCY["info"], UNGRADED, UNGRADED)


def _all(several: Sequence[tuple[Item, ...]]) -> tuple[Item, ...]:
    """Return the items of several tuples as one."""
    return several[0] if len(several) == 1 else tuple(chain.from_iterable(several))


class _Found(Struct):
    """A part while its recommendations are being collected."""

    strategy: Strategy
    items: dict[tuple[int, str], Item] = field(default_factory=dict)
    failures: list[Json] = field(default_factory=list)
    visits: list[Visit] = field(default_factory=list)

    def add(self, plan: Json, action: AppliedAction, authored: Authored) -> None:
        """Add an action of a recommendation's plan, once."""
        place = (id(plan), action.id)
        if place not in self.items:
            self.items[place] = Item(action, authored.recommendation(plan, action.values))

    def note(self, applied: Applied) -> None:
        """Add what went wrong in a plan, and its visits."""
        self.failures += [issue for issue in applied.issues if issue.get("severity") in {"fatal", "error"}]
        self.visits += [visit for visit in applied.visits if visit not in self.visits]

    def part(self) -> Part:
        """Return the part, its items sorted into kinds."""
        items = tuple(self.items.values())
        kinds: dict[tuple[Verdict, str], list[Item]] = {}
        for item in sorted(items, key=_rank) if len(items) > 1 else items:
            kinds.setdefault((item.outcome.verdict, item.said.evidence.display), []).append(item)
        return Part(
            self.strategy,
            items,
            applicable=tuple(kinds.get((APPLICABLE, RECOMMENDATION), ())),
            unknown=tuple(kinds.get((UNKNOWN, RECOMMENDATION), ())),
            open_questions=tuple(kinds.get((APPLICABLE, NO_CONSENSUS), ())),
            background=tuple(kinds.get((APPLICABLE, BACKGROUND), ())),
            failed=tuple(
                [item for item in items if item.outcome.verdict is FAILED and item.said.evidence.display != SUPPRESSED]
            ),
            failures=tuple(self.failures),
            visits=current(self.visits) if self.visits else (),
        )


def _rank(item: Item) -> tuple[int, str, str]:
    return item.said.rank


class _Collected(Struct):
    """The parts found so far, by the key of their plan."""

    authored: Authored
    found: dict[str, _Found] = field(default_factory=dict)

    def plan(self, applied: Applied, owner: _Found | None) -> None:
        """Collect the items of a plan under the strategy that owns them; a strategy owns those directly below it."""
        for action in applied.actions:
            if action.outcome.verdict is not NOT_APPLICABLE:
                break
        else:  # so with most plans
            if not applied.issues and not applied.visits:
                return
        strategy = self.authored.strategy(applied.plan)
        found = owner if strategy.rule and owner is not None else self._found(strategy)
        if applied.issues or applied.visits:
            found.note(applied)
        if not strategy.rule:
            self._group(applied.actions, found)
            return
        for action in applied.actions:
            if action.outcome.verdict is not NOT_APPLICABLE:
                found.add(applied.plan, action, self.authored)

    def _group(self, actions: Iterable[AppliedAction], owner: _Found) -> None:
        """Go down into the groups and nested plans whose own condition is true."""
        for action in actions:
            verdict = action.outcome.verdict
            if verdict is APPLICABLE:
                if action.nested is not None:
                    self.plan(action.nested, owner)
                if action.children:
                    self._group(action.children, owner)
            elif verdict is FAILED:
                owner.failures += action.outcome.issues or ({"severity": "error", "code": "processing"},)

    def _found(self, strategy: Strategy) -> _Found:
        """Return the part of a strategy, new when it is met first."""
        found = self.found.get(strategy.key)
        if found is None:
            found = self.found[strategy.key] = _Found(strategy)
        return found


def parts(applied: Sequence[Applied], authored: Authored) -> list[Part]:
    """Return the parts of the applied plans in which anything is to say, in the order of the plans."""
    collected = _Collected(authored)
    for root in applied:
        collected.plan(root, None)
    return [each.part() for each in collected.found.values() if each.items or each.failures]
