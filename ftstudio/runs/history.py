"""The events of a run of any length for a chart: a first picture at once, the rest in bounded steps.

    history = History(run.events, Series)
    history.sketch()          the head, the tail and evenly strided blocks of the file: 50 ms, whatever its size
    history.advance(0.01)     again and again: 10 ms of reading, from the beginning; True once all was read
    history.best              the sketch until all was read, from then on everything, and what is still being written

What the events are gathered in is its maker's choice: `Series`, or whatever a chart draws from. It sees the events of
a file in their order, and follows the rule of resumes itself. A sketch leaves no resume out: attempts follow each other
in the file, so where one begins is found by halving the stretch between two blocks of different attempts.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Generic, Protocol, TypeVar

from ftstudio.event import Event
from ftstudio.files import plain_file
from ftstudio.runs.events import EventReader, parse_event

BLOCKS = 512
BLOCK_BYTES = 2 << 10
END_BYTES = 64 << 10
"""What a sketch reads of the head, of the tail, and where an attempt begins."""
PIECE = 32 << 10


class Gathers(Protocol):
    """Something that events are gathered in."""

    def add(self, events: Iterable[Event]) -> None:
        """Take in more events."""


T = TypeVar("T", bound=Gathers)


class History(Generic[T]):
    """Reads one run's events. Made, stepped and asked by one thread at a time."""

    def __init__(self, path: Path, gather: Callable[[], T]) -> None:
        self.path = path
        self._gather = gather
        self._reader = EventReader(path)
        self._whole = gather()
        self._sketch: T | None = None

    @property
    def best(self) -> T:
        """The best that there is: the sketch until the whole file was read once."""
        return self._whole if self._sketch is None else self._sketch

    @property
    def is_sketch(self) -> bool:
        """Whether `best` holds a part of the events only."""
        return self._sketch is not None

    @property
    def share(self) -> float:
        """How much of the file was read, from 0 to 1."""
        try:
            return min(1.0, self._reader.offset / max(1, self.path.stat().st_size))
        except OSError:
            return 1.0

    @property
    def skipped(self) -> int:
        """Lines that are no event, so far."""
        return self._reader.skipped

    def sketch(self) -> T:
        """A first picture; a short file is read whole. For the beginning, before any `advance`."""
        found = self._gather()
        if sketch(self.path, found):
            self._sketch = found
        else:
            self.advance()
        return self.best

    def advance(self, seconds: float = float("inf")) -> bool:
        """Read on for so long; True when there is nothing more for now."""
        deadline = time.monotonic() + seconds
        while events := self._reader.read(PIECE):
            self._whole.add(events)
            if time.monotonic() >= deadline:
                return False
        self._sketch = None
        return True


def sketch(path: Path, into: Gathers) -> bool:
    """Gather evenly spread events of a long file; False for one that is short, or cannot be read."""
    try:
        with plain_file(path) as file:
            size = file.seek(0, os.SEEK_END)
            if size <= 2 * BLOCKS * BLOCK_BYTES:
                return False
            before: tuple[int, Event] | None = None
            for offset, events in _blocks(file, size):
                if before is not None and before[1].attempt != events[0].attempt:
                    into.add(_resumes(file, *before, offset, events[0]))
                into.add(events)
                before = (offset, events[-1])
            return True
    except OSError:
        return False


def _blocks(file: BinaryIO, size: int) -> Iterator[tuple[int, list[Event]]]:
    """Offset and events of the blocks that hold any. A block ends with a whole line, and none overlaps the next."""
    stride = (size - 2 * END_BYTES) // BLOCKS
    places = [(0, END_BYTES)]
    places += [(END_BYTES + i * stride, BLOCK_BYTES) for i in range(BLOCKS)]
    done = 0
    for offset, length in places:
        if offset >= done:
            events, done = _read(file, offset, length)
            if events:
                yield offset, events
    length = END_BYTES
    while True:
        offset = max(done, size - length)
        events, _ = _read(file, offset, size - offset, partial=offset > done)
        if offset == done or any(event.kind == "metrics" for event in events):
            break
        length *= 8  # long lines, samples for instance, came after the last metrics
    if events:
        yield offset, events


def _read(
    file: BinaryIO, offset: int, length: int, *, partial: bool = True, enough: int = sys.maxsize
) -> tuple[list[Event], int]:
    """The first events on the lines that begin within a block, and where they end. `partial`: a line may run there."""
    file.seek(offset)
    at = offset + (len(file.readline()) if partial and offset else 0)
    events: list[Event] = []
    while len(events) < enough and at < offset + length and (line := file.readline()).endswith(b"\n"):
        at += len(line)
        event = parse_event(line, 0)
        if event is not None:
            events.append(event)
    return events, at


def _resumes(file: BinaryIO, low: int, first: Event, high: int, last: Event) -> Iterator[Event]:
    """The events with which attempts begin between two places, where events of different attempts were found."""
    if high - low <= BLOCK_BYTES:
        yield from _first_words(file, low, last)
        return
    middle = (low + high) // 2
    found = next(iter(_read(file, middle, high - middle, enough=1)[0]), last)
    if found.attempt != first.attempt:
        yield from _resumes(file, low, first, middle, found)
    if found.attempt != last.attempt:
        yield from _resumes(file, middle, found, high, last)


def _first_words(file: BinaryIO, offset: int, last: Event) -> Iterator[Event]:
    """State events from a place up to the beginning of an attempt: its first END_BYTES."""
    file.seek(offset)
    file.readline()
    room = END_BYTES
    while room > 0 and (line := file.readline()):
        event = parse_event(line, 0)
        if event is not None and event.kind == "state":
            yield event
        if event is not None and event.attempt >= last.attempt:
            room -= len(line)
