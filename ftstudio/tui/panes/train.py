"""Train: a run as it goes. Tiles, a grid of charts with one cursor, the samples so far, the last words.

    events.jsonl ──History──> Feed (series) ──> ChartView ...     a sketch at once, the rest 10 ms at a time
                 ──EventReader of the tail──> samples, last words

Everything is read by the pane itself while it is shown, a slice at a time, so a key is never kept waiting; hidden, it
keeps what it read and goes on from there.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Grid, Horizontal
from textual.timer import Timer
from textual.widgets import Input

from ftstudio.api import Metric
from ftstudio.errors import InputError
from ftstudio.explain import explained
from ftstudio.files import state_dir, write_atomic
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.status import Status
from ftstudio.text import quote, safe_text
from ftstudio.tui import metric_help
from ftstudio.tui.actions import bindings
from ftstudio.tui.background import Asks
from ftstudio.tui.canvas import ASCII, BRAILLE
from ftstudio.tui.copying import copy
from ftstudio.tui.expressions import names_found
from ftstudio.tui.feed import Feeds
from ftstudio.tui.last_words import LastWords
from ftstudio.tui.panes.base import Pane
from ftstudio.tui.scene import View
from ftstudio.tui.tiles import TILES_HELP, tiles
from ftstudio.tui.watch import Seen
from ftstudio.tui.widgets.chart import ChartView, Hues
from ftstudio.tui.widgets.device_cells import DeviceCells
from ftstudio.tui.widgets.line_input import LineInput
from ftstudio.tui.widgets.still import Still
from ftstudio.tui.widgets.unwell import Unwell
from ftstudio.tui.words import run_rows

FIRST = ("loss", "eval_loss", "learning_rate", "grad_norm", "tokens_per_second", "perplexity")
HIDDEN = ("epoch", "tokens")
"""Metrics that are axes rather than curves; the filter brings them back."""
TILES_WIDTH = 90
"""Columns that the tiles have before the cells of the devices get any."""
CHART_ROWS = 8
SLICE_SECONDS = 0.01
MOST_OVERLAID = 6


class TrainPane(Pane, Asks):
    """Shows the project's current run, and others laid over it."""

    DEFAULT_CSS = """
    TrainPane #top { height: 1; }
    TrainPane #tiles { height: 1; width: 1fr; }
    TrainPane #charts { height: 1fr; grid-gutter: 0 1; }
    TrainPane #empty { height: 1fr; display: none; padding: 1 2; }
    TrainPane #words { height: 3; }
    TrainPane #metrics { display: none; padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("train")]

    def __init__(self, project: Path) -> None:
        super().__init__(project)
        self.run: RunFolder | None = None
        self.overlaid: list[Path] = []
        self.filter = ""
        self.alone = ""
        self._feeds = Feeds(project)
        self._words: LastWords | None = None
        self._own: tuple[Metric, ...] | None = None
        """What the trainer wants among the tiles; None until its plugin has said."""
        self._charts: dict[str, ChartView] = {}
        self._hues, self._view = Hues(), View()
        self._timer: Timer | None = None

    def compose(self) -> ComposeResult:
        """Tiles, charts, words."""
        with Horizontal(id="top"):
            yield Still("", id="tiles", markup=False)
            yield DeviceCells()
        yield Unwell()
        yield Still("", id="empty", markup=False)
        yield Grid(id="charts")
        yield Still("", id="words", markup=False)
        yield LineInput(placeholder="metrics whose name this finds (regex)", id="metrics")

    # ----------------------------------------------------------------------------------- being shown

    def enter(self) -> None:
        """Read on from where it was left."""
        self._come_back()
        self.refocus()

    def leave(self) -> None:
        """Read no more."""
        if self._timer is not None:
            self._timer.stop()
            self._timer = None

    def refocus(self) -> None:
        """The focus on a chart, so that its keys hold; where there is none on the pane, so that its own do.

        It stays where a person put it in here; a list of the pane before keeps it while it is hidden with that pane.
        """
        chart = next((c for c in self._charts.values() if c.display), None)
        self.can_focus = chart is None
        focused = self.screen.focused
        within = focused is not None and self in focused.ancestors and focused.display
        if self.display and not within:
            (chart or self).focus()

    def show_run(self, run: RunFolder | None) -> None:
        """Another run, the same one again, or none."""
        self._take_run(run)
        if not self._read():
            self._come_back()
        self.query_one(Unwell).look(self.run, "")
        self.draw()

    def _take_run(self, run: RunFolder | None) -> None:
        """Begin anew with another run, also with one that got the number of a deleted one."""
        others = self._feeds.forget_others()
        self.overlaid = [path for path in self.overlaid if path not in others]
        if run == self.run and (run is None or run.path not in others):
            return
        self.run = run
        self._words = LastWords(run.events) if run is not None else None
        self._view = replace(self._view, cursor=None)
        self._own = None
        if run is not None:
            self.overlaid = [path for path in self.overlaid if path != run.path]
            self.ask(lambda: metric_help.tiles_of(run), self._take_own, group="own")

    def seen(self, seen: Seen) -> None:
        """Files changed: read what came, and draw it and the tiles as one picture."""
        self.query_one(DeviceCells).look_again()
        self._take_run(self.project_screen.run)
        if not self._read():
            self._come_back()
        self.query_one(Unwell).look(self.run, self._waits())
        self.draw()

    # --------------------------------------------------------------------------------------- reading

    def _shown_runs(self) -> list[Path]:
        return [] if self.run is None else [self.run.path, *self.overlaid]

    def _read(self) -> bool:
        """Read one slice of each run; whether all are read to their end."""
        whole = [self._feeds.history(path).advance(SLICE_SECONDS) for path in self._shown_runs()]
        if self._words is not None:
            self._words.read()
        return all(whole)

    def _come_back(self) -> None:
        """Read the rest slice by slice."""
        if self._timer is None:
            self._timer = self.set_interval(0.02, self._read_on)

    def _read_on(self) -> None:
        """Read and draw one slice; stop the timer when there is no other."""
        if self._read() and self._timer is not None:
            self._timer.stop()
            self._timer = None
        self._draw_charts()
        self._draw_words()

    # --------------------------------------------------------------------------------------- drawing

    def _waits(self) -> str:
        """The plugin that is waited for, before the trainer's can say what it wants among the tiles; "" for none."""
        if self.run is None or self._own is not None:
            return ""
        from ftstudio.describing import waits_for  # noqa: PLC0415 - what is waited for loads it

        return waits_for()

    @property
    def status(self) -> Status | None:
        """The current run as the files were at the last look."""
        return self.studio.found.statuses.get(self.run.path) if self.run else None

    def draw(self) -> None:
        """Tiles, and what stands in place of charts that are not there yet."""
        status, look = self.status, self.studio.look
        empty = self.query_one("#empty", Still)
        self._draw_tiles()
        has_points = bool(self._metrics())
        empty.display = not has_points
        self.query_one("#charts").display = has_points
        if self.run is None:
            way = self.studio.way_on("run.start", "starts one with the settings of Setup")
            empty.update(look.lines(f"No run yet.\n\n{way}"))
        elif not has_points and self._names():
            empty.update(look.lines(self._why_none_is_found()))
        elif status is not None and not has_points:
            reason = look.lines(status.reason or "No metric yet: the first one comes with the first logged step.")
            way = self.studio.way_on("queue.open", "shows the queue") if status.state == "queued" else ""
            empty.update(reason.append(f"\n\n{way}" if way else ""))
        self._draw_charts()
        self._draw_words()

    def _draw_tiles(self) -> None:
        cells = self.query_one(DeviceCells).fit(self.size.width - TILES_WIDTH)
        self.query_one("#tiles", Still).update(self._tiles(self.status, self.size.width - cells))

    def _take_own(self, own: tuple[Metric, ...]) -> None:
        self._own = own
        self.query_one(Unwell).look(self.run, "")
        self._draw_tiles()

    def _tiles(self, status: Status | None, width: int) -> Text:
        if status is None:
            return Text("")
        feeds = self._feeds.best([status.path])
        times = feeds[0].timeline.time.values if feeds else ()
        return tiles(status, self.studio.look, self.filter, times[-1] if times else 0.0, width, self._own or ())

    def _names(self) -> set[str]:
        """The metrics that the shown runs have logged."""
        return {name for feed in self._feeds.best(self._shown_runs()) for name in feed.series}

    def _metrics(self) -> list[str]:
        """The names to draw, those people look at first before the others."""
        names = self._found()[0] if self.filter else self._names() - set(HIDDEN)
        return sorted(names, key=lambda n: (FIRST.index(n) if n in FIRST else len(FIRST), n))

    def _found(self) -> tuple[frozenset[str], InputError | None]:
        """The metrics that the filter finds, or what is wrong with it."""
        return names_found(self.filter, frozenset(self._names()))

    def _why_none_is_found(self) -> str:
        """Why the filter leaves no chart, with what to do."""
        key, wrong = self.studio.key("train.filter"), self._found()[1]
        if wrong is not None:
            return f"{wrong.message}\n\n{key} changes it. {wrong.hint}"
        if not self.filter:
            return f"Logged so far: {', '.join(sorted(self._names()))}.\n\n{key} and one of these names shows it."
        return f"No metric's name holds {quote(self.filter)}.\n\n{key} changes it; an empty one shows all."

    def _draw_charts(self) -> None:
        if not self.is_attached:
            return
        grid, metrics = self.query_one("#charts", Grid), self._metrics()
        if metrics and grid.styles.display == "none":  # not grid.display: that is false of a widget that closes
            self.draw()
            return
        columns = 2 if self.size.width >= 108 and len(metrics) > 1 and not self.alone else 1
        rows = max(1, grid.size.height // CHART_ROWS)
        shown = [self.alone] if self.alone in metrics else metrics[: columns * rows]
        for name in shown:
            if name not in self._charts:
                self._mount_chart(grid, name)
        grid.styles.grid_size_columns = columns
        feeds = self._feeds.best(self._shown_runs())
        for name, chart in self._charts.items():
            chart.display = name in shown
            if chart.display:
                chart.show([feed.series[name] for feed in feeds if name in feed.series], title=name)
        self.refocus()

    def _mount_chart(self, grid: Grid, name: str) -> None:
        glyphs = ASCII if self.studio.look.ascii else BRAILLE
        every = 1.0 if self.studio.over_ssh else 0.25
        chart = ChartView(title=name, view=self._view, glyphs=glyphs, hues=self._hues, every=every)
        self._charts[name] = chart
        order = self._metrics()
        later = [n for n in order[order.index(name) + 1 :] if n in self._charts]
        before = self._charts[later[0]] if later else None
        grid.mount(chart, before=before)

    def _draw_words(self) -> None:
        words, rows = self.query_one("#words", Still), 3 if self.app.size.height < 32 else 6
        words.styles.height = rows
        words.update(self._words.text(self.studio.look, rows) if self._words is not None else "")

    def on_resize(self) -> None:
        """Another size holds other tiles and other charts."""
        if self.is_mounted:
            self._draw_tiles()
            self._draw_charts()
            self._draw_words()

    def on_device_cells_changed(self) -> None:
        """Somebody else computes, or is done."""
        self.draw()

    # --------------------------------------------------------------------------------------- charts

    def on_chart_view_cursor_moved(self, event: ChartView.CursorMoved) -> None:
        """One cursor over all charts."""
        self._view = replace(self._view, cursor=event.x)
        at = event.x if event.axis == "step" else None
        self.project_screen.step_at_cursor = None if at is None else round(at)
        for chart in self._charts.values():
            if chart is not event.chart:
                chart.show_cursor(event.x, event.axis)

    def on_chart_view_view_changed(self, event: ChartView.ViewChanged) -> None:
        """Window, axis and smoothing are the same in all charts; a logarithmic axis is each one's own."""
        self._view = replace(event.view, log=False)
        for chart in self._charts.values():
            if chart is not event.chart:
                chart.view = replace(event.view, log=chart.view.log)

    @property
    def focused_chart(self) -> ChartView | None:
        """The chart that has the focus."""
        return self.screen.focused if isinstance(self.screen.focused, ChartView) else None

    def explain(self) -> str:
        """For help: the metric of the chart with the focus, and what the tiles are."""
        chart = self.focused_chart
        about = [self._of_metric(self.run, chart.title)] if self.run and chart else []
        return "\n\n".join([*about, TILES_HELP])

    def _of_metric(self, run: RunFolder, name: str) -> str:
        """What a metric is; a stranger's is not asked for while that would wait for a plugin."""
        waits = self._waits()
        if waits and name not in metric_help.MEANING:
            return f"{safe_text(name)}: the trainer's plugin says what it is. {waits}"
        return metric_help.explained(run, name)

    # --------------------------------------------------------------------------------------- actions

    def do_train_filter(self) -> None:
        """Type which metrics to show."""
        field = self.query_one("#metrics", Input)
        field.display, field.value = True, self.filter
        field.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Show what the expression finds so far."""
        self.filter = event.value
        self.draw()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep it."""
        self.query_one("#metrics").display = False
        self.screen.set_focus(None)
        self.refocus()

    def go_back(self) -> bool:
        """Take the filter away."""
        field = self.query_one("#metrics", Input)
        there = field.display or bool(self.filter)
        if there:
            self.filter, field.value, field.display = "", "", False
            self.screen.set_focus(None)
            self.draw()
            self.refocus()
        return there

    def do_train_alone(self) -> None:
        """One chart over the whole pane, or all again."""
        chart = self.focused_chart
        self.alone = "" if self.alone or chart is None else chart.title
        self._draw_charts()

    def do_train_next(self) -> None:
        """The focus to the next chart."""
        shown = [chart for chart in self._charts.values() if chart.display]
        if shown:
            at = shown.index(self.focused_chart) + 1 if self.focused_chart in shown else 0
            shown[at % len(shown)].focus()

    def do_train_samples(self) -> None:
        """All samples so far, over this."""
        from ftstudio.tui.screens.samples import SamplesScreen  # noqa: PLC0415 - made when it is asked for

        if self.run is None:
            raise InputError("There is no run yet.", self.studio.way_on("run.start", "starts one"))
        self.app.push_screen(SamplesScreen(self.run))

    def do_train_overlay(self) -> None:
        """Lay another run over this one, or take it away."""
        from ftstudio.tui.screens.asking import Picking  # noqa: PLC0415 - made when it is asked for

        found = self.studio.found
        others = [s for s in found.of(self.project) if self.run is None or s.path != self.run.path]
        if not others:
            raise InputError("There is no other run of this project.", self.studio.way_on("run.start", "starts one"))
        rows = run_rows(others, found, self.studio.look, self.overlaid)
        self.app.push_screen(
            Picking(f"Lay over this run ({self.studio.look.mark} is shown already)", rows), self._overlay
        )

    def _overlay(self, path: object) -> None:
        if isinstance(path, Path):
            self.overlaid = [p for p in self.overlaid if p != path] if path in self.overlaid else [*self.overlaid, path]
            self.overlaid = self.overlaid[-MOST_OVERLAID:]
            self.seen(Seen(self.studio.found, frozenset()))

    def do_train_export(self) -> None:
        """Write the chart under the focus as CSV and SVG."""
        chart = self.focused_chart
        if chart is None or self.run is None:
            raise InputError("No chart has the focus.", "Tab goes to one.")
        path = self._written(self.run, chart, ".csv", chart.csv())
        self._written(self.run, chart, ".svg", chart.svg())
        self.project_screen.say(f"Written: {path} and .svg")

    def do_copy(self) -> None:
        """The run's last values; of the chart with the focus also all values, by the path of their CSV file."""
        status, chart = self.status, self.focused_chart
        if self.run is None or status is None:
            raise InputError("There is no run to copy from.", self.studio.way_on("run.start", "starts one"))
        lines = [f"{self.run.title}  {' '.join(self._tiles(status, 1000).plain.split())}"]
        lines += [f"{safe_text(name)} {number:g}" for name, number in sorted(status.metrics.items())]
        if chart is not None:
            lines.append(f"{safe_text(chart.title)}: {self._written(self.run, chart, '.csv', chart.csv())}")
        self.studio.say(copy(self.app, "\n".join(lines)))

    def _written(self, run: RunFolder, chart: ChartView, suffix: str, text: str) -> Path:
        """Write what a chart shows into the folder of exports, and return where."""
        name = re.sub(r"[^A-Za-z0-9._-]", "_", f"{run.project.name}-{run.name}-{chart.title}")
        path = state_dir() / "exports" / f"{name}{suffix}"
        with explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, text)
        return path
