"""What `status` and the studio show of a run: its state, and how far it is, from the end of its events.

Time is bounded whatever the run's length: the last TAIL bytes of events.jsonl, more only where they hold no step or no
metric, and of those bytes the lines that count. A `StatusReader` that is asked again reads what is new since.
A clock that was set changes no state, and at most makes an age or an estimate absent.
"""

from __future__ import annotations

import math
import os
import re
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from ftstudio.event import Event
from ftstudio.files import open_plain
from ftstudio.runs.events import EventReader, parse_event, plain
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.series import Series, number, resumed_from
from ftstudio.runs.state import LIVE, State, StateFile, boot_id, host_name, is_elsewhere, process_start, read_state

__all__ = [
    "DISK_FULL",
    "EXIT_CODES",
    "GLYPHS",
    "LIVE",
    "READ_ONLY",
    "State",
    "StateFile",
    "Status",
    "StatusReader",
    "age_text",
    "ago",
    "boot_id",
    "host_name",
    "is_elsewhere",
    "process_start",
    "read_state",
    "read_status",
]

EXIT_CODES: Mapping[State, int] = {"finished": 0, "failed": 1, "stopped": 3, "interrupted": 3}
GLYPHS: Mapping[State, str] = {
    "queued": "◌", "starting": "◌", "running": "●", "stopping": "●",
    "finished": "✓", "stopped": "■", "failed": "✗", "interrupted": "✗",
}  # fmt: skip
DISK_FULL = 75
"""Exit code of a worker that ended for lack of space (EX_TEMPFAIL): its last event may not have fitted either."""
READ_ONLY = 74
"""Exit code of a worker whose file system became read-only (EX_IOERR): it could not write why it ended."""
SILENT_SECONDS = 300.0
"""A run without an event for so long is called stalled. It is a word, never a state."""
TAIL = 16 << 10
TAIL_LIVE = 64 << 10
TAIL_LIMIT = 8 << 20
_METRICS_KIND = b'"kind":"metrics"'
_METRICS = re.compile(_METRICS_KIND + rb',"step":[0-9]+,"metrics":{"([^"]*)"')
_ABSURD = 1 << 63
_BY_STEPS = b'"unit":"step"'
PACE_EVENTS = 100
"""Progress events that the pace, and so the time that is left, is taken from."""


@dataclass(frozen=True, kw_only=True)
class Status:
    """What `status` shows of a run. Times are Unix seconds, durations seconds; `silent_since` is set when it stalls."""

    project: str
    run: str
    path: Path
    state: State
    reason: str
    attempt: int
    host: str
    device: str
    step: int | None = None
    total_steps: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    eta_s: float | None = None
    last_event_t: float | None = None
    phase: str = ""
    """What it said last that it does; where that is further back than what is read, its steps say that it trains."""
    silent_since: float | None = None
    waits_since: float | None = None
    """When a queued run began to wait."""
    elsewhere: bool = False
    """Live on another host, as far as can be seen from here."""

    @property
    def note(self) -> str:
        """What stands beside the state: "on gpu03, last event 4 s ago", "stalled: last event 12 min ago"."""
        last = f"last event {ago(self.last_event_t)}" if ago(self.last_event_t) else "no event yet"
        if self.elsewhere:
            return f"on {self.host}, {last}"
        return f"stalled: {last}" if self.silent_since is not None else ""

    def as_json(self) -> dict[str, Any]:
        """The value that `status --json` prints for a run; numbers that are not finite are strings."""
        values = {k: v for k, v in self.__dict__.items() if k not in _BESIDE}
        return {**values, "path": str(self.path), "metrics": plain(self.metrics)}


_BESIDE = frozenset({"phase", "silent_since", "waits_since", "elsewhere"})
"""What is no part of the contract of `status --json`."""


def read_status(run: RunFolder) -> Status:
    """The status of a run from its files, once. Never raises."""
    return StatusReader(run).read()


