"""Text that is not ours must show as it stands; sentences must fit."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fhir_cds.cards import markdown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a | b", r"a \| b"),
        ("<img src=x>", r"\<img src=x\>"),
        ("[x](javascript:1)", r"\[x\](javascript:1)"),
        ("*a* _b_ `c` ~d~", r"\*a\* \_b\_ \`c\` \~d\~"),
        ("# h", r"\# h"),
        ("- item", r"\- item"),
        ("1. one", r"1\. one"),
        ("http://e.org www.e.org a@e.org", "http\\://e.org www\\.e.org a@\u2060e.org"),
        ("mailto:a@e.org @user", "mailto:a@\u2060e.org @\u2060user"),
        ("a\u202eb\u2066c\u2069d", "abcd"),
        ("\u05d0\u200f\u05d1", "\u05d0\u200f\u05d1"),
        ("a\nb\r\n\tc\u2028d", "a b c d"),
        ("&amp;", r"\&amp;"),
        ("back\\slash", r"back\\slash"),
        ("2026-01-31", "2026-01-31"),
    ],
)
def test_escape(text: str, shown: str) -> None:
    """Markup, links, autolinks, HTML, table cells and line breaks lose their meaning."""
    assert markdown.escape(text) == shown


PIECES = [*"aZ09 ,;:.%/()'+-#=@_*\n", "é", "www.", "://", "  "]


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
@example("a ")
@example("12) b")
@example("see www.e.org")
def test_what_is_escaped_at_a_glance_is_escaped_alike(text: str) -> None:
    """Text that needs no second look comes out as the long way gives it."""
    slow = markdown._escaped(markdown.plain(text))
    assert markdown.escape(text) == slow


def test_link_cannot_be_broken_out_of() -> None:
    """Brackets and spaces in an address are percent-encoded."""
    assert markdown.link("a]", "https://e.org/a) [b](c") == r"[a\]](https://e.org/a%29%20%5Bb%5D%28c)"


def test_table() -> None:
    """A table has a head, a rule and one line per row; empty cells stay cells."""
    assert markdown.table(("A", "B"), [("1", "")]) == "| A | B |\n| --- | --- |\n| 1 |   |"


@pytest.mark.parametrize("text", ["short", "x" * 139])
def test_fit_keeps_what_fits(text: str) -> None:
    """Text within the limit stays as it is."""
    assert markdown.fit(text, 139) == text


def test_fit_cuts_at_a_word() -> None:
    """Longer text is cut at a word and marked."""
    cut = markdown.fit("word " * 50, 139)
    assert len(cut) <= 139
    assert cut.endswith("word…")


def test_fit_cuts_a_single_long_word() -> None:
    """A word longer than the limit is cut inside."""
    assert markdown.fit("x" * 200, 139) == "x" * 138 + "…"


def test_code_span_holds() -> None:
    """Backticks and bars cannot leave a code span in a table."""
    assert markdown.code("Condition/`a|b`") == "`Condition/ab`"


def test_dates_in_narrow_cells_stay_whole() -> None:
    """Only the hyphens of dates become non-breaking."""
    assert markdown.unbroken("2026-01-31 to 2026-02, a-b") == "2026\u201101\u201131 to 2026\u201102, a-b"
