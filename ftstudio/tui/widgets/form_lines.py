"""The form's list with a field that opens in the row under the cursor.

Enter on a row is an action of the screen around, which may open a field there with `edit()`. What is typed comes as
`Typed` at each keystroke, Enter as `Entered`, Esc as `Left`. The list never writes anything itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Input

from ftstudio.text import safe_text
from ftstudio.tui.widgets.line_input import LineInput
from ftstudio.tui.widgets.lines import Lines, Row


class FieldInput(LineInput):
    """One line of text. Up and down walk through what is offered; Esc leaves it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", show=False),
        Binding("down,tab", "offer(1)", show=False),
        Binding("up,shift+tab", "offer(-1)", show=False),
    ]

    class Left(Message):
        """Esc."""

    def __init__(self) -> None:
        super().__init__(select_on_focus=False)
        self.offers: Sequence[str] = ()
        self._at = -1

    def validate_value(self, value: str) -> str:
        """Nothing that a terminal must not get comes in, not by pasting either."""
        return safe_text(value, one_line=True)

    def begin(self, value: str, placeholder: str, offers: Sequence[str]) -> None:
        """Start with a value, the cursor behind it."""
        self.value, self.placeholder, self.offers, self._at = value, placeholder, offers, -1
        self.cursor_position = len(value)

    def action_offer(self, by: int) -> None:
        """Take the next of what is offered."""
        if self.offers:
            at = self._at + by if self._at >= 0 else 0 if by > 0 else len(self.offers) - 1
            self._at = at % len(self.offers)
            self.value = self.offers[self._at]
            self.cursor_position = len(self.value)

    def action_leave(self) -> None:
        """Leave it as it was."""
        self.post_message(self.Left())


class FormLines(Vertical):
    """A list of options, and one field over the row that is edited."""

    DEFAULT_CSS = """
    FormLines { width: 1fr; height: 1fr; layers: base above; }
    FormLines FieldInput { layer: above; position: absolute; display: none; }
    """

    class Typed(Message):
        """The text in the field is another."""

        def __init__(self, key: str, text: str) -> None:
            super().__init__()
            self.key, self.text = key, text

    class Entered(Typed):
        """Enter in the field."""

    class Left(Message):
        """Esc in the field."""

    def __init__(self, value_at: int) -> None:
        super().__init__()
        self._value_at = value_at
        self.editing = ""
        """The key of the row that is edited, "" for none."""

    def compose(self) -> ComposeResult:
        """The list, and the field."""
        yield Lines(chooses=False)
        yield FieldInput()

    def on_mount(self) -> None:
        """Follow the list when it scrolls."""
        self.watch(self.lines, "scroll_y", self._place)

    @property
    def lines(self) -> Lines:
        """The list."""
        return self.query_one(Lines)

    @property
    def field(self) -> FieldInput:
        """The field."""
        return self.query_one(FieldInput)

    @property
    def key(self) -> str:
        """The key under the cursor, "" where there is none."""
        return "" if self.lines.key is None else str(self.lines.key)

    def set_rows(self, rows: Sequence[Row]) -> None:
        """Show other rows; the field stays on its own."""
        self.lines.set_rows(rows)
        self._place()

    def edit(self, key: str, value: str, placeholder: str = "", offers: Sequence[str] = ()) -> None:
        """Open the field in the row of a key."""
        self.editing = key
        self.lines.put_cursor(key)
        self.field.begin(value, placeholder, offers)
        self.field.display = True
        self._place()
        self.screen.set_focus(self.field)  # at once, as focus() would not: the next keys are meant for it

    def close(self) -> None:
        """Close the field."""
        if self.editing:
            self.editing = ""
            self.field.display = False
            self.lines.focus()

    def _place(self) -> None:
        """Put the field over the value of its row."""
        if not self.editing:
            return
        index = next((i for i, row in enumerate(self.lines.rows) if row.key == self.editing), -1)
        y = index - self.lines.scroll_offset.y
        self.field.visible = index >= 0 and 0 <= y < self.lines.size.height
        self.field.styles.offset = (self._value_at, y)
        self.field.styles.width = max(8, self.size.width - self._value_at - 1)

    def on_resize(self) -> None:
        """Another width has another field."""
        self._place()

    def on_click(self, event: events.Click) -> None:
        """A click beside the field leaves it."""
        if self.editing and event.widget is not self.field:
            self.post_message(self.Left())

    def on_input_changed(self, event: Input.Changed) -> None:
        """A keystroke in the field."""
        event.stop()
        if self.editing:
            self.post_message(self.Typed(self.editing, event.value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter in the field."""
        event.stop()
        if self.editing:
            self.post_message(self.Entered(self.editing, event.value))

    def on_field_input_left(self, message: FieldInput.Left) -> None:
        """Esc in the field."""
        message.stop()
        self.post_message(self.Left())
