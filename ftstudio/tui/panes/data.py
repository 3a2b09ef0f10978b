"""Data: the rows at once, and what the model will really be trained on as soon as that is known.

    load ──preview──> the first rows as text ──listing──> lengths, what was cut, the rows as tokens

The workbench reads and tokenises (`process/workbench.py`); this pane holds a window of the list and the row under the
cursor. Three threads ask: one loads, one pages, one fetches the row under the cursor; a newer question of a kind
cancels the older one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.events import Resize
from textual.message import Message
from textual.widgets import Static
from textual.worker import get_current_worker

from ftstudio.api import Event
from ftstudio.errors import FtstudioError, InputError, InterruptedRunError
from ftstudio.tui.actions import bindings
from ftstudio.tui.copying import copy
from ftstudio.tui.panes.base import Pane
from ftstudio.tui.panes.data_page import PAGE, View, any_changed, row_number
from ftstudio.tui.panes.data_words import about, figures, line, why_nothing
from ftstudio.tui.panes.telling import progress_words
from ftstudio.tui.screens.base import WIDE
from ftstudio.tui.watch import Seen
from ftstudio.tui.widgets.lines import Lines, Row
from ftstudio.tui.widgets.row_view import RowView

if TYPE_CHECKING:
    from ftstudio.project import Project

EDGE = 20
"""Lines before the end of what is there at which more are asked for."""
VIEW_TOKENS = 4096
READING = "reading the settings"


class DataPane(Pane):
    """A list of rows, and the row under the cursor."""

    DEFAULT_CSS = """
    DataPane #about, DataPane #figures { height: 1; }
    DataPane #figures { color: $text-muted; }
    DataPane #nothing { height: 1fr; display: none; }
    DataPane #body { layout: vertical; }
    DataPane.two #body { layout: horizontal; }
    DataPane.two Lines { width: 2fr; }
    DataPane.two RowView { width: 3fr; border-top: none; border-left: vkey $panel; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("data")]

    class Told(Message):
        """How far the loading is, in words; "" when it is done."""

        def __init__(self, words: str) -> None:
            super().__init__()
            self.words = words

    class Paged(Message):
        """A page of a list. `where` says how it goes with what is here: in its place ("new"), "before", "after", or
        in its place only if it is of the same kind ("loaded").
        """

        def __init__(self, view: View, result: Mapping[str, Any], where: str = "new", row: int | None = None) -> None:
            super().__init__()
            self.view, self.result, self.where, self.row = view, result, where, row

    class Viewed(Message):
        """The token view of a row."""

        def __init__(self, view: Mapping[str, Any]) -> None:
            super().__init__()
            self.view = view

    class Failed(Message):
        """What was asked for could not be had. `loading`: nothing can be shown at all."""

        def __init__(self, error: FtstudioError, *, loading: bool) -> None:
            super().__init__()
            self.error, self.loading = error, loading

    class Changed(Message):
        """A data file is another than the one that was loaded."""

    def __init__(self, project: Path) -> None:
        super().__init__(project)
        self.view = View()
        self.summary: Mapping[str, Any] | None = None
        self.files: list[tuple[str, int, int]] = []
        self.loaded = ""
        self.words = self.waits = ""
        self.changed = False
        self.extending: tuple[View, int] | None = None
        self.wants_tokens = False
        """They were asked for before they were there."""

    def compose(self) -> ComposeResult:
        """Two lines of what all rows are, the list, the row; or why there is none."""
        yield Static("", id="about", markup=False)
        yield Static("", id="figures", markup=False)
        with Container(id="body"):
            yield Lines(id="rows")
            yield RowView()
        yield Static("", id="nothing", markup=False)

    # --------------------------------------------------------------------------------------- life

    def enter(self) -> None:
        """Load what is not there yet, or what was changed meanwhile."""
        self.query_one(Lines).focus()
        self.load()

    def seen(self, seen: Seen) -> None:
        """Look whether the files are still those that were loaded, or which plugin the loading waits for."""
        if self.words == READING:
            from ftstudio.describing import waits_for  # noqa: PLC0415 - the loading does so too

            self.waits = waits_for()
            self.draw()
        if self.files and not self.changed:
            self.look_at_files()

    @work(thread=True, exclusive=True, group="data files")
    def look_at_files(self) -> None:
        """Compare sizes and times."""
        if any_changed(self.files):
            self.post_message(self.Changed())

    def on_data_pane_changed(self) -> None:
        """Say it; loading again at each line that somebody appends would never end."""
        self.changed = True
        self.draw()

    def on_resize(self, event: Resize) -> None:
        """The row beside the list where there is room."""
        self.set_class(event.size.width >= WIDE, "two")
        self.draw()

    # ------------------------------------------------------------------------------------- asking

    @work(thread=True, exclusive=True, group="data load")
    def load(self, *, again: bool = False) -> None:
        """The first rows as text, then all as tokens. Nothing where settings and files are those that are shown."""
        if not self.loaded:
            self.post_message(self.Told(READING))
        from ftstudio.runs.measured import data_key  # noqa: PLC0415 - loads the plugins

        try:
            project = self._project()
            key = data_key(project)
            if key == self.loaded and not again:
                return
            view = View()
            self.post_message(self.Told("loading the data"))
            self.post_message(self.Paged(view, self._ask(project, view.job(0)), "loaded"))
            view = View(mode="tokens")
            self.post_message(self.Paged(view, self._ask(project, {**view.job(0), "again": again}), "loaded"))
            self.loaded = key
            self.post_message(self.Told(""))
        except InterruptedRunError:
            self.post_message(self.Told(""))
        except FtstudioError as error:
            self.post_message(self.Told(""))
            self.post_message(self.Failed(error, loading=True))

    @work(thread=True, exclusive=True, group="data page")
    def page(self, view: View, first: int, where: str = "new", row: int | None = None) -> None:
        """More lines of a list; around a row, by its number from 1, where that is given."""
        job = view.job(first, min(PAGE, view.first) if where == "before" else PAGE)
        if row is not None and view.mode == "tokens":
            job["row"] = row
        try:
            result = self._ask(self._project(), job)
            if row is not None and not (result.get("rows") or result.get("lines")):
                raise InputError(f"There is no row {row:,}.", "The data has fewer.")
            self.post_message(self.Paged(view, result, where, row))
        except InterruptedRunError:
            pass
        except FtstudioError as error:
            self.post_message(self.Failed(error, loading=False))

    @work(thread=True, exclusive=True, group="data row")
    def fetch_row(self, number: int) -> None:
        """The token view of a row, by its number from 1."""
        try:
            job = {"kind": "rows", "first": number - 1, "count": 1, "tokens": VIEW_TOKENS}
            (view,) = self._ask(self._project(), job)["view"]
            self.post_message(self.Viewed(view))
        except InterruptedRunError:
            pass
        except FtstudioError as error:
            self.post_message(self.Failed(error, loading=False))

    def _project(self) -> Project:
        from ftstudio.project import load  # noqa: PLC0415 - loads the plugins

        project = load(self.project)
        project.require()
        return project

    def _ask(self, project: Project, job: Mapping[str, Any]) -> dict[str, Any]:
        """Called in a thread. Raises InterruptedRunError once a newer question is asked."""
        worker = get_current_worker()
        return self.studio.bench("data").ask(project, job, self._hear, cancelled=lambda: worker.is_cancelled)

    def _hear(self, event: Event) -> None:
        words = progress_words(event)
        if words:
            self.post_message(self.Told(words))

    # ------------------------------------------------------------------------------------- hearing

    def on_data_pane_told(self, message: Told) -> None:
        """How far it is."""
        self.words, self.waits = message.words, ""
        self.draw()
        if not self.words:
            self.project_screen.refresh_keys()

    def on_data_pane_failed(self, message: Failed) -> None:
        """Nothing to show, or one question that had no answer."""
        self.extending, self.wants_tokens = None, self.wants_tokens and not message.loading
        if not message.loading:
            self.studio.say(str(message.error))
            return
        self.query_one("#body").display = bool(self.view.lines)
        nothing = self.query_one("#nothing", Static)
        nothing.display = nothing.can_focus = True
        if not self.view.lines and self.display:  # the list is gone, and the pane's keys would be with it
            self.screen.set_focus(nothing)
        nothing.update(why_nothing(message.error, self.studio.look.lines))

    def on_data_pane_paged(self, message: Paged) -> None:
        """Lines came."""
        result, view, self.extending = message.result, message.view, None
        files = [tuple(f) for f in result["files"]]
        if message.where in {"before", "after"} and (view is not self.view or files != self.files):
            self.changed = self.changed or view is self.view  # of another list, or of other files
            self.draw()
            return
        self.files, self.changed = files, False
        if view.mode == "tokens":
            self.summary = result
        self.query_one("#body").display = True
        nothing = self.query_one("#nothing")
        if nothing.has_focus:
            self.query_one(Lines).focus()
        nothing.display = False
        wanted = view.mode == self.view.mode or not self.view.lines or (self.wants_tokens and view.mode == "tokens")
        if message.where != "loaded" or wanted:
            view.take(result, message.where)
            self.view = view
            if self.wants_tokens and view.mode == "tokens":
                self.project_screen.forget_said()  # that they are still to come
            self.wants_tokens = self.wants_tokens and view.mode == "text"
        self.draw()
        self.project_screen.refresh_keys()
        if message.row is not None:
            self.query_one(Lines).put_cursor(message.row)
        elif self.view is view and message.where in {"new", "loaded"}:
            self._show_row()  # the cursor may be where it was, on a row that now is another

    def on_data_pane_viewed(self, message: Viewed) -> None:
        """The row under the cursor, if it still is there."""
        if self.view.mode == "tokens" and self.query_one(Lines).key == message.view["row"]:
            self.query_one(RowView).show_tokens(message.view)

    def on_lines_moved(self, event: Lines.Moved) -> None:
        """Show the row under the cursor; ask for more lines near the ends."""
        view, index = self.view, event.lines.index
        self._show_row()
        if index < 0:
            return
        if index >= len(view.lines) - EDGE and view.goes_on:
            self._extend(view.end, "after")
        elif index < EDGE and view.first > 0:
            self._extend(max(0, view.first - PAGE), "before")

    def _show_row(self) -> None:
        """Show the row under the cursor in full."""
        view, index = self.view, self.query_one(Lines).index
        if index < 0:
            self.query_one(RowView).clear()
        elif view.mode == "tokens":
            self.fetch_row(int(view.lines[index]["row"]))
        else:
            shown = view.lines[index]
            self.query_one(RowView).show_row(int(shown["row"]), shown["value"], shown["cut"])

    def _extend(self, first: int, where: str) -> None:
        """Ask for more of the list, once: the cursor goes on while it is on its way."""
        if self.extending != (self.view, first):
            self.extending = (self.view, first)
            self.page(self.view, first, where)

    # ------------------------------------------------------------------------------------- drawing

    def draw(self) -> None:
        """The two lines above, and the list."""
        look, view, words = self.studio.look, self.view, self.waits or self.words
        of = about(view.mode, view.order, view.only, view.first, len(view.lines), view.total, words, look)
        self.query_one("#about", Static).update(of)
        said = figures(self.summary, self.size.width, look) if self.summary is not None else Text("")
        if self.changed:
            said = Text(f" The data changed on disk: {self.studio.key('data.again')} loads it again.", "yellow")
        figured = self.query_one("#figures", Static)
        figured.update(said)
        figured.display = bool(said.plain)
        rows = [Row(shown["row"], line(shown, view.mode, look)) for shown in view.lines]
        self.query_one(Lines).set_rows(rows)

    # ------------------------------------------------------------------------------------- actions

    def why_not(self, id: str) -> str:
        """Tokens are looked at once they are there."""
        if id in {"data.next", "data.previous", "data.goto"} and not self.view.lines:
            return "There are no rows."
        if id == "data.tokens" and self.words:
            return ""  # they come
        if id in {"data.tokens", "data.longest", "data.cut"} and self.summary is None:
            return "The tokens are not counted yet." if self.words else "There are no tokens: the data did not load."
        if id == "data.cut" and self.view.only == "all" and self.summary and not self.summary["cut_rows"]:
            return "No row lost its end."
        return ""

    def do_data_tokens(self) -> None:
        """Turn between text and tokens, staying at the row where both count the same ones."""
        if self.summary is None:
            self.wants_tokens = not self.wants_tokens
            which = "tokens are shown as soon as they are counted" if self.wants_tokens else "rows stay as text"
            self.studio.say(f"The {which}.")
            return
        key = self.query_one(Lines).key
        to = View(mode="tokens" if self.view.mode == "text" else "text")
        same = self.summary["rows"] == self.summary["counts"].get("documents") and self.view.only == "all"
        self._show_list(to, int(str(key)) if same and key is not None else None)

    def do_data_longest(self) -> None:
        """The longest rows first, or the file's order."""
        order = "longest" if self.view.order == "file" or self.view.mode == "text" else "file"
        self._show_list(View(mode="tokens", order=order, only=self.view.only))

    def do_data_cut(self) -> None:
        """Only rows that were cut, or all."""
        only = "cut" if self.view.only == "all" else "all"
        self._show_list(View(mode="tokens", order=self.view.order, only=only))

    def _show_list(self, view: View, row: int | None = None) -> None:
        self.page(view, 0 if row is None else max(0, row - 1 - PAGE // 2), "new", row)

    def do_data_goto(self) -> None:
        """Ask for a row's number."""
        from ftstudio.tui.screens.asking import Asking  # noqa: PLC0415 - made when it is asked for

        def answered(text: str | None) -> None:
            if text is not None:
                self._go_to(row_number(text))

        self.app.push_screen(Asking("Go to row", check=row_number), answered)

    def _go_to(self, row: int) -> None:
        if any(shown["row"] == row for shown in self.view.lines):
            self.query_one(Lines).put_cursor(row)
        else:
            self._show_list(View(self.view.mode, self.view.order, self.view.only), row)

    def do_data_next(self) -> None:
        """The next row."""
        self.query_one(Lines).action_move(1)

    def do_data_previous(self) -> None:
        """The row before."""
        self.query_one(Lines).action_move(-1)

    def do_data_again(self) -> None:
        """Load anew."""
        self.load(again=True)

    def do_copy(self) -> None:
        """The row as it is shown."""
        text = self.query_one(RowView).text
        if not text:
            raise InputError("There is no row to copy.")
        self.studio.say(copy(self.app, text))

    def do_back(self) -> None:
        """Stop what is being loaded; else one layer up."""
        if self.words:
            self.workers.cancel_group(self, "data load")
            self.studio.say(f"Loading was stopped. {self.studio.key('data.again')} loads the data again.")
        else:
            self.project_screen.do_back()

    def explain(self) -> str:
        """What the list is."""
        return (
            "The rows as the dataset gives them, or (t) as the tokens that are trained on. A longer row costs more "
            "memory and time; what is longer than max_length goes on in a further row or is cut."
        )
