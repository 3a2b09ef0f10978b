"""What a plugin prints while a command or the studio asks it something: it goes nowhere.

stdout belongs to the command, and the terminal to whoever draws on it. Only the processes that do a component's work,
and are there for nothing else, have an output of their own for it: console.log, or the terminal of `run --inline`.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
import threading
from collections.abc import Iterator

from ftstudio.text import safe_text

SHOWN = 10_000
"""Bytes of what was printed that `--debug` shows."""

_lock = threading.Lock()
_inside = 0
_undo = contextlib.ExitStack()


@contextlib.contextmanager
def hushed(into: int | None = None) -> Iterator[None]:
    """Nothing that is printed inside is seen: by print(), below Python, or by a child; and nobody is asked anything.

    With FTSTUDIO_DEBUG it is shown on stderr afterwards. `into` is a file descriptor that takes it instead. Of several
    that are inside, in other threads too, the first one's counts, and the last one puts all back.
    """
    global _inside, _undo  # noqa: PLW0603 - the standard streams are the process's, and so is this
    with _lock:
        _inside += 1
        if _inside == 1:
            _undo = _away(into)
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                _undo.close()


def _away(into: int | None) -> contextlib.ExitStack:
    """Point the standard streams elsewhere; closing what comes back undoes it."""
    undo = contextlib.ExitStack()
    if into is None and os.environ.get("FTSTUDIO_DEBUG"):
        heard = undo.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - the stack closes it
        undo.callback(_show, heard)
        into = heard.fileno()
    elif into is None:
        into = undo.enter_context(open(os.devnull, "wb")).fileno()  # noqa: PTH123, SIM115
    _flush()
    for number in (1, 2):
        with contextlib.suppress(OSError):  # a stream that is closed
            kept = os.dup(number)
            undo.callback(os.close, kept)
            undo.callback(os.dup2, kept, number)
            os.dup2(into, number)
    sink = undo.enter_context(os.fdopen(os.dup(into), "w", encoding="utf-8", errors="backslashreplace", buffering=1))
    undo.enter_context(contextlib.redirect_stdout(sink))
    undo.enter_context(contextlib.redirect_stderr(sink))
    undo.callback(setattr, sys, "stdin", sys.stdin)
    sys.stdin = io.StringIO()  # a debugger meets its end at once, instead of waiting unseen
    undo.callback(_flush)  # what went into sys.__stdout__ too
    return undo


def _flush() -> None:
    for stream in {sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__}:
        with contextlib.suppress(OSError, ValueError, AttributeError):  # nobody reads it, it is closed, it is none
            stream.flush()  # type: ignore[union-attr]


def _show(heard: io.BufferedRandom) -> None:
    """Past Python's streams: in the studio these are the screen, and nobody's eyes are behind file descriptor 2."""
    heard.seek(0)
    said = heard.read(SHOWN)
    if said:
        os.write(2, safe_text(said.decode("utf-8", "replace")).encode())