class StatusReader:
    """The status of a run, again and again: each call reads what came since the last one.

    Costs a stat() for a run that has ended, and for a live one state.toml and the new events.
    """

    def __init__(self, run: RunFolder) -> None:
        self.run = run
        self._record = str(run.record)
        self._events: EventReader | None = None
        self._seen = _Seen()
        self._silence = 0.0
        self._silent_at = time.monotonic()
        """How long it was silent, and when that was found: from there on a clock counts that nobody sets."""
        self._written: tuple[int, int, int] | None = None
        self._ended: Status | None = None

    def read(self) -> Status:
        """The status now. Never raises."""
        written = _identity(self.run.state)
        if written != self._written:
            self._ended = None
        elif self._ended is not None:
            return self._ended
        known = read_state(self.run)
        first_look = self._events is None
        self._read_events(known)
        if first_look:
            heard = max(self._seen.last_t or known.started, written[2] / 1e9)
            self._silence, self._silent_at = time.time() - heard, time.monotonic()
        elif written != self._written:
            self._silence, self._silent_at = 0.0, time.monotonic()
        self._written = written
        status = self._status(known)
        self._ended = status if known.state not in LIVE and written[0] else None
        return status

    def _read_events(self, known: StateFile) -> None:
        if self._events is not None:
            while events := self._events.read():
                self._silence, self._silent_at = 0.0, time.monotonic()
                if any(resumed_from(event) is not None for event in events):
                    break  # what it hides, only a look further back can tell
                self._seen.add(events)
            else:
                return
        live = known.state in LIVE
        data, offset = _tail(self.run.events, TAIL_LIVE if live else TAIL)
        self._events = EventReader(self.run.events, offset)
        self._seen = _Seen()
        self._seen.begin(_that_count(data, PACE_EVENTS if live else 1))

    def _status(self, known: StateFile) -> Status:
        run, seen = self.run, self._seen
        silent = self._silent_since(known)
        return Status(
            project=run.project.name, run=run.name, path=run.path, state=known.state,
            reason=f"{known.reason} {self._lost()}".strip(),
            attempt=known.attempt, host=known.host, device=known.device, step=seen.reached, total_steps=seen.total,
            metrics={name: value for name, (_, value) in seen.metrics.items()}, last_event_t=seen.last_t,
            phase=seen.phase or ("training" if seen.reached is not None else ""),
            silent_since=silent, waits_since=known.queued if known.state == "queued" else None,
            elsewhere=known.state in LIVE and is_elsewhere(known),
            eta_s=seen.eta(known.attempt) if known.state == "running" and silent is None else None,
        )  # fmt: skip

    def _lost(self) -> str:
        """What to say of a run whose settings are not there."""
        try:
            empty = os.stat(self._record).st_size == 0  # noqa: PTH116 - asked of each of a thousand runs
        except FileNotFoundError:
            return "Its run.toml is missing: it cannot be resumed." if self.run.path.is_dir() else ""
        except OSError:
            return ""
        return "Its run.toml is empty: it cannot be resumed." if empty else ""

    def _silent_since(self, known: StateFile) -> float | None:
        """When the last event of a run came that has been silent for long; a new state is a sign of life too."""
        last = self._seen.last_t or known.started
        silence = self._silence + time.monotonic() - self._silent_at
        return last if known.state == "running" and last and silence >= SILENT_SECONDS else None


def _identity(path: Path) -> tuple[int, int, int]:
    """Inode, size and time of a file: what changes when it is replaced."""
    try:
        info = path.stat()
    except OSError:
        return 0, 0, 0
    return info.st_ino, info.st_size, info.st_mtime_ns


