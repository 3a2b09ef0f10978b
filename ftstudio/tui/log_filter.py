"""The lines of a log that match an expression, found from its end backwards, a slice at a time, and on as it grows.

The newest are what a person wants to see first, so the last page is there at once, whatever the size of the file; the
search ends when enough are found.
"""

from __future__ import annotations

import re
from time import monotonic

from ftstudio.tui.logfile import LogFile

MOST_FOUND = 10_000
"""Lines that a filter keeps places of; older ones are not looked for, and it says so."""


class LogFilter:
    """`found` are the places of lines that match, in their order, out of the stretch that was looked through."""

    def __init__(self, file: LogFile, pattern: re.Pattern[bytes]) -> None:
        self.file, self.pattern = file, pattern
        self.found: list[int] = []
        self._low = self._high = file.line_start(file.size)

    @property
    def note(self) -> str:
        """What is left out, or ""."""
        return f"the last {MOST_FOUND:,} of them" if len(self.found) >= MOST_FOUND and self._low > 0 else ""

    def advance(self, seconds: float) -> tuple[int, bool]:
        """Look on for so long. Returns by how many places the first ones moved back, and whether there is more.

        What came at the end is looked through first.
        """
        until = monotonic() + seconds
        newer = self._newer(until)
        moved = 0 if newer else self._older(until)
        extra = len(self.found) - MOST_FOUND
        if extra > 0:
            del self.found[:extra]
            self._low, moved = self.found[0], moved - extra
        return moved, newer or (self._low > 0 and len(self.found) < MOST_FOUND)

    def _newer(self, until: float) -> bool:
        """Towards the end; whether there is more. A last line without its newline waits."""
        while monotonic() < until:
            end, found = self.file.matches(self.pattern, self._high)
            if end <= self._high:
                return False
            self.found += found
            self._high = end
        return True

    def _older(self, until: float) -> int:
        """Towards the beginning; how many were found."""
        pieces: list[list[int]] = []
        count = 0
        while self._low > 0 and len(self.found) + count < MOST_FOUND and monotonic() < until:
            self._low, found = self.file.matches_before(self.pattern, self._low)
            pieces.append(found)
            count += len(found)
        self.found[:0] = [place for piece in reversed(pieces) for place in piece]
        return count
