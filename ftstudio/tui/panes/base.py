"""What a pane of a project is: it is told of runs and files while it is shown, and of nothing while it is not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from textual.containers import Vertical

from ftstudio.finding import FILE
from ftstudio.runs.folder import RunFolder
from ftstudio.tui.watch import Seen

if TYPE_CHECKING:
    from ftstudio.tui.app import Studio
    from ftstudio.tui.screens.project import ProjectScreen


class Pane(Vertical):
    """One of the seven panes. Its actions are methods `do_<id>`; `why_not(id)` may say why one is off."""

    DEFAULT_CSS = "Pane { height: 1fr; }"

    def __init__(self, project: Path) -> None:
        super().__init__()
        self.project = project

    @property
    def studio(self) -> Studio:
        """The app, by its own type."""
        return cast("Studio", self.app)

    @property
    def project_screen(self) -> ProjectScreen:
        """The screen that this is a pane of."""
        return cast("ProjectScreen", self.screen)

    def file_stamp(self) -> tuple[int, ...]:
        """Another one whenever project.toml is written; it asks the disk, so it belongs in a thread."""
        try:
            info = (self.project / FILE).stat()
        except OSError:
            return (0,)
        return (info.st_mtime_ns, info.st_size, info.st_ino)

    def action_act(self, id: str) -> None:
        """A pane's own keys (`BINDINGS = bindings("setup")`) take actions as those of its screen do."""
        self.project_screen.action_act(id)

    def enter(self) -> None:
        """It is shown from now on: catch up, and take the focus."""

    def leave(self) -> None:
        """It is hidden from now on."""

    def rebound(self) -> None:
        """Other keys take the actions: what names them is drawn again."""

    def go_back(self) -> bool:
        """Take away what lies on top in here; whether there was anything."""
        return False

    def show_run(self, run: RunFolder | None) -> None:
        """The project's current run is this one; also called at each `enter`."""

    def seen(self, seen: Seen) -> None:
        """The files were looked at while it is shown. `seen.changed` are the runs that changed."""
