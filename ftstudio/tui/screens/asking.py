"""Small screens that ask for one thing: a line of text, one of several, yes or no. Esc is no answer."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from ftstudio.errors import FtstudioError
from ftstudio.tui.widgets.lines import Lines, Row


class Asking(ModalScreen[str | None]):
    """Ask for a line of text. `check` raises an error for what is no answer; it is said, and asked again."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", show=False)]

    def __init__(
        self, title: str, value: str = "", hint: str = "", check: Callable[[str], object] | None = None
    ) -> None:
        super().__init__()
        self._title, self._value, self._hint, self._check = title, value, hint, check

    def compose(self) -> ComposeResult:
        """A title, the line, a hint."""
        with Vertical(classes="dialog"):
            yield Static(Text(self._title, "bold"))
            yield Input(self._value, select_on_focus=False)
            yield Static("", classes="wrong", markup=False)
            yield Static(self._hint or "enter take, esc leave it", classes="hint", markup=False)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take the answer if it is one."""
        try:
            if self._check is not None:
                self._check(event.value)
        except FtstudioError as error:
            wrong = self.query_one(".wrong", Static)
            wrong.update(str(error))
            wrong.display = True
            return
        self.dismiss(event.value)


class Picking(ModalScreen[Hashable]):
    """Ask for one of several; None when none was taken."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "dismiss(None)", show=False)]

    def __init__(self, title: str, rows: Sequence[Row], at: Hashable = None, hint: str = "") -> None:
        super().__init__()
        self._title, self._rows, self._at, self._hint = title, rows, at, hint

    def compose(self) -> ComposeResult:
        """A title and the rows."""
        with Vertical(classes="dialog"):
            yield Static(Text(self._title, "bold"))
            yield Lines()
            yield Static(self._hint or "enter take, esc leave it", classes="hint", markup=False)

    def on_mount(self) -> None:
        """Fill the list."""
        lines = self.query_one(Lines)
        lines.set_rows(self._rows)
        lines.styles.height = min(18, max(1, len(self._rows)))
        if self._at is not None:
            lines.put_cursor(self._at)
        lines.focus()

    def on_lines_chosen(self, event: Lines.Chosen) -> None:
        """The row that was taken."""
        self.dismiss(event.key)


class Confirming(ModalScreen[bool]):
    """Ask whether to do what the text says. y is yes; everything else is no."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "dismiss(True)", show=False),
        Binding("escape,n,q,enter", "dismiss(False)", show=False),
    ]

    def __init__(self, title: str, text: Text) -> None:
        super().__init__()
        self._title, self._text = title, text

    def compose(self) -> ComposeResult:
        """What would be done, and how to say yes."""
        with Vertical(classes="dialog"):
            yield Static(Text(self._title, "bold"))
            yield Static(self._text)
            yield Static("y yes, n no", classes="hint", markup=False)
