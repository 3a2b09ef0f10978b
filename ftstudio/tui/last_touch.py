"""What a terminal lacks is taken out of each line last of all, so that no widget has to think of it.

Colours with NO_COLOR, and with --ascii every sign that is not ASCII: borders, scroll bars and cursors of Textual's own
too. Our words never come so far: `look` has better ones for theirs.
"""

from __future__ import annotations

from functools import lru_cache

from rich.cells import get_character_cell_size
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

_DRAWN = str.maketrans({
    **dict.fromkeys("─━═▔╌", "-"),
    **dict.fromkeys("│┃║▏▕▎▊▌▐", "|"),
    **dict.fromkeys("╭╮╰╯┌┐└┘┏┓┗┛╔╗╚╝├┤┬┴┼", "+"),
    **dict.fromkeys("▁▂▃▄▅▆▇▉▋▍", " "),  # the ends of scroll bars, told apart by their background alone
    "█": "#", "…": ">",
})  # fmt: skip


class AsciiOnly(LineFilter):
    """Each sign becomes an ASCII one of the same width."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """Lines of ASCII are passed on as they are."""
        if all(segment.text.isascii() for segment in segments):
            return segments
        return [Segment(as_ascii(text), style, control) for text, style, control in segments]


@lru_cache(4096)
def as_ascii(text: str) -> str:
    """A text of the same width in columns; "?" for what has nothing like it in ASCII."""
    drawn = text.translate(_DRAWN)
    return "".join(sign if sign.isascii() else "?" * get_character_cell_size(sign) for sign in drawn)
