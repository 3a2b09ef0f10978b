"""The chart as a widget: it keeps a view, draws when something changed, and tells where its cursor is.

Whoever owns it feeds the series and calls `changed()`; drawings are then at least `every` seconds apart, while a key is
answered at once. Only the stretch of a line that differs is sent to the terminal: an unchanged picture costs nothing.
A screen keeps several charts in step by handing `CursorMoved` of one to `show_cursor()` of the others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partialmethod
from time import monotonic
from typing import ClassVar
from zlib import crc32

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import BindingType
from textual.color import Color, ColorParseError
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from ftstudio.tui.actions import bindings
from ftstudio.tui.canvas import BRAILLE, Glyphs, Ink, Line
from ftstudio.tui.chart import Picture, draw
from ftstudio.tui.chart_export import csv_text, svg_text
from ftstudio.tui.scene import Scene, View, catch_up, next_axis, snap
from ftstudio.tui.series import Series

SLICE = 40_000  # values taken into smoothed curves between two looks at the keyboard: about 10 ms
DARK = ("#4aa8ff", "#ffb454", "#5fd38d", "#f07fb4", "#c3a6ff", "#e6db74", "#56d4dd", "#ff8f70")
LIGHT = ("#0060b0", "#b35900", "#00794f", "#b02a70", "#6a3fc0", "#7a6a00", "#007a87", "#c23b22")
ANSI = ("bright_blue", "bright_yellow", "bright_green", "bright_magenta", "bright_cyan", "red", "white", "blue")
"""Colours of runs. A theme may set its own as the variables chart-1 to chart-8."""


class Hues:
    """Numbers for runs, the same as long as it lives whoever else is shown, and mostly the same the next time."""

    def __init__(self) -> None:
        self._taken: dict[str, int] = {}

    def of(self, run_label: str) -> int:
        """The number of a run: the first free one from a place that its name gives."""
        if run_label not in self._taken:
            start, used = crc32(run_label.encode(errors="replace")) % 8, set(self._taken.values())
            wanted = [(start + i) % 8 for i in range(8)]
            self._taken[run_label] = next((n for n in wanted if n not in used), len(used))
        return self._taken[run_label]


class ChartView(Widget, can_focus=True):
    """One metric of one or several runs."""

    DEFAULT_CSS = """
    ChartView { height: 1fr; width: 1fr; }
    ChartView > .chart--title { text-style: bold; }
    ChartView:focus > .chart--title { text-style: bold reverse; }
    ChartView > .chart--title, ChartView > .chart--legend { color: $foreground; }
    ChartView > .chart--note, ChartView > .chart--axis { color: $foreground 65%; }
    ChartView > .chart--rule { color: $foreground 30%; }
    ChartView > .chart--cursor { color: $accent; }
    ChartView > .chart--warn, ChartView > .chart--bad { color: $text-error; text-style: bold; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        f"chart--{kind}" for kind in ("title", "legend", "note", "axis", "rule", "cursor", "warn", "bad")
    }
    PLACE: ClassVar[str] = "chart"
    """The place whose actions hold while it has the focus."""
    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings("chart"),
        *(replace(back, action="no_cursor") for back in bindings("everywhere") if back.id == "back"),
    ]

    @dataclass
    class CursorMoved(Message):
        """The person moved the cursor of a chart to `x` on `axis`, or hid it (None)."""

        chart: ChartView
        x: float | None
        axis: str

        @property
        def control(self) -> ChartView:
            """The chart."""
            return self.chart

    @dataclass
    class ViewChanged(Message):
        """The person chose another view; the cursor is told by CursorMoved."""

        chart: ChartView
        view: View

        @property
        def control(self) -> ChartView:
            """The chart."""
            return self.chart

    def __init__(
        self,
        series: Sequence[Series] = (),
        *,
        title: str = "",
        view: View | None = None,
        glyphs: Glyphs = BRAILLE,
        hues: Hues | None = None,
        every: float = 0.25,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self.title, self.glyphs, self.every = title, glyphs, every
        self.picture = Picture([])
        self._series, self._view, self._hues = list(series), view or View(), hues or Hues()
        self._strips: list[Strip] = []
        self._styles: dict[Ink, Style] = {}
        self._drawn_at, self._waiting, self._working = -math.inf, False, False
        self._drawn: tuple[object, ...] = ()

    # --------------------------------------------------------------------------------- what is shown

    @property
    def view(self) -> View:
        """What is chosen; set it to choose otherwise."""
        return self._view

    @view.setter
    def view(self, view: View) -> None:
        self._view = view
        self._redraw()

    def show(self, series: Sequence[Series], title: str | None = None) -> None:
        """Show these series, the first on top."""
        self._series, self.title = list(series), self.title if title is None else title
        self._redraw()

    def changed(self) -> None:
        """Values came: draw them, now or when the last drawing is `every` seconds old."""
        wait = self._drawn_at + self.every - monotonic()
        if wait <= 0:
            self._redraw()
        elif not self._waiting:
            self._waiting = True
            self.set_timer(wait, self._redraw)

    def show_cursor(self, x: float | None, axis: str) -> None:
        """Follow the cursor of another chart; nothing is posted."""
        if axis == self._view.axis and x != self._view.cursor:
            self.view = replace(self._view, cursor=x)

    def csv(self) -> str:
        """Every value in the window, as CSV."""
        return csv_text(self._series, self._view)

    def svg(self) -> str:
        """The picture as SVG."""
        return svg_text(self._series, self._view, self.title, hues=self._numbers())

    # ------------------------------------------------------------------------------------- drawing

    def render_line(self, y: int) -> Strip:
        """One line of the picture."""
        return self._strips[y] if y < len(self._strips) else Strip.blank(self.size.width, self.rich_style)

    def on_resize(self) -> None:
        """Another size is another picture."""
        self._redraw()

    def notify_style_update(self) -> None:
        """Another theme, or the focus came or went: the same picture in other styles."""
        super().notify_style_update()
        self._styles.clear()
        self._put(self.picture.lines)

    def _numbers(self) -> list[int]:
        return [self._hues.of(series.run_label) for series in self._series]

    def _redraw(self) -> None:
        self._waiting = False
        if not (self.is_attached and self.size.width and self.size.height):
            return
        self._drawn_at = monotonic()
        state = (self._view, self.size, self.title, self.glyphs.name, *((id(s), s.version) for s in self._series))
        if state == self._drawn and not self._working:
            return
        size = (self.size.width, self.size.height)
        self.picture = draw(self._series, self._view, size, title=self.title, glyphs=self.glyphs, hues=self._numbers())
        self._drawn = state
        self._put(self.picture.lines)
        if not self._working and self.picture.scene and any(t.lagging for t in self.picture.scene.traces):
            self._working = True
            self.set_timer(0.001, self._catch_up)

    def _catch_up(self) -> None:
        """Work on smoothed curves for some milliseconds, then let others have their turn."""
        missing = [s for s in self._series if catch_up(s, self._view, 0)]
        if missing:
            catch_up(missing[0], self._view, SLICE)
            self.set_timer(0.001, self._catch_up)
            if monotonic() - self._drawn_at > self.every:
                self._redraw()
            return
        self._redraw()
        self._working = False

    def _put(self, lines: Sequence[Line]) -> None:
        """Take over lines; ask for those stretches to be painted that look different."""
        before = self._strips
        self._strips = [Strip([Segment(text, self._style(ink)) for text, ink in line]) for line in lines]
        if len(before) != len(self._strips):
            self.refresh()
            return
        regions = [
            Region(start, y, end - start, 1)
            for y, (old, new) in enumerate(zip(before, self._strips, strict=True))
            for start, end in _differences(old, new)
        ]
        if regions:
            self.refresh(*regions)

    def _style(self, ink: Ink) -> Style:
        if ink not in self._styles:
            self._styles[ink] = self.rich_style + self._ink_style(ink)
        return self._styles[ink]

    def _ink_style(self, ink: Ink) -> Style:
        if ink.kind == "plain":
            return Style()
        if f"chart--{ink.kind}" in self.COMPONENT_CLASSES:
            return self._component_style(ink.kind)
        faint, strong = ink.kind == "faint", ink.kind in {"run", "mark"}
        if self.app.native_ansi_color:
            return Style(color=ANSI[ink.hue % len(ANSI)], dim=faint, bold=strong)
        colour = self._colour(ink.hue)
        if faint:
            colour = self.background_colors[1].blend(colour, 0.4)
        return Style(color=colour.rich_color, bold=strong)

    def _component_style(self, kind: str) -> Style:
        """A style from the sheet; where a colour lets the background through, mixed with it."""
        styles = self.get_component_styles(f"chart--{kind}")
        if self.app.native_ansi_color:
            dim = styles.color.a < 1 or kind in {"note", "axis", "rule"}
            return self.get_component_rich_style(f"chart--{kind}", partial=True) + Style(dim=dim)
        return Style(color=(self.background_colors[1] + styles.color).rich_color) + styles.text_style

    def _colour(self, hue: int) -> Color:
        colours = DARK if self.app.current_theme.dark else LIGHT
        number = hue % len(colours)
        try:
            return Color.parse(self.app.theme_variables.get(f"chart-{number + 1}", colours[number]))
        except ColorParseError:
            return Color.parse(colours[number])

    # --------------------------------------------------------------------------------------- actions

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Escape goes on to the screen when there is no cursor to hide."""
        return self._view.cursor is not None if action == "no_cursor" else True

    def action_act(self, id: str) -> None:
        """Take one of the chart's own actions."""
        getattr(self, "do_" + id.replace(".", "_"))()

    def _cursor(self, by: int) -> None:
        """To the next value of the first run, at least a cell away; from the right end when there was no cursor."""
        scene = self.picture.scene
        if scene is None or not scene.traces:
            return
        low, high = scene.x
        a_cell = (high - low) / (scene.columns - 1) * self.glyphs.across
        start = high if self._view.cursor is None else self._view.cursor + by * a_cell
        left = self._view.cursor is None or by < 0
        self._move_cursor(snap(scene.traces[0].series, start, self._view.axis, left=left), scene)

    def _cursor_end(self, last: int) -> None:
        """To the first or the newest value."""
        scene = self.picture.scene
        if scene and scene.traces:
            series = scene.traces[0].series
            self._move_cursor(series.x((len(series) - 1) * last, self._view.axis), scene)

    def action_no_cursor(self) -> None:
        """Hide the cursor."""
        self._move_cursor(None, self.picture.scene)

    def _move_cursor(self, x: float | None, scene: Scene | None) -> None:
        view = replace(self._view, cursor=x)
        if x is not None and scene and not scene.x[0] <= x <= scene.x[1]:  # bring it into the window
            low, high = scene.x
            view = view.panned((x - (high if x > high else low)) / (high - low), scene.everything)
        self.view = view
        self.post_message(self.CursorMoved(self, x, view.axis))

    def on_click(self, event: events.Click) -> None:
        """Put the cursor where the person points."""
        scene = self.picture.scene
        if scene is None or not scene.traces or event.x < self.picture.left:
            return
        share = (event.x - self.picture.left) * self.glyphs.across / (scene.columns - 1)
        x = scene.x[0] + min(1.0, share) * (scene.x[1] - scene.x[0])
        self._move_cursor(snap(scene.traces[0].series, x, self._view.axis), scene)

    def _choose(self, view: View) -> None:
        if view != self._view:
            hidden = self._view.cursor is not None and view.cursor is None
            self.view = view
            self.post_message(self.ViewChanged(self, view))
            if hidden:
                self.post_message(self.CursorMoved(self, None, view.axis))

    def _zoom(self, factor: float) -> None:
        """Half or twice the width."""
        if scene := self.picture.scene:
            self._choose(self._view.zoomed(factor, scene.everything))

    def _pan(self, share: float) -> None:
        """Earlier or later by a share of the width."""
        if scene := self.picture.scene:
            self._choose(self._view.panned(share, scene.everything))

    def _smooth(self, by: int) -> None:
        """One level of smoothing more or less."""
        self._choose(self._view.smoother(by))

    def do_chart_log(self) -> None:
        """Logarithmic or linear."""
        self._choose(replace(self._view, log=not self._view.log))

    def do_chart_axis(self) -> None:
        """The next axis; window and cursor belong to the old one."""
        view = replace(self._view, axis=next_axis(self._view.axis), width=None, end=None, cursor=None)
        self._choose(view)

    def do_chart_reset(self) -> None:
        """Everything, without a cursor."""
        self._choose(replace(self._view, width=None, end=None, cursor=None))

    do_chart_cursor_left = partialmethod(_cursor, -1)
    do_chart_cursor_right = partialmethod(_cursor, 1)
    do_chart_cursor_first = partialmethod(_cursor_end, 0)
    do_chart_cursor_last = partialmethod(_cursor_end, 1)
    do_chart_zoom_in = partialmethod(_zoom, 0.5)
    do_chart_zoom_out = partialmethod(_zoom, 2.0)
    do_chart_pan_left = partialmethod(_pan, -0.25)
    do_chart_pan_right = partialmethod(_pan, 0.25)
    do_chart_smoother = partialmethod(_smooth, 1)
    do_chart_rougher = partialmethod(_smooth, -1)


def _differences(old: Strip, new: Strip) -> list[tuple[int, int]]:
    """The stretches of cells that differ; two less than eight cells apart are one: moving there costs as much."""
    if old == new:
        return []
    before, after = _cells(old), _cells(new)
    if len(before) != len(after):
        return [(0, max(len(before), len(after)))]
    found: list[tuple[int, int]] = []
    for at, (a, b) in enumerate(zip(before, after, strict=True)):
        if a != b:
            if found and at - found[-1][1] < 8:
                found[-1] = (found[-1][0], at + 1)
            else:
                found.append((at, at + 1))
    return found


def _cells(strip: Strip) -> list[tuple[str, Style | None]]:
    """Character and style of each cell. A wide character takes two."""
    found: list[tuple[str, Style | None]] = []
    for text, style, _ in strip:
        wide = cell_len(text) != len(text)
        found += [(char, style) for char in text for _ in range(cell_len(char) if wide else 1)]
    return found
