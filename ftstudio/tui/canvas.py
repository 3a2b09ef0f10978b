"""Dots in a terminal: a bytearray with one byte a cell, drawn as braille, as quadrant blocks or in ASCII.

A `Canvas` knows columns, lines and glyphs, and nothing of charts. A dot at (x, y), y downwards, is bit
`(x % across) * down + y % down` of its cell, so that a vertical stroke, which is what a chart draws most, sets all its
dots of a cell at once. `Cells` lays canvases over one another and adds signs; what a cell looks like is an `Ink`, a
kind and a number, and only the widget turns it into a style.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import compress, groupby
from typing import NamedTuple


def _braille() -> tuple[str, ...]:
    order = (0, 1, 2, 6, 3, 4, 5, 7)  # Unicode numbers the dots down the left, down the right, then the last row
    return tuple(chr(0x2800 + sum(1 << order[bit] for bit in range(8) if cell >> bit & 1)) for cell in range(256))


@dataclass(frozen=True)
class Glyphs:
    """What a kind of terminal can draw: `dots[bits]` for a cell of `across` by `down` dots, and single signs."""

    name: str
    across: int
    down: int
    dots: tuple[str, ...] = field(repr=False)
    runs: str  # one a run, so that runs differ without colour
    side: str
    rule: str
    resume: str
    checkpoint: str
    eval: str
    nan: str
    above: str
    below: str
    more: str
    join: str  # between notes

    def mark(self, kind: str) -> str:
        """The sign of an event: resume, checkpoint or eval."""
        return {"resume": self.resume, "checkpoint": self.checkpoint, "eval": self.eval}[kind]


_SIGNS = {"resume": "»", "checkpoint": "▲", "eval": "△", "nan": "\u00d7", "above": "↑", "below": "↓"}
_RUNS = "●○■□◆◇★☆"
BRAILLE = Glyphs("braille", 2, 4, _braille(), _RUNS, "⡇", **_SIGNS, rule="_", more="…", join=" · ")
BLOCK = Glyphs("block", 2, 2, tuple(" ▘▖▌▝▀▞▛▗▚▄▙▐▜▟█"), _RUNS, "│", **_SIGNS, rule="_", more="…", join=" · ")
ASCII = Glyphs("ascii", 1, 3, tuple(" '-|.:||"), "o*+#@%&$", "|", "_", ">", "^", "=", "x", "!", "!", "~", ", ")
GLYPHS = {glyphs.name: glyphs for glyphs in (BRAILLE, BLOCK, ASCII)}


class Canvas:
    """`columns` by `rows` cells of dots, all off. What lies outside is clipped, never an error."""

    def __init__(self, columns: int, rows: int, glyphs: Glyphs) -> None:
        self.columns, self.rows, self.glyphs = columns, rows, glyphs
        self.width, self.height = columns * glyphs.across, rows * glyphs.down
        self.cells = bytearray(columns * rows)

    def stroke(self, x: int, top: int, bottom: int) -> None:
        """Set the dots of column x from `top` to `bottom`, both included, in either order."""
        if top > bottom:
            top, bottom = bottom, top
        top, bottom = max(top, 0), min(bottom, self.height - 1)
        if not 0 <= x < self.width or top > bottom:
            return
        across, down, cells = self.glyphs.across, self.glyphs.down, self.cells
        shift, (row, first), (last_row, last) = x % across * down, divmod(top, down), divmod(bottom, down)
        at = row * self.columns + x // across
        full = (1 << down) - 1
        for _ in range(row, last_row):
            cells[at] |= (full >> first << first) << shift
            first, at = 0, at + self.columns
        cells[at] |= (full >> first << first & (2 << last) - 1) << shift

    def line(self, x0: float, y0: float, x1: float, y1: float) -> None:
        """Join two points, x0 <= x1, without a gap. Each column gets the stretch that the line covers in it."""
        if x1 - x0 < 1e-9:
            self.stroke(round(x0), round(y0), round(y1))
            return
        slope = (y1 - y0) / (x1 - x0)
        for x in range(max(0, round(x0)), min(self.width - 1, round(x1)) + 1):
            enter, leave = max(x0, x - 0.5), min(x1, x + 0.5)
            self.stroke(x, round(y0 + slope * (enter - x0)), round(y0 + slope * (leave - x0)))

    def glyph(self, column: int, row: int) -> str:
        """What a cell shows."""
        return self.glyphs.dots[self.cells[row * self.columns + column]]

    def text(self) -> str:
        """All rows, for people and tests."""
        return "\n".join("".join(self.glyph(c, r) for c in range(self.columns)) for r in range(self.rows))


class Ink(NamedTuple):
    """How something is to look: a kind ("axis", "solid", "faint" ...) and, for what belongs to a run, its hue."""

    kind: str
    hue: int = 0


Line = list[tuple[str, Ink]]
PLAIN = Ink("plain")


class Cells:
    """`columns` by `rows` characters, each with its ink."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self.chars = [" "] * (columns * rows)
        self.inks = [PLAIN] * (columns * rows)
        self._dots: dict[int, int] = {}  # of the solid canvases, by cell: they add up, faint ones are covered

    def put(self, column: int, row: int, char: str, ink: Ink) -> None:
        """Write one character, over what is there."""
        if 0 <= column < self.columns and 0 <= row < self.rows:
            self.chars[row * self.columns + column], self.inks[row * self.columns + column] = char, ink

    def at(self, column: int, row: int) -> Ink:
        """The ink of a cell."""
        return self.inks[row * self.columns + column]

    def lay(self, canvas: Canvas, ink: Ink, *, over: bool, char: str = "") -> None:
        """Lay a canvas of the same size on top. Dots of canvases laid with `over=False` are kept beside its own.

        With `char` every cell that has a dot shows that instead.
        """
        dots, chars, inks = canvas.glyphs.dots, self.chars, self.inks
        for at in compress(range(len(chars)), canvas.cells):
            cell = canvas.cells[at]
            if not over:
                cell = self._dots[at] = cell | self._dots.get(at, 0)
            chars[at], inks[at] = char or dots[cell], ink

    def line(self, row: int) -> Line:
        """A row as stretches of one ink."""
        start, found = row * self.columns, Line()
        for ink, group in groupby(range(start, start + self.columns), self.inks.__getitem__):
            found.append(("".join(self.chars[i] for i in group), ink))
        return found
