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


@dataclass(slots=True)
class Decision:
    """One question of the guideline and what bears on it; `failures` are issues that no recommendation carries."""

    plan: Json
    items: list[Item] = field(default_factory=list)
    failures: list[Json] = field(default_factory=list)
    visits: list[Visit] = field(default_factory=list)
    context: Json = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The strategy's title."""
        return str(self.plan.get("title") or self.plan.get("id"))

    def having(self, verdict: Verdict, display: str = RECOMMENDATION) -> list[Item]:
        """Return the items with this verdict and display, strongest first."""
        chosen = (item for item in self.items if item.verdict is verdict and item.evidence.display == display)
        return sorted(chosen, key=lambda item: item.rank)

    @property
    def applicable(self) -> list[Item]:
        """Recommendations that apply."""
        return self.having(Verdict.APPLICABLE)

    @property
    def unknown(self) -> list[Item]:
        """Recommendations that cannot be decided yet."""
        return self.having(Verdict.UNKNOWN)

    @property
    def open_questions(self) -> list[Item]:
        """Proposals that found no consensus and whose population applies."""
        return self.having(Verdict.APPLICABLE, NO_CONSENSUS)

    @property
    def background(self) -> list[Item]:
        """Ungraded text that supports the rest."""
        return self.having(Verdict.APPLICABLE, BACKGROUND)

    @property
    def failed(self) -> list[Item]:
        """Recommendations whose evaluation failed, whatever their display (except suppressed ones)."""
        return [item for item in self.items if item.verdict is Verdict.FAILED and item.evidence.display != SUPPRESSED]

    @property
    def resources(self) -> frozenset[str]:
        """The resources (`Type/id`) of the positive facts that what is shown rests on."""
        shown = (*self.applicable, *self.unknown, *self.open_questions)
        reasons = (reason for item in shown for reason in item.action.outcome.because if reason.fact and reason.value)
        return frozenset(ref for reason in reasons for ref in reason.resources)

    @property
    def shown(self) -> bool:
        """Whether there is anything to say: background alone never is."""
        return bool(self.applicable or self.unknown or self.open_questions or self.failed or self.failures)

    @property
    def indicator(self) -> Urgency:
        """The highest urgency of what applies; a failure is a warning, an overdue visit too."""
        found: set[Urgency] = {item.indicator for item in self.applicable}
        if self.failed or self.failures or any(visit.status == "overdue" for visit in self.visits):
            found.add("warning")
        return min(found, key=lambda name: URGENCY[name], default="info")

    @property
    def rank(self) -> tuple[int, int, str, str]:
        """Order among decisions: urgency, what applies before what is open, then the strongest recommendation."""
        best = min((item.rank for item in self.applicable), default=(9, _UNGRADED, _UNGRADED))
        kind = 0 if self.applicable else 1 if self.failed or self.failures else 2 if self.unknown else 3
        return (URGENCY[self.indicator], kind, best[1], best[2])


def decisions(applied: Sequence[Applied]) -> list[Decision]:
    """Return the decisions of the applied plans that have something to say, the most pressing first."""
    found: dict[str, Decision] = {}
    for root in applied:
        _plan(root, None, found)
    return sorted((decision for decision in found.values() if decision.shown), key=lambda decision: decision.rank)


def _plan(applied: Applied, owner: Json | None, found: dict[str, Decision]) -> None:
    """Collect the items of a plan under the strategy that owns them; a strategy owns those directly below it."""
    rule = plans.is_recommendation(applied.plan)
    decision = _decision(owner if rule and owner is not None else applied.plan, found)
    decision.failures += [issue for issue in applied.issues if _serious(issue)]
    decision.visits += [visit for visit in applied.visits if visit not in decision.visits]
    decision.context = {**decision.context, **applied.context}
    if rule:
        decision.items += [
            Item(applied.plan, action, evidence(applied.plan, action.values))
            for action in applied.actions
            if not any(item.action.id == action.id and item.plan is applied.plan for item in decision.items)
        ]
        return
    _group(applied.actions, applied.plan, decision, found)


def _group(actions: Iterable[AppliedAction], owner: Json, decision: Decision, found: dict[str, Decision]) -> None:
    """Go down into the groups and nested plans whose own condition is true."""
    for action in actions:
        if action.outcome.verdict is Verdict.FAILED:
            decision.failures += action.outcome.issues or ({"severity": "error", "code": "processing"},)
        if action.outcome.verdict is not Verdict.APPLICABLE:
            continue
        if action.nested is not None:
            _plan(action.nested, owner, found)
        _group(action.children, owner, decision, found)


def _decision(plan: Json, found: dict[str, Decision]) -> Decision:
    """Return the decision of a plan, new when it is met first."""
    key = f"{plan.get('url', plan.get('id'))}|{plan.get('version', '')}"
    return found.setdefault(key, Decision(plan))


def _serious(issue: Json) -> bool:
    """Say whether an issue means that something could not be evaluated."""
    return issue.get("severity") in {"fatal", "error"}
