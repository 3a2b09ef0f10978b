"""A run at a glance, beside Home's list: its curve, how it stands, what changed since the one before, its last words.

Shown from 110 columns.
"""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, cast

from rich.text import Text

from ftstudio.files import tail_bytes
from ftstudio.runs.events import parse_event
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.status import Status
from ftstudio.tui.background import Asks
from ftstudio.tui.widgets.still import Still
from ftstudio.tui.words import progress, short, value, when

if TYPE_CHECKING:
    from ftstudio.tui.app import Studio

GLANCE_WIDTH = 46
TAIL_BYTES = 64 << 10
LAST_WORDS = 6
CHANGED_WIDTH = 42


Known = tuple[Path, tuple[int, int]]
"""A run's folder, and when it was made: another run may get the number of a deleted one."""
Pair = tuple[Known, Known]


class Glance(Still, Asks):
    """Reads the end of one run's events, only when that run changed."""

    DEFAULT_CSS = f"""
    Glance {{ width: {GLANCE_WIDTH}; height: 100%; padding: 0 1; display: none; border-left: vkey $panel; }}
    """

    def __init__(self) -> None:
        super().__init__("", markup=False)
        self._shown: tuple[Status | None, bool, str, str] = (None, False, "", "")
        self._changed: dict[Pair | None, str] = {}
        """What was set otherwise for a run than for the one before it: both are frozen, so it is read once."""
        self._asked: Pair | None = None
        self._read: tuple[Status | None, list[float], list[tuple[float, str]]] = (None, [], [])

    def show(self, status: Status | None, *, pinned: bool = False, before: Path | None = None) -> None:
        """Show another run, or the same one as it is now: how long ago its last event was goes on by itself.

        `before` is the run that it is set beside; what changed since then is read in a thread.
        """
        pair = None if status is None or before is None else (_known(before), _known(status.path))
        changed = self._changed.get(pair, "")
        if pair is not None and pair not in self._changed:
            self._read_changes(pair)
        shown = (status, pinned, "" if status is None else when(status), changed)
        if shown == self._shown:
            return
        self._shown = shown
        self.update("" if status is None else self._text(status, changed, pinned=pinned))

    def _read_changes(self, pair: Pair) -> None:
        """Ask in a thread, once; where another run was asked for meanwhile, again."""
        if pair == self._asked:
            return
        self._asked = pair

        def question() -> str:
            from ftstudio.tui.since import since_before  # noqa: PLC0415 - loads the plugins

            return since_before(*(RunFolder(path) for path, _ in pair))

        def taken(changed: str) -> None:
            self._changed[pair] = changed
            status, pinned, _, _ = self._shown
            if status is not None and status.path == pair[1][0]:
                self.show(status, pinned=pinned, before=pair[0][0])

        self.ask(question, taken)

    def _text(self, status: Status, changed: str, *, pinned: bool) -> Text:
        look = cast("Studio", self.app).look
        glyph, colour = look.state(status.state)
        text = Text.assemble((f"{glyph} ", colour), look.plain(f"{status.project}:{status.run}", "bold"), "\n")
        text.append(f"{status.state}", colour).append(f"  {progress(status)}  {when(status)}")
        text.append("  pinned" if pinned else "", "bold").append("\n")
        if status.reason:
            text.append_text(look.lines(status.reason)).append("\n")
        if self._read[0] != status:
            self._read = (status, *_tail(RunFolder(status.path)))
        _, losses, words = self._read
        spark = look.spark(losses, 42)
        if spark:
            text.append(f"\nloss {value(losses[0])} to {value(losses[-1])}\n").append(spark, "bold").append("\n")
        for name, number in sorted(status.metrics.items()):
            if name in {"eval_loss", "learning_rate", "tokens_per_second"}:
                text.append(f"{name:<20}{value(number)}\n")
        if changed:
            lines = textwrap.wrap(look.words(changed), CHANGED_WIDTH, max_lines=2, placeholder=look.words(" …"))
            text.append("\n").append_text(look.lines("\n".join(lines))).append("\n")
        if words:
            text.append("\n")
        for at, said in words:
            text.append(f"{short(at)} ", "dim").append_text(look.plain(said)).append("\n")
        return text


def _known(path: Path) -> Known:
    return path, RunFolder(path).made


def _tail(run: RunFolder) -> tuple[list[float], list[tuple[float, str]]]:
    """The losses and the last words in the end of a run's events."""
    losses: list[float] = []
    words: list[tuple[float, str]] = []
    for line in tail_bytes(run.events, TAIL_BYTES).splitlines():
        event = parse_event(line, 0)
        if event is None:
            continue
        if event.kind == "metrics" and isinstance(event.data.get("metrics"), dict):
            number = event.data["metrics"].get("loss")
            if isinstance(number, float):
                losses.append(number)
        elif event.kind in {"message", "warning"}:
            words.append((event.t, str(event.data.get("text", ""))))
        elif event.kind == "checkpoint":
            words.append((event.t, f"checkpoint {event.step} committed"))
    return losses, words[-LAST_WORDS:]
