"""Edit what needs several lines: a list with an item a line, a table with `key = value` lines, a long text."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static, TextArea

from ftstudio.errors import FtstudioError
from ftstudio.text import safe_text


class SafeArea(TextArea):
    """Several lines of text; what is pasted is made safe first."""

    def on_paste(self, event: events.Paste) -> None:
        """Comes before TextArea's own handler, which inserts the text of this event."""
        event.text = safe_text(event.text)


class Listing(ModalScreen[None]):
    """`check` raises an error for what is no answer, at each keystroke; `keep` writes the text.

    It stays open when `keep` answers False: nothing that was typed is lost because it could not be written.
    """

    DEFAULT_CSS = """
    Listing SafeArea, Listing SafeArea:focus { height: 1fr; border: none; padding: 0; background: $boost; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", show=False, priority=True),
        Binding("ctrl+s", "keep", show=False, priority=True),
    ]

    def __init__(
        self, title: Text, value: str, hint: str, check: Callable[[str], object], keep: Callable[[str], bool]
    ) -> None:
        super().__init__()
        self._title, self._value, self._hint, self._check, self._keep = title, value, hint, check, keep

    def compose(self) -> ComposeResult:
        """A title, the lines, what is wrong, how to leave."""
        with Vertical(classes="dialog broad tall"):
            yield Static(self._title)
            yield SafeArea(self._value, soft_wrap=True, tab_behavior="focus", show_line_numbers=False)
            yield Static("", classes="wrong", markup=False)
            yield Static(f"{self._hint}. ctrl+s writes, esc leaves it", classes="hint", markup=False)

    def on_mount(self) -> None:
        """Begin at the end."""
        area = self.query_one(SafeArea)
        area.move_cursor(area.document.end)
        area.focus()

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        """Say what is wrong while it is."""
        self._is_right()

    def _is_right(self) -> bool:
        wrong = self.query_one(".wrong", Static)
        try:
            self._check(self.query_one(SafeArea).text)
        except FtstudioError as error:
            wrong.update(Text(safe_text(error, one_line=True)))
            wrong.display = True
            return False
        wrong.display = False
        return True

    def action_keep(self) -> None:
        """Write the text if it is an answer, and close when it is written."""
        if self._is_right() and self._keep(self.query_one(SafeArea).text):
            self.dismiss()
