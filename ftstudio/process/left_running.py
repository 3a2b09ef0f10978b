"""Threads that components left running: whose they are is noted at each call, and said when the work is done.

They are no fault while the work goes on. Those that are no daemons keep a process from ending, so ours does not wait.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

_whose: WeakKeyDictionary[threading.Thread, str] = WeakKeyDictionary()


@contextmanager
def threads_of(who: str) -> Iterator[None]:
    """Note the threads that are started inside and go on as `who`'s."""
    before = set(threading.enumerate())
    try:
        yield
    finally:
        for thread in set(threading.enumerate()) - before:
            _whose.setdefault(thread, who)


def left_running() -> list[str]:
    """A sentence on each component whose threads still run, and would be waited for."""
    left: dict[str, list[str]] = {}
    for thread, who in sorted(_whose.items(), key=lambda item: item[0].name):
        if thread.is_alive() and not thread.daemon:
            left.setdefault(who, []).append(thread.name)
    return [f"{who} left a thread running ({', '.join(names)}): it ends with the run." for who, names in left.items()]
