"""An error as a panel: what went wrong, to what, and the next step. Esc takes it away."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual.widgets import Static

from ftstudio.errors import FtstudioError

if TYPE_CHECKING:
    from ftstudio.tui.app import Studio


class ErrorPanel(Static):
    """Hidden until there is something to say."""

    DEFAULT_CSS = """
    ErrorPanel { dock: bottom; display: none; height: auto; max-height: 10; margin-bottom: 1; padding: 0 1;
                 border-top: heavy $error; background: $panel; }
    """

    def __init__(self) -> None:
        super().__init__("", markup=False)

    def show(self, error: FtstudioError) -> None:
        """Say an error until it is dismissed."""
        look = cast("Studio", self.app).look
        self.update(look.error(error, "bold").append("\nesc dismiss", "dim"))
        self.display = True

    def dismiss_error(self) -> None:
        """Take it away."""
        self.display = False
