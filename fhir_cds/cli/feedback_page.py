"""The feedback report as one HTML page for the lead of a tumour board: totals, months, recommendations, reasons.

No script and nothing from the network: it can be mailed and printed. Plots are SVG with their figures beside them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final

import jinja2

from fhir_cds.cards.discovery import offers
from fhir_cds.cards.evidence import evidence
from fhir_cds.knowledge.load import Knowledge
from fhir_cds.server.store import Count, Month

FEW: Final = 10
"""Fewer answers than this say little: the page marks them."""


@dataclass(frozen=True, slots=True)
class Names:
    """What the content calls its recommendations (`source:number` → title, label, URL) and the reasons offered."""

    recommendations: Mapping[str, tuple[str, str, str | None]] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)

    def title(self, recommendation: str) -> str:
        """Return the title of a recommendation, its id where the content no longer has it."""
        return self.recommendations.get(recommendation, (recommendation, "", None))[0]

    def reason(self, coded: str) -> str:
        """Return the text of `system|code`, the code where nobody offers it."""
        return self.reasons.get(coded, coded.rpartition("|")[2])


def names_of(knowledge: Knowledge) -> Names:
    """Return the names that the content gives; raises ContentError for a hooks file that is wrong."""
    recommendations: dict[str, tuple[str, str, str | None]] = {}
    for plan in knowledge.registry.by_type("PlanDefinition"):
        found = evidence(plan, {})
        if found.number:
            url = next((citation.url for citation in found.citations if citation.url), None)
            named = (str(plan.get("title", plan["id"])), found.label or "", url)
            recommendations[f"{found.source}:{found.number}"] = named
    listed = (reason for offer in offers(knowledge.services) for reason in offer.override_reasons)
    return Names(recommendations, {f"{reason.system}|{reason.code}": reason.display for reason in listed})


def share(part: int, whole: int) -> str:
    """Return a share in whole percent, "" of nothing."""
    return f"{round(100 * part / whole)} %" if whole else ""


def page(counts: Sequence[Count], months: Sequence[Month], names: Names, today: date, since: date | None) -> str:
    """Return the page; text of the store is escaped."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    reasons: Counter[str] = Counter()
    for count in counts:
        reasons.update({names.reason(reason): times for reason, times in count.reasons})
    return environment.from_string(_PAGE).render(
        counts=counts,
        months=months,
        names=names,
        reasons=reasons.most_common(),
        totals={name: sum(getattr(month, name) for month in months) for name in ("shown", "accepted", "overridden")},
        most=max((count.shown for count in counts), default=1),
        highest=max((month.shown for month in months), default=1),
        share=share,
        few=FEW,
        today=today,
        since=since,
    )


