"""Regular expressions that a person typed, which may take for ever: `(a+)+$` does on a line of 60 letters a.

    with in_time():
        pattern.search(text)

The engine holds the interpreter while it looks, so no thread can stop it; but it looks after signals, and leaves at
the exception that a handler raises.
"""

from __future__ import annotations

import contextlib
import re
import signal
from collections.abc import Iterator
from functools import lru_cache
from types import FrameType

from ftstudio.errors import InputError
from ftstudio.text import quote

SECONDS = 0.5
"""Seconds of this process's own time that one piece of a log, or all names of metrics, may take."""


@contextlib.contextmanager
def in_time(seconds: float = SECONDS) -> Iterator[None]:
    """Whatever is matched within is given up after so many seconds of work. In the main thread. Raises InputError."""
    before = signal.signal(signal.SIGVTALRM, _give_up)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _give_up(number: int, frame: FrameType | None) -> None:
    raise InputError(
        "This expression takes too long here, and was given up.",
        "A repeat within a repeat, as in (a+)+, tries every way to part a line; write it with one.",
    )


def expression(text: str) -> re.Pattern[str]:
    """What was typed, to be looked for in text, and in bytes too. Raises InputError."""
    try:
        re.compile(text.encode())
        return re.compile(text, re.IGNORECASE)
    except (re.error, ValueError, OverflowError, RecursionError) as error:  # the last two of too many repeats, brackets
        raise InputError(f"{quote(text)} is no expression: {error}.", "Mend it, or write \\ before signs.") from error


@lru_cache(maxsize=8)
def names_found(text: str, names: frozenset[str]) -> tuple[frozenset[str], InputError | None]:
    """The names that an expression finds, or what is wrong with it. In the main thread."""
    try:
        wanted = expression(text)
        with in_time():
            return frozenset(name for name in names if wanted.search(name)), None
    except InputError as error:
        return frozenset(), error