class _Seen:
    """What the events said, in so far as `status` shows it."""

    def __init__(self) -> None:
        self.step: int | None = None
        self.total: int | None = None
        self.phase = ""
        self.last_t: float | None = None
        self.metrics: dict[str, tuple[int, float]] = {}
        self._pace: deque[tuple[float, int]] = deque(maxlen=PACE_EVENTS)
        self._attempt = 0

    def begin(self, events: list[Event]) -> None:
        """Take in the end of the stream, where a resume may hide what came before it."""
        self.add(events)
        if any(resumed_from(event) is not None for event in events):
            series = Series()
            series.add(events)
            tracks = {name: series.tracks[name] for name in series.names}
            self.metrics = {name: (track.steps[-1], track.values[-1]) for name, track in tracks.items()}

    @property
    def reached(self) -> int | None:
        """The step that it is at; metrics tell it too, where a trainer tells no progress, or not of each step."""
        told = [step for step, _ in self.metrics.values()] + ([] if self.step is None else [self.step])
        return max(told, default=None)

    def add(self, events: Iterable[Event]) -> None:
        """Take in events that came after those."""
        for event in events:
            self.last_t = event.t
            if event.attempt != self._attempt:
                self._attempt = event.attempt
                self._pace.clear()
            if event.kind == "phase":
                self.phase = str(event.data.get("name", ""))
            elif event.kind == "progress" and event.data.get("unit") == "step":
                self._progress(event.t, event.data.get("done"), event.data.get("total"))
            elif event.kind == "metrics" and event.step is not None:
                self._metrics(event.step, event.data.get("metrics"))

    def _progress(self, t: float, done: object, total: object) -> None:
        if type(done) is int and abs(done) < _ABSURD:
            self.step = done
            self.total = total if type(total) is int and abs(total) < _ABSURD else None
            self._pace.append((t, done))

    def _metrics(self, step: int, metrics: object) -> None:
        for name, raw in metrics.items() if isinstance(metrics, Mapping) else ():
            value = number(raw)
            if value is not None and step >= self.metrics.get(name, (step, 0.0))[0]:
                self.metrics[name] = (step, value)

    def eta(self, attempt: int) -> float | None:
        """Seconds to the last step at this attempt's pace, or None when that cannot be said.

        A step back in time is a clock that was set, and so is a pause beyond all others: neither is pace.
        """
        if attempt != self._attempt or self.step is None or not self.total:
            return None
        moves = [(t - t0, n - n0) for (t0, n0), (t, n) in zip(self._pace, list(self._pace)[1:], strict=False)]
        moves = [(seconds, steps) for seconds, steps in moves if seconds >= 0 and steps >= 0]
        if not moves:
            return None
        longest = max(SILENT_SECONDS, 20 * sorted(seconds for seconds, _ in moves)[len(moves) // 2])
        seconds = sum(seconds for seconds, _ in moves if seconds <= longest)
        steps = sum(steps for seconds, steps in moves if seconds <= longest)
        left = max(0, self.total - self.step)
        return round(left * seconds / steps, 1) if steps and seconds else None


# ----------------------------------------------------------------------------------- the end of the stream


def _tail(path: Path, size: int) -> tuple[bytes, int]:
    """The last whole lines of events.jsonl, as many as it takes to find a step and a metric, and where they end."""
    try:
        descriptor = open_plain(path)
    except OSError:
        return b"", 0
    try:
        end = os.fstat(descriptor).st_size
        while True:
            start = max(0, end - size)
            data = os.pread(descriptor, end - start, start)
            found = _METRICS_KIND in data and _BY_STEPS in data
            if found or start == 0 or size >= TAIL_LIMIT:
                break
            size *= 8
    except OSError:
        return b"", 0
    finally:
        os.close(descriptor)
    first = data.find(b"\n") + 1 if start else 0
    whole = data.rfind(b"\n") + 1
    return data[first:whole], start + whole


def _that_count(data: bytes, paces: int) -> list[Event]:
    """The events of a tail that a status is made of, in their order: the last one, the last phase, the last `paces` of
    progress by steps, and the last of each sort of metrics (those that begin with the same name).

    All of them, which takes twenty times longer, where an attempt was resumed, since it hides some, and where one of
    those lines is damaged.
    """
    if b'"resumed_from":' not in data:
        places = {len(data) - 1, *_last_of_each_sort(data)}
        at = len(data)
        while paces > 0 and (at := data.rfind(_BY_STEPS, 0, at)) >= 0:
            places.add(at)
            paces -= 1
        starts = {data.rfind(b"\n", 0, place) + 1 for place in places}
        events = [parse_event(data[start : data.find(b"\n", start)], 0) for start in sorted(starts)]
        if None not in events:
            return [event for event in events if event is not None]
    return [event for line in data.split(b"\n") if (event := parse_event(line, 0)) is not None]


def _last_of_each_sort(data: bytes) -> Iterator[int]:
    """Where the last phase and the last metrics of each sort are.

    Most lines are metrics that begin as the newest do; the pattern passes over them, which takes a third of the time.
    """
    newest = _METRICS.match(data, data.rfind(_METRICS_KIND))
    if newest is not None:
        yield newest.start()
    others = _others(newest[1] if newest is not None else b"")
    yield from {mark[1] or mark[2]: mark.start() for mark in others.finditer(data)}.values()


@lru_cache(maxsize=64)
def _others(name: bytes) -> re.Pattern[bytes]:
    """Phases, and metrics that do not begin with a name."""
    return re.compile(rb'"kind":(?:("phase)"|"metrics","step":[0-9]+,"metrics":{"(?!%b")([^"]*)")' % re.escape(name))


# ------------------------------------------------------------------------------------------------ words


def age_text(seconds: float) -> str:
    """A duration for people: "4 s", "10 min", "2 h 06", "3 d"."""
    if not math.isfinite(seconds):
        return ""
    seconds = max(0.0, seconds)
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02d}"
    return f"{seconds // 86400:.0f} d"


def ago(t: float | None) -> str:
    """How long ago a Unix time was; "" for none, and for one to come: the clock was set."""
    if t is None or t > time.time() + 60:
        return ""
    return f"{age_text(time.time() - t)} ago"
