"""What ended while nobody looked, in one line above Home's list."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from rich.text import Text

from ftstudio.runs.status import LIVE, Status
from ftstudio.tui.widgets.still import Still
from ftstudio.tui.words import short

if TYPE_CHECKING:
    from ftstudio.tui.app import Studio

SHOWN = 3


class Away(Still):
    """Shown from the first look at all runs until it is dismissed."""

    DEFAULT_CSS = "Away { height: 1; display: none; }"

    def __init__(self) -> None:
        super().__init__("", markup=False)
        self._ended: list[Text] | None = None

    def look(self) -> None:
        """At the first time: find what ended since somebody last looked, and not before anybody's eyes."""
        if self._ended is not None:
            return
        studio = cast("Studio", self.app)
        since, watched = studio.away_since, studio.memory.watched_until
        ended = [
            s for s in studio.found.statuses.values()
            if since and s.state not in LIVE and (s.last_event_t or 0.0) > max(since, watched(s.path))
        ]  # fmt: skip
        self._ended = [self._said(s) for s in sorted(ended, key=lambda s: -(s.last_event_t or 0.0))]
        studio.memory.looked(studio.root)
        self._draw()

    def dismiss(self) -> bool:
        """Take it away; whether there was anything."""
        there, self._ended = bool(self._ended), []
        self._draw()
        return there

    def _said(self, status: Status) -> Text:
        look = cast("Studio", self.app).look
        glyph, colour = look.state(status.state)
        what = status.state if status.state == "finished" else f"{status.state}: {status.reason.removesuffix('.')}"
        at = short(status.last_event_t or 0.0)
        return Text.assemble((glyph, colour), " ", look.plain(f"{status.project}:{status.run} {what} at {at}"))

    def _draw(self) -> None:
        self.display = bool(self._ended)
        if self._ended:
            look = cast("Studio", self.app).look
            more = f"  and {len(self._ended) - SHOWN} more" if len(self._ended) > SHOWN else ""
            words = Text(look.words("  ")).join(self._ended[:SHOWN])
            line = Text.assemble((" While you were away: ", "bold"), words, more, end="", no_wrap=True)
            line.truncate(max(20, self.app.size.width - 14), overflow="ellipsis" if not look.ascii else "crop")
            self.update(line.append("  esc dismiss", "dim"))
