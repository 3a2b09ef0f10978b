"""The terminal is the studio's alone while it is open, and the studio ends with it.

    with own_terminal():
        studio.run()

What a plugin, or a library that it loads, writes to file descriptors 1 and 2 would land on the screen, past Python's
own streams, which Textual keeps; it goes nowhere instead, and the studio draws through a descriptor of its own.

The kernel tells a hang-up by SIGHUP, but only to the leader of the session, and whoever started the studio may have
left that signal ignored. Without it Textual's reader meets the end of its input again and again, and its writer fills
a queue that nobody empties.

SIGTERM leaves as a person does: the shell gets its terminal back without the picture.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator

STREAMS = ("stdout", "stderr", "__stdout__", "__stderr__")
LEAVE_SECONDS = 10
"""How long leaving may take after SIGTERM, with a terminal that takes nothing any more, before the process ends."""


def where_to_draw() -> int | None:
    """The descriptor of the terminal that can be drawn on: stderr's, or stdout's where stderr goes into a file."""
    return next((number for number in (2, 1) if os.isatty(number)), None)


@contextlib.contextmanager
def own_terminal() -> Iterator[None]:
    """Draw on the terminal, and keep everybody else from it. Called once, in the main thread."""
    _leave_with_terminal()
    place, told = where_to_draw() or 2, signal.getsignal(signal.SIGTERM)
    before, kept = {name: getattr(sys, name) for name in STREAMS}, [os.dup(number) for number in (1, 2)]
    with os.fdopen(os.dup(place), "w", encoding=sys.stderr.encoding, errors="backslashreplace") as screen:
        for name in STREAMS:
            setattr(sys, name, screen)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        _point_output_to(nowhere, nowhere)
        try:
            yield
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGTERM, told)
            _point_output_to(*kept)
            for name, stream in before.items():
                setattr(sys, name, stream)
            for descriptor in (*kept, nowhere):
                os.close(descriptor)


def leave_when_told(leave: Callable[[], None]) -> None:
    """Call `leave` at SIGTERM, soon; a second one ends the process at once. In the thread of the running loop."""
    loop = asyncio.get_running_loop()

    def told(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.alarm(LEAVE_SECONDS)
        loop.call_soon_threadsafe(leave)

    signal.signal(signal.SIGTERM, told)


def _point_output_to(output: int, errors: int) -> None:
    os.dup2(output, 1)
    os.dup2(errors, 2)


def _leave_with_terminal() -> None:
    """End this process by SIGHUP as soon as the terminal behind stdin hangs up."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    threading.Thread(target=_wait, name="hangup", daemon=True).start()


def _wait() -> None:
    """Sleep in the kernel until the terminal hangs up; one that cannot be asked (POLLNVAL) is left to the signal."""
    assert sys.__stdin__ is not None
    poll = select.poll()
    poll.register(sys.__stdin__.fileno(), 0)
    if any(event & select.POLLHUP for _, event in poll.poll()):
        os.kill(os.getpid(), signal.SIGHUP)
