"""The last words of a run: its newest sample, messages, warnings, checkpoints, from the end of its events."""

from __future__ import annotations

from collections import deque
from pathlib import Path

from rich.text import Text

from ftstudio.api import Event
from ftstudio.runs.events import EventReader
from ftstudio.text import prompt_text
from ftstudio.tui.look import Look
from ftstudio.tui.samples import sample_line
from ftstudio.tui.words import short, value

TAIL_BYTES = 256 << 10
KEPT = 20


class LastWords:
    """Begins near the end of the file, then reads what comes."""

    def __init__(self, path: Path) -> None:
        self._reader = EventReader(path)
        try:
            self._reader.offset = max(0, path.stat().st_size - TAIL_BYTES)
        except OSError:
            self._reader.offset = 0
        self._said: deque[tuple[float, str, str]] = deque(maxlen=KEPT)
        self._sample: Event | None = None

    def read(self) -> bool:
        """Take in what came; True when there is something new to show."""
        events = self._reader.read()
        for event in events:
            self._take(event)
        return bool(events)

    def _take(self, event: Event) -> None:
        match event.kind:
            case "sample":
                self._sample = event
            case "message":
                self._said.append((event.t, str(event.data.get("text", "")), ""))
            case "warning":
                self._said.append((event.t, f"! {event.data.get('text', '')}", "yellow"))
            case "checkpoint":
                best = ", best" if event.data.get("best") else ""
                self._said.append((event.t, f"checkpoint {event.step} committed{best}", ""))
            case "metrics" if isinstance(event.data.get("metrics"), dict) and "loss" in event.data["metrics"]:
                loss = event.data["metrics"]["loss"]
                shown = value(loss) if isinstance(loss, (int, float)) else str(loss)
                self._said.append((event.t, f"step {event.step} loss {shown}", "dim"))

    def text(self, look: Look, rows: int) -> Text:
        """The newest sample and the newest words, in so many rows."""
        lines: list[Text] = []
        if self._sample is not None:
            step, data = self._sample.step, self._sample.data
            prompt, text = prompt_text(data.get("prompt")), str(data.get("text", ""))
            lines.append(sample_line(f"{step:,}" if step else "", prompt, text, look))
        newest = list(self._said)[-(rows - len(lines)) :] if rows > len(lines) else []
        for t, words, style in reversed(newest):
            lines.append(Text.assemble(f" {short(t)} ", look.plain(words, style), no_wrap=True, end=""))
        return Text("\n", no_wrap=True, overflow="ellipsis").join(lines)
