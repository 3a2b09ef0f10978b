"""Compare: runs beside each other. Settings that differ, what came of them, their curves over one another.

The current run and the one before are compared unless others are marked, here or on Home. Files are read in threads:
the comparison when a shown run changed, the curves by what came since.
"""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical

from ftstudio.api import Event
from ftstudio.errors import FtstudioError, InputError
from ftstudio.explain import explained
from ftstudio.files import refuse_symlinks, write_atomic
from ftstudio.runs.compare import LOSSES, Comparison, compare
from ftstudio.runs.compare_tables import NO_DOUBT, cut, doubt_sentences, markdown, result_rows, setting_rows
from ftstudio.runs.events import EventReader
from ftstudio.runs.folder import RunFolder
from ftstudio.text import plural
from ftstudio.tui import larger
from ftstudio.tui.actions import bindings
from ftstudio.tui.background import Asks
from ftstudio.tui.canvas import ASCII, BRAILLE
from ftstudio.tui.copying import copy
from ftstudio.tui.feed import Feed
from ftstudio.tui.form import field_of
from ftstudio.tui.look import Look
from ftstudio.tui.panes.base import Pane
from ftstudio.tui.watch import Seen
from ftstudio.tui.widgets.chart import ChartView
from ftstudio.tui.widgets.lines import Lines, Row
from ftstudio.tui.widgets.still import Still
from ftstudio.tui.words import run_rows

WORTH = (
    "A loss is a mean over tokens, so two losses say which run is better only when both are means over the same "
    "tokens; where they are not, it says why. A < marks the lowest of values that can be compared."
)
LIST_LINES = 5
DOUBT_LINES = 3
SETTINGS = "settings that differ"
NARROWEST = 12
"""Columns of a run's values; where more runs are marked than fit, the others are only in the export."""


@dataclass
class Curve:
    """The curves of one run: when that was made, where reading stands, and what was read."""

    made: tuple[int, int]
    reader: EventReader
    feed: Feed
    new: list[Event] = field(default_factory=list)


@dataclass(frozen=True)
class Read:
    """What a look at the files gave: the comparison, or why there is none; `seconds` is how long it took."""

    comparison: Comparison | None
    why_none: str
    curves: dict[Path, Curve]
    seconds: float


