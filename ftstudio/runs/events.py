"""The event stream of a run: one writer's format and one reader. What counts after a resume is `series.py`'s.

A reader believes whole lines only: one that is still being written is left for the next look, and one that is no
event (torn by a crash and ended by the next writer, or damaged) is counted and passed over.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from ftstudio.event import Event
from ftstudio.files import LineAppender, plain_file, tail_bytes
from ftstudio.runs.series import Series, number

__all__ = [
    "ATTEMPTS",
    "KINDS",
    "EventReader",
    "EventWriter",
    "Series",
    "iter_events",
    "newest_first",
    "number",
    "parse_event",
    "plain",
    "read_events",
]

KINDS = ("phase", "progress", "metrics", "message", "sample", "checkpoint", "warning", "state")


class Lines(Protocol):
    """Where lines are appended: a file, or a pipe."""

    def append(self, line: str) -> None:
        """Append one line (without its newline). Raises OSError."""

    def close(self) -> None:
        """Close it."""


class EventWriter:
    """Appends events to events.jsonl, or to a pipe. One at a time writes: the worker, and the supervisor once it is
    gone.
    """

    def __init__(self, to: Path | Lines, attempt: int, redact: Callable[[str], str] = lambda text: text) -> None:
        self.attempt = attempt
        self._lines = LineAppender(to) if isinstance(to, Path) else to
        self._redact = redact

    def write(self, kind: str, step: int | None = None, **data: Any) -> None:
        """Append one event. Raises OSError when it cannot be written."""
        at = None if step is None else int(step)  # a plugin's NumPy integer is no JSON integer
        record = {"t": round(time.time(), 3), "attempt": self.attempt, "kind": kind, "step": at, **data}
        self._lines.append(self._redact(json.dumps(plain(record), ensure_ascii=False, separators=(",", ":"))))

    def close(self) -> None:
        """Close the file."""
        self._lines.close()


def plain(value: Any) -> Any:
    """A value for JSON, which has no NaN: numbers that are not finite become the strings "nan", "inf" and "-inf"."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, (str, int, bool)) or value is None:
        return value
    return plain(float(value)) if hasattr(value, "__float__") else str(value)


@dataclass
class EventReader:
    """Reads events as they come, in bounded pieces.

    `offset` is where the next look begins, always the start of a line. `skipped` counts lines that are no event.
    `seq` is the number of the last line seen, from 1 at the offset where reading began.
    """

    path: Path
    offset: int = 0
    seq: int = 0
    skipped: int = 0
    _too_long: bool = False

    def read(self, limit_bytes: int = 8 << 20) -> list[Event]:
        """The events that came since the last call, from about `limit_bytes` of the file; none when none came.

        A piece of the file without any event is passed over, so an empty list always means: nothing more for now.
        """
        try:
            with plain_file(self.path) as file:
                self._begin_again_if_cut(file)
                while data := self._lines(file, limit_bytes):
                    if events := self._events(data):
                        return events
        except OSError:
            pass
        return []

    def _begin_again_if_cut(self, file: BinaryIO) -> None:
        """A file that is shorter than what was read is another file."""
        if file.seek(0, os.SEEK_END) < self.offset:
            self.offset = self.seq = self.skipped = 0
            self._too_long = False

    def _lines(self, file: BinaryIO, limit: int) -> bytes:
        """The next whole lines; empty when there are none yet. A line longer than the limit is skipped in pieces."""
        while True:
            file.seek(self.offset)
            data = file.read(limit)
            end = data.rfind(b"\n") + 1
            if end or len(data) < limit:
                self.offset += end
                return data[:end]
            self.offset += len(data)
            self._too_long = True

    def _events(self, data: bytes) -> list[Event]:
        events = []
        for line in data.split(b"\n")[:-1]:
            self.seq += 1
            event = None if self._too_long else parse_event(line, self.seq)
            if event is not None:
                events.append(event)
            elif self._too_long or line.strip():
                self.skipped += 1
            self._too_long = False
        return events


ATTEMPTS = 1 << 31
"""Attempts have lower numbers."""
_INTEGERS = 1 << 63


def newest_first(path: Path, size: int = 64 << 10) -> Iterator[Event]:
    """The events in the last `size` bytes of a stream, from the last one back, each with seq 0."""
    for line in reversed(tail_bytes(path, size).splitlines()):
        event = parse_event(line, 0)
        if event is not None:
            yield event


def parse_event(line: bytes, seq: int) -> Event | None:
    """One line as an event, or None when it is none."""
    try:
        data = json.loads(line)
        t, attempt, kind, step = data.pop("t"), data.pop("attempt"), data.pop("kind"), data.pop("step")
        t = float(t)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
    if type(attempt) is not int or not 0 <= attempt < ATTEMPTS or type(kind) is not str or not math.isfinite(t):
        return None
    if step is not None and (type(step) is not int or not -_INTEGERS <= step < _INTEGERS):
        return None
    return Event(seq, t, attempt, kind, step, data)


def iter_events(path: Path) -> Iterator[Event]:
    """All events of a run, in order, a piece of the file at a time."""
    reader = EventReader(path)
    while batch := reader.read(1 << 20):
        yield from batch


def read_events(path: Path) -> list[Event]:
    """All events of a run, in order."""
    return list(iter_events(path))
