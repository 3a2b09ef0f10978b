"""The key line: what can be done here, or the one sentence that was just said."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from rich.text import Text
from textual.timer import Timer

from ftstudio.tui.widgets.line_input import LineInput
from ftstudio.tui.widgets.still import Still

if TYPE_CHECKING:
    from ftstudio.tui.app import Studio
    from ftstudio.tui.screens.base import StudioScreen

SAID_SECONDS = 6.0
GAP = 3
ALWAYS = ("run.start", "run.stop", "help", "leave")
"""What stands there before anything else gets room."""


class KeyLine(Still):
    """One line: the keys of the actions that can be taken now, as many as fit, those of the place first."""

    DEFAULT_CSS = "KeyLine { dock: bottom; height: 1; background: $panel; color: $text-muted; }"

    def __init__(self) -> None:
        super().__init__("", markup=False)
        self._said = ""
        self._until: Timer | None = None

    def on_mount(self) -> None:
        """Draw for the first time."""
        self.refresh_keys()

    def on_resize(self) -> None:
        """Another width holds other keys."""
        self.refresh_keys()

    def say(self, text: str) -> None:
        """Say a sentence until the next key, for a while at most."""
        self._said = text
        self.refresh_keys()
        if self._until is not None:
            self._until.stop()
        self._until = self.set_timer(SAID_SECONDS, self.forget)

    def forget(self) -> None:
        """Show the keys again."""
        if self._said:
            self._said = ""
            self.refresh_keys()

    def refresh_keys(self) -> None:
        """Draw again what holds now."""
        look = cast("Studio", self.app).look
        if self._said:
            said = look.plain(f" {self._said}", "bold")
            said.no_wrap = True
            _cut_middle(said, self.app.size.width - 1, "..." if look.ascii else "…")
            self.update(said)
            return
        screen = cast("StudioScreen", self.screen)
        if isinstance(screen.focused, LineInput):  # letters are text there: no other key would do what is said of it
            enter = screen.focused.ENTER
            self.update(
                Text.assemble(" ", ("enter", "bold"), f" {enter}", " " * GAP, ("esc", "bold"), " leave", end="")
            )
            return
        actions = [a for a in screen.offered() if a.line and a.keys and not screen.why_off(a)]
        order = {place: index for index, place in enumerate(reversed(screen.places()))}
        actions.sort(key=lambda a: order[a.place])
        room, chosen = self.app.size.width - 1, set[str]()
        for action in sorted(actions, key=lambda a: a.id not in ALWAYS):
            needed = len(action.key) + len(action.words) + 1 + (GAP if chosen else 0)
            if needed <= room:
                room -= needed
                chosen.add(action.id)
        parts = [Text.assemble((a.key, "bold"), f" {look.words(a.words)}", end="") for a in actions if a.id in chosen]
        self.update(Text.assemble(" ", Text(" " * GAP).join(parts), no_wrap=True, end=""))


def _cut_middle(text: Text, room: int, sign: str) -> None:
    """Shorten what does not fit in its middle: it begins with what was done, and a path says at its end which file."""
    if text.cell_len > room:
        head = room // 3
        text.plain = f"{text.plain[:head]}{sign}{text.plain[len(text.plain) - room + head + len(sign) :]}"