_PAGE: Final = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Feedback on guideline cards</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2933; margin: 2em auto; max-width: 62em; padding: 0 1em; }
h1 { font-size: 1.6em; margin-bottom: .2em; } h2 { font-size: 1.15em; margin-top: 2em; }
.note, .label { color: #5b6770; } .label { font-size: .87em; }
.totals { display: flex; gap: 1em; flex-wrap: wrap; margin: 1.2em 0; }
.totals div { border: 1px solid #d5dae0; border-radius: 6px; padding: .6em 1.2em; min-width: 8em; }
.totals b { display: block; font-size: 1.7em; line-height: 1.2; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .55em .9em .55em 0; border-bottom: 1px solid #e3e7eb; vertical-align: top; }
td.number, th.number { text-align: right; white-space: nowrap; }
tr { break-inside: avoid; }
ul { margin: 0; padding-left: 1.1em; }
.accepted { fill: #2878a8; background: #2878a8; } .overridden { fill: #d9772b; background: #d9772b; }
.none { fill: #cbd2d9; background: #cbd2d9; }
.key { display: inline-block; width: .9em; height: .9em; margin: 0 .4em 0 1em; vertical-align: -.08em; }
svg text { font-size: 12px; fill: #1f2933; }
</style></head>
<body>
<h1>Feedback on guideline cards</h1>
<p class="note">{{ "Since " ~ since if since else "All cards so far" }}; made on {{ today }}. A card counts once, with
the last feedback on it. “No answer” means that the card was closed or not read: it is neither assent nor dissent.</p>
{% if not counts %}
<p>No cards have been shown yet.</p>
{% else %}
{% set answered = totals.accepted + totals.overridden %}
<div class="totals">
<div><b>{{ totals.shown }}</b> cards shown</div>
<div><b>{{ share(totals.accepted, totals.shown) }}</b> accepted ({{ totals.accepted }})</div>
<div><b>{{ share(totals.overridden, totals.shown) }}</b> overridden ({{ totals.overridden }})</div>
<div><b>{{ share(totals.shown - answered, totals.shown) }}</b> no answer ({{ totals.shown - answered }})</div>
</div>
<p class="label"><span class="key accepted" style="margin-left:0"></span>accepted<span
 class="key overridden"></span>overridden<span class="key none"></span>no answer</p>

<h2>By month</h2>
{% set step = 64 %}
<svg width="{{ months | length * step + 20 }}" height="190" role="img" aria-label="Cards shown by month">
{% for month in months %}
{% set x = loop.index0 * step + 10 %}
{% set unit = 140 / highest %}
<g transform="translate({{ x }} 160)">
<title>{{ month.month }}: {{ month.shown }} shown, {{ month.accepted }} accepted,
 {{ month.overridden }} overridden</title>
<rect class="accepted" width="40" y="{{ -month.accepted * unit }}" height="{{ month.accepted * unit }}"/>
<rect class="overridden" width="40" y="{{ -(month.accepted + month.overridden) * unit }}"
 height="{{ month.overridden * unit }}"/>
<rect class="none" width="40" y="{{ -month.shown * unit }}"
 height="{{ (month.shown - month.accepted - month.overridden) * unit }}"/>
<text x="20" y="{{ -month.shown * unit - 4 }}" text-anchor="middle">{{ month.shown }}</text>
<text x="20" y="18" text-anchor="middle">{{ month.month }}</text>
</g>
{% endfor %}
</svg>

<h2>By recommendation</h2>
<p class="label">A card can carry several recommendations and then counts for each. Rates are of the cards that were
answered; with fewer than {{ few }} answers they say little.</p>
<table>
<tr><th>Recommendation</th><th class="number">Shown</th><th></th><th class="number">Accepted</th>
<th class="number">Overridden</th><th>Reasons given</th></tr>
{% for count in counts %}
{% set unit = 160 / most %}
{% set _, label, url = names.recommendations.get(count.recommendation, ("", "not in the content any more", none)) %}
<tr><td>{{ names.title(count.recommendation) }}<br><span class="label">
{%- if url %}<a href="{{ url }}">{{ label }}</a>{% else %}{{ label }}{% endif %}
{% if 0 < count.answered < few %} · few answers{% endif %}</span></td>
<td class="number">{{ count.shown }}</td>
<td><svg width="160" height="18" role="img"
 aria-label="{{ count.accepted }} accepted, {{ count.overridden }} overridden of {{ count.shown }}">
<rect class="accepted" height="18" width="{{ count.accepted * unit }}"/>
<rect class="overridden" height="18" x="{{ count.accepted * unit }}" width="{{ count.overridden * unit }}"/>
<rect class="none" height="18" x="{{ count.answered * unit }}" width="{{ (count.shown - count.answered) * unit }}"/>
</svg></td>
<td class="number">{{ share(count.accepted, count.answered) }}<br><span class="label">{{ count.accepted }} of
 {{ count.answered }}</span></td>
<td class="number">{{ share(count.overridden, count.answered) }}<br><span class="label">{{ count.overridden }} of
 {{ count.answered }}</span></td>
<td>{% if count.reasons %}<ul>{% for reason, times in count.reasons[:3] %}
<li>{{ names.reason(reason) }} ({{ times }})</li>
{% endfor %}</ul>{% endif %}
{% if count.reasons | length > 3 %}<span class="label">and {{ count.reasons | length - 3 }} more</span>{% endif %}
</td></tr>
{% endfor %}
</table>

{% if reasons %}
<h2>Why cards were overridden</h2>
<table>
{% for reason, times in reasons %}
<tr><td style="width: 55%">{{ reason }}</td><td class="number" style="width: 4em">{{ times }}</td>
<td><svg width="260" height="16" role="img" aria-label="{{ times }}">
<rect class="overridden" height="16" width="{{ times * 260 / reasons[0][1] }}"/></svg></td></tr>
{% endfor %}
</table>
{% endif %}
{% endif %}
</body>
</html>
"""
