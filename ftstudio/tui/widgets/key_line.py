"""The key line: what can be done here, or the one sentence that was just said."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from rich.text import Text
from textual.widgets import Static

if TYPE_CHECKING:
    from ftstudio.tui.app import Studio
    from ftstudio.tui.screens.base import StudioScreen

SAID_SECONDS = 6.0


class KeyLine(Static):
    """One line: the keys of the actions that hold, as many as fit, those of the place first."""

    DEFAULT_CSS = "KeyLine { dock: bottom; height: 1; background: $panel; color: $text-muted; }"

    def __init__(self) -> None:
        super().__init__("", markup=False)
        self._said = ""

    def on_mount(self) -> None:
        """Draw for the first time."""
        self.refresh_keys()

    def on_resize(self) -> None:
        """Another width holds other keys."""
        self.refresh_keys()

    def say(self, text: str) -> None:
        """Say a sentence for a while."""
        self._said = text
        self.refresh_keys()
        self.set_timer(SAID_SECONDS, self._forget)

    def _forget(self) -> None:
        self._said = ""
        self.refresh_keys()

    def refresh_keys(self) -> None:
        """Draw again what holds now."""
        look = cast("Studio", self.app).look
        if self._said:
            self.update(look.plain(f" {self._said}", "bold"))
            return
        screen = cast("StudioScreen", self.screen)
        actions = [a for a in screen.offered() if a.line and a.keys]
        order = {place: index for index, place in enumerate(reversed(screen.places()))}
        line = Text(" ", no_wrap=True, end="")
        for action in sorted(actions, key=lambda a: order[a.place]):
            words = Text.assemble((action.key, "bold"), f" {look.words(action.words)}   ")
            if line.cell_len + words.cell_len - 3 > self.app.size.width:
                continue
            line.append_text(words)
        self.update(line)
