"""How a process of ours ends in which plugins ran: with its exit code as soon as its work is done.

Python would first wait for every thread that is no daemon, and call what was given to atexit. A plugin's thread that
never ends, or such a function, would keep a command, a run or a place in the queue for ever.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable
from typing import NoReturn

INTERRUPTED = 130


def leave_after(work: Callable[[], int], seconds: float = 0.0) -> NoReturn:
    """Do the work, write out what was printed, and leave with the exit code that it returns.

    `seconds`: so long threads are waited for and functions of atexit called, as Python does; else not at all.
    """
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
    if seconds:
        end = threading.Timer(seconds, os._exit, (code,))
        end.daemon = True
        end.start()
        sys.exit(code)
    os._exit(code)


def _code_of(wish: SystemExit) -> int:
    if wish.code is None or isinstance(wish.code, int):
        return wish.code or 0
    sys.stderr.write(f"{wish.code}\n")
    return 1
