"""Cards and care plans as a person reads them in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final

from rich.console import Console
from rich.markdown import Markdown
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from fhir_cds.cards import words
from fhir_cds.cards.facts import coded_text
from fhir_cds.fhir import reference

_BORDERS: Final = {"info": "blue", "warning": "yellow", "critical": "red"}
_STATUS: Final = {"overdue": "bold yellow", "due": "bold green"}
_SHOWN: Final = 10
_TIMES: Final = ("scheduledPeriod", "occurrencePeriod", "performedPeriod", "executionPeriod")


def show_patient(console: Console, patient: Mapping[str, Any], today: date) -> None:
    """Print who the patient is."""
    name: Mapping[str, Any] = next(iter(patient.get("name", ())), {})
    full = name.get("text") or " ".join([*name.get("given", ()), name.get("family", "")]).strip() or patient["id"]
    born = str(patient.get("birthDate", ""))
    parts = [f"born {born}" if born else "", str(patient.get("gender", "")), f"Patient/{patient['id']}"]
    console.rule(f"[bold]{full}[/bold], {', '.join(part for part in parts if part)}  (as of {today.isoformat()})")


def show_answer(console: Console, service: Mapping[str, Any], answer: Mapping[str, Any], note: str) -> None:
    """Print the cards of one service."""
    cards = answer["cards"]
    count = f"{len(cards)} card{'' if len(cards) == 1 else 's'}"
    console.print(f"\n[bold]{service['title']}[/bold]  [dim]({service['id']}: {count}; {note})[/dim]")
    if not cards:
        console.print("No card: nothing here applies to this patient.", style="dim")
    for card in cards:
        console.print(
            Panel(
                Markdown(card.get("detail", ""), hyperlinks=False),
                title=Text(card["summary"], style="bold"),
                title_align="left",
                subtitle=f"{card['indicator']} · {card['source']['label']}",
                subtitle_align="right",
                border_style=_BORDERS[card["indicator"]],
            )
        )
        for suggestion in card.get("suggestions", ()):
            show_suggestion(console, suggestion)


def show_suggestion(console: Console, suggestion: Mapping[str, Any]) -> None:
    """Print what accepting a suggestion would create; a care plan as its dates."""
    created = [action["resource"] for action in suggestion.get("actions", ()) if "resource" in action]
    console.print(Text.assemble(("  ▸ ", "bold green"), suggestion["label"]))
    visits = windows(created)
    if not visits:
        for resource in created:
            console.print(f"      {resource['resourceType']}: {coded_text(resource) or resource['id']}", style="dim")
        return
    shared = next(filter(None, visits.values()), [])
    same = all(orders in ([], shared) for orders in visits.values())
    if same:
        console.print(Padding(f"Each visit: {', '.join(shared)}", (0, 0, 0, 4)))
    table = Table(box=None, padding=(0, 2), pad_edge=False, header_style="bold")
    for column in ("    From", "To", "Status", *(() if same else ("What",))):
        table.add_column(column)
    for start, end, status in list(visits)[:_SHOWN]:
        orders = [] if same else [", ".join(visits[start, end, status])]
        table.add_row(f"    {start}", end, words.VISIT_STATUS.get(status, status), *orders, style=_STATUS.get(status))
    console.print(table)
    if len(visits) > _SHOWN:
        last = list(visits)[-1]
        console.print(f"    … and {len(visits) - _SHOWN} more until {last[1]}", style="dim")


def windows(created: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str, str], list[str]]:
    """Return what a care plan holds by window (from, to, status), in order of time: its orders, and what is planned."""
    by_name = {reference.of(resource): resource for resource in created}
    found: dict[tuple[str, str, str], list[str]] = {}
    for plan in (resource for resource in created if resource["resourceType"] == "CarePlan"):
        for activity in plan.get("activity", ()):
            status = next((note["text"] for note in activity.get("progress", ())), "")
            order = activity.get("detail") or by_name.get(activity.get("reference", {}).get("reference"), {})
            period = next((order[name] for name in _TIMES if name in order), None)
            if period is not None:
                key = (str(period.get("start", "")), str(period.get("end", "")), status)
                found.setdefault(key, []).append(coded_text(order) or str(order.get("description", "")))
    return dict(sorted(found.items()))
