"""From applied plans to decisions: one per strategy, holding the recommendations that bear on it.

A decision exists only inside its population: a plan or group whose own condition is not true hides everything in it
(an error in that condition is shown, an unknown one is not: who is not known to be in the population gets no card).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal

from fhir_cds.cards.evidence import BACKGROUND, NO_CONSENSUS, RECOMMENDATION, SUPPRESSED, Evidence, evidence
from fhir_cds.cards.visits import current
from fhir_cds.reasoning import plans
from fhir_cds.reasoning.outcome import Applied, AppliedAction, Json, Verdict, Visit

Urgency = Literal["info", "warning", "critical"]
INDICATORS: Final[Mapping[str, Urgency]] = MappingProxyType(
    {"routine": "info", "urgent": "warning", "asap": "warning", "stat": "critical"}
)
"""Request priority → card indicator; `asap`, which the CDS Hooks mapping leaves open, is a warning."""

URGENCY: Final[Mapping[str, int]] = MappingProxyType({"critical": 0, "warning": 1, "info": 2})
_UNGRADED: Final = "\uffff"


@dataclass(frozen=True, slots=True)
class Item:
    """One recommendation as it came out for the patient."""

    plan: Json
    action: AppliedAction
    evidence: Evidence

    @property
    def verdict(self) -> Verdict:
        """What its conditions gave."""
        return self.action.outcome.verdict

    @property
    def title(self) -> str:
        """The action's title, else the plan's."""
        return str(self.action.values.get("title") or self.plan.get("title") or self.plan.get("id"))

    @property
    def text(self) -> str:
        """What the recommendation says, in the content's words."""
        values = self.action.values
        return str(values.get("description") or values.get("textEquivalent") or self.plan.get("description") or "")

    @property
    def indicator(self) -> Urgency:
        """How urgent it is."""
        return INDICATORS.get(str(self.action.values.get("priority", "routine")), "info")

    @property
    def rank(self) -> tuple[int, str, str]:
        """Order among recommendations: urgency, then strength, then level."""
        return (
            URGENCY[self.indicator],
            self.evidence.strength or _UNGRADED,
            self.evidence.level or _UNGRADED,
        )


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
class Decision:
    """One question of the guideline and what bears on it; recommendations that do not apply are not in it.

    `items` are all, in the order of the plans; the rest are sorted, strongest first. `applicable` and `unknown` are
    recommendations that apply, or cannot be decided yet; `open_questions` proposals that found no consensus and
    `background` ungraded text whose population applies; `failed` those whose evaluation failed (except suppressed
    ones); `failures` are issues that no recommendation carries. `joined` are decisions of other guidelines on the same
    question, shown on the same card; `differences` are what the card says of where recommendations differ.
    """

    plan: Json
    items: tuple[Item, ...] = ()
    applicable: tuple[Item, ...] = ()
    unknown: tuple[Item, ...] = ()
    open_questions: tuple[Item, ...] = ()
    background: tuple[Item, ...] = ()
    failed: tuple[Item, ...] = ()
    failures: tuple[Json, ...] = ()
    visits: tuple[Visit, ...] = ()
    joined: tuple[Decision, ...] = ()
    differences: tuple[Difference, ...] = ()

    @property
    def parts(self) -> tuple[Decision, ...]:
        """The decision itself, then those that joined it."""
        return (self, *self.joined)

    @property
    def every_item(self) -> tuple[Item, ...]:
        """The items of all parts."""
        return tuple(item for part in self.parts for item in part.items)

    @property
    def title(self) -> str:
        """The strategy's title."""
        return str(self.plan.get("title") or self.plan.get("id"))

    @property
    def resources(self) -> frozenset[str]:
        """The resources (`Type/id`) of the positive facts that what is shown rests on."""
        shown = (item for part in self.parts for item in (*part.applicable, *part.unknown, *part.open_questions))
        reasons = (reason for item in shown for reason in item.action.outcome.facts if reason.fact and reason.value)
        return frozenset(ref for reason in reasons for ref in reason.resources)

    @property
    def broken(self) -> bool:
        """Whether the evaluation of some part failed."""
        return any(part.failed or part.failures for part in self.parts)

    @property
    def shown(self) -> bool:
        """Whether there is anything to say: background alone never is."""
        return self.broken or any(part.applicable or part.unknown or part.open_questions for part in self.parts)

    @property
    def indicator(self) -> Urgency:
        """The highest urgency of what applies; a failure is a warning, an overdue visit too."""
        found: set[Urgency] = {item.indicator for part in self.parts for item in part.applicable}
        if self.broken or any(visit.status == "overdue" for part in self.parts for visit in part.visits):
            found.add("warning")
        return min(found, key=lambda name: URGENCY[name], default="info")

    @property
    def rank(self) -> tuple[int, int, str, str]:
        """Order among decisions: urgency, what applies before what is open, then the strongest recommendation."""
        ranks = [item.rank for part in self.parts for item in part.applicable]
        best = min(ranks, default=(9, _UNGRADED, _UNGRADED))
        kind = 0 if ranks else 1 if self.broken else 2 if any(part.unknown for part in self.parts) else 3
        return (URGENCY[self.indicator], kind, best[1], best[2])


