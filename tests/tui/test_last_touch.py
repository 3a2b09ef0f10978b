"""What a terminal lacks is taken out of a line, and the line stays as wide as it was."""

from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color

from ftstudio.tui.last_touch import AsciiOnly, as_ascii


def test_borders_become_ascii_ones():
    assert as_ascii("╭──╮ │ ┃ ╰━━╯") == "+--+ | | +--+"


def test_what_has_nothing_like_it_is_a_question_mark_a_column():
    assert as_ascii("a🔎é漢\u200bz") == "a???" + "??z"


@settings(max_examples=300, deadline=None, database=None)
@given(st.lists(st.characters(exclude_categories=("Cs", "Cc", "Mn", "Me")), max_size=20).map("".join))
def test_a_line_keeps_its_width_sign_by_sign(text):
    (shown,) = AsciiOnly().apply([Segment(text)], Color(0, 0, 0))
    assert shown.text.isascii()
    assert len(shown.text) == sum(cell_len(sign) for sign in text)
