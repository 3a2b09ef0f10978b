"""How a process of ours ends in which plugins ran: with its exit code as soon as its work is done.

Python would first wait for every thread that is no daemon, and call what was given to atexit. A plugin's thread that
never ends, or such a function, would keep a command, a run or a place in the queue for ever.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import NoReturn

INTERRUPTED = 130


def leave_after(work: Callable[[], int], seconds: float = 0.0) -> NoReturn:
    """Do the work, write out what was printed, and leave with the exit code that it returns.

    `seconds`: so long threads are waited for and functions of atexit called, as Python does; else not at all.
    """
    end = _End(seconds) if seconds else None
    try:
        code = work()
    except SystemExit as wish:
        code = _code_of(wish)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BaseException:  # noqa: BLE001 - a bug of ours: its traceback, as Python would show it
        code = 1
        sys.excepthook(*sys.exc_info())
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # nobody reads it, it is closed, there is none
            stream.flush()
    if end is not None:
        end.come(code)
        sys.exit(code)
    os._exit(code)


class _End:
    """Leaves some seconds after `come`. Its thread is there from the start: where memory ran out, none can be made, and
    Python waits for ever for one that could not begin.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds, self._code = seconds, 1
        self._coming = threading.Event()
        threading.Thread(target=self._leave, name="end", daemon=True).start()

    def come(self, code: int) -> None:
        """Leave with this code, at the latest."""
        self._code = code
        self._coming.set()

    def _leave(self) -> None:
        self._coming.wait()
        time.sleep(self._seconds)
        os._exit(self._code)


def _code_of(wish: SystemExit) -> int:
    if wish.code is None or isinstance(wish.code, int):
        return wish.code or 0
    sys.stderr.write(f"{wish.code}\n")
    return 1
