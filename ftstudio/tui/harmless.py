"""The last net before the terminal: no line holds a control character, whoever drew it.

What is shown goes through `look`, which makes such characters visible. A field that is typed into cannot: its value is
what a file says, or what somebody pasted, and has to stay that. So they are left out where lines are drawn.
"""

from __future__ import annotations

from rich.cells import get_character_cell_size
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from ftstudio.text import DANGEROUS


class Harmless(LineFilter):
    """Leaves dangerous characters out of a line. The line keeps its width: most of them have none."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """Lines of printable characters, which nearly all are, are passed on as they are."""
        if all(segment.text.isprintable() for segment in segments):
            return segments
        return [Segment(_without(text), style, control) for text, style, control in segments]


def _without(text: str) -> str:
    marked = DANGEROUS.sub(lambda match: "?" * get_character_cell_size(match.group()), text)
    return marked.replace("\n", "").replace("\t", "")
