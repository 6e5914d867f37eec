"""The conformance pages are what the tests say, and every line of a checklist is shown or explained."""

import pytest

from . import CHECKLISTS
from .checklist import Checklist, all_tests


@pytest.mark.parametrize("checklist", CHECKLISTS, ids=lambda checklist: checklist.title)
def test_every_line_is_shown_or_explained(checklist: Checklist) -> None:
    """Each requirement has a test with its id, or a reason why it has none; never both."""
    shown = set(checklist.tests())
    assert not shown & set(checklist.elsewhere)
    assert set(checklist.remarks) <= shown
    assert shown | set(checklist.elsewhere) == set(checklist.requirements)
    assert {identifier.rstrip("0123456789").rstrip("-") for identifier in shown} <= set(checklist.groups)


@pytest.mark.parametrize("checklist", CHECKLISTS, ids=lambda checklist: checklist.title)
def test_page_is_up_to_date(checklist: Checklist) -> None:
    """The page in docs/guide is generated."""
    assert checklist.target.read_text(encoding="utf-8") == checklist.page()


def test_tests_are_found() -> None:
    """A test is found with its file, its name and the head of its docstring."""
    here = next(test for test in all_tests() if test.name == "test_tests_are_found")
    assert here.place == "tests/conformance/test_conformance.py::test_tests_are_found"
    assert here.heading.startswith("A test is found")
