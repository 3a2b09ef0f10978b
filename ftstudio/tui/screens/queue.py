"""The queue: the runs that wait, in the order in which they will compute, and who computes where now."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual.binding import BindingType

from ftstudio.errors import InputError
from ftstudio.process.devices import candidates
from ftstudio.runs.control import ask
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.queue import holders, move, tickets
from ftstudio.runs.status import age_text, read_state
from ftstudio.settings import read_settings
from ftstudio.text import plural
from ftstudio.tui.actions import bindings
from ftstudio.tui.look import Look
from ftstudio.tui.screens.overlay import OverlayScreen
from ftstudio.tui.watch import Seen
from ftstudio.tui.widgets.lines import Lines, Row


@dataclass(frozen=True)
class Waiting:
    """A run that waits, since when (Unix seconds), where it may compute, and the sentence on what it waits for."""

    run: RunFolder
    since: float | None
    places: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Queue:
    """The queue at one moment. `held` is each place with the runs that compute there and its number of slots."""

    waiting: tuple[Waiting, ...]
    held: tuple[tuple[str, tuple[str, ...], int], ...]


def read_queue() -> Queue:
    """The queue of this machine. Raises OSError, InputError."""
    waiting = []
    for ticket in tickets():
        state = read_state(ticket.run)
        waiting.append(Waiting(ticket.run, state.queued or state.started, ticket.places, state.reason))
    slots = read_settings().slots
    places = dict.fromkeys([*(d.place for d in candidates()), *slots, *(p for w in waiting for p in w.places)])
    held = tuple((place, tuple(r.title for r in holders(place, slots)), slots.get(place, 1)) for place in places)
    return Queue(tuple(waiting), held)


class QueueScreen(OverlayScreen):
    """Looks again whenever the studio looks at its files."""

    HEADING = "Queue"
    PLACES: ClassVar[tuple[str, ...]] = ("everywhere", "queue")
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("everywhere", "queue")]

    def __init__(self) -> None:
        super().__init__()
        self.queue: Queue | None = None

    def on_mount(self) -> None:
        """Look."""
        self.put_title("looking ...")
        self.look_again()

    def seen(self, seen: Seen) -> None:
        """The files were looked at; so is the queue."""
        self.look_again()

    def look_again(self) -> None:
        """Read the queue in a thread."""
        self.ask(read_queue, self.take)

    def take(self, queue: Queue) -> None:
        """Draw it."""
        self.queue = queue
        look, count = self.studio.look, len(queue.waiting)
        self.put_title(f"{plural(count, 'run')} {'waits' if count == 1 else 'wait'}" if count else "nothing waits")
        way = self.studio.way_on("run.start", "in a project starts a run, which waits here for its place")
        self.put_rows([*_waiting_rows(queue.waiting, look, way), *_held_rows(queue, look)])
        self.refresh_keys()

    def words_on(self, key: object) -> Text:
        """What a run waits for."""
        found = next((w for w in self.queue.waiting if w.run.path == key), None) if self.queue else None
        return self.studio.look.lines(f"{found.run.path}\n{found.reason}") if found else Text()

    def explain(self) -> str:
        """For help."""
        return (
            "The runs that wait for a device, the next one first: each starts by itself when it is the lowest one for "
            "a place that is free. Moving one earlier lets it compute before those below it; nothing that computes is "
            "disturbed."
        )

    # --------------------------------------------------------------------------------------- actions

    @property
    def index(self) -> int:
        """The place of the run under the cursor among those that wait, -1 when none is."""
        paths = [w.run.path for w in self.queue.waiting] if self.queue else []
        return paths.index(self.key) if isinstance(self.key, Path) and self.key in paths else -1

    def why_not(self, id: str) -> str:
        """Why an action cannot be taken on this line."""
        if not id.startswith("queue.") or id == "queue.open":
            return ""
        if self.index < 0:
            return "No run that waits is under the cursor."
        if id == "queue.up" and self.index == 0:
            return "It is the next one already."
        if id == "queue.down" and self.queue and self.index == len(self.queue.waiting) - 1:
            return "It is the last one already."
        return ""

    def do_queue_up(self) -> None:
        """Before the one above."""
        self._move(self.index, self.index - 1)

    def do_queue_down(self) -> None:
        """The one below goes before this one."""
        self._move(self.index + 1, self.index)

    def _move(self, which: int, before: int) -> None:
        assert self.queue is not None
        waiting = self.queue.waiting
        run, other = waiting[which].run, waiting[before].run

        def question() -> Queue:
            move(run, other)
            return read_queue()

        self.ask(question, self.take)

    def do_queue_withdraw(self) -> None:
        """Out of the queue."""
        assert self.queue is not None
        run = self.queue.waiting[self.index].run
        state = read_state(run)
        if state.state != "queued":
            raise InputError(f"{run.title} does not wait any more: it is {state.state}.")
        ask(run, "stop", state.attempt)
        self.say(f"{run.title} leaves the queue; {self.studio.key('run.resume')} in its project lets it wait again.")

    def on_lines_chosen(self, event: Lines.Chosen) -> None:
        """Enter on a run."""
        self.action_act("queue.go")

    def do_queue_go(self) -> None:
        """Open its project."""
        assert self.queue is not None
        run = self.queue.waiting[self.index].run
        self.app.pop_screen()
        self.studio.open_project(run.project, "train", run.path)


def _waiting_rows(waiting: Sequence[Waiting], look: Look, way: str) -> list[Row]:
    if not waiting:
        return [Row(None, look.plain(f" Nothing waits. {way}"))]
    width = min(28, max(len(w.run.title) for w in waiting))
    rows = []
    for number, one in enumerate(waiting, start=1):
        glyph, colour = look.state("queued")
        title = look.cell(one.run.title, width)
        age = age_text(time.time() - one.since) if one.since else ""
        text = Text.assemble(f" {number:>2} ", (glyph, colour), " ", title, f"  {age:>8}  ", end="", no_wrap=True)
        rows.append(Row(one.run.path, text.append_text(look.plain(one.reason.removesuffix(".")))))
    return rows


def _held_rows(queue: Queue, look: Look) -> list[Row]:
    rows = [Row(None, Text(" Who computes where", "bold"))]
    for place, runs, slots in queue.held:
        text = Text.assemble("    ", look.plain(f"{place:<6}"), end="", no_wrap=True)
        text.append_text(look.plain(", ".join(runs), "green") if runs else Text("free", "dim"))
        rows.append(Row(None, text.append(f"  {len(runs)} of {slots} slots", "dim") if slots > 1 else text))
    return rows
