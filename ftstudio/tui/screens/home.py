"""Home: the projects of a folder, and the runs of all of them, live ones first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Input

from ftstudio.errors import FtstudioError, InputError
from ftstudio.finding import FILE
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.status import LIVE, Status
from ftstudio.text import plural, quote
from ftstudio.tui.actions import bindings
from ftstudio.tui.copying import copy
from ftstudio.tui.no_runs import no_runs
from ftstudio.tui.screens.acting import ActingScreen
from ftstudio.tui.screens.base import WIDE
from ftstudio.tui.watch import Seen
from ftstudio.tui.widgets.away import Away
from ftstudio.tui.widgets.device_cells import DeviceCells
from ftstudio.tui.widgets.glance import GLANCE_WIDTH, Glance
from ftstudio.tui.widgets.line_input import LineInput
from ftstudio.tui.widgets.lines import Lines, Row
from ftstudio.tui.widgets.projects import PROJECTS_WIDTH, Projects
from ftstudio.tui.widgets.still import Still
from ftstudio.tui.words import SORTS, from_home, line_words, run_rows

BROAD = 150
"""Columns from which the projects stand beside the runs, where there are several."""
TUTORIAL = "tutorial"


class Home(ActingScreen):
    """What runs, what ran, and what happened meanwhile."""

    PLACES: ClassVar[tuple[str, ...]] = ("everywhere", "project", "home")
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("everywhere", "project", "home")]

    def __init__(self) -> None:
        super().__init__()
        self.only: Path | None = None
        self.filter = ""
        self.sort = "live first"
        self.marked: set[Path] = set()
        self._drawn: tuple[object, ...] = ()
        self._whole = False

    def content(self) -> ComposeResult:
        """A title, what happened meanwhile, the projects, the runs, and beside them the one under the cursor."""
        with Horizontal(id="top"):
            yield Still(id="title", markup=False)
            yield DeviceCells()
        yield Away()
        with Horizontal(id="body"):
            yield Projects()
            with Vertical(id="left"):
                yield Still(id="heading", markup=False)
                yield Lines(id="runs")
                yield Still(id="empty", markup=False)
            yield Glance()
        yield LineInput(placeholder="show only lines that hold ...", id="filter")

    def on_mount(self) -> None:
        """Draw what is known at the first look."""
        self.query_one("#filter").display = False
        self.runs.focus()
        self.draw()

    @property
    def runs(self) -> Lines:
        """The list of runs."""
        return self.query_one("#runs", Lines)

    def on_screen_resume(self) -> None:
        """Somebody is back on Home."""
        self.draw()

    def on_resize(self) -> None:
        """Another width has another name column, and maybe no projects."""
        if self.is_mounted:
            self.draw()

    # --------------------------------------------------------------------------------------- drawing

    def seen(self, seen: Seen) -> None:
        """The files were looked at."""
        self.query_one(DeviceCells).look_again()
        if seen.found.whole:
            self.query_one(Away).look()
        self.draw()

    def draw(self) -> None:
        """Draw all lines again, unless they were drawn of the same; the list itself draws only those that changed."""
        found, look, cells = self.studio.found, self.studio.look, self.query_one(DeviceCells)
        if self.only not in found.projects:
            self.only = None
        of = (found, self.size, self.only, self.filter, self.sort, frozenset(self.marked), cells.cells)
        if of == self._drawn:
            return
        self._drawn = of
        room = self.size.width - (GLANCE_WIDTH if self.size.width >= WIDE else 0) - self._draw_projects()
        self._set_rows([*run_rows(self._shown(), found, look, self.marked, room), *self._without_runs()])
        live = sum(s.state in LIVE and s.state != "queued" for s in found.statuses.values())
        waiting = sum(s.state == "queued" for s in found.statuses.values())
        title = Text.assemble((" ftstudio ", "bold"), look.plain(from_home(self.studio.root)), end="", no_wrap=True)
        counts = [plural(len(found.projects), "project")]
        counts += [f"{live} running"] if live else []
        counts += [f"{waiting} waiting"] if waiting else []
        aside = look.words(" · ".join(counts + self._view_words())) + " "
        width = self.size.width - cells.fit(self.size.width - len(aside) - 24)
        title.truncate(max(10, width - len(aside) - 1))
        title.pad_right(max(1, width - title.cell_len - len(aside)))
        self.query_one("#title", Still).update(title.append(aside, "dim"))
        self._draw_empty()
        self._glance()
        self.refresh_keys()

    def _draw_projects(self) -> int:
        """The projects beside the runs, where there is room and more than one; the columns that they take."""
        found, look = self.studio.found, self.studio.look
        self.set_class(self.size.width >= BROAD and len(found.projects) > 1, "projects")
        if not self.has_class("projects"):
            if self._in_projects:
                self.runs.focus()
            return 0
        self.query_one(Projects).show(found, self.only)
        heading = Text.assemble(" Runs of ", look.plain(self.only.name if self.only else "all projects"), end="")
        self.query_one("#heading", Still).update(heading)
        return PROJECTS_WIDTH

    def _set_rows(self, rows: list[Row]) -> None:
        """The order is known once all events were read: until then the first line has the cursor, if it was there."""
        lines = self.runs
        at_first = not self._whole and lines.index <= 0
        lines.set_rows(rows)
        if at_first:
            lines.action_ends(0)
        self._whole = self.studio.found.whole

    def on_device_cells_changed(self) -> None:
        """Somebody else computes, or is done."""
        self.draw()

    def _view_words(self) -> list[str]:
        words = ["read-only"] if self.studio.manners.readonly else []
        words += [f"only {self.only.name}"] if self.only else []
        words += [f"/{self.filter}"] if self.filter else []
        words += [self.sort] if self.sort != "live first" else []
        return words

    def _shown(self) -> list[Status]:
        found = self.studio.found
        statuses = [s for p, s in found.statuses.items() if self.only is None or p.parent.parent == self.only]
        if self.filter:
            wanted = " ".join(self.filter.lower().split())
            statuses = [s for s in statuses if wanted in line_words(s, pinned=s.path in found.pinned).lower()]
        return sorted(statuses, key=lambda s: SORTS[self.sort](s, s.path in found.pinned))

    def _without_runs(self) -> list[Row]:
        """Below the runs of all projects, those that have none: they stand nowhere else where the list is alone."""
        found = self.studio.found
        with_runs = {path.parent.parent for path in found.statuses}
        names = [p.name for p in found.projects if p not in with_runs]
        if not names or not with_runs or self.filter or self.only or self.has_class("projects"):
            return []
        words = f" No run yet in {', '.join(names)}: {self.studio.key('home.projects')} opens one."
        return [Row(None, self.studio.look.plain(words, "dim"))]

    def _draw_empty(self) -> None:
        empty, lines = self.query_one("#empty", Still), self.runs
        lines.display = bool(lines.rows)
        empty.display = not lines.rows
        empty.update(no_runs(self.studio, self.only, filtered=bool(self.filter)))

    def _glance(self) -> None:
        glance = self.query_one(Glance)
        if glance.display and self.size.width >= WIDE:
            run, found = self.under_cursor, self.studio.found
            status = found.statuses.get(run) if run is not None else None
            before = found.before(run) if run is not None and found.whole else None
            glance.show(status, pinned=run in found.pinned, before=before)

    def on_lines_moved(self, event: Lines.Moved) -> None:
        """Another run under the cursor: other words beside the list, and maybe other keys."""
        self._glance()
        self.refresh_keys()

    # --------------------------------------------------------------------------------------- actions

    @property
    def under_cursor(self) -> Path | None:
        """The folder of the run under the cursor; while the list is being made there is none."""
        key = next((lines.key for lines in self.query("#runs").results(Lines)), None)
        return key if isinstance(key, Path) else None

    def explain(self) -> str:
        """For help: the run under the cursor, and what changed since the one before."""
        from ftstudio.tui import run_help  # noqa: PLC0415 - loads the plugins

        status = self.status
        if status is None:
            return ""
        before, readonly = self.studio.found.before(status.path), self.studio.manners.readonly
        return run_help.explained(status, before, self.studio.keymap, readonly=readonly)

    def current(self) -> Path | None:
        """The run under the cursor is the one that is acted on."""
        return self.under_cursor

    def started(self, run: Path) -> None:
        """Say that it was started; its line comes with the next look."""
        self.say(f"{RunFolder(run).title} was started.")

    def do_run_start(self) -> None:
        """Start a run of the project of the run under the cursor; without a run, ask of which project."""
        run, found = self.under_cursor, self.studio.found
        project = run.parent.parent if run is not None else self.only
        if project is not None:
            self.start(project)
        elif len(found.projects) == 1:
            self.start(found.projects[0])
        else:
            self._pick_project("Start a run of", self._picked_to_start)

    def _picked_to_start(self, project: object) -> None:
        if isinstance(project, Path):
            self.start(project)

    def _pick_project(self, title: str, take: Callable[[object], None], first: Sequence[Row] = ()) -> None:
        """Ask for one of the projects, or for what stands before them."""
        from ftstudio.tui.screens.asking import Picking  # noqa: PLC0415 - Home paints before it is needed

        found, look = self.studio.found, self.studio.look
        counted = [(p, len(found.of(p))) for p in found.projects]
        rows = [*first] + [
            Row(p, Text.assemble(" ", look.plain(p.name), (f"  {plural(n, 'run') if n else 'no runs'}", "dim"), end=""))
            for p, n in counted
        ]
        self.app.push_screen(Picking(title, rows, self.only), take)

    def on_lines_chosen(self, event: Lines.Chosen) -> None:
        """Enter on a run."""
        self.do_home_open()

    def do_home_open(self) -> None:
        """Open the project of the run under the cursor; without a run, ask which project."""
        run = self.under_cursor
        if run is not None:
            self.studio.open_project(run.parent.parent, "train", run)
        elif len(self.studio.found.projects) == 1:
            self.studio.open_project(self.studio.found.projects[0])
        else:
            self.do_home_projects()

    def do_home_projects(self) -> None:
        """Go to the projects beside the list, or ask for one to show alone, or to open when it has no run."""
        found = self.studio.found
        if not found.projects:
            raise InputError("There is no project here yet.", self.studio.way_on("project.new", "makes one"))
        if self.has_class("projects"):
            if self._in_projects:
                self._to_runs()
            else:
                self.query_one(Projects).lines.focus()
            return
        everything = [Row("all", Text(" all projects"))] if found.statuses else []
        self._pick_project("Projects", self._show_only, everything)

    @property
    def _in_projects(self) -> bool:
        return self.focused is not None and isinstance(self.focused.parent, Projects)

    def on_projects_shown(self, event: Projects.Shown) -> None:
        """Another project under the cursor: its runs alone."""
        self.only = event.project
        self.draw()

    def on_projects_opened(self, event: Projects.Opened) -> None:
        """Enter on a project opens it, on all it goes to their runs."""
        if event.project is not None:
            self.studio.open_project(event.project)
        else:
            self._to_runs()

    def _to_runs(self) -> None:
        """From the projects to the runs beside them, where there are any."""
        if self.runs.display:
            self.runs.focus()
        elif self.filter:
            self.say(f"No run's line holds {quote(self.filter)}.")
        else:
            of = f"{self.only.name} has" if self.only is not None else "The projects have"
            self.say(f"{of} no run yet. {self.studio.way_on('run.start', 'starts one')}")

    def _show_only(self, chosen: object) -> None:
        if chosen == "all":
            self.only = None
        elif isinstance(chosen, Path):
            if not self.studio.found.of(chosen):
                self.studio.open_project(chosen)
                return
            self.only = chosen
        self.draw()

    def do_home_filter(self) -> None:
        """Type what lines must hold."""
        field = self.query_one("#filter", Input)
        field.display = True
        field.value = self.filter
        field.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter at each keystroke."""
        self.filter = event.value
        self.draw()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep the filter, and go back to the list."""
        self.query_one("#filter").display = False
        self.runs.focus()

    def do_home_sort(self) -> None:
        """Take the next order."""
        names = list(SORTS)
        self.sort = names[(names.index(self.sort) + 1) % len(names)]
        self.draw()

    def do_home_mark(self) -> None:
        """Mark the run under the cursor, or take its mark away, and go on to the next."""
        run = self.under_cursor
        if run is not None:
            self.marked ^= {run}
            self.runs.action_move(1)
            self.draw()

    def do_project_new(self) -> None:
        """Ask for a name, data and a model, make a project of them, and open it."""
        from ftstudio.tui.screens.new_project import NewProject  # noqa: PLC0415 - made when it is asked for

        self.app.push_screen(NewProject(self.studio.root), self._opened)

    def _opened(self, project: Path | None) -> None:
        if project is not None:
            self.studio.open_project(project, "setup")

    def do_home_tutorial(self) -> None:
        """Open the tutorial's project; the first time it is made, after a yes."""
        from ftstudio.new import new_project  # noqa: PLC0415 - loads the plugins
        from ftstudio.tui.screens.asking import Confirming  # noqa: PLC0415 - Home paints before it is needed

        folder = self.studio.root / TUTORIAL
        if (folder / FILE).is_file():
            self._opened(folder.resolve())
            return

        def answered(yes: bool | None) -> None:
            if yes:
                try:
                    made = new_project(self.studio.root, TUTORIAL, example=TUTORIAL)
                except FtstudioError as error:
                    self.say_error(error)
                else:
                    self._opened(made.folder.resolve())

        text = self.studio.look.lines(f"Ten sentences, GPT-2, three epochs, in {from_home(folder)}. No run is started.")
        self.app.push_screen(Confirming("Make the tutorial's project?", text), answered)

    def why_not(self, id: str) -> str:
        """Why an action cannot be taken now."""
        if id in {"home.filter", "home.mark"} and not self.studio.found.statuses:
            return "There is no run yet."
        if id in {"home.open", "home.projects", "run.start"} and not self.studio.found.projects:
            return f"There is no project here yet. {self.studio.way_on('project.new', 'makes one')}"
        if id == "home.mark" and self._in_projects:
            return f"Runs are marked, not projects: {self.studio.key('home.projects')} goes to the runs."
        few = len(self.marked & self.studio.found.statuses.keys()) < 2
        if id == "home.compare" and few:
            return "Mark two runs or more with space first."
        return super().why_not(id)

    def do_copy(self) -> None:
        """The run's name, as commands take it."""
        run = self.under_cursor
        if run is None:
            raise InputError("There is no run to copy the name of.")
        self.say(copy(self.app, f"{run.parent.parent.name}:{run.name}"))

    def do_home_compare(self) -> None:
        """Open Compare with the marked runs, in the project of the first."""
        runs = [p for p in sorted(self.marked) if p in self.studio.found.statuses]
        self.studio.compared = tuple(runs)
        self.studio.open_project(runs[0].parent.parent, "compare", runs[0])

    def go_back(self) -> None:
        """Take away the filter, then what happened meanwhile, then the one project."""
        field = self.query_one("#filter", Input)
        if field.display or self.filter:
            self.filter, field.value, field.display = "", "", False
            self.runs.focus()
        elif not self.query_one(Away).dismiss():
            if self._in_projects and self.runs.display:
                self.runs.focus()
            else:
                self.only = None
        self.draw()
