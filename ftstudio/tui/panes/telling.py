"""What is heard of a workbench's job while it goes on: words on how far it is, and text as it is written."""

from __future__ import annotations

from time import monotonic
from typing import NamedTuple

from textual.message import Message
from textual.widget import Widget

from ftstudio.api import Event
from ftstudio.errors import FtstudioError


def progress_words(event: Event) -> str:
    """What an event says of how far a job is: "tokenising", "tokenising 34 %", "4,000 rows"."""
    data = event.data
    if event.kind == "phase":
        return str(data.get("name", ""))
    if event.kind == "progress":
        done, total, unit = data.get("done"), data.get("total"), data.get("unit", "")
        if isinstance(done, int) and isinstance(total, int) and total > 0:
            return f"{100 * done / total:.0f} % of the {unit}{'' if str(unit).endswith('s') else 's'}"
        return f"{done:,} {unit}s" if isinstance(done, int) else ""
    return ""


class At(NamedTuple):
    """Which time of generating, and which column: what comes from an earlier time is not wanted any more."""

    time: int
    column: int


class Heard(Message):
    """From a column: more text by sequence, or words on what goes on, or where it is computed and why there."""

    def __init__(
        self, at: At, pieces: dict[int, str] | None = None, note: str | None = None, why: str | None = None
    ) -> None:
        super().__init__()
        self.at, self.pieces, self.note, self.why = at, pieces or {}, note, why


class Ended(Message):
    """A column is done; `error` says why there is no text."""

    def __init__(self, at: At, note: str, error: FtstudioError | None = None, *, last: bool) -> None:
        super().__init__()
        self.at, self.note, self.error, self.last = at, note, error, last


class Teller:
    """Gathers what comes from a workbench, so that the screen gets a message each 50 ms and not each token."""

    def __init__(self, pane: Widget, at: At, seconds: float) -> None:
        self.pane, self.at, self.seconds = pane, at, seconds
        self.pieces: dict[int, str] = {}
        self.told = 0.0
        self.ended = ""

    def event(self, event: Event) -> None:
        """One event."""
        data = event.data
        if event.kind == "chunk":
            sequence = int(data["sequence"])
            self.pieces[sequence] = self.pieces.get(sequence, "") + str(data["text"])
            self.ended = str(data.get("finish_reason") or self.ended)
            if monotonic() - self.told >= self.seconds:
                self.flush()
        elif event.kind == "state":
            where = " ".join(map(str, data.get("devices", ())))
            self.pane.post_message(Heard(self.at, note=f"on {where}", why=str(data.get("reason", ""))))
        elif event.kind in {"warning", "message"}:
            self.pane.post_message(Heard(self.at, why=str(data.get("text", ""))))
        elif words := progress_words(event):
            self.pane.post_message(Heard(self.at, note=words))

    def flush(self) -> None:
        """Tell what was gathered."""
        if self.pieces:
            self.pane.post_message(Heard(self.at, self.pieces))
        self.pieces, self.told = {}, monotonic()
