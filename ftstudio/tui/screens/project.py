"""A project: a header with its current run, and seven panes, of which one is shown."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical

from ftstudio.errors import InputError
from ftstudio.runs.find import is_run
from ftstudio.tui.actions import bindings
from ftstudio.tui.keymap import held
from ftstudio.tui.panes.base import Pane
from ftstudio.tui.screens.acting import ActingScreen
from ftstudio.tui.screens.base import WIDE
from ftstudio.tui.watch import Seen
from ftstudio.tui.widgets.error_panel import ErrorPanel
from ftstudio.tui.widgets.still import Still
from ftstudio.tui.words import progress, run_rows

PANES = ("setup", "data", "train", "logs", "generate", "compare", "files")
"""The panes, in the order of their numbers."""


class ProjectScreen(ActingScreen):
    """Panes are imported and made when they are first shown."""

    CSS_PATH = "project.tcss"
    PLACES: ClassVar[tuple[str, ...]] = ("everywhere", "project")
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("everywhere", "project")]

    def __init__(self, project: Path, pane: str = "setup", run: Path | None = None) -> None:
        super().__init__()
        self.project = project
        self._first = pane if pane in PANES else "setup"
        self.run_path = run
        self.step_at_cursor: int | None = None
        self._panes: dict[str, Pane] = {}
        self.shown = self._wanted = ""
        self._turning = asyncio.Lock()

    def content(self) -> ComposeResult:
        """A header, and room for the panes."""
        yield Still(id="header", markup=False)
        yield Vertical(id="panes")

    async def on_mount(self) -> None:
        """Show the pane that was open last."""
        if self.run_path is None:
            runs = self.studio.found.of(self.project)
            self.run_path = runs[0].path if runs else None
        await self.show_pane(self._first)

    # ----------------------------------------------------------------------------------------- panes

    @property
    def pane(self) -> Pane | None:
        """The pane that is shown."""
        return self._panes.get(self.shown)

    async def show_pane(self, name: str) -> None:
        """Show a pane; the one before keeps what it holds and hears nothing any more.

        Making one takes a moment in which another key may come: the last one counts.
        """
        self._wanted = name
        async with self._turning:
            if name == self._wanted != self.shown:
                await self._show(name)

    async def _show(self, name: str) -> None:
        before = self.pane
        if before is not None:
            before.leave()
            before.display = False
            self.query_one(ErrorPanel).dismiss_error()  # it was that pane's
        pane = self._panes.get(name)
        if pane is None:
            module = import_module(f"ftstudio.tui.panes.{name}")
            made = getattr(module, f"{name.capitalize()}Pane")(self.project)
            assert isinstance(made, Pane)
            pane = self._panes[name] = made
            await self.query_one("#panes").mount(pane)
            if not pane.is_attached:  # the studio was left meanwhile
                return
        self.shown = name
        pane.display = True
        pane.enter()
        pane.show_run(self.run)
        self._remember()
        self.draw()

    def _remember(self) -> None:
        """What is shown here, for the next time."""
        self.studio.memory.showed(self.project, self.shown, self.run_path)

    def turn_to(self, pane: str, run: Path | None) -> None:
        """Show a pane and a run, where they are given."""
        if run is not None:
            self.choose(run)
        if pane:
            self.call_later(self.show_pane, pane)

    def places(self) -> tuple[str, ...]:
        """A pane's own keys hold beside the project's, and those of a widget with the focus that has some."""
        within = getattr(self.focused, "PLACE", "")
        return (*self.PLACES, *([within] if within else []), self.shown)

    def doers(self) -> Iterator[object]:
        """The pane first, and then what has the focus in it."""
        if self.pane is not None:
            yield self.pane
        if self.focused is not None:
            yield self.focused
        yield self

    # ------------------------------------------------------------------------------------------- run

    def current(self) -> Path | None:
        """The run in the header."""
        return self.run_path

    def started(self, run: Path) -> None:
        """Show the run that was started."""
        self.run_path = run
        self._remember()
        self.call_later(self.show_pane, "train")

    def choose(self, run: Path) -> None:
        """Make another run the current one."""
        self.run_path = run
        self._remember()
        self.draw()
        if self.pane is not None:
            self.pane.show_run(self.run)

    def let_go(self, run: Path) -> None:
        """A run was removed here: nobody has to be told that the header turns to another."""
        if self.run_path == run:
            self.run_path = None

    def seen(self, seen: Seen) -> None:
        """The files were looked at; a run that was started meanwhile may not be among what was found."""
        runs = seen.found.of(self.project)
        if self.run_path not in {s.path for s in runs} and (self.run_path is None or not is_run(self.run_path)):
            gone = self.run_path
            if runs:
                self.choose(runs[0].path)
            else:
                self.run_path = None
            if gone is not None:
                now = f"The header has run {runs[0].run} now, and keys are for that one." if runs else ""
                self.say_error(InputError(f"Run {gone.name} is no longer here: it was removed elsewhere.", now))
        self.draw()
        if self.pane is not None:
            self.pane.seen(seen)

    def draw(self) -> None:
        """The header: the project, the panes, the current run.

        Whole names of the panes where they fit, with the run's keys beside it where those do too; the project's own
        name gives way before a pane does.
        """
        name, width = self.studio.look.plain(self.project.name, "bold"), self.size.width
        for whole, hint in ((True, width >= WIDE), (True, False), (False, False)):
            panes, right = self._panes_text(whole=whole), self._run_text(hint=hint)
            room = width - panes.cell_len - right.cell_len - 4
            if name.cell_len <= room:
                break
        ascii_only = self.studio.look.ascii
        name.truncate(max(8, room), overflow="crop" if ascii_only else "ellipsis")
        header = Text.assemble(" ", name, "  ", panes, end="", no_wrap=True)
        header.truncate(max(10, width - right.cell_len - 1))
        header.pad_right(max(1, width - header.cell_len - right.cell_len))
        self.query_one("#header", Still).update(header.append_text(right))
        self.refresh_keys()

    def _panes_text(self, *, whole: bool) -> Text:
        text = Text(end="")
        for number, name in self._numbered():
            title = name.capitalize() if whole or name == self.shown else name.capitalize()[:3]
            text.append(f" {number} {title} ", "reverse bold" if name == self.shown else "")
        return text

    def _run_text(self, *, hint: bool) -> Text:
        look, status, text = self.studio.look, self.status, Text(end="")
        if status is not None:
            glyph, colour = look.state(status.state)
            previous, following, listed = map(self.studio.key, ("run.previous", "run.next", "run.list"))
            text = Text.assemble(f"run {status.run} ", (glyph, colour), f" {progress(status) or status.state} ", end="")
            text.append(look.words(f"{previous} {following} step, {listed} list ") if hint else "", "dim")
        if self.studio.manners.readonly:
            text.append("read-only ", "bold")
        return text

    def _numbered(self) -> list[tuple[str, str]]:
        """Key and name of each pane, as the registry and the person's keymap have them."""
        keys = {action.id: action.key for action in held(*self.places(), keymap=self.studio.keymap)}
        return [(keys[f"pane.{name}"], name) for name in PANES]

    def rebound(self) -> None:
        """The header names keys too, and so may the pane."""
        super().rebound()
        self.draw()
        if self.pane is not None:
            self.pane.rebound()

    def on_resize(self) -> None:
        """Another width has other words."""
        self.draw()

    # --------------------------------------------------------------------------------------- actions

    def go_back(self) -> None:
        """Take away what lies on top in the pane, else back to Home."""
        if self.pane is None or not self.pane.go_back():
            self.studio.open_home()

    def do_run_list(self) -> None:
        """Ask for a run."""
        from ftstudio.tui.screens.asking import Picking  # noqa: PLC0415 - made when it is asked for

        found = self.studio.found
        rows = run_rows(found.of(self.project), found, self.studio.look, room=72)  # within a dialog
        self.app.push_screen(Picking("Runs", rows, self.run_path), self._chosen)

    def _chosen(self, run: object) -> None:
        if isinstance(run, Path):
            self.choose(run)

    def do_run_previous(self) -> None:
        """The run before."""
        self._step(1)

    def do_run_next(self) -> None:
        """The run after."""
        self._step(-1)

    def _step(self, by: int) -> None:
        runs = [s.path for s in self.studio.found.of(self.project)]
        if self.run_path in runs:
            at = runs.index(self.run_path) + by
            if 0 <= at < len(runs):
                self.choose(runs[at])

    def do_run_start(self) -> None:
        """Start a run of this project."""
        self.start(self.project)


def _pane_action(name: str) -> None:
    """do_pane_setup, do_pane_data ...: one a pane."""
    setattr(ProjectScreen, f"do_pane_{name}", lambda self: self.call_later(self.show_pane, name))


for _name in PANES:
    _pane_action(_name)
