"""From applied plans to decisions: one per strategy, holding the recommendations that bear on it.

A decision exists only inside its population: a plan or group whose own condition is not true hides everything in it
(an error in that condition is shown, an unknown one is not: who is not known to be in the population gets no card).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from fhir_cds.cards.authored import UNGRADED, URGENCY, Authored, Recommendation, Strategy
from fhir_cds.cards.evidence import BACKGROUND, NO_CONSENSUS, RECOMMENDATION, SUPPRESSED
from fhir_cds.cards.outgoing import Indicator
from fhir_cds.cards.visits import current
from fhir_cds.reasoning.outcome import Applied, AppliedAction, Json, Outcome, Verdict, Visit


@dataclass(frozen=True, slots=True)
class Item:
    """One recommendation as it came out for the patient, and what it says."""

    action: AppliedAction
    said: Recommendation

    @property
    def outcome(self) -> Outcome:
        """What its conditions gave."""
        return self.action.outcome


@dataclass(frozen=True, slots=True)
class Difference:
    """A point on which recommendations that apply differ: what differs, how it is handled, and the recommendations."""

    text: str
    resolution: str | None
    sides: tuple[Item, ...]

    @property
    def said(self) -> str:
        """What differs, and how that is handled."""
        return " ".join(filter(None, (self.text, self.resolution)))


@dataclass(frozen=True, slots=True)
class Part:
    """What one guideline says to a question; recommendations that do not apply are not in it.

    `items` are all, in the order of the plans; the rest are sorted, strongest first. `applicable` and `unknown` are
    recommendations that apply, or cannot be decided yet; `open_questions` proposals that found no consensus and
    `background` ungraded text whose population applies; `failed` those whose evaluation failed (except suppressed
    ones); `failures` are issues that no recommendation carries.
    """

    strategy: Strategy
    items: tuple[Item, ...] = ()
    applicable: tuple[Item, ...] = ()
    unknown: tuple[Item, ...] = ()
    open_questions: tuple[Item, ...] = ()
    background: tuple[Item, ...] = ()
    failed: tuple[Item, ...] = ()
    failures: tuple[Json, ...] = ()
    visits: tuple[Visit, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
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
        applicable = tuple(item for part in parts for item in part.applicable)
        unknown = tuple(item for part in parts for item in part.unknown)
        broken = any(part.failed or part.failures for part in parts)
        alarm = broken or any(visit.status == "overdue" for part in parts for visit in part.visits)
        urgencies: set[Indicator] = {item.said.indicator for item in applicable}
        if alarm:
            urgencies.add("warning")
        indicator: Indicator = min(urgencies, key=lambda name: URGENCY[name], default="info")
        best = min((item.said.rank for item in applicable), default=(9, UNGRADED, UNGRADED))
        kind = 0 if applicable else 1 if broken else 2 if unknown else 3
        return cls(
            parts=parts,
            applicable=applicable,
            unknown=unknown,
            broken=broken,
            shown=kind < 3 or any(part.open_questions for part in parts),
            indicator=indicator,
            rank=(URGENCY[indicator], kind, best[1], best[2]),
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


@dataclass(slots=True)
class _Found:
    """A part while its recommendations are being collected."""

    strategy: Strategy
    items: list[Item] = field(default_factory=list)
    failures: list[Json] = field(default_factory=list)
    visits: list[Visit] = field(default_factory=list)

    def part(self) -> Part:
        """Return the part, its items sorted into kinds."""
        kinds: dict[tuple[Verdict, str], list[Item]] = {}
        for item in sorted(self.items, key=lambda item: item.said.rank):
            kinds.setdefault((item.outcome.verdict, item.said.evidence.display), []).append(item)

        def kind(verdict: Verdict, display: str = RECOMMENDATION) -> tuple[Item, ...]:
            return tuple(kinds.get((verdict, display), ()))

        return Part(
            strategy=self.strategy,
            items=tuple(self.items),
            applicable=kind(Verdict.APPLICABLE),
            unknown=kind(Verdict.UNKNOWN),
            open_questions=kind(Verdict.APPLICABLE, NO_CONSENSUS),
            background=kind(Verdict.APPLICABLE, BACKGROUND),
            failed=tuple(
                item
                for item in self.items
                if item.outcome.verdict is Verdict.FAILED and item.said.evidence.display != SUPPRESSED
            ),
            failures=tuple(self.failures),
            visits=current(self.visits) if self.visits else (),
        )


@dataclass(slots=True)
class _Collected:
    """The parts found so far, by the key of their plan."""

    authored: Authored
    found: dict[str, _Found] = field(default_factory=dict)

    def plan(self, applied: Applied, owner: Strategy | None) -> None:
        """Collect the items of a plan under the strategy that owns them; a strategy owns those directly below it."""
        strategy = self.authored.strategy(applied.plan)
        if not strategy.rule:
            found = self._found(strategy)
            _note(found, applied)
            self._group(applied.actions, found)
            return
        said = [action for action in applied.actions if action.outcome.verdict is not Verdict.NOT_APPLICABLE]
        if owner is not None and not said and not applied.issues and not applied.visits:
            return  # most recommendations have nothing to say
        found = self._found(owner or strategy)
        _note(found, applied)
        for action in said:
            if not any(item.action.id == action.id and item.said.plan is applied.plan for item in found.items):
                found.items.append(Item(action, self.authored.recommendation(applied.plan, action.values)))

    def _group(self, actions: Iterable[AppliedAction], owner: _Found) -> None:
        """Go down into the groups and nested plans whose own condition is true."""
        for action in actions:
            verdict = action.outcome.verdict
            if verdict is Verdict.APPLICABLE:
                if action.nested is not None:
                    self.plan(action.nested, owner.strategy)
                if action.children:
                    self._group(action.children, owner)
            elif verdict is Verdict.FAILED:
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


def _note(found: _Found, applied: Applied) -> None:
    """Add what went wrong in a plan, and its visits."""
    found.failures += [issue for issue in applied.issues if issue.get("severity") in {"fatal", "error"}]
    found.visits += [visit for visit in applied.visits if visit not in found.visits]
