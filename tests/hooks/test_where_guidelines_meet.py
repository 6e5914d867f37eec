"""Patients whom several guidelines touch: at most seven cards, and both sides of a difference on one of them.

The points are those of the catalogue of conflicts (C01, C03, C07, C09, C10).
"""

from pathlib import Path
from typing import Any

import ehr
import pytest

from fhir_cds.authoring import cases, runner
from fhir_cds.cards import words
from fhir_cds.cards.outgoing import Card
from fhir_cds.server.advice import Advice, Question, advise
from fhir_cds.server.state import Loaded

STORIES = sorted((ehr.ROOT / "tests" / "recommendations" / "stories").glob("*.yaml"))
ADVICE, FOLLOW_UP = "sarcoma-liver-metastases", "sarcoma-follow-up"


def answer(content: Loaded, path: Path, service: str) -> tuple[Card, ...]:
    """Return the cards of a service on patient-view for the patient of a story."""
    return advice(content, path, service).response.cards


def advice(content: Loaded, path: Path, service: str) -> Advice:
    """Return the answer of a service on patient-view for the patient of a story, with what is kept of it."""
    case = cases.load(path, cases.words(ehr.ROOT))
    offer = next(o for o in content.offers if (o.service.id, o.service.hook) == (service, "patient-view"))
    asked = Question(offer, runner.record(content.engine, case), case.now, {"patientId": "p"}, ehr.INSTANCE)
    return advise(content, asked)


def story(name: str) -> Path:
    """Return a story by name."""
    return next(path for path in STORIES if path.stem == name)


def with_text(found: tuple[Card, ...], *texts: str) -> list[Card]:
    """Return the cards that hold all the texts."""
    return [card for card in found if all(text in (card.detail or "") for text in texts)]


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_at_most_seven_cards(content: Loaded, path: Path) -> None:
    """Both services together give at most seven cards, and each says which guideline its statements are of."""
    found = [card for service in (ADVICE, FOLLOW_UP) for card in answer(content, path, service)]
    assert len(found) <= 7
    assert all(card.source.label for card in found)


@pytest.mark.parametrize(
    ("name", "point", "sides"),
    [
        (
            "tarpswg-nine-months",
            "below 12 months the interval is not a favourable feature of 25b",
            ("Ibero-American consensus 2025, 8.1", "TARPSWG 2018 (a later consensus exists), 25"),
        ),
        (
            "clear-cell-sarcoma-synchronous",
            "8.2 leads as the voted source.",
            (
                "Ibero-American consensus 2025, 8.2",
                "Clear Cell Sarcoma Foundation, K2",
                "Clear Cell Sarcoma Foundation, K6",
            ),
        ),
        (
            "tarpswg-stable-four-months",
            "Stable disease of 6 months or less meets 8.3 and not 25c.",
            ("Ibero-American consensus 2025, 8.3", "TARPSWG 2018 (a later consensus exists), 25"),
        ),
        (
            "tarpswg-ifosfamide-order",
            "because ifosfamide may be weak (V,A).",
            ("TARPSWG 2018 (a later consensus exists), 41(2)", "Liver-directed therapy series 2020, L3"),
        ),
        (
            "tarpswg-synchronous",
            "leaves 8.3 open and 24a unmet.",
            ("Ibero-American consensus 2025, 1.1", "TARPSWG 2018 (a later consensus exists), 24"),
        ),
        (
            "boundary-six-months",
            "Both readings are shown; none is picked.",
            ("Ibero-American consensus 2025, 8.1", "Ibero-American consensus 2025, 8.2"),
        ),
    ],
)
def test_both_sides_on_one_card(content: Loaded, name: str, point: str, sides: tuple[str, ...]) -> None:
    """One card gives the point of difference and both recommendations, with grade and year."""
    assert len(with_text(answer(content, story(name), ADVICE), point, *(f"- {side}: " for side in sides))) == 1


def test_clear_cell_sarcoma_that_is_synchronous(content: Loaded) -> None:
    """Beside systemic treatment first: surgery when feasible, the disciplines of the board, the sarcoma network."""
    found = answer(content, story("clear-cell-sarcoma-synchronous"), ADVICE)
    names = [f"Clear Cell Sarcoma Foundation, K{number}" for number in (2, 5, 6, 10)]
    (preferred,) = with_text(found, "consensus 2025, 8.2")
    assert with_text(found, *(f"not graded · {name}\n" for name in names)) == [preferred]


