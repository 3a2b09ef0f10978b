"""Setup: what the project's file says."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.widgets import Static

from ftstudio.errors import FtstudioError
from ftstudio.finding import FILE
from ftstudio.source import read_source
from ftstudio.tui.panes.base import Pane


class SetupPane(Pane):
    """Shows project.toml as it is."""

    def compose(self) -> ComposeResult:
        """One text."""
        yield Static("", markup=False)

    def enter(self) -> None:
        """Read the file again."""
        try:
            text = self.studio.look.lines(read_source(self.project / FILE).text)
        except FtstudioError as error:
            text = self.studio.look.lines(error)
        self.query_one(Static).update(text)
