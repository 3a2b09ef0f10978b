"""Logs: what the run reported, or its raw output; files of any size, followed, searched, only their errors."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Input

from ftstudio.errors import InputError
from ftstudio.runs.events import parse_event
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.state import LIVE
from ftstudio.text import size_text
from ftstudio.tui.actions import bindings
from ftstudio.tui.copying import copy
from ftstudio.tui.expressions import expression
from ftstudio.tui.logfile import Line, LogFile
from ftstudio.tui.panes.base import Pane
from ftstudio.tui.watch import Seen
from ftstudio.tui.widgets.line_input import LineInput
from ftstudio.tui.widgets.log_view import ERRORS, LogView
from ftstudio.tui.widgets.still import Still
from ftstudio.tui.words import short, value

EVENT_ERRORS = re.compile(rb'"kind": ?"warning"|"state": ?"(?:failed|interrupted)"|"nan"|"-?inf"')
PROGRESS = re.compile(rb'"kind": ?"(?!progress|chunk)')
"""What is shown of events.jsonl unless only errors are: all but progress, which the tiles show."""


class LogsPane(Pane):
    """The file of one run: events.jsonl in words, or console.log as it is."""

    DEFAULT_CSS = """
    LogsPane #where { height: 1; color: $text-muted; }
    LogsPane #search { display: none; padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("logs")]

    def __init__(self, project: Path) -> None:
        super().__init__(project)
        self.run: RunFolder | None = None
        self._made = (0, 0)
        """Which run it is that has this number."""
        self.raw = self.errors = False
        self._sought: re.Pattern[str] | None = None
        """What is looked for in the text of the lines, as it is shown."""
        self._step: int | None = None
        """The step whose metrics are looked for instead."""

    def compose(self) -> ComposeResult:
        """Where one is, and the lines."""
        yield Still("", id="where", markup=False)
        yield LogView(self._styled, self._why_empty)
        yield LineInput(placeholder="find a line (regex)", id="search")

    @property
    def view(self) -> LogView:
        """The lines."""
        return self.query_one(LogView)

    def enter(self) -> None:
        """The keys go to the lines."""
        self.view.focus()

    def leave(self) -> None:
        """Nobody waits for what is looked for."""
        self.view.end_search()

    def show_run(self, run: RunFolder | None) -> None:
        """Another run's files, also those of one that got the number of a deleted one."""
        if run is not None and (run, run.made) != (self.run, self._made):
            self.run, self._made = run, run.made
            self._open()
        self.view.changed()
        self._draw_where()

    def seen(self, seen: Seen) -> None:
        """The file may have grown, or be another run's by now."""
        self.show_run(self.project_screen.run)

    def _open(self) -> None:
        if self.run is None:
            return
        path = self.run.console if self.raw else self.run.events
        only = (ERRORS if self.raw else EVENT_ERRORS) if self.errors else None if self.raw else PROGRESS
        self.view.pattern = only
        self.view.open(LogFile(path))
        self._draw_where()

    def _draw_where(self) -> None:
        look = self.studio.look
        if self.run is None:
            self.query_one("#where", Still).update(f" No run yet. {self.studio.way_on('run.start', 'starts one')}")
            return
        view = self.view
        path = self.run.console if self.raw else self.run.events
        words = [path.name, size_text(view.file.size if view.file else 0), "following" if view.following else "paused"]
        words += ["errors only"] if self.errors else []
        words += [view.note] if view.note else []
        words += [f"searching, {self.studio.key('back')} ends it"] if view.searching else []
        self.query_one("#where", Still).update(look.words(" " + " · ".join(words)))

    def explain(self) -> str:
        """The file that is shown, for help."""
        key = self.studio.key
        if self.raw:
            about = "console.log is what the run printed, as it came, and what the libraries that it uses printed."
        else:
            about = (
                "events.jsonl is what the run reported, a line an event, here in words: phases, metrics, samples, "
                "checkpoints, warnings and how it ended. Progress is left out, which Train shows."
            )
        return f"{about} {key('logs.raw')} turns to the other file, {key('logs.errors')} leaves only errors."

    # --------------------------------------------------------------------------------------- lines

    def _why_empty(self) -> Text:
        """What stands where no line does: that there is none, and what comes next."""
        return self.studio.look.plain(f" {self._no_lines()}", "dim")

    def _no_lines(self) -> str:
        view, verb = self.view, "print" if self.raw else "report"
        if view.looking:
            return "looking for lines ..."
        if view.file is not None and view.file.size:
            if self.errors:
                return f"No line is an error. {self.studio.key('logs.errors')} shows all lines."
            return "Nothing but progress was reported yet; Train shows it."
        status = self.studio.found.statuses.get(self.run.path) if self.run else None
        if status is not None and status.state in LIVE:
            return f"Nothing yet: the run is {status.state}. What it {verb}s comes here."
        return f"The run {verb}ed nothing. {self.studio.key('logs.raw')} turns to the other file."

    def _styled(self, line: Line) -> Text:
        return self._raw_line(line) if self.raw else self._event_line(line)

    def _raw_line(self, line: Line) -> Text:
        return self.studio.look.plain(line.text, "red" if ERRORS.search(line.data) else "")

    def _event_line(self, line: Line) -> Text:
        """An event in words; a line that is none, or too long to be read whole, as it is."""
        event = parse_event(line.data, 0)
        look = self.studio.look
        if event is None:
            return look.plain(line.text, "dim")
        data, at = event.data, f" {short(event.t)} "
        match event.kind:
            case "phase":
                return Text.assemble((at, "dim"), look.words("▸ "), look.plain(data.get("name", ""), "bold"), end="")
            case "metrics":
                metrics = data.get("metrics")
                pairs = metrics.items() if isinstance(metrics, dict) else ()
                figures = "  ".join(f"{k} {value(v) if isinstance(v, (int, float)) else v!s:<9}" for k, v in pairs)
                return Text.assemble((at, "dim"), f"step {event.step:<5}  ", look.plain(figures), end="")
            case "warning":
                return Text.assemble((at, "dim"), look.plain(f"! {data.get('text', '')}", "yellow"), end="")
            case "checkpoint":
                best = ", the best so far" if data.get("best") else ""
                return Text.assemble((at, "dim"), f"checkpoint {event.step} committed{best}", end="")
            case "sample":
                pair = (look.plain(data.get("prompt", ""), "dim"), look.words(" → "), look.plain(data.get("text", "")))
                return Text.assemble((at, "dim"), f"step {event.step}  ", *pair, end="")
            case "state":
                said = f"{data.get('state', '')}  {data.get('reason', '')}".strip()
                bad = data.get("state") in {"failed", "interrupted"}
                return Text.assemble((at, "dim"), look.plain(said, "red" if bad else "bold"), end="")
        return Text.assemble((at, "dim"), look.plain(data.get("text", event.kind)), end="")

    # --------------------------------------------------------------------------------------- actions

    def do_logs_search(self) -> None:
        """Type what to look for."""
        field = self.query_one("#search", Input)
        field.display = True
        field.focus()

    def go_back(self) -> bool:
        """Leave the field without looking for anything, else look no further."""
        field = self.query_one("#search", Input)
        if field.display:
            field.display = False
            self.view.focus()
        elif self.view.searching:
            self.view.end_search()
            self._draw_where()
        else:
            return False
        return True

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Look for it, backwards from where one is."""
        event.input.display = False
        self.view.focus()
        if not event.value:
            self._sought = self._step = self.view.mark = None
            self.view.end_search()
            self.view.refresh()
            self._draw_where()
            return
        try:
            self._sought, self._step = expression(event.value), None
        except InputError as error:
            self.project_screen.say_error(error)
            return
        self._search(forward=False)

    def _search(self, *, forward: bool, from_end: bool = False) -> None:
        if self._sought is None and self._step is None:
            raise InputError("Nothing was searched for yet.", f"{self.studio.key('logs.search')} searches.")
        words = self._sought.pattern if self._sought is not None else f"step {self._step}"
        none = f"no {words}" if from_end else f"no {'later' if forward else 'earlier'} {words}"
        self.project_screen.say(f"looking for {words} ...")

        def done(found: bool | InputError) -> None:
            if isinstance(found, InputError):
                self.project_screen.forget_said()
                self.project_screen.say_error(found)
            else:
                self.project_screen.say(f"found {words}" if found else none)
            self._draw_where()

        self.view.search(self._sieve(), self._holds, forward=forward, done=done, from_end=from_end)
        self._draw_where()

    def _sieve(self) -> re.Pattern[bytes]:
        """What only lines that may hold it match, by which a large file is gone through quickly."""
        if self._sought is None:
            return re.compile(rb'"kind": ?"metrics", ?"step": ?%d,' % (self._step or 0))
        if self.raw:
            return re.compile(self._sought.pattern.encode(), re.IGNORECASE | re.MULTILINE)
        return EVENT_ERRORS if self.errors else PROGRESS

    def _holds(self, line: Line) -> bool:
        """Whether it stands in the line as a person sees it."""
        return self._sought is None or self._sought.search(self._styled(line).plain) is not None

    def do_logs_next(self) -> None:
        """The next line that matches."""
        self._search(forward=True)

    def do_logs_previous(self) -> None:
        """The line before that matches."""
        self._search(forward=False)

    def do_logs_errors(self) -> None:
        """Only errors, or all."""
        self.errors = not self.errors
        self._open()

    def do_logs_follow(self) -> None:
        """To the end."""
        self.view.action_follow()
        self._draw_where()

    def do_logs_raw(self) -> None:
        """The other file."""
        self.raw = not self.raw
        self._open()

    def do_copy(self) -> None:
        """The line that was found, else all that is shown."""
        lines = self.view.marked or self.view.shown
        if not lines:
            raise InputError("There is no line to copy.")
        self.studio.say(copy(self.app, "\n".join(self._styled(line).plain.strip() for line in lines)))

    def do_logs_step(self) -> None:
        """To the event of the step under the charts' cursor."""
        step = self.project_screen.step_at_cursor
        if step is None:
            raise InputError("The charts have no cursor.", "Put it on a step in Train, with the arrow keys.")
        if self.raw or self.errors:
            self.raw = self.errors = False
            self._open()
        self._sought, self._step = None, step
        self._search(forward=False, from_end=True)
