"""Help: what is under the cursor in two sentences, and the keys that hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, cast

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from ftstudio.tui.actions import PLACES, Action, key_words

if TYPE_CHECKING:
    from ftstudio.tui.app import Studio


class Help(ModalScreen[None]):
    """Made anew each time from the registry and from what has the focus."""

    DEFAULT_CSS = """
    Help { align: center middle; }
    Help VerticalScroll { width: 76; max-width: 96%; height: auto; max-height: 90%; padding: 0 1; border: round $accent;
                          background: $surface; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,question_mark,enter", "dismiss", show=False)]

    def __init__(self, explained: str, actions: Sequence[Action]) -> None:
        super().__init__()
        self._explained, self._actions = explained, actions

    def compose(self) -> ComposeResult:
        """The explanation first."""
        with VerticalScroll():
            yield Static(self._text())

    def _text(self) -> Text:
        look = cast("Studio", self.app).look
        text = Text()
        if self._explained:
            text.append_text(look.lines(self._explained)).append("\n\n")
        for place, title in reversed(tuple(PLACES.items())):
            here = [a for a in self._actions if a.place == place]
            if not here:
                continue
            text.append(f"{title}\n", "bold")
            for action in here:
                keys = " ".join(key_words(k) for k in action.keys.split(",")) if action.keys else ":"
                text.append(f"  {keys:<14}", "bold").append(f"{look.words(action.help)}\n")
        text.append("esc closes this", "dim")
        return text
