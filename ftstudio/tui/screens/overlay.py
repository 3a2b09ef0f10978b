"""A screen that lies over what is open, until esc: a title, lines, and what is to be said of the line under the cursor.

Below 110 columns the words stand under the lines, from there on beside them; how much room they have depends on no
line, so that nothing moves when the cursor does.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.widgets import Static

from ftstudio.errors import InputError
from ftstudio.tui.background import Asks
from ftstudio.tui.copying import copy
from ftstudio.tui.screens.base import StudioScreen
from ftstudio.tui.widgets.lines import Lines, Row


class OverlayScreen(StudioScreen, Asks):
    """Made anew each time it is opened."""

    HEADING: ClassVar[str] = ""
    DEFAULT_CSS = """
    OverlayScreen #title { height: 1; background: $panel; }
    OverlayScreen #body { height: 1fr; }
    OverlayScreen Lines { height: 1fr; width: 1fr; }
    OverlayScreen #words { height: 4; padding: 0 1; background: $surface; scrollbar-size-vertical: 1; }
    OverlayScreen.wide #body { layout: horizontal; }
    OverlayScreen.wide #words { height: 1fr; width: 1fr; border-left: vkey $panel; }
    """

    def content(self) -> ComposeResult:
        """Title, lines, words."""
        yield Static(id="title", markup=False)
        with Vertical(id="body"):
            yield Lines()
            with VerticalScroll(id="words"):
                yield Static("", markup=False)

    def on_mount(self) -> None:
        """Take the focus."""
        self.query_one(Lines).focus()

    def go_back(self) -> None:
        """Back to what lies below."""
        self.app.pop_screen()

    # --------------------------------------------------------------------------------------- drawing

    def put_title(self, aside: str) -> None:
        """The heading, and a few words at the right."""
        look = self.studio.look
        title = Text.assemble((f" {self.HEADING}", "bold"), end="", no_wrap=True)
        words = look.plain(look.words(aside), "dim")
        title.pad_right(max(1, self.app.size.width - title.cell_len - words.cell_len - 1))
        self.query_one("#title", Static).update(title.append_text(words))

    def put_rows(self, rows: Sequence[Row]) -> None:
        """Show lines, and the words on the one under the cursor."""
        lines = self.query_one(Lines)
        lines.set_rows(rows)
        self.put_words()

    def put_words(self) -> None:
        """Say what there is to say of the line under the cursor."""
        self.query_one("#words Static", Static).update(self.words_on(self.key))

    def words_on(self, key: Hashable) -> Text:
        """What is said of a line."""
        return Text()

    @property
    def key(self) -> Hashable:
        """What the line under the cursor stands for."""
        return self.query_one(Lines).key

    def do_copy(self) -> None:
        """The line under the cursor, and what is said of it."""
        line = next((row.text.plain.strip() for row in self.query_one(Lines).rows if row.key == self.key), "")
        if not line or self.key is None:
            raise InputError("There is no line to copy.")
        self.say(copy(self.app, f"{line}\n\n{self.words_on(self.key).plain}".strip()))

    def on_lines_moved(self, event: Lines.Moved) -> None:
        """Another line under the cursor: other words, and maybe other keys."""
        self.put_words()
        self.refresh_keys()
