"""A text that costs nothing while it says the same.

Textual lays the whole screen out again at every update of a Static, and sends its lines again even if they are what
they were: with a look at the files each second that was half of what an idle studio cost.
"""

from __future__ import annotations

from rich.text import Text
from textual.visual import VisualType
from textual.widgets import Static


class Still(Static):
    """A Static that is drawn again when it says something else, and laid out again when that takes other room."""

    def update(self, content: VisualType = "", *, layout: bool = True) -> None:
        """Say something else, or the same."""
        if _same(self.content, content):
            return
        before = self._room()
        super().update(content, layout=False)
        self.clear_cached_dimensions()
        if layout and (before is None or self._room() != before):
            self.refresh(layout=True)

    def _room(self) -> tuple[int, int] | None:
        """The width and height that it would take, 0 where its style says how much; None before it has a place."""
        size, all_room, styles = self.content_size, self.app.size, self.styles
        if not size.width:
            return None
        return (
            self.get_content_width(all_room, all_room) if _is_auto(styles.width) else 0,
            self.get_content_height(all_room, all_room, size.width) if _is_auto(styles.height) else 0,
        )


def _is_auto(scalar: object) -> bool:
    return bool(getattr(scalar, "is_auto", False))


def _same(old: object, new: object) -> bool:
    """Whether two contents look the same. Of one Text nobody knows what it was before."""
    if isinstance(old, Text) and isinstance(new, Text):
        return old is not new and old == new and old.style == new.style
    return isinstance(old, str) and old == new
