"""A line below Train's tiles: which plugin is waited for, else which of the run's observers is not well."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from rich.text import Text

from ftstudio.runs.folder import RunFolder
from ftstudio.runs.observers import Trouble, troubles
from ftstudio.tui.background import Asks
from ftstudio.tui.widgets.still import Still

if TYPE_CHECKING:
    from ftstudio.tui.app import Studio


class Unwell(Still, Asks):
    """Takes no room while all is well."""

    DEFAULT_CSS = "Unwell { height: 1; display: none; }"

    def __init__(self) -> None:
        super().__init__("", markup=False)
        self._troubles: list[Trouble] = []
        self._waits = ""

    def look(self, run: RunFolder | None, waits: str) -> None:
        """Say what is waited for now, and ask in a thread how the observers of the run are."""
        if run is not None:
            self.ask(lambda: troubles(run), lambda found: self._draw(found, waits))
        if waits != self._waits:
            self._draw(self._troubles, waits)

    def _draw(self, found: list[Trouble], waits: str) -> None:
        """One line; what else there is to say of observers, `status` says."""
        self._troubles, self._waits = found, waits
        look, words = cast("Studio", self.app).look, Text()
        if waits:
            words = look.plain(f" {look.words(waits)}", "dim")
        elif found:
            others = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
            words = look.plain(f" ! observer {found[0].files.name} {found[0].what}{others}: {found[0].step}", "yellow")
        self.display = bool(words)
        self.update(words)