@dataclass(slots=True)
class _Found:
    """A decision while its parts are being collected."""

    plan: Json
    items: list[Item] = field(default_factory=list)
    failures: list[Json] = field(default_factory=list)
    visits: list[Visit] = field(default_factory=list)

    def decision(self) -> Decision:
        """Return the decision, its items sorted into kinds."""
        kinds: dict[tuple[Verdict, str], list[Item]] = {}
        for item in sorted(self.items, key=lambda item: item.rank):
            kinds.setdefault((item.verdict, item.evidence.display), []).append(item)

        def kind(verdict: Verdict, display: str = RECOMMENDATION) -> tuple[Item, ...]:
            return tuple(kinds.get((verdict, display), ()))

        return Decision(
            plan=self.plan,
            items=tuple(self.items),
            applicable=kind(Verdict.APPLICABLE),
            unknown=kind(Verdict.UNKNOWN),
            open_questions=kind(Verdict.APPLICABLE, NO_CONSENSUS),
            background=kind(Verdict.APPLICABLE, BACKGROUND),
            failed=tuple(i for i in self.items if i.verdict is Verdict.FAILED and i.evidence.display != SUPPRESSED),
            failures=tuple(self.failures),
            visits=current(self.visits),
        )


@dataclass(slots=True)
class _Collected:
    """The decisions found so far, by plan."""

    authored: Mapping[int, Evidence]
    found: dict[str, _Found] = field(default_factory=dict)

    def plan(self, applied: Applied, owner: Json | None) -> None:
        """Collect the items of a plan under the strategy that owns them; a strategy owns those directly below it."""
        rule = plans.is_recommendation(applied.plan)
        if rule and owner is not None and _silent(applied):
            return
        decision = self._decision(owner if rule and owner is not None else applied.plan)
        decision.failures += [issue for issue in applied.issues if _serious(issue)]
        decision.visits += [visit for visit in applied.visits if visit not in decision.visits]
        if rule:
            decision.items += [
                self._item(applied.plan, action)
                for action in applied.actions
                if action.outcome.verdict is not Verdict.NOT_APPLICABLE
                and not any(item.action.id == action.id and item.plan is applied.plan for item in decision.items)
            ]
            return
        self._group(applied.actions, applied.plan, decision)

    def _group(self, actions: Iterable[AppliedAction], owner: Json, decision: _Found) -> None:
        """Go down into the groups and nested plans whose own condition is true."""
        for action in actions:
            if action.outcome.verdict is Verdict.FAILED:
                decision.failures += action.outcome.issues or ({"severity": "error", "code": "processing"},)
            if action.outcome.verdict is not Verdict.APPLICABLE:
                continue
            if action.nested is not None:
                self.plan(action.nested, owner)
            self._group(action.children, owner, decision)

    def _item(self, plan: Json, action: AppliedAction) -> Item:
        """Return a recommendation's action with its evidence, read from the content unless it is known."""
        return Item(plan, action, self.authored.get(id(action.values)) or evidence(plan, action.values))

    def _decision(self, plan: Json) -> _Found:
        """Return the decision of a plan, new when it is met first."""
        key = f"{plan.get('url', plan.get('id'))}|{plan.get('version', '')}"
        return self.found.setdefault(key, _Found(plan))


def decisions(applied: Sequence[Applied], authored: Mapping[int, Evidence]) -> list[Decision]:
    """Return the decisions of the applied plans on which anything bears, in the order of the plans.

    `authored` is what is known of the content's recommendations (`evidence.authored`).
    """
    collected = _Collected(authored)
    for root in applied:
        collected.plan(root, None)
    return [each.decision() for each in collected.found.values() if each.items or each.failures]


def _silent(applied: Applied) -> bool:
    """Say whether a plan has nothing to say: nothing in it applies or is in question, and nothing went wrong."""
    return (
        all(action.outcome.verdict is Verdict.NOT_APPLICABLE for action in applied.actions)
        and not applied.issues
        and not applied.visits
    )


def _serious(issue: Json) -> bool:
    """Say whether an issue means that something could not be evaluated."""
    return issue.get("severity") in {"fatal", "error"}
