"""A chart as lines of text: a title with its legend, the curves, the axes, the marks.

`draw` takes series, a view and a size and returns styled lines; it knows no terminal and no Textual. From 20 x 5 cells
up everything has its place; below that it says what it needs. Nothing is dropped without a word: what cannot be drawn
(NaN, infinities, values that a logarithmic axis cannot show, a run without the chosen axis) is marked and counted.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import set_cell_size

from ftstudio.tui.canvas import BRAILLE, PLAIN, Canvas, Cells, Glyphs, Ink, Line
from ftstudio.tui.legend import header, outside
from ftstudio.tui.scene import Layer, Scene, Trace, View, build, index_near
from ftstudio.tui.series import MARKS, Series
from ftstudio.tui.ticks import Scale, axis_text, scale, spaced, x_ticks, y_ticks

LEAST = (20, 5)
SIGN_EVERY = 24  # cells between two of a run's glyphs on its curve

AXIS, RULE, CURSOR, BAD = Ink("axis"), Ink("rule"), Ink("cursor"), Ink("bad")


@dataclass(frozen=True)
class Picture:
    """What to show: `lines` of stretches of text, and where the columns of the axis are."""

    lines: list[Line]
    scene: Scene | None = None  # None when there was no room for one
    left: int = 0  # the cell where the first column is drawn

    def text(self) -> str:
        """Without styles."""
        return "\n".join("".join(text for text, _ in line).rstrip() for line in self.lines)


def draw(
    series: Sequence[Series],
    view: View,
    size: tuple[int, int],
    *,
    title: str = "",
    glyphs: Glyphs = BRAILLE,
    hues: Sequence[int] = (),
) -> Picture:
    """The chart of some series at a size in cells. `hues` numbers colours and glyphs; the first series is on top."""
    width, height = size
    title = outside(title or (series[0].name if series else "chart"), glyphs)
    if width < LEAST[0] or height < LEAST[1]:
        return Picture(_too_small(title, width, height))
    rows = height - 2
    scene = build(series, view, hues)
    ticks = y_ticks(*scene.y, rows, view.log) if scene.y else []
    gutter = min(width // 2, max([len(view.axis), *(len(text) for _, text in ticks)]) + 1)
    scene.divide((width - gutter) * glyphs.across)
    return _Drawing(scene, glyphs, title, width, rows, gutter).picture(ticks)


def _too_small(title: str, width: int, height: int) -> list[Line]:
    said = [title, f"needs {LEAST[0]}x{LEAST[1]},", f"has {width}x{height}"]
    if height < 3:
        said = [f"{title}: {' '.join(said[1:])}"]
    return [[(set_cell_size(text, width), Ink("note"))] for text in [*said, *[""] * height][:height]]


class _Drawing:
    """One chart while it is drawn."""

    def __init__(self, scene: Scene, glyphs: Glyphs, title: str, width: int, rows: int, gutter: int) -> None:
        self.scene, self.glyphs, self.title, self.width, self.gutter = scene, glyphs, title, width, gutter
        self.cells = Cells(width - gutter, rows)
        self.dots = rows * glyphs.down
        self.scale: Scale = scale(*scene.y, self.dots, scene.view.log) if scene.y else lambda value: 0.0

    def picture(self, ticks: Sequence[tuple[float, str]]) -> Picture:
        """Draw from back to front."""
        cells, scene = self.cells, self.scene
        for column in range(cells.columns):
            cells.put(column, cells.rows - 1, self.glyphs.rule, RULE)
        cursor = self._cursor_column()
        if cursor is not None:
            for row in range(cells.rows):
                cells.put(cursor, row, "|" if self.glyphs.name == "ascii" else "│", CURSOR)
        self._curves()
        self._events()
        for trace in reversed(scene.traces):
            self._gaps(trace)
        self._signs()
        if cursor is not None:
            self._cursor_signs()
        if not scene.y:
            self._say(self._why_empty())
        top = header(scene, self.title, self._events_at(cursor), self.glyphs, self.width)
        lines = [top, *self._rows(ticks), self._x_labels(cursor)]
        return Picture(lines, scene, self.gutter)

    # ------------------------------------------------------------------------------------------ places

    def _cell(self, x: float) -> int:
        """The cell of a column."""
        return round(x) // self.glyphs.across

    def _row(self, value: float) -> int:
        """The row of a value."""
        return max(0, min(self.dots - 1, round(self.scale(value)))) // self.glyphs.down

    def _cursor_column(self) -> int | None:
        cursor, (low, high) = self.scene.view.cursor, self.scene.x
        return self._cell(self.scene.column(cursor)) if cursor is not None and low <= cursor <= high else None

    # ------------------------------------------------------------------------------------------ curves

    def _curves(self) -> None:
        for faint in (True, False):
            for trace in reversed(self.scene.traces):
                for layer in trace.layers:
                    if layer.faint is faint:
                        ink = Ink("faint" if faint else "solid", trace.hue)
                        self.cells.lay(self._dotted(trace, layer), ink, over=faint, char=self._ascii_char(trace, faint))

    def _dotted(self, trace: Trace, layer: Layer) -> Canvas:
        """A curve as dots: one stroke a column, from its smallest to its largest value and half-way to those beside
        it; lines where columns without values lie between.
        """
        canvas, place = Canvas(self.cells.columns, self.cells.rows, self.glyphs), self.scale
        strokes = {
            x: [place(high), place(low)] for x, _, _, low, high in layer.columns if low is not None and high is not None
        }
        for x0, from_value, x1, to_value in self.scene.joins(trace, layer):
            y0, y1 = place(from_value), place(to_value)
            if x1 - x0 != 1:
                canvas.line(x0, y0, x1, y1)
                continue
            middle = (y0 + y1) / 2
            for x in (x0, x1):
                if stroke := strokes.get(int(x)):
                    stroke[0], stroke[1] = min(stroke[0], middle), max(stroke[1], middle)
        for x, (top, bottom) in strokes.items():
            canvas.stroke(x, round(top), round(bottom))
        return canvas

    def _ascii_char(self, trace: Trace, faint: bool) -> str:
        """ASCII has no faint dots and no two kinds of them: points for a faint curve, a run's own sign for several."""
        if self.glyphs.name != "ascii" or not (faint or len(self.scene.traces) > 1):
            return ""
        return "." if faint else self.glyphs.runs[trace.hue % len(self.glyphs.runs)]

    def _gaps(self, trace: Trace) -> None:
        """A sign where the raw curve has no place: NaN at the height of what came before, the rest at its edge."""
        layer, row = trace.layers[0], self.cells.rows // 2
        for column in layer.columns:
            if column.high is not None:
                row = self._row(column.high)
            bad = layer.curve.bad(column.start, column.end)
            for index in {bad[0], bad[-1]} if bad else ():
                value = layer.curve.values[index]
                if value != value:  # noqa: PLR0124 - NaN
                    self.cells.put(self._cell(column.x), row, self.glyphs.nan, BAD)
                elif value > 0:
                    self.cells.put(self._cell(column.x), 0, self.glyphs.above, BAD)
                else:
                    self.cells.put(self._cell(column.x), self.cells.rows - 1, self.glyphs.below, BAD)

    def _signs(self) -> None:
        """Each run's glyph here and there on its curve: it names the run without colour, and shows a lone value."""
        traces = self.scene.traces
        if len(traces) == 1 and self.scene.points() > 1:
            return
        for number, trace in reversed(list(enumerate(traces))):
            columns = trace.front.columns
            if not columns:
                continue
            due = SIGN_EVERY * (2 * number + 1) // (2 * len(traces))
            for column in columns:
                cell = self._cell(column.x)
                if (cell >= due or column is columns[-1]) and trace.front.curve.can_draw(column.end - 1):
                    due = cell + SIGN_EVERY
                    self._sign(trace, cell, self._row(trace.front.curve.values[column.end - 1]))

    def _sign(self, trace: Trace, cell: int, row: int) -> None:
        self.cells.put(cell, row, self.glyphs.runs[trace.hue % len(self.glyphs.runs)], Ink("run", trace.hue))

    # ------------------------------------------------------------------------------------------ events

    def _events(self) -> None:
        """A sign for each event at the foot of its column, one row up where a curve lies there and leaves room."""
        timelines = {id(t.series.timeline): t for t in reversed(self.scene.traces)}
        for trace in timelines.values():
            for kind in reversed(MARKS):
                for cell in self._event_cells(trace, kind):
                    row = self.cells.rows - 1
                    if self.cells.at(cell, row).kind == "solid" and self.cells.at(cell, row - 1).kind != "solid":
                        row -= 1
                    self.cells.put(cell, row, self.glyphs.mark(kind), Ink("mark", trace.hue))

    def _event_cells(self, trace: Trace, kind: str) -> list[int]:
        """The cells that hold an event of a kind, found from one to the next: a million events cost no more."""
        steps, track = trace.series.timeline.marks[kind], trace.series.timeline.track(self.scene.view.axis)
        low, high = self.scene.x
        found, at = [], bisect_left(steps, track.step_at(low) if track else low)
        while at < len(steps):
            x = track.at(steps[at]) if track else steps[at]
            if x > high:
                break
            found.append(self._cell(self.scene.column(x)))
            at = max(at + 1, bisect_left(steps, self._step_of_cell(trace, found[-1] + 1)))
        return found

    def _step_of_cell(self, trace: Trace, cell: int) -> float:
        """The first step of a run that falls into a cell."""
        (low, high), track = self.scene.x, trace.series.timeline.track(self.scene.view.axis)
        edge = low + (cell * self.glyphs.across - 0.5) * (high - low) / (self.scene.columns - 1)
        return track.step_at(edge) if track else edge

    def _events_at(self, cursor: int | None) -> str:
        """What happened in the column under the cursor, for the header."""
        if cursor is None:
            return ""
        for trace in self.scene.traces:
            for kind in MARKS:
                steps = trace.series.timeline.marks[kind]
                before = bisect_left(steps, self._step_of_cell(trace, cursor + 1))
                if before and steps[before - 1] >= self._step_of_cell(trace, cursor):
                    return f"{kind} {steps[before - 1]:,.0f}"
        return ""

    # -------------------------------------------------------------------------------- cursor and words

    def _cursor_signs(self) -> None:
        view = self.scene.view
        assert view.cursor is not None
        for trace in reversed(self.scene.traces):
            index = index_near(trace.series, view.cursor, view.axis)
            curve = trace.front.curve
            if index is not None and index < len(curve) and curve.can_draw(index):
                column = self.scene.column(trace.series.x(index, view.axis))
                self._sign(trace, self._cell(column), self._row(curve.values[index]))

    def _why_empty(self) -> str:
        scene = self.scene
        if not any(len(t.series) for t in scene.traces):
            return f"no {scene.view.axis} logged" if scene.left_out and scene.view.axis != "step" else "no values yet"
        if not scene.points():
            return "no values in this window"
        if scene.view.log and scene.hidden()[1]:
            return "no value above 0 for a log axis"
        return "no finite value yet"

    def _say(self, text: str) -> None:
        text = text[: self.cells.columns]
        start = (self.cells.columns - len(text)) // 2
        for column, char in enumerate(text, start):
            self.cells.put(column, (self.cells.rows - 1) // 2, char, Ink("note"))

    def _rows(self, ticks: Sequence[tuple[float, str]]) -> list[Line]:
        """The curves with the labels of the vertical axis before them."""
        rows = [self._row(value) for value, _ in ticks]
        labels = {rows[i]: ticks[i][1] for i in spaced(rows, 2 if self.cells.rows > 3 else 1)}
        room = self.gutter - 1
        return [
            [
                (f"{labels.get(row, '')[:room]:>{room}}", AXIS),
                (self.glyphs.side, RULE),
                *self.cells.line(row),
            ]
            for row in range(self.cells.rows)
        ]

    def _x_labels(self, cursor: int | None) -> Line:
        """The labels of the horizontal axis; the cursor's takes the place of those it would touch."""
        scene, columns, axis = self.scene, self.cells.columns, self.scene.view.axis
        low, high = scene.x
        placed: list[tuple[int, str, Ink]] = []
        if scene.points() == 1 or scene.everything[0] == scene.everything[1]:
            if scene.traces:
                text = axis_text(scene.everything[1], 1, axis)
                placed = [(max(0, min(columns - len(text), columns // 2 - len(text) // 2)), text, AXIS)]
        else:
            placed = [(at, text, AXIS) for at, text in x_ticks(low, high, columns, axis)]
        if cursor is not None and scene.view.cursor is not None:
            whole = scene.view.cursor == round(scene.view.cursor)
            text = axis_text(scene.view.cursor, 1.0 if whole else max((high - low) / columns / 10, 1e-9), axis)
            at = max(0, min(columns - len(text), cursor - len(text) // 2))
            placed = [p for p in placed if p[0] + len(p[1]) < at or p[0] > at + len(text)]
            placed = sorted([*placed, (at, text, CURSOR)])
        line, at = [(f"{axis:>{self.gutter - 1}} ", AXIS)], 0
        for start, text, ink in placed:
            line += [(" " * (start - at), PLAIN), (text, ink)]
            at = start + len(text)
        return [*line, (" " * (columns - at), PLAIN)]
