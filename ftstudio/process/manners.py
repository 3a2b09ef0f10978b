"""What a component may change of the process that it is called in, put back after the call and named.

All components of a run share one worker. A working directory, a umask or a HOME that one of them leaves changed would
mislead the next one, a signal handler take the answer to SIGTERM away. Random number generators are put back without a
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

from ftstudio.probe import PLACES

MOST_NAMED = 3
"""Signals or variables that a sentence names; one may have changed them all."""


@contextlib.contextmanager
def left_as_found(who: str, warn: Callable[[str], None] | None) -> Iterator[None]:
    """Put back what happens inside to this process, and warn of what `who` changed."""
    undo = [_folder(), _streams(), _timer(), _handlers(), _umask(), _places()]  # no alarm without its handler
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
    """Of all signals; what a library in C put there (None) can be neither seen nor put back."""
    before = {number: signal.getsignal(number) for number in signal.valid_signals()}

    def put_back() -> str:
        changed = [n for n, handler in before.items() if handler is not None and signal.getsignal(n) is not handler]
        if not changed or threading.current_thread() is not threading.main_thread():
            return ""
        for number in changed:
            signal.signal(number, before[number])
        return f"the handler of {_some([_signal_name(number) for number in changed])}"

    return put_back


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"  # most of the real-time ones have no name


def _timer() -> Callable[[], str]:
    """An alarm that outlives its handler would end the process."""
    ran = signal.getitimer(signal.ITIMER_REAL)[0] > 0

    def put_back() -> str:
        if ran or not signal.getitimer(signal.ITIMER_REAL)[0]:
            return ""
        signal.setitimer(signal.ITIMER_REAL, 0)
        return "the timer of SIGALRM"

    return put_back


def _umask() -> Callable[[], str]:
    before = _read_umask()

    def put_back() -> str:
        if _read_umask() == before:
            return ""
        os.umask(before)
        return "the umask"

    return put_back


def _read_umask() -> int:
    """It is read by being set; for that moment a file of another thread would be the owner's alone."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _places() -> Callable[[], str]:
    """The environment variables that say where things lie; any other is a library's to set for itself."""
    before = {name: os.environ.get(name) for name in PLACES}

    def put_back() -> str:
        changed = [name for name, value in before.items() if os.environ.get(name) != value]
        for name in changed:
            value = before[name]
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        return _some([f"${name}" for name in changed])

    return put_back


def _some(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


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
