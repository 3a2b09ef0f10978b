"""Something to read: a run's settings, a difference, a report. Esc closes it."""

from __future__ import annotations

from typing import ClassVar

from rich.console import RenderableType
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static


class Showing(ModalScreen[None]):
    """A title and a text that scrolls. The text is safe already: it comes from `look`."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,enter", "dismiss", show=False)]

    def __init__(self, title: Text, text: RenderableType, hint: str = "esc closes this") -> None:
        super().__init__()
        self._title, self._text, self._hint = title, text, hint

    def compose(self) -> ComposeResult:
        """Title, text, hint."""
        with Vertical(classes="dialog broad"):
            yield Static(self._title)
            with VerticalScroll():
                yield Static(self._text)
            yield Static(self._hint, classes="hint", markup=False)

    def on_mount(self) -> None:
        """The arrows scroll."""
        self.query_one(VerticalScroll).focus()
