"""How things look: glyphs in Unicode or ASCII, text from outside made safe, states as glyph, word and colour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rich.text import Text

from ftstudio.errors import FtstudioError, ProblemsError
from ftstudio.runs.status import GLYPHS, State
from ftstudio.text import safe_text

COLOURS: Mapping[State, str] = {
    "queued": "yellow", "starting": "yellow", "running": "green", "stopping": "yellow",
    "finished": "green", "stopped": "yellow", "failed": "red", "interrupted": "red",
}  # fmt: skip
ASCII_STATES: Mapping[State, str] = {
    "queued": "o", "starting": "o", "running": "*", "stopping": "*",
    "finished": "+", "stopped": "=", "failed": "x", "interrupted": "x",
}  # fmt: skip
_PLAIN = str.maketrans({
    "…": "...", "·": "|", "→": "->", "│": "|", "─": "-", "▸": ">", "✗": "x", "✓": "+", "●": "*", "◌": "o", "■": "=",
})  # fmt: skip
SPARKS = "▁▂▃▄▅▆▇█"
ASCII_SPARKS = "_.-=*#"


@dataclass(frozen=True)
class Look:
    """What the terminal can show."""

    ascii: bool = False

    def state(self, state: State) -> tuple[str, str]:
        """Glyph and colour of a state; its word always stands beside them."""
        return (ASCII_STATES if self.ascii else GLYPHS)[state], COLOURS[state]

    @property
    def mark(self) -> str:
        """What stands before a line that was marked; no state's sign, which may stand beside it."""
        return "#" if self.ascii else "+"

    def words(self, text: str) -> str:
        """Our own words: with --ascii without any sign that an ASCII terminal lacks."""
        return text.translate(_PLAIN).encode("ascii", "replace").decode() if self.ascii else text

    def plain(self, text: object, style: str = "") -> Text:
        """Text from outside, on one line: escaped, and never read as markup."""
        shown = safe_text(text, one_line=True)
        if self.ascii:
            shown = shown.encode("ascii", "backslashreplace").decode()
        return Text(shown, style=style, no_wrap=True, overflow="ellipsis" if not self.ascii else "crop", end="")

    def cell(self, text: object, width: int, style: str = "") -> Text:
        """Text from outside as a cell of a table: cut or filled to a width in columns."""
        shown = self.plain(text, style)
        shown.truncate(width, overflow="crop" if self.ascii else "ellipsis", pad=True)
        return shown

    def lines(self, text: object, style: str = "") -> Text:
        """Text from outside, on as many lines as it has."""
        shown = safe_text(text)
        text = Text(shown.encode("ascii", "backslashreplace").decode() if self.ascii else shown)
        if style:
            text.stylize(style)  # as a style of the whole, a widget would take "green" for another green
        return text

    def error(self, error: FtstudioError, style: str) -> Text:
        """What went wrong, and below it what to do; of a project's problems each with its fix."""
        if isinstance(error, ProblemsError):
            return Text("\n").join(self.lines(f"{p.message} {p.fix}".rstrip()) for p in error.problems)
        said = self.lines(error.message, style)
        return said.append("\n").append_text(self.lines(error.hint)) if error.hint else said

    def spark(self, values: list[float], width: int) -> str:
        """A line of at most `width` characters that shows how values went; empty without two finite ones."""
        finite = [v for v in values if v == v and abs(v) != float("inf")]  # noqa: PLR0124 - NaN is unequal to itself
        if len(finite) < 2 or width < 2:
            return ""
        marks = ASCII_SPARKS if self.ascii else SPARKS
        low, high = min(finite), max(finite)
        picked = (
            [finite[round(i * (len(finite) - 1) / (width - 1))] for i in range(min(width, len(finite)))]
            if len(finite) > width
            else finite
        )
        scale = (len(marks) - 1) / (high - low) if high > low else 0.0
        return "".join(marks[round((v - low) * scale)] for v in picked)
