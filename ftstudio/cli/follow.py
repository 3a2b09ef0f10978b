"""Following a run from the command line: its events as lines of narration."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from ftstudio.cli import output
from ftstudio.event import Event
from ftstudio.runs.control import ask, take_back_stop
from ftstudio.runs.events import EventReader
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.status import GLYPHS, LIVE, StateFile, read_state
from ftstudio.text import number_text

POLL_SECONDS = 0.1
_TRAINING = "Stopping after this step, with a checkpoint. Ctrl+C again leaves it running."
_QUEUED = "Taking it out of the queue. Ctrl+C again leaves it waiting."


def _at_a_terminal() -> bool:
    """Whether stderr is one now; its method, named below, would be that of the stream that it was at the import."""
    return sys.stderr.isatty()


@dataclass
class Narrator:
    """Turns events into lines; a progress line is redrawn in place where stderr is a terminal."""

    live: bool = field(default_factory=_at_a_terminal)
    _drawn: int = 0
    _said: tuple[str, int] = ("", -1)
    _waited_for: str = ""

    def state(self, state: StateFile) -> None:
        """Say what a queued run waits for, once."""
        if state.state == "queued" and state.reason != self._waited_for:
            self._waited_for = state.reason
            self.line(f"{GLYPHS[state.state]} {state.reason}")

    def event(self, event: Event) -> None:
        """Say one event."""
        data = event.data
        match event.kind:
            case "phase":
                self.line(f"▸ {data.get('name')}")
            case "progress":
                self._progress(data)
            case "metrics":
                self.line(f"  step {event.step}  " + metrics_text(data.get("metrics", {})))
            case "message":
                self.line(f"  {data.get('text')}")
            case "warning":
                self.line(f"! {data.get('text')}")
            case "checkpoint":
                best = ", the best so far" if data.get("best") else ""
                self.line(f"  checkpoint {event.step} committed{best}")
            case "sample" if not data.get("model"):
                self.line(f"  step {event.step}  {data.get('prompt')!r} → {data.get('text')!r}")

    def line(self, text: str) -> None:
        """A line of its own."""
        self.clear()
        output.say(text)

    def clear(self) -> None:
        """Take the progress line away."""
        if self._drawn:
            sys.stderr.write("\r" + " " * self._drawn + "\r")
            self._drawn = 0

    def _progress(self, data: object) -> None:
        assert isinstance(data, dict)
        done, total, unit = data.get("done"), data.get("total"), str(data.get("unit", ""))
        text = f"  {done:,}/{total:,} {unit}s" if isinstance(total, int) else f"  {done:,} {unit}s"
        text = text.replace("ss", "s") if unit.endswith("s") else text
        if self.live:
            self.clear()
            text = text[: output.width() - 1]
            sys.stderr.write(text)
            sys.stderr.flush()
            self._drawn = len(text)
        elif unit != "step" and isinstance(done, int) and isinstance(total, int) and total:
            tenth = (unit, 10 * done // total)
            if tenth != self._said:
                self._said = tenth
                output.say(text)


def metrics_text(metrics: object) -> str:
    """Metrics in one line, the loss first."""
    if not isinstance(metrics, dict):
        return ""
    order = ["loss", "eval_loss", "perplexity", "learning_rate", "grad_norm", "tokens_per_second"]
    names = sorted(metrics, key=lambda n: (order.index(n) if n in order else len(order), n))
    return "  ".join(f"{name} {number_text(metrics[name])}" for name in names[:7])


def follow(run: RunFolder, attempt: int, *, stoppable: bool = True) -> StateFile | None:
    """Say what happens from an attempt on until the run is over, and return its state.

    The first Ctrl+C asks the run to stop; the second takes that back, leaves it running and returns None. Where the
    run is not `stoppable` from here, the first one leaves. What the worker has seen already cannot be taken back: then
    the state that comes back is a live one.
    """
    reader, narrator = EventReader(run.events), Narrator()
    asked = not stoppable
    while True:
        try:
            state = read_state(run)
            for event in reader.read():
                if event.attempt >= attempt:
                    narrator.event(event)
            if state.state not in LIVE:
                narrator.clear()
                return state
            narrator.state(state)
            time.sleep(POLL_SECONDS)
        except KeyboardInterrupt:
            narrator.clear()
            if asked:
                return None if not stoppable or take_back_stop(run) else read_state(run)
            asked = True
            state = read_state(run)
            ask(run, "stop", state.attempt)
            narrator.line(f"  {_QUEUED if state.state == 'queued' else _TRAINING}")


@contextlib.contextmanager
def narrated(run: RunFolder, attempt: int) -> Iterator[None]:
    """Say what happens in an attempt that this very process works on, from a thread that reads its events.

    Plain lines only, and none while nothing happens: at a breakpoint() the terminal is left to whoever sits there.
    """
    reader, narrator, over = EventReader(run.events), Narrator(live=False), threading.Event()

    def say() -> None:
        narrator.state(read_state(run))
        for event in reader.read():
            if event.attempt >= attempt:
                narrator.event(event)

    def tell() -> None:
        with contextlib.suppress(OSError):  # nobody listens any more: the run goes on, unheard
            while not over.wait(POLL_SECONDS):
                say()
            say()

    teller = threading.Thread(target=tell, name="narration", daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()
