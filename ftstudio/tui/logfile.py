"""A log of any size as pages of lines, read where they are looked at: 1 GB opens at once and costs a page.

A place in the file is the byte at which a line starts; there is no index of lines. Searching goes through the file in
pieces, each bounded, so that whoever calls can stop between two of them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ftstudio.files import open_plain

PIECE = 64 << 10
SOUGHT = 16 << 10
"""Bytes that a search goes through at a time: each line may cost much, of an expression that somebody typed."""
SHOWN = 4 << 10
"""Bytes of a line that are read to be shown; a line of 1 GB costs no more than that."""


@dataclass(frozen=True)
class Line:
    """A line: where it starts and ends in the file (its newline included), and what is shown of it."""

    start: int
    end: int
    data: bytes

    @property
    def text(self) -> str:
        """What a terminal would have left of it: of a bar redrawn by carriage returns the last state."""
        parts = [part for part in self.data.split(b"\r") if part.strip()]
        return (parts[-1] if parts else b"").decode("utf-8", "replace")


class LogFile:
    """Opens the file for each look, so it may be cut, moved or written meanwhile."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def size(self) -> int:
        """Bytes, 0 when there is no file."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    def page(self, start: int, count: int) -> list[Line]:
        """At most `count` lines from the line that starts at or before `start`."""
        with _opened(self.path) as file:
            if file < 0:
                return []
            at, size = self._line_start(file, start), os.fstat(file).st_size
            lines: list[Line] = []
            while at < size and len(lines) < count:
                line = _line_at(file, at, size)
                lines.append(line)
                at = line.end
            return lines

    def back(self, start: int, count: int) -> int:
        """Where the line starts that lies `count` lines before the one at `start`."""
        with _opened(self.path) as file:
            at = start
            for _ in range(count):
                if file < 0 or at <= 0:
                    return 0
                at = self._line_start(file, at - 1)
            return at

    def end_page(self, count: int) -> int:
        """Where the last `count` lines start."""
        return self.back(self.size, count)

    def search(
        self, pattern: re.Pattern[bytes], start: int, *, forward: bool, holds: Callable[[Line], bool] = bool
    ) -> Iterator[int | None]:
        """Look for a line that matches and of which `holds` is true, from `start` on (forward) or before it.

        Yields None a piece, then the line's start; ends without one when there is none.
        """
        at = start
        while (at < self.size) if forward else (at > 0):
            if forward:
                after, found = self.matches(pattern, at, SOUGHT, unfinished=True)
            else:
                after, found = self.matches_before(pattern, at, SOUGHT)
            for place in found if forward else reversed(found):
                if any(holds(line) for line in self.page(place, 1)):
                    yield place
                    return
            yield None
            if after == at:  # it was cut meanwhile
                return
            at = after

    def matches(
        self, pattern: re.Pattern[bytes], start: int, piece: int = PIECE, *, unfinished: bool = False
    ) -> tuple[int, list[int]]:
        """The matching lines of one piece from the line start `start` on, and where the next piece begins.

        A last line without its newline yet is left for the next time, unless `unfinished`.
        """
        with _opened(self.path) as file:
            if file < 0:
                return start, []
            data = os.pread(file, piece, start)
            whole = len(data) if unfinished and len(data) < piece else data.rfind(b"\n") + 1
            if not whole and len(data) == piece:
                line = _line_at(file, start, os.fstat(file).st_size)
                return line.end, _matching_long(data, line, pattern)
            return start + whole, _matching(data[:whole], start, pattern)

    def matches_before(self, pattern: re.Pattern[bytes], end: int, piece: int = PIECE) -> tuple[int, list[int]]:
        """The matching lines of one piece that ends with the line before the line start `end`, and where it begins."""
        with _opened(self.path) as file:
            if file < 0:
                return 0, []
            low = max(0, end - piece)
            data = os.pread(file, end - low, low)
            skip = data.find(b"\n") + 1 if low else 0
            if low and not 0 < skip < len(data):
                low = self._line_start(file, end - 1)
                data = os.pread(file, min(piece, end - low), low)
                return low, _matching_long(data, _line_at(file, low, end), pattern)
            return low + skip, _matching(data[skip:], low + skip, pattern)

    def line_start(self, at: int) -> int:
        """Where the line starts that holds the byte at a place; at the end of the file that is where the next will."""
        with _opened(self.path) as file:
            return self._line_start(file, at) if file >= 0 else 0

    def _line_start(self, file: int, at: int) -> int:
        """Where the line starts that holds the byte at `at`."""
        high = max(0, min(at, os.fstat(file).st_size))
        while high > 0:
            low = max(0, high - PIECE)
            cut = os.pread(file, high - low, low).rfind(b"\n")
            if cut >= 0:
                return low + cut + 1
            high = low
        return 0


class _opened:  # noqa: N801 - a context, used as a verb
    """A descriptor of a file, -1 when there is none."""

    def __init__(self, path: Path) -> None:
        try:
            self.file = open_plain(path)
        except OSError:
            self.file = -1

    def __enter__(self) -> int:
        return self.file

    def __exit__(self, *_: object) -> None:
        if self.file >= 0:
            os.close(self.file)


def _line_at(file: int, at: int, size: int) -> Line:
    """The line that starts at `at`: its end is looked for, but no more than SHOWN bytes of it are kept."""
    kept = os.pread(file, SHOWN, at)
    cut = kept.find(b"\n")
    if cut >= 0:
        return Line(at, at + cut + 1, kept[:cut])
    place = at + len(kept)
    last = kept
    while place < size:
        more = os.pread(file, PIECE, place)
        if not more:
            break
        cut = more.find(b"\n")
        if cut >= 0:
            return Line(at, place + cut + 1, _state(kept, last + more[:cut]))
        last, place = more, place + len(more)
    return Line(at, max(place, at + 1), _state(kept, last))


def _state(kept: bytes, last: bytes) -> bytes:
    """Of a long line its beginning, of one that is redrawn in place what was drawn last."""
    return last[-SHOWN:] if b"\r" in last[-SHOWN:] else kept


def _matching(data: bytes, start: int, pattern: re.Pattern[bytes]) -> list[int]:
    """Where the matching lines of a piece start. The whole piece is looked through at once; lines are cut only then."""
    found: list[int] = []
    for match in pattern.finditer(data):
        at = start + data.rfind(b"\n", 0, match.start()) + 1
        if not found or found[-1] != at:
            found.append(at)
    return found


def _matching_long(data: bytes, line: Line, pattern: re.Pattern[bytes]) -> list[int]:
    """Where a line longer than a piece starts, if it matches in its beginning or in what is shown of it."""
    return [line.start] if pattern.search(data) or pattern.search(line.data) else []
