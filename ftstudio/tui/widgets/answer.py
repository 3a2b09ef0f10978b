"""What one model wrote: a title, and the text as it comes."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.widgets import Static

from ftstudio.errors import FtstudioError

if TYPE_CHECKING:
    from ftstudio.tui.app import Studio

SHOWN_CHARACTERS = 50_000
ENDS = {"eos": "ended by itself", "length": "reached its length", "stop": "stopped"}


class Scroll(VerticalScroll, can_focus=True):
    """The text; scrolls when it has the focus."""


class Answer(Vertical):
    """A column of the Generate pane."""

    DEFAULT_CSS = """
    Answer { height: 1fr; padding: 0 1; }
    Answer .title { height: 1; }
    Answer Scroll { height: 1fr; scrollbar-size-vertical: 1; }
    Answer Scroll:focus { background: $boost; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.title = ""
        self.before: list[tuple[str, str]] = []
        """Style and text of all that stands above what is being written."""
        self.sequences: dict[int, str] = {}
        self.note = ""
        self.error: FtstudioError | None = None
        self.writing = False

    def compose(self) -> ComposeResult:
        """The title above the text."""
        yield Static("", classes="title", markup=False)
        with Scroll():
            yield Static("", classes="text", markup=False)

    @property
    def answer(self) -> str:
        """What it wrote; several sequences with blank lines between."""
        return "\n\n".join(text for _, text in sorted(self.sequences.items()))

    @property
    def plain(self) -> str:
        """All that is shown, for whoever copies it."""
        return "".join(text for _, text in self.before) + self.answer

    def begin(self, title: str, before: list[tuple[str, str]]) -> None:
        """Another text begins."""
        self.title, self.before, self.sequences, self.note, self.error = title, before, {}, "", None
        self.writing = bool(before)
        self.draw()

    def call_it(self, title: str) -> None:
        """The model that stands here, where nothing was written yet."""
        if not self.before:
            self.title = title
            self.draw()

    def add(self, pieces: dict[int, str]) -> None:
        """More text came, by sequence."""
        for sequence, piece in pieces.items():
            self.sequences[sequence] = (self.sequences.get(sequence, "") + piece)[:SHOWN_CHARACTERS]
        self.draw()

    def tell(self, note: str) -> None:
        """What goes on."""
        self.note = note
        self.draw()

    def end(self, note: str, error: FtstudioError | None = None) -> None:
        """How it ended."""
        self.note, self.error, self.writing = ENDS.get(note, note), error, False
        self.draw()

    def draw(self) -> None:
        """Draw again; stay at the end where the end was shown."""
        look = cast("Studio", self.app).look
        title = Text.assemble(look.plain(self.title, "bold"), ("   ", ""), look.plain(self.note, "dim"), no_wrap=True)
        self.query_one(".title", Static).update(title)
        text = Text()
        for style, shown in self.before:
            text.append_text(look.lines(shown, style))
        text.append_text(look.lines(self.answer))
        if self.error is not None:
            text.append("\n").append_text(look.error(self.error, "red"))
        scroll = self.query_one(Scroll)
        at_end = scroll.scroll_offset.y >= scroll.max_scroll_y - 1
        self.query_one(".text", Static).update(text)
        if at_end:
            scroll.scroll_end(animate=False, immediate=False)

    def explain(self) -> str:
        """What stands here."""
        return (
            "What this model wrote after the prompt, which stands dim before it. Both columns have the same seed and "
            "settings, so that what differs is the models."
        )
