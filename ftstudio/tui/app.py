"""The studio's app, and its Home: the projects of a folder and their runs."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import DataTable, Footer, Static

from ftstudio.files import plural, safe_text
from ftstudio.finding import list_projects
from ftstudio.runs.find import list_runs
from ftstudio.runs.status import GLYPHS, LIVE, Status, age_text, ago, read_status

REFRESH_SECONDS = 1.0
RUNS_SHOWN = 200
COLUMNS = ("run", "state", "step", "loss", "when")


class StudioApp(App[None]):
    """Home: what runs and what ran, in all projects of a folder."""

    CSS_PATH = "app.tcss"
    TITLE = "ftstudio"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [Binding("q", "quit", "leave")]

    class Read(Message):
        """The files were read again."""

        def __init__(self, projects: int, statuses: list[Status]) -> None:
            super().__init__()
            self.projects, self.statuses = projects, statuses

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = root

    def compose(self) -> ComposeResult:
        """A title, the runs, the keys."""
        yield Static("", id="title", markup=False)
        yield DataTable(cursor_type="row", id="runs")
        yield Static("", id="hint", markup=False)
        yield Footer()

    def on_mount(self) -> None:
        """Read at once, then every second."""
        self.query_one("#runs", DataTable).add_columns(*COLUMNS)
        self.read_files()
        self.set_interval(REFRESH_SECONDS, self.read_files)

    @work(thread=True, exclusive=True)
    def read_files(self) -> None:
        """Read all run folders, outside the event loop."""
        folders = list_projects(self.root) if self.root.is_dir() else []
        newest = [run for folder in folders for run in list_runs(folder)][-RUNS_SHOWN:]
        statuses = sorted(map(read_status, newest), key=lambda s: (s.state not in LIVE, -(s.last_event_t or 0)))
        self.post_message(self.Read(len(folders), statuses))

    def on_studio_app_read(self, message: Read) -> None:
        """Show what was read, in place: the cursor stays where it is."""
        live = sum(s.state in LIVE for s in message.statuses)
        title = f" ftstudio  {self.root}   {plural(message.projects, 'project')}, {plural(live, 'live run')}"
        self.query_one("#title", Static).update(safe_text(title, one_line=True))
        table = self.query_one("#runs", DataTable)
        cursor = table.cursor_row
        table.clear()
        for status in message.statuses:
            table.add_row(*(Text(cell) for cell in _cells(status)))
        table.move_cursor(row=cursor)
        self.query_one("#hint", Static).update(_hint(self.root, message))


def _cells(status: Status) -> tuple[str, ...]:
    step = "" if status.step is None else f"{status.step:,}/{status.total_steps or 0:,}"
    loss = status.metrics.get("loss")
    when = f"{age_text(status.eta_s)} left" if status.eta_s is not None else ago(status.last_event_t)
    cells = (
        f"{GLYPHS[status.state]} {status.project}:{status.run}",
        f"{status.state} {status.reason}"[:60],
        step or status.phase,
        "" if loss is None else f"{loss:.3f}",
        when,
    )
    return tuple(safe_text(cell, one_line=True) for cell in cells)


def _hint(root: Path, message: StudioApp.Read) -> str:
    if not message.projects:
        return " No projects here yet. Make one:  ftstudio new NAME --data FILE"
    if not message.statuses:
        return safe_text(f" No runs yet. Start one:  ftstudio run {root}/NAME")
    return ""


def open_studio(root: Path) -> int:
    """Run the studio on a folder until the person leaves."""
    StudioApp(root).run()
    return 0