@dataclass(frozen=True)
class Columns:
    """Where the cells of the table stand: a name in `key` columns, then `column` for each of the first `room` runs."""

    width: int
    key: int
    column: int
    room: int
    labels: list[str]

    @classmethod
    def of(cls, found: Comparison, width: int) -> Columns:
        """As wide as what stands in them, within a width in columns."""
        every = [[SETTINGS], *(row for _, rows in _groups(found) for row in rows)]
        key = min(28, max(len(row[0]) for row in every)) + 3
        room = max(1, (width - key) // NARROWEST)
        labels = [run.label for run in found.runs[:room]]
        longest = max(len(value) for row in [["", *labels], *every] for value in row[1:]) + 4
        column = min(longest, (width - key) // min(room, len(found.runs)))
        return cls(width, key, column, room, [cut(label, column - 2, end=True) for label in labels])

    def line(self, cells: Sequence[str], look: Look, style: str = "", marked: int = -1) -> Text:
        """A row of the table; the value of the run with the number `marked` stands out."""
        text = look.cell(f" {cells[0]}", self.key - 2, style).append("  ")
        for number, value in enumerate(cells[1 : self.room + 1]):
            best = number == marked
            cell = look.cell(f"{value} <" if best else value, self.column - 2, "bold" if best else style)
            text = Text.assemble(text, cell, "  ", end="", no_wrap=True)
        return text


class ComparePane(Pane, Asks):
    """A list to mark runs in, what keeps their losses from being compared, the table, and a chart."""

    DEFAULT_CSS = """
    ComparePane #left { height: 1fr; width: 1fr; }
    ComparePane #marks { height: auto; background: $surface; }
    ComparePane #head { height: auto; }
    ComparePane #table { height: 1fr; }
    ComparePane ChartView { height: 8; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("compare")]

    def __init__(self, project: Path) -> None:
        super().__init__(project)
        self.chosen: list[Path] = []
        self._by_hand = False
        self.comparison: Comparison | None = None
        self._why_none = ""
        self._curves: dict[Path, Curve] = {}
        self._metric = ""
        self._reading = Lock()
        self._stale, self._next_look = True, 0.0

    def compose(self) -> ComposeResult:
        """The list and the table, beside or above the chart; the table's head does not scroll away."""
        with Vertical(id="left"):
            yield Lines(id="marks")
            yield Still("", id="head", markup=False)
            yield Lines(id="table")
        yield ChartView(glyphs=ASCII if self.studio.look.ascii else BRAILLE)

    # ------------------------------------------------------------------------------------ what is compared

    def enter(self) -> None:
        """Take the runs that were marked on Home, and the focus."""
        self._take_marked()
        self.query_one("#marks", Lines).focus()

    def show_run(self, run: RunFolder | None) -> None:
        """The current run changed: unless runs were marked by hand, compare it with the one before."""
        self._take_marked()
        if not self._by_hand:
            paths = [s.path for s in self.studio.found.of(self.project)]
            at = paths.index(run.path) if run is not None and run.path in paths else 0
            at = min(at, max(0, len(paths) - 2))  # the oldest run has none before it: the one after it
            self.chosen = paths[at : at + 2][::-1]
        self._compare()

    def _take_marked(self) -> None:
        if self.studio.compared:
            self.chosen, self._by_hand = list(self.studio.compared), True
            self.studio.compared = ()

    def do_compare_mark(self) -> None:
        """Into the comparison, or out of it."""
        lines = self.query_one("#marks", Lines)
        run = lines.key
        if isinstance(run, Path):
            self._by_hand = True
            self.chosen = [p for p in self.chosen if p != run] if run in self.chosen else [*self.chosen, run]
            lines.action_move(1)
            self._compare()

    # --------------------------------------------------------------------------------------- reading

    def seen(self, seen: Seen) -> None:
        """Look again when a compared run changed, but not more than a small part of the time."""
        there = self.studio.found.statuses
        if any(path not in there for path in self.chosen):
            self.chosen = [path for path in self.chosen if path in there]
            self._stale = True
        self._stale |= bool(seen.changed & set(self.chosen))
        self._draw_marks()
        if self._stale and time.monotonic() >= self._next_look:
            self._compare()

    def _compare(self) -> None:
        """Read the runs, in a thread."""
        self._stale = False
        self._draw_marks()
        paths, known = list(self.chosen), dict(self._curves)

        def question() -> Read:
            with self._reading:  # of two questions the first one's answer is dropped, but it still reads
                return _read(paths, known)

        self.ask(question, self.take)

    def take(self, read: Read) -> None:
        """Draw what was read."""
        self._next_look = time.monotonic() + max(2.0, 20 * read.seconds)
        self.comparison, self._why_none, self._curves = read.comparison, read.why_none, read.curves
        for curve in self._curves.values():
            curve.feed.add(curve.new)
            curve.new = []
        self._draw_chart()
        self.call_after_refresh(self._draw_table)
        self.project_screen.refresh_keys()

    # --------------------------------------------------------------------------------------- drawing

    def on_resize(self) -> None:
        """Columns are as wide as there is room, once the table knows its own."""
        self.call_after_refresh(self._draw_table)

    def _draw_marks(self) -> None:
        found = self.studio.found
        others = [s for p, s in found.statuses.items() if p in self.chosen and p.parent.parent != self.project]
        shown = [*others, *found.of(self.project)]
        rows = run_rows(shown, found, self.studio.look, self.chosen)
        lines = self.query_one("#marks", Lines)
        lines.set_rows(
            rows or [Row(None, Text(f" There is no run yet. {self.studio.way_on('run.start', 'starts one')}"))]
        )
        lines.styles.height = min(LIST_LINES, max(1, len(rows)))

    def _draw_table(self) -> None:
        table, head, found = self.query_one("#table", Lines), self.query_one("#head", Still), self.comparison
        head.display = found is not None
        if found is None:
            table.set_rows([Row(None, self.studio.look.plain(f" {self._why_none}"))] if self._why_none else [])
            return
        look, columns = self.studio.look, Columns.of(found, max(40, table.size.width - 1))
        lowest = {} if found.doubts else _lowest(found)
        groups = [(title if group else f"{title}: none", group) for title, group in _groups(found)]
        rows: list[Row] = []
        for number, (title, group) in enumerate(groups):
            if number:  # that of the first stands in the head, beside the runs
                rows.append(Row(None, look.plain(f" {title}", "bold")))
            rows += [Row(row[0], columns.line(row, look, "", lowest.get(row[0], -1))) for row in group]
        table.set_rows(rows)
        labels = columns.line([groups[0][0], *map(look.words, columns.labels)], look, "bold")
        head.update(Text("\n").join([*self._warnings(found, columns), labels]))

    def _warnings(self, found: Comparison, columns: Columns) -> Iterator[Text]:
        """Why losses cannot be compared, or that they can, in a few lines; and which runs do not stand there."""
        look, colour = self.studio.look, "yellow" if found.doubts else "dim"
        sentences, mark = doubt_sentences(found) or [NO_DOUBT], "!" if found.doubts else " "
        lines = [
            Text(f" {' ' if number else mark} {part}", colour)
            for sentence in sentences
            for number, part in enumerate(textwrap.wrap(look.plain(sentence).plain, max(20, columns.width - 4)))
        ]
        if len(lines) > DOUBT_LINES:
            few, left = sentences[: DOUBT_LINES - 1], len(sentences) - DOUBT_LINES + 1
            more = f"{plural(left, 'more reason')}; " if left > 0 else ""
            lines = [look.cell(f" {mark} {sentence}", columns.width, colour) for sentence in few]
            lines.append(Text(f"   {more}{self.studio.key('help')} tells all of it.", colour))
        yield from lines
        left = len(found.runs) - columns.room
        if left > 0:
            words = f"{plural(left, 'more run')} {'does' if left == 1 else 'do'} not fit here."
            yield look.plain(f"   {words} {self.studio.way_on('compare.export', 'writes all')}", "dim")

    def _draw_chart(self) -> None:
        chart = self.query_one(ChartView)
        feeds = [self._curves[path].feed for path in self.chosen if path in self._curves]
        names = dict.fromkeys([*LOSSES[::-1], *(name for feed in feeds for name in feed.series)])
        there = [name for name in names if any(name in feed.series for feed in feeds)]
        self._metric = self._metric if self._metric in there else next(iter(there), "")
        chart.display = bool(there)
        if there:
            chart.show([f.series[self._metric] for f in feeds if self._metric in f.series], self._metric)

    def explain(self) -> str:
        """For help: the setting under the cursor, else what a comparison is worth; and all that speaks against it."""
        table = self.query_one("#table", Lines)
        field = field_of(self.project, str(table.key)) if table.has_focus else None
        about = f"{table.key}: {larger.explained(field)}" if field is not None else WORTH
        return "\n\n".join([about, *(doubt_sentences(self.comparison) if self.comparison else [])])

    # --------------------------------------------------------------------------------------- actions

    def why_not(self, id: str) -> str:
        """Why an action cannot be taken now."""
        return "There is no comparison yet: mark two runs." if id == "compare.export" and not self.comparison else ""

    def do_compare_turn(self) -> None:
        """The list of runs, the table, the chart: the next one gets the focus."""
        self.screen.focus_next()

    def do_copy(self) -> None:
        """The tables as Markdown."""
        if self.comparison is None:
            raise InputError("There is no comparison yet.", "Mark two runs with space.")
        self.studio.say(copy(self.app, markdown(self.comparison)))

    def do_compare_metric(self) -> None:
        """The next metric in the chart."""
        names = list(dict.fromkeys(name for curve in self._curves.values() for name in curve.feed.series))
        if names:
            self._metric = names[(names.index(self._metric) + 1) % len(names)] if self._metric in names else names[0]
            self._draw_chart()

    def do_compare_export(self) -> None:
        """Write it as Markdown, and say where."""
        assert self.comparison is not None
        found, project = self.comparison, self.project
        self.ask(lambda: export(found, project), self._exported, group="export")

    def _exported(self, path: Path) -> None:
        self.project_screen.say(f"Written: {path}")


def _read(paths: Sequence[Path], known: dict[Path, Curve]) -> Read:
    """In a thread: compare these runs, and read what came of their curves since. Only new curves are fed here."""
    begun, curves = time.monotonic(), {}
    for path in paths:
        run = RunFolder(path)
        curve = known.get(path)
        fresh = curve is None or curve.made != run.made  # another run may have the number of a deleted one
        if curve is None or fresh:
            curve = Curve(run.made, EventReader(run.events), Feed(run.title))
        curves[path] = curve
        while events := curve.reader.read():
            curve.feed.add(events) if fresh else curve.new.extend(events)
    comparison, why = None, "Mark another run with space: comparing takes two." if paths else ""
    if len(paths) > 1:
        try:
            comparison = compare([RunFolder(path) for path in paths])
        except FtstudioError as error:
            why = str(error)
    return Read(comparison, why, curves, time.monotonic() - begun)


def _groups(found: Comparison) -> Iterator[tuple[str, list[list[str]]]]:
    """The table's rows in the order in which they are read, each group with its title."""
    results = result_rows(found.runs)
    losses = [row for row in results if row[0].removeprefix("best ") in LOSSES]
    yield from [("losses", losses)] if losses else []
    yield SETTINGS, setting_rows(found)
    yield from [("results", rest)] if (rest := [row for row in results if row not in losses]) else []


def _lowest(found: Comparison) -> dict[str, int]:
    """Row of a loss -> the run with the lowest best value, where several have one."""
    lowest = {}
    for name in LOSSES:
        values = [(run.best[name][1], number) for number, run in enumerate(found.runs) if name in run.best]
        if len(values) > 1 and len({value for value, _ in values}) > 1:
            lowest[f"best {name}"] = min(values)[1]
    return lowest


def export(found: Comparison, project: Path) -> Path:
    """Write a comparison as Markdown beside project.toml; the file of an earlier one with other content stays.

    Raises InputError.
    """
    name = "compare-" + "-".join(run.run.name for run in found.runs[:8])
    text = markdown(found)
    for number in range(1, 1000):
        path = project / (f"{name}.md" if number == 1 else f"{name}-{number}.md")
        refuse_symlinks(path, project)
        with explained(path):
            if not path.exists():
                write_atomic(path, text)
                return path
            if path.read_bytes() == text.encode():
                return path
    raise InputError(f"{project} holds a thousand comparisons of these runs.", "Move some away.")
