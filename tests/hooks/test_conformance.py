"""The conformance page is what the tests say, and every line of the checklist is shown or explained."""

import conformance


def test_every_line_is_shown_or_explained() -> None:
    """Each requirement has a test with its id, or a reason why it has none; never both."""
    shown = set(conformance.tests())
    assert shown | set(conformance.ELSEWHERE) == set(conformance.REQUIREMENTS)
    assert not shown & set(conformance.ELSEWHERE)


def test_page_is_up_to_date() -> None:
    """docs/guide/cds-hooks-conformance.md is generated."""
    assert conformance.TARGET.read_text(encoding="utf-8") == conformance.page()