def test_what_precedes_an_ordered_operation_comes_first(content: Loaded) -> None:
    """An operation ordered without board and without remnant: these are the first cards, and warnings."""
    found = answer(content, story("major-hepatectomy-ordered"), ADVICE)
    assert [card.indicator for card in found] == ["warning", "warning", *["info"] * (len(found) - 2)]
    assert with_text(found, "consensus 2025, 5.1", "consensus 2025, 5.2") == [found[0]]
    assert with_text(found, "consensus 2025, 7.1", "consensus 2025, 7.2") == [found[1]]
    assert [choice.label for choice in found[0].suggestions or ()].count(
        "Multidisciplinary sarcoma tumour board discussion"
    ) == 1


@pytest.mark.parametrize(
    ("name", "settled"),
    [
        ("tarpswg-metachronous", "below 12 months the interval is not a favourable feature"),
        ("tarpswg-metachronous", "leaves 8.3 open and 24a unmet"),
        ("tarpswg-dedifferentiated-later-line", "name subtypes not in the included list"),
    ],
)
def test_what_is_settled_is_not_called_different(content: Loaded, name: str, settled: str) -> None:
    """An interval over 12 months, a resected primary, a subtype in the list: nothing differs for this patient."""
    assert not with_text(answer(content, story(name), ADVICE), settled)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tarpswg-synchronous", ("Criterion a not met: primary tumour not completely resected", "Criterion met: all")),
        ("tarpswg-nine-months", ("Feature b absent: disease-free interval under 12 months",)),
        ("tarpswg-stable-four-months", ("Feature c absent: no response", "Criterion a not met")),
    ],
)
def test_a_criterion_that_is_not_met_is_said(content: Loaded, name: str, said: tuple[str, ...]) -> None:
    """Statements 24 and 25 name what is not met beside what is, on the card that leads with 24 or with surgery."""
    assert len(with_text(answer(content, story(name), ADVICE), *said)) == 1


def test_a_subtype_named_outside_the_list(content: Loaded) -> None:
    """43h stands as background, with why, on the first card of a patient with malignant PEComa (C08)."""
    found = answer(content, story("tarpswg-pecoma"), ADVICE)
    assert with_text(found, "Sirolimus and other mTOR inhibitors for PEComa.", "background only (C08)") == [found[0]]


def test_inside_one_guideline_and_outside_another(content: Loaded) -> None:
    """Clear cell sarcoma of the retroperitoneum: the consensus that excludes it says so on the first card (C07)."""
    found = answer(content, story("tarpswg-clear-cell-retroperitoneum"), ADVICE)
    assert with_text(found, "names clear cell sarcoma", "None of its statements is applied", "sunitinib 3 of 10") == [
        found[0]
    ]


def test_two_follow_up_schedules(content: Loaded) -> None:
    """13.1 and 34 stand on one card with their dates; the plan to accept says which it follows, and why (C01)."""
    (card,) = answer(content, story("tarpswg-two-schedules"), FOLLOW_UP)
    assert card.detail is not None
    assert card.detail.index("Every 3 to 4 months to month 24") < card.detail.index(
        "Every 3 to 6 months, without an end"
    )
    assert card.suggestions is not None
    assert [choice.is_recommended for choice in card.suggestions] == [True, False]
    assert card.selection_behavior == "at-most-one"
    plans: list[dict[str, Any]] = [
        action.resource
        for choice in card.suggestions
        for action in choice.actions or ()
        if action.resource is not None and action.resource["resourceType"] == "CarePlan"
    ]
    notes = [" ".join(note["text"] for note in plan["note"]) for plan in plans]
    assert "This plan follows Ibero-American consensus 2025, 13.1." in notes[0]
    assert "It differs from TARPSWG 2018" in notes[0]
    assert "The dates follow 13.1, the voted source on liver metastases" in notes[0]
    assert "This plan follows TARPSWG 2018" in notes[1]


def test_a_card_that_points_to_an_order_keeps_where_it_stands(content: Loaded) -> None:
    """Where another card offers a card's order, the suggestion that holds it is kept: accepting it counts for both."""
    pointing = 0
    for path in STORIES:
        found = advice(content, path, ADVICE)
        for card, row in zip(found.response.cards, found.rows, strict=True):
            others = {one for other in found.rows if other is not row for one in other.suggestions}
            assert others.issuperset(row.elsewhere), path.stem
            if row.recommendations:  # what is counted; a question that another card asks is none
                assert bool(row.elsewhere) is (words.ELSEWHERE in (card.detail or "")), path.stem
            pointing += bool(row.elsewhere)
    assert pointing > 10
