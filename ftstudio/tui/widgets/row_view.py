"""One row of the data in full: as the source gives it, or as the tokens that are trained on, with a rail below.

The rail is characters first and colour second, so it can be read without colours and copied.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from ftstudio.text import plural, safe_text

if TYPE_CHECKING:
    from ftstudio.tui.app import Studio

STYLES: Mapping[str, str] = {"=": "green", ".": "dim", "_": "dim", "x": "red"}


class RowView(VerticalScroll, can_focus=True):
    """Scrolls when it has the focus."""

    DEFAULT_CSS = """
    RowView { height: 1fr; padding: 0 1; scrollbar-size-vertical: 1; scrollbar-gutter: stable;
              border-top: solid $panel; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._view: Mapping[str, Any] | None = None
        self._width = 0
        self.text = ""
        """What is shown, for whoever copies it."""

    def compose(self) -> ComposeResult:
        """One text."""
        yield Static("", markup=False)

    def show_row(self, number: int, row: Mapping[str, Any], cut: Mapping[str, int]) -> None:
        """Show a source's row. `cut`: column -> the true length of a text of which only the beginning came."""
        look, self._view = cast("Studio", self.app).look, None
        text = Text()
        for column, value in row.items():
            if len(row) > 1 or not isinstance(value, str):
                text.append_text(look.lines(f"{column}\n", "bold"))
            text.append_text(_value(value, look.lines)).append("\n")
        said = [f"the first {len(row[column]):,} of {length:,} characters" for column, length in cut.items()]
        self._show(number, ", ".join(said), text)

    def show_tokens(self, view: Mapping[str, Any]) -> None:
        """Show the token view of a row."""
        self._view, self._width = view, self.scrollable_content_region.width
        said = f"{plural(view['tokens'], 'token')}, {view['trained_tokens']:,} trained"
        said += f", {view['cut']:,} cut" if view["cut"] else ""
        self._show(int(view["row"]), said, self._rails(view))

    def _rails(self, view: Mapping[str, Any]) -> Text:
        from ftstudio.process.token_view import LEGEND, lines  # noqa: PLC0415 - loads no more than the API

        ascii_only = cast("Studio", self.app).look.ascii

        def show(piece: str) -> str:
            shown = safe_text(piece, one_line=True)
            return shown.encode("ascii", "backslashreplace").decode() if ascii_only else shown

        text = Text()
        pairs = lines(view, max(20, self._width), show)
        for shown, rail in zip(pairs[::2], pairs[1::2], strict=True):
            text.append(shown + "\n").append_text(_coloured(rail)).append("\n")
        return text.append(LEGEND, "dim")

    def _show(self, number: int, said: str, body: Text) -> None:
        self.text = body.plain
        title = Text.assemble((f"row {number:,}", "bold"), f"   {said}\n" if said else "\n")
        self.query_one(Static).update(title.append_text(body))
        self.scroll_home(animate=False)

    def clear(self) -> None:
        """Show nothing."""
        self.text, self._view = "", None
        self.query_one(Static).update("")

    def on_resize(self) -> None:
        """Tokens are wrapped anew where the width is another."""
        if self._view is not None and self.scrollable_content_region.width != self._width:
            self.show_tokens(self._view)

    def explain(self) -> str:
        """What the rail means."""
        return (
            "A row in full. In the token view the rail below says of each token whether the model is trained on it "
            "(=), only reads it (.), or never sees it (x)."
        )


def _coloured(rail: str) -> Text:
    text = Text(rail)
    for mark, style in STYLES.items():
        start = rail.find(mark)
        while start >= 0:
            end = start
            while end < len(rail) and rail[end] == mark:
                end += 1
            text.stylize(style, start, end)
            start = rail.find(mark, end)
    return text


def _value(value: Any, lines: Any) -> Text:
    """A text as it is; a conversation turn by turn; anything else as Python writes it."""
    if isinstance(value, list) and value and all(isinstance(v, Mapping) and "role" in v for v in value):
        text = Text()
        for turn in value:
            text.append_text(lines(f"{turn['role']}: ", "bold")).append_text(lines(f"{turn.get('content', '')}\n"))
        return text
    shown: Text = lines(value)
    return shown
