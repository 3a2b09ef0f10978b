"""What a component may change of the process that it is called in, put back after the call and named.

All components of a run share one worker. A working directory, a signal handler or a stdout that one of them leaves
changed would mislead the next one, or take the answer to SIGTERM away. Random number generators are put back without a
word: to draw from them is no fault, but what comes next must not depend on it.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)


@contextlib.contextmanager
def left_as_found(who: str, warn: Callable[[str], None] | None) -> Iterator[None]:
    """Put back what happens inside to this process, and warn of what `who` changed."""
    undo = [_folder(), _streams(), _handlers()]
    generators = _generators()
    try:
        yield
    finally:
        changed = [name for put_back in undo if (name := put_back())]
        generators()
        if changed and warn is not None:
            warn(f"{who} changed {' and '.join(changed)} of the worker: it was put back.")


def _folder() -> Callable[[], str]:
    before = _cwd()

    def put_back() -> str:
        if before is None or _cwd() == before:
            return ""
        with contextlib.suppress(OSError):
            os.chdir(before)
        return "the working directory"

    return put_back


def _cwd() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109 - a folder that is gone raises, and is none
    except OSError:
        return None


def _streams() -> Callable[[], str]:
    before = sys.stdout, sys.stderr

    def put_back() -> str:
        if (sys.stdout, sys.stderr) == before:
            return ""
        sys.stdout, sys.stderr = before
        return "sys.stdout"

    return put_back


def _handlers() -> Callable[[], str]:
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def put_back() -> str:
        changed = [number for number in SIGNALS if signal.getsignal(number) is not before[number]]
        if not changed or threading.current_thread() is not threading.main_thread():
            return ""
        for number in changed:
            signal.signal(number, before[number])
        return f"the handler of {', '.join(number.name for number in changed)}"

    return put_back


def _generators() -> Callable[[], None]:
    """Python's own generator, and those of numpy and torch where a plugin has loaded them."""
    python = random.getstate()
    numpy: Any = sys.modules.get("numpy.random")
    torch: Any = sys.modules.get("torch")
    numpys = numpy.get_state() if numpy else None
    torchs = torch.get_rng_state() if torch else None

    def put_back() -> None:
        random.setstate(python)
        if numpy:
            numpy.set_state(numpys)
        if torch:
            torch.set_rng_state(torchs)

    return put_back
