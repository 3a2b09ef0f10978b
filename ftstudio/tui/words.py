"""Runs in words, for lists and headers: one line a run, the numbers aligned."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path

from rich.cells import cell_len
from rich.text import Text

from ftstudio.runs.status import LIVE, Status, age_text, ago
from ftstudio.tui.look import Look
from ftstudio.tui.watch import Found
from ftstudio.tui.widgets.lines import Row

SORTS: Mapping[str, Callable[[Status, bool], tuple[object, ...]]] = {
    "live first": lambda s, pinned: (
        s.state not in LIVE,
        not pinned,
        s.state == "queued",
        s.state not in LIVE and -(s.last_event_t or 0.0),
        s.project,
        s.run,
    ),
    "newest first": lambda s, _: (-(s.last_event_t or 0.0), s.project, s.run),
    "name": lambda s, _: (s.project, s.run),
    "loss": lambda s, _: (s.metrics.get("eval_loss", s.metrics.get("loss", float("inf"))), s.project, s.run),
}
"""What orders runs, of a status and whether the run is pinned."""
BESIDE_NAME = 53
"""Columns of a run's line beside its name: marks, state, steps, loss, time, and the list's scroll bar."""
PINNED = 8


def value(number: float | None, digits: int = 4) -> str:
    """A metric in few characters."""
    if number is None:
        return ""
    if number != number or abs(number) == float("inf"):  # noqa: PLR0124 - NaN is unequal to itself
        return str(number)
    whole = abs(number) >= 10**digits - 0.5  # what has no digit left behind the point, else it would end in e+03
    return f"{number:,.0f}" if whole else f"{number:.{digits}g}"


def progress(status: Status) -> str:
    """How far a run is: "1,240/5,000", the phase before its first step."""
    if status.step or (status.total_steps and status.step is not None):
        return f"{status.step:,}/{status.total_steps:,}" if status.total_steps else f"{status.step:,}"
    return status.phase if status.state in LIVE else ""


def when(status: Status) -> str:
    """Time left of a live run, else how long ago its last event was."""
    if status.eta_s is not None and status.state in LIVE:
        return age_text(status.eta_s)
    return ago(status.last_event_t)


def loss(status: Status) -> str:
    """The loss, or the eval loss where there is no other."""
    for name in ("loss", "eval_loss"):
        if name in status.metrics:
            return f"loss {value(status.metrics[name])}"
    return ""


def line_words(status: Status, *, pinned: bool) -> str:
    """All that a run's line says, with a space between any two words, for who looks for a run by it."""
    note = status.note if status.state in LIVE else ""
    name = f"{status.project}:{status.run}"
    said = (name, status.state, progress(status), loss(status), when(status), status.reason, note)
    return " ".join(" ".join((*said, "pinned" if pinned else "")).split())


def run_rows(
    statuses: Sequence[Status], found: Found, look: Look, marked: Collection[Path] = (), room: int = 80
) -> list[Row]:
    """Runs as lines of a list whose columns align in `room` columns; `marked` are their folders.

    A long name gives way before the time does, which stands at the end.
    """
    beside = BESIDE_NAME + (PINNED if any(s.path in found.pinned for s in statuses) else 0)
    longest = max((cell_len(f"{s.project}:{s.run}") for s in statuses), default=10)
    width = min(28, longest, max(8, room - beside))
    line = partial(_run_line, look=look, name_width=width)
    return [Row(s.path, partial(line, s, marked=s.path in marked, pinned=s.path in found.pinned)) for s in statuses]


def _run_line(status: Status, look: Look, name_width: int, *, marked: bool, pinned: bool) -> Text:
    """A run as one line: glyph and word of its state, how far, its loss, its time; or why it is as it is."""
    glyph, colour = look.state(status.state)
    title = look.plain(f"{status.project}:{status.run}")
    title.truncate(name_width, overflow="ellipsis" if not look.ascii else "crop", pad=True)
    text = Text.assemble(look.mark if marked else " ", (glyph, colour), " ", title, "  ", end="", no_wrap=True)
    text.append(status.state, colour)
    note = status.note if status.state in LIVE else ""
    far = progress(status)
    if far if status.state == "stopped" else status.state == "finished" or status.state in LIVE - {"queued"}:
        room = 22 - len(status.state)
        figures = f"{far:>{room}}  {loss(status):<11}"
        if len(far) > room - 2:  # words of a phase, millions of steps: they take of the loss's place
            figures = f"  {far}  {loss(status)}".ljust(room + 13)
        text.append(f"{figures} {when(status):>11}")
    else:
        text.append(" " * (12 - len(status.state))).append_text(look.plain(status.reason.removesuffix(".")))
    text.append("  pinned" if pinned else "", "bold")
    return text.append_text(look.plain(f"  {note}", "yellow")) if note else text


def from_home(path: Path) -> str:
    """A path as people write it: "~/lab"."""
    home = os.path.expanduser("~")  # noqa: PTH111 - Path.home() raises where there is none
    whole = path.absolute()
    return f"~/{whole.relative_to(home)}" if whole.is_relative_to(home) and str(whole) != home else str(path)


def short(t: float) -> str:
    """A time of today as hours and minutes, another day's with its date."""
    then = time.localtime(t)
    today = time.localtime(time.time())
    same_day = (then.tm_year, then.tm_yday) == (today.tm_year, today.tm_yday)
    return time.strftime("%H:%M" if same_day else "%d %b %H:%M", then)
