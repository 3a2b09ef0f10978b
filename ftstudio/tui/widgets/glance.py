"""A run at a glance, beside Home's list: its curve, how it stands, what changed since the one before, its last words.

Shown from 110 columns.
"""

from __future__ import annotations

import contextlib
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from rich.text import Text

from ftstudio.files import tail_bytes
from ftstudio.runs.events import parse_event
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.series import Series
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


@dataclass(frozen=True)
class _End:
    """The end of a run's events: (step, loss) that no resume hid, (time, words); `whole`: it is all of them."""

    losses: Sequence[tuple[int, float]] = ()
    words: Sequence[tuple[float, str]] = ()
    whole: bool = True


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
        self._read: tuple[Status | None, _End] = (None, _End())

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
            self._read = (status, _end(RunFolder(status.path)))
        losses, words = self._read[1].losses, self._read[1].words
        spark = look.spark([number for _, number in losses], 42)
        if spark:
            (first, high), (last, low) = losses[0], losses[-1]
            steps = "" if self._read[1].whole else f", steps {first:,} to {last:,}"
            text.append(f"\nloss {value(high)} to {value(low)}{steps}\n").append(spark, "bold").append("\n")
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


def _end(run: RunFolder) -> _End:
    """Read the end of a run's events."""
    series, words, whole = Series(), [], True
    with contextlib.suppress(OSError):
        whole = run.events.stat().st_size <= TAIL_BYTES
    for line in tail_bytes(run.events, TAIL_BYTES).splitlines():
        event = parse_event(line, 0)
        if event is None:
            continue
        series.add((event,))
        if event.kind in {"message", "warning"}:
            words.append((event.t, str(event.data.get("text", ""))))
        elif event.kind == "checkpoint":
            words.append((event.t, f"checkpoint {event.step} committed"))
    losses = [(step, number) for step, number in series.values("loss") if math.isfinite(number)]
    return _End(losses, words[-LAST_WORDS:], whole=whole)
