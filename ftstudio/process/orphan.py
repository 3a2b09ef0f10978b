"""A worker whose supervisor died: who ends it when it does not leave by itself.

It is to commit a checkpoint and leave. That is bounded as a stop is, by a guard: a process of the worker's own group,
which needs nothing of it, so a worker that never looks, holds the interpreter or is stopped is ended too. Being of the
group, the guard keeps its number from being given to strangers. Whoever does not want to wait ends it at once
(`end_orphan`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time

from ftstudio.errors import FtstudioError, InputError
from ftstudio.explain import explained
from ftstudio.locks import lock_holder
from ftstudio.process.endings import GROUP_SECONDS
from ftstudio.runs.events import EventWriter
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.state import LIVE, StateFile, is_elsewhere, process_start, read_state, workers_word
from ftstudio.runs.status import age_text
from ftstudio.settings import Settings, read_settings

LOOK_SECONDS = 0.5


def start_guard(run: RunFolder, attempt: int) -> None:
    """Fork the guard of this process, which is the worker and leads its group.

    Forks twice: a component that waits for all its children must not wait for the guard.
    """
    worker = os.getpid()
    if os.getpgrp() != worker:  # a group that others lead is not ours to end
        return
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    if os.fork():
        os._exit(0)
    with contextlib.suppress(Exception):
        _guard(run, attempt, worker)
    os._exit(0)


def _guard(run: RunFolder, attempt: int, worker: int) -> None:
    """Wait for the end of the supervisor, then for that of the worker, and enforce the latter."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):  # meant for the worker
        signal.signal(number, signal.SIG_IGN)
    born = process_start(worker)
    supervisor = read_state(run)
    seconds = _stop_seconds()
    left = seconds
    while born is not None and process_start(worker) == born:
        if lock_holder(run.lock) is not None or _lives(supervisor):  # somebody may have deleted the lock
            left = seconds
        elif left <= 0:
            _end_group(run, attempt, worker, seconds)
        time.sleep(min(LOOK_SECONDS, seconds))
        left -= LOOK_SECONDS


def _lives(supervisor: StateFile) -> bool:
    """Whether the process that wrote state.toml before the worker began still is there."""
    pid, began = supervisor.pid, supervisor.pid_started
    return pid is not None and began is not None and process_start(pid) == began


def _stop_seconds() -> float:
    with contextlib.suppress(FtstudioError, OSError):
        return read_settings().stop_seconds
    return Settings().stop_seconds


def _end_group(run: RunFolder, attempt: int, worker: int, seconds: float) -> None:
    """Leave the worker's last word in its place, and end the group, this process with it."""
    os.kill(worker, signal.SIGSTOP)  # one writer at a time
    with contextlib.suppress(OSError):
        if workers_word(run, attempt) is None:
            events = EventWriter(run.events, attempt)
            events.write("state", state="interrupted", reason=unanswered(seconds))
    os.killpg(os.getpgrp(), signal.SIGKILL)


def unanswered(seconds: float) -> str:
    """Why a worker without a supervisor was ended."""
    return (
        f"Its supervisor was killed, and its worker did not leave within {age_text(seconds)} and was ended by force: "
        "what came after its last checkpoint is lost."
    )


def is_orphan(run: RunFolder, known: StateFile) -> bool:
    """Whether a run of this host has a worker and no supervisor."""
    return (
        known.state in LIVE
        and not is_elsewhere(known)
        and lock_holder(run.lock) is None
        and lock_holder(run.worker_lock) is not None
    )


def end_orphan(run: RunFolder) -> int | None:
    """End the worker of a run that `is_orphan`, and return its pid; None when it has just left.

    The pid is the kernel's answer to who holds `worker.lock`, asked again once the process cannot be mistaken for
    another one. Raises InputError when it cannot be ended from here.
    """
    worker = lock_holder(run.worker_lock)
    if worker is None:
        return None
    if worker <= 0:
        raise InputError(
            f"The worker of {run.title} cannot be seen from here.", "It runs in another container: end it from there."
        )
    with explained(run.path), contextlib.suppress(ProcessLookupError):
        _end(run, worker)
    deadline = time.monotonic() + GROUP_SECONDS
    while lock_holder(run.worker_lock) == worker:
        if time.monotonic() > deadline:
            raise InputError(f"The worker of {run.title} (process {worker}) does not end.", "Look at it with ps.")
        time.sleep(0.05)
    return worker


def _end(run: RunFolder, worker: int) -> None:
    """SIGKILL to a worker; on Linux its group ends with it (`worker.end_group_with_us`)."""
    if sys.platform != "linux":
        os.killpg(worker, signal.SIGKILL)
        return
    handle = os.pidfd_open(worker)
    try:
        if lock_holder(run.worker_lock) == worker:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
    finally:
        os.close(handle)
