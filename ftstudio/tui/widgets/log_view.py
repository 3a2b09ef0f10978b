"""A log as a widget: a page of lines of a file of any size, following its end, searched, or only its errors."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from functools import partial
from time import monotonic, thread_time
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import events
from textual.binding import BindingType
from textual.strip import Strip
from textual.widget import Widget

from ftstudio.errors import InputError
from ftstudio.tui.expressions import in_time
from ftstudio.tui.keymap import LOG_KEYS, fixed_bindings
from ftstudio.tui.log_filter import LogFilter
from ftstudio.tui.logfile import Line, LogFile

ERRORS = re.compile(rb"error|exception|traceback|fail|fatal|\bnan\b|out of memory|killed", re.IGNORECASE)
SLICE_SECONDS = 0.01
SLOW_SECONDS = 0.03
"""Seconds over which a piece of a search is slow. What is no repeat within a repeat takes a tenth of that."""
MOST_SLOW_SECONDS = 3.0
"""Seconds that the slow pieces of one search may take together."""
TOO_SLOW = "This expression takes too long in this file, and was given up before it was through."
TOO_SLOW_HINT = "A repeat within a repeat, as in (a+)+, tries every way to part a line; write it with one."


class LogView(Widget, can_focus=True):
    """Shows lines from `top` on. `styled` makes text of a line's bytes; everything it returns is already escaped.

    `why_empty` says what stands there when no line does.
    """

    DEFAULT_CSS = "LogView { height: 1fr; }"
    BINDINGS: ClassVar[list[BindingType]] = [*fixed_bindings(LOG_KEYS)]

    def __init__(self, styled: Callable[[Line], Text], why_empty: Callable[[], Text]) -> None:
        super().__init__()
        self.styled, self.why_empty = styled, why_empty
        self.file: LogFile | None = None
        self.top, self.left, self.following = 0, 0, True
        self.mark: int | None = None  # the line that a search found
        self.pattern: re.Pattern[bytes] | None = None  # only lines that it matches
        self._filter: LogFilter | None = None
        self._filtering = False
        self._pieces: Iterator[int | None] | None = None  # of the search that goes on
        self._lines: list[Line] = []
        self._length = -1

    # ------------------------------------------------------------------------------------- the file

    def open(self, file: LogFile) -> None:
        """Show another file, from its end."""
        self.file = file
        self.top, self.left, self.following, self.mark = 0, 0, True, None
        self.only(self.pattern)

    @property
    def found(self) -> list[int]:
        """The places of the lines that the filter leaves."""
        return self._filter.found if self._filter else []

    @property
    def note(self) -> str:
        """What the filter leaves out, or ""."""
        return self._filter.note if self._filter else ""

    def changed(self) -> None:
        """The file may have grown: go along when the end is followed."""
        if self.file is None:
            return
        size = self.file.size
        if size == self._length:
            return
        if size < self._length:  # its middle was cut out, or it was begun again
            self.only(self.pattern)
        self._length = size
        if self._filter is not None:
            self._filter_on()
        elif self.following:
            self.top = self.file.end_page(max(1, self.size.height))
        self._read()

    def _read(self) -> None:
        if self.file is None or not self.size.height:
            return
        if self.pattern is None:
            self._lines = self.file.page(self.top, self.size.height)
        else:
            first = max(0, len(self.found) - self.size.height) if self.following else self.top
            self._lines = [
                line for at in self.found[first : first + self.size.height] for line in self.file.page(at, 1)
            ]
        self.refresh()

    def on_resize(self) -> None:
        """Another height holds other lines."""
        self._length = -1
        self.changed()

    @property
    def shown(self) -> list[Line]:
        """The lines of the page."""
        return list(self._lines)

    @property
    def marked(self) -> list[Line]:
        """The line that a search found, where it is on the page; else none."""
        return [line for line in self._lines if line.start == self.mark]

    # ------------------------------------------------------------------------------------- looking

    def render_line(self, y: int) -> Strip:
        """One line of the page."""
        width, base = self.size.width, self.rich_style
        line = self._lines[y] if y < len(self._lines) else None
        if line is None and (y > 0 or self.file is None):
            return Strip.blank(width, base)
        text, left = (self.why_empty(), 0) if line is None else (self.styled(line), self.left)
        strip = Strip(list(text.render(self.app.console))).crop(left, left + width).apply_style(base)
        if line is not None and line.start == self.mark:
            strip = Strip([Segment(s.text, (s.style or Style()) + Style(reverse=True)) for s in strip])
        return strip.extend_cell_length(width, base)

    def action_scroll_lines(self, by: int) -> None:
        """Go some lines up or down; at the end the file is followed again."""
        if self.file is None:
            return
        if self.pattern is not None:
            last = max(0, len(self.found) - self.size.height)
            now = last if self.following else self.top
            self.top = min(last, max(0, now + by))
            self.following = self.top >= last and by > 0
        elif by < 0:
            self.top, self.following = self.file.back(self.top, -by), False
        else:
            page = self.file.page(self.top, by + 1)
            last = self.file.end_page(self.size.height)
            self.top = min(page[-1].start if page else self.top, last)
            self.following = self.top >= last
        self._read()

    def action_scroll_pages(self, by: int) -> None:
        """Go a page up or down."""
        self.action_scroll_lines(by * max(1, self.size.height - 1))

    def action_to_start(self) -> None:
        """To the first line."""
        self.top, self.following = 0, False
        self._read()

    def action_follow(self) -> None:
        """To the end, and along with it."""
        self.following, self._length = True, -1
        self.changed()

    def action_sideways(self, by: int) -> None:
        """Look at what lies to the right."""
        self.left = max(0, self.left + by)
        self.refresh()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Three lines up."""
        self.action_scroll_lines(-3)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Three lines down."""
        self.action_scroll_lines(3)

    def go_to(self, start: int) -> None:
        """Show the line at a place, marked, with some lines before it."""
        if self.file is not None:
            self.mark, self.following = start, False
            before = self.size.height // 3
            filtered = self.pattern is not None
            self.top = max(0, bisect_left(self.found, start) - before) if filtered else self.file.back(start, before)
            self._read()

    # ------------------------------------------------------------------------------------ searching

    @property
    def looking(self) -> bool:
        """Whether the filter has not been through the whole file yet."""
        return self._filtering

    def search(
        self,
        pattern: re.Pattern[bytes],
        holds: Callable[[Line], bool],
        *,
        forward: bool,
        done: Callable[[bool | InputError], None],
        from_end: bool = False,
    ) -> None:
        """Look for a line that is shown, matches, and of which `holds` is true; a slice at a time.

        Another file, other lines that are shown and `end_search` end it.
        From the marked line on, else from the page's end; `from_end`: from the end of the file, wherever one is.
        `done` hears whether there is one, or of the expression that takes too long.
        """
        if self.file is None:
            return
        shown = self.pattern
        start = 0 if not self._lines else self._lines[0].start if forward else self._lines[-1].end
        if self.mark is not None and self._lines:
            marked = self.file.page(self.mark, 1)
            start = (marked[0].end if marked else self.mark) if forward else self.mark
        if from_end:
            start = self.file.size
        self._pieces = pieces = self.file.search(
            pattern,
            start,
            forward=forward,
            holds=lambda line: (shown is None or shown.search(line.data) is not None) and holds(line),
        )
        self._look_on(pieces, done)

    def _look_on(
        self, pieces: Iterator[int | None], done: Callable[[bool | InputError], None], slow: float = 0
    ) -> None:
        """A slice of a search. After a piece that took longer it pauses as long, so that keys come first."""
        began = monotonic()
        while pieces is self._pieces and monotonic() - began < SLICE_SECONDS:
            before = thread_time()
            try:
                with in_time():
                    found = next(pieces, -1)
                took = thread_time() - before
                slow += took if took > SLOW_SECONDS else 0
                if slow > MOST_SLOW_SECONDS:
                    raise InputError(TOO_SLOW, TOO_SLOW_HINT)
            except InputError as error:
                self.end_search()
                done(error)
                return
            if found is not None:
                self.end_search()
                if found >= 0:
                    self.go_to(found)
                done(found >= 0)
                return
        if pieces is self._pieces:
            pause = max(0.001, monotonic() - began - SLICE_SECONDS)
            self.set_timer(pause, partial(self._look_on, pieces, done, slow))

    @property
    def searching(self) -> bool:
        """Whether a search goes on."""
        return self._pieces is not None

    def end_search(self) -> None:
        """Look no further; nobody hears of it."""
        self._pieces = None

    def only(self, pattern: re.Pattern[bytes] | None) -> None:
        """Show only lines that match, or all again."""
        self.pattern = pattern
        self.end_search()
        self._filter = LogFilter(self.file, pattern) if self.file is not None and pattern is not None else None
        self.top, self.following, self._length = 0, True, -1
        self.changed()

    def _filter_on(self) -> None:
        """Go on with the filter where it was, for a slice; come back for the rest."""
        assert self._filter is not None
        moved, more = self._filter.advance(SLICE_SECONDS)
        if not self.following:
            self.top = max(0, self.top + moved)
        if more and not self._filtering:
            self._filtering = True
            self.set_timer(0.001, self._filter_again)

    def _filter_again(self) -> None:
        self._filtering = False
        if self._filter is not None:
            self._filter_on()
            self._read()
