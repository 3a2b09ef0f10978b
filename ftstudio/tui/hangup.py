"""A studio whose terminal is gone is gone too, and spins on nothing.

The kernel tells a hang-up by SIGHUP, but only to the leader of the session, and whoever started the studio may have
left that signal ignored. Without it Textual's reader meets the end of its input again and again, and its writer fills
a queue that nobody empties.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading


def leave_with_terminal() -> None:
    """End this process by SIGHUP as soon as the terminal behind stdin hangs up. Called once, in the main thread."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    threading.Thread(target=_wait, name="hangup", daemon=True).start()


def _wait() -> None:
    """Sleep in the kernel until the terminal hangs up; one that cannot be asked (POLLNVAL) is left to the signal."""
    assert sys.__stdin__ is not None
    poll = select.poll()
    poll.register(sys.__stdin__.fileno(), 0)
    if any(event & select.POLLHUP for _, event in poll.poll()):
        os.kill(os.getpid(), signal.SIGHUP)
