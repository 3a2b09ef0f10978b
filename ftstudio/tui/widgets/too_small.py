"""The word that a terminal too small for anything gets."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from rich.text import Text
from textual.widget import Widget

from ftstudio.tui.actions import action_of

if TYPE_CHECKING:
    from ftstudio.tui.app import Studio


class TooSmall(Widget):
    """Covers the screen while the app has the class `too-small`."""

    DEFAULT_CSS = """
    TooSmall { display: none; layer: above; dock: top; width: 100%; height: 100%; background: $background; }
    """

    def render(self) -> Text:
        """What is needed, and the one key that acts."""
        leave = action_of("leave", cast("Studio", self.app).keymap).key or "ctrl+q"
        return Text(f"This terminal is too small: the studio needs 60 columns and 16 rows. {leave} leaves.")
