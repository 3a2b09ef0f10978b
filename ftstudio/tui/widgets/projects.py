"""The projects beside Home's list, each with how many of its runs go on: where there are several, from 150 columns."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, cast

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message

from ftstudio.runs.status import LIVE, State, Status
from ftstudio.tui.watch import Found
from ftstudio.tui.widgets.lines import Lines, Row
from ftstudio.tui.widgets.still import Still

if TYPE_CHECKING:
    from ftstudio.tui.app import Studio

PROJECTS_WIDTH = 26
ALL = "all"
SIGNS: tuple[State, ...] = ("running", "queued")
"""The states that live runs are counted under."""


class Projects(Vertical):
    """All, and each project; the runs of the one under the cursor are shown. Enter opens it."""

    DEFAULT_CSS = f"""
    Projects {{ display: none; width: {PROJECTS_WIDTH}; height: 100%; border-right: vkey $panel; }}
    Projects Still {{ height: 1; text-style: bold; }}
    """

    class Shown(Message):
        """The runs of one project are asked for, None: of all."""

        def __init__(self, project: Path | None) -> None:
            super().__init__()
            self.project = project

    class Opened(Shown):
        """Enter on a project, None: on all."""

    def __init__(self) -> None:
        super().__init__()
        self._only: Path | None = None

    def compose(self) -> ComposeResult:
        """A heading, and the list."""
        yield Still(" Projects", markup=False)
        yield Lines()

    @property
    def lines(self) -> Lines:
        """The list."""
        return self.query_one(Lines)

    def show(self, found: Found, only: Path | None) -> None:
        """Show what there is now, with the cursor on the project whose runs are shown."""
        self._only = only
        live = Counter(_counted(s) for s in found.statuses.values() if s.state in LIVE)
        self.lines.set_rows([self._row(ALL, live, only), *(self._row(p, live, only) for p in found.projects)])
        if self.lines.key != (only or ALL):
            self.lines.put_cursor(only or ALL)

    def _row(self, project: Path | str, live: Counter[tuple[Path, State]], only: Path | None) -> Row:
        look, counts = cast("Studio", self.app).look, Text(end="")
        for state in SIGNS:
            count = live[project, state] if isinstance(project, Path) else 0
            glyph, colour = look.state(state)
            counts.append(f" {count} {glyph}" if count else "", colour)
        mark = look.words("▸") if project == (only or ALL) else " "
        name = look.cell(project.name if isinstance(project, Path) else project, PROJECTS_WIDTH - 6 - counts.cell_len)
        return Row(project, Text.assemble(f" {mark} ", name, counts, end="", no_wrap=True))

    def on_lines_moved(self, event: Lines.Moved) -> None:
        """Another project under the cursor, if it still is there."""
        event.stop()
        project = event.key if isinstance(event.key, Path) else None
        if event.key == self.lines.key and project != self._only:
            self.post_message(self.Shown(project))

    def on_lines_chosen(self, event: Lines.Chosen) -> None:
        """Enter."""
        event.stop()
        self.post_message(self.Opened(event.key if isinstance(event.key, Path) else None))

    def explain(self) -> str:
        """For help."""
        return (
            "The projects of this folder, with how many of their runs compute or wait; beside them stand the runs of "
            "the one under the cursor. Enter opens it, esc goes back to the runs."
        )


def _counted(status: Status) -> tuple[Path, State]:
    return status.path.parent.parent, "queued" if status.state == "queued" else "running"
