"""A list of lines with a cursor: runs, checkpoints, plugins. Drawn line by line, so a thousand cost a screenful.

The cursor belongs to a row's key, not to its number: rows may come, go and change places, and neither the cursor nor
the scroll moves by itself, but to keep the cursor's row in view, with its notes: the rows without a key below it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual import events
from textual.binding import BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from ftstudio.tui.keymap import LIST_KEYS, fixed_bindings


class Row:
    """A line of a list. `key` says which thing it stands for; a row without one cannot have the cursor.

    Of a long list the text may be a function: it is called when the row is first looked at.
    """

    def __init__(self, key: Hashable, text: Text | Callable[[], Text]) -> None:
        self.key, self._text = key, text

    @property
    def text(self) -> Text:
        """What the line says."""
        if not isinstance(self._text, Text):
            self._text = self._text()
        return self._text


class Lines(ScrollView, can_focus=True):
    """Rows with a cursor. Enter chooses."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"lines--cursor"}
    DEFAULT_CSS = """
    Lines { height: 1fr; scrollbar-size-vertical: 1; scrollbar-size-horizontal: 0; }
    Lines .lines--cursor { background: $boost; text-style: bold; }
    Lines:focus .lines--cursor { background: $block-cursor-background; color: $block-cursor-foreground; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [*fixed_bindings(LIST_KEYS)]

    class Moved(Message):
        """The cursor is on another key."""

        def __init__(self, lines: Lines, key: Hashable) -> None:
            super().__init__()
            self.lines, self.key = lines, key

        @property
        def control(self) -> Lines:
            """The list."""
            return self.lines

    class Chosen(Moved):
        """Enter, or a click on the line of the cursor."""

    def __init__(self, *, chooses: bool = True, id: str | None = None, classes: str | None = None) -> None:
        """`chooses=False`: Enter is an action of the screen around, taken before the next key is looked at."""
        super().__init__(id=id, classes=classes)
        self._chooses = chooses
        self.rows: list[Row] = []
        self._at: Hashable = None

    # ------------------------------------------------------------------------------------------ rows

    @property
    def key(self) -> Hashable:
        """The key under the cursor, None when no row has one."""
        return self._at

    @property
    def index(self) -> int:
        """The number of the cursor's row, -1 without one."""
        return next((i for i, row in enumerate(self.rows) if row.key is not None and row.key == self._at), -1)

    def set_rows(self, rows: Sequence[Row]) -> None:
        """Show other rows. The cursor stays on its key; where that is gone, on the row that took its place."""
        before, in_view = self._span(self.index), 0 <= self.index - self.scroll_offset.y < self.size.height
        at, old, self.rows = self.index, self.rows, list(rows)
        if self.index < 0:
            self._put(self._nearest(max(0, at)), scroll=False)
        if len(old) == len(self.rows):
            top = self.scroll_offset.y
            for y, (a, b) in enumerate(zip(old[top:], self.rows[top : top + self.size.height], strict=False)):
                if a.key != b.key or a.text != b.text:
                    self.refresh(Region(0, y, self.size.width, 1))
        else:
            self.virtual_size = Size(self.size.width, len(rows))
            self.refresh()
        if in_view and self.index >= 0 and self._span(self.index) != before:
            self._show_cursor()

    def _span(self, index: int) -> tuple[int, int]:
        """The first row and the one behind the last of what is seen together: a row and its notes.

        With the first row that has a key, what stands above it.
        """
        able = [i for i, row in enumerate(self.rows) if row.key is not None]
        first = 0 if able[:1] == [index] else index
        return first, next((i for i in able if i > index), len(self.rows))

    def _show_cursor(self) -> None:
        """Scroll to the cursor's row with its notes, or as many of them as there is room for."""
        index, height = self.index, max(1, self.size.height)
        first, end = self._span(index)
        end = min(end, index + height)
        first = max(first, end - height)
        self.scroll_to_region(Region(0, first, 1, end - first), animate=False)

    def _nearest(self, index: int) -> int:
        """The row with a key that is closest to a number."""
        able = [i for i, row in enumerate(self.rows) if row.key is not None]
        return min(able, key=lambda i: abs(i - index), default=-1)

    def put_cursor(self, key: Hashable) -> None:
        """Put the cursor on a key, if it is there."""
        index = next((i for i, row in enumerate(self.rows) if row.key == key), -1)
        if index >= 0:
            self._put(index)

    def _put(self, index: int, *, scroll: bool = True) -> None:
        old = self.index
        self._at = self.rows[index].key if 0 <= index < len(self.rows) else None
        for i in {old, index}:
            if i >= 0:
                self.refresh(Region(0, i - self.scroll_offset.y, self.size.width, 1))
        if scroll and index >= 0:
            self._show_cursor()
        if self.is_attached:
            self.post_message(self.Moved(self, self._at))

    # ---------------------------------------------------------------------------------------- moving

    def action_move(self, by: int) -> None:
        """Go to the next row with a key."""
        able = [i for i, row in enumerate(self.rows) if row.key is not None]
        if not able:
            return
        now = self.index
        further = [i for i in able if (i > now if by > 0 else i < now)]
        if further:
            self._put(further[0] if by > 0 else further[-1])

    def action_page(self, by: int) -> None:
        """Go a screenful."""
        self._put(self._nearest(min(max(0, self.index + by * max(1, self.size.height - 1)), len(self.rows) - 1)))

    def action_ends(self, which: int) -> None:
        """Go to the first or the last row."""
        self._put(self._nearest(0 if which == 0 else len(self.rows) - 1))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Enter on no row is left to the screen around, which may know what it means."""
        return action != "choose" or (self._chooses and self._at is not None)

    def action_choose(self) -> None:
        """Choose what is under the cursor."""
        if self._at is not None:
            self.post_message(self.Chosen(self, self._at))

    def on_click(self, event: events.Click) -> None:
        """A click moves the cursor; a second one on its line chooses."""
        index = event.y + self.scroll_offset.y
        if not 0 <= index < len(self.rows) or self.rows[index].key is None:
            return
        if index == self.index:
            self.action_choose()
        else:
            self._put(index)

    # --------------------------------------------------------------------------------------- drawing

    def on_resize(self) -> None:
        """Lines are as wide as the list."""
        self.virtual_size = Size(self.size.width, len(self.rows))

    def render_line(self, y: int) -> Strip:
        """One line of the screen."""
        index, width = y + self.scroll_offset.y, self.size.width
        base = self.rich_style
        if index >= len(self.rows):
            return Strip.blank(width, base)
        row = self.rows[index]
        at_cursor = row.key is not None and row.key == self._at
        style = self.get_component_rich_style("lines--cursor") if at_cursor else Style.null()
        text = Text.assemble(row.text)  # a text without spans is rendered without its own style
        text.truncate(width, overflow="ellipsis")
        segments = text.render(self.app.console)
        strip = Strip(segments).apply_style(base)
        if at_cursor:
            strip = Strip([type(s)(s.text, (s.style or Style.null()) + style, s.control) for s in strip])
        return strip.extend_cell_length(width, base + style).crop(0, width)
