"""The worker: the one process of a run that holds torch. `python -m ftstudio.process.worker RUN ATTEMPT`.

It runs the stages, and its last word is a state event: finished, stopped, failed or interrupted, with the reason.
A worker that leaves without one was killed, or a plugin ended it; the supervisor says so.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from ftstudio.api import Checkpoint
from ftstudio.errors import FtstudioError, InputError, InterruptedRunError, NotResumedError, PluginError
from ftstudio.explain import explain, is_disk_full
from ftstudio.leaving import leave_after
from ftstudio.locks import RecordLock
from ftstudio.plan import checkpoint_bytes
from ftstudio.process.calling import on_int
from ftstudio.process.devices import devices_of
from ftstudio.process.left_running import left_running
from ftstudio.process.memory_ahead import BESIDES, touch_ahead
from ftstudio.process.orphan import start_guard
from ftstudio.process.secrecy import secrets_of
from ftstudio.process.stages import run_all
from ftstudio.process.worker_run import WorkerRun
from ftstudio.runs.checkpoints import check_best, clean, newest, open_checkpoint
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.record import frozen_project, read_record
from ftstudio.runs.state import state_before
from ftstudio.runs.status import DISK_FULL, EXIT_CODES, READ_ONLY, State
from ftstudio.text import safe_text, words_of

LAST_SECONDS = 5.0
"""For what a plugin left to be done at the exit: an upload, say."""


def work(folder: RunFolder, attempt: int, device: str, *, hung_up: Callable[[], bool] | None = None) -> int:
    """Run all stages of a run in this process and return the exit code. Writes the last state event.

    `hung_up` is asked whether the terminal was closed that the run ends with; a run without it has none.
    """
    lock = RecordLock(folder.worker_lock)
    if not lock.acquire():
        print(f"{folder.title} already has a worker.", file=sys.stderr)  # noqa: T201 - into console.log
        return 1
    try:
        frozen = frozen_project(folder)
        project = frozen.without_observers()
        run = WorkerRun(
            folder,
            folder.project,
            attempt=attempt,
            seed=project.head.seed,
            devices=(devices_of(device)[0].name,),
            secrets=secrets_of(frozen),
        )
    except FtstudioError as error:
        print(safe_text(error), file=sys.stderr)  # noqa: T201
        return error.exit_code
    run.requests.hung_up = hung_up or run.requests.hung_up
    console = folder.console.name if folder.console.exists() else ""  # an inline run has a terminal instead
    with (
        contextlib.closing(run),
        _signals(run, hang_up_counts=hung_up is not None),
        explained_end(run, traceback_in=console) as code,
    ):
        if run.devices == ("cpu",):
            run.checkpoint_bytes = checkpoint_bytes(project)
            touch_ahead(int(BESIDES * run.checkpoint_bytes))
        clean(folder.checkpoints)
        go_on(run, read_record(folder).lineage)
        result = run_all(project, run)
        for sentence in left_running():
            run.warn(sentence)
        run.state("finished", checkpoint=result.path.name, exit_code=0)
    lock.release()
    return code[0]


def go_on(run: WorkerRun, lineage: Mapping[str, Any]) -> None:
    """Say that the attempt begins, and from where: the newest own checkpoint that verifies, or a fork's origin.

    The best one is to be what it was, too: it may be the result.
    """
    found, said = newest(run.folder.checkpoints, run.folder.quarantine)
    said += check_best(run.folder.checkpoints, run.folder.quarantine, lost=bool(said))
    run.lineage = lineage
    if lineage.get("weights_only"):
        run.weights_from = _origin(run)
    elif lineage and found is None:
        found = _origin(run)
    run.resume_from = found
    later = run.info.attempt > 1
    from_step: dict[str, Any] = {"resumed_from": found.step if found else 0} if later or found else {}
    run.state("running", devices=list(run.devices), **from_step)
    for sentence in said:
        run.warn(sentence)
    if later and found is None:
        run.warn("There is no checkpoint to go on from: this attempt starts at the beginning.")


def _origin(run: WorkerRun) -> Checkpoint:
    try:
        return open_checkpoint(run.folder.origin)
    except ValueError as error:
        raise InputError(
            f"The checkpoint that {run.folder.title} goes out from is damaged: {error}.", "Fork again from another one."
        ) from error


@contextlib.contextmanager
def _signals(run: WorkerRun, *, hang_up_counts: bool) -> Iterator[None]:
    """SIGTERM is a notice of preemption: finish the step, commit, leave. A hang-up of a terminal means nothing, unless
    it counts: whoever started the worker then listens for it. Ctrl+C is told from what a component raises (`calling`).
    """

    def on_term(signum: int, frame: FrameType | None) -> None:
        run.requests.notice("preempted by SIGTERM")

    old = signal.signal(signal.SIGTERM, on_term)
    has_keyboard = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if has_keyboard:
        signal.signal(signal.SIGINT, on_int)
    hup = signal.getsignal(signal.SIGHUP)
    if not hang_up_counts:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, old)
        if has_keyboard:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGHUP, hup)


@contextlib.contextmanager
def explained_end(run: WorkerRun, *, traceback_in: str = "") -> Iterator[list[int]]:
    """Turn the way the stages ended into the last state event; the list holds the exit code.

    `traceback_in` is the file where the traceback of a bug is found; a file of the run, where nobody reads stderr.
    """
    code = [0]
    try:
        yield code
    except BaseException as error:  # noqa: BLE001 - whatever ended the run is its last word
        state, reason, code[0] = ending(error, run.requests.reason)
        if isinstance(error, NotResumedError) and run.info.attempt > 1:
            state, reason = state_before(run.folder, run.info.attempt), f"Not resumed. {reason}"
        explained = isinstance(error, FtstudioError) or state == "interrupted"
        bug = isinstance(error, PluginError) or not explained
        if isinstance(error, PluginError) and error.__cause__ is not None and traceback_in:
            reason = f"{reason} The traceback is in {traceback_in}."
        with contextlib.suppress(OSError):
            run.state(state, safe_text(reason), exit_code=code[0])
        if bug or os.environ.get("FTSTUDIO_DEBUG"):
            with contextlib.suppress(OSError):  # the disk that is full may hold console.log too
                traceback.print_exception(error)


def ending(error: BaseException, asked: str) -> tuple[State, str, int]:
    """State, reason and exit code for what ended a run."""
    if isinstance(error, InterruptedRunError):
        state: State = "stopped" if asked == "asked" else "interrupted"
        return state, str(error), EXIT_CODES[state]
    if isinstance(error, OSError):
        return _disk_ending(error)
    if isinstance(error, FtstudioError):
        return "failed", str(error), error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", "Interrupted from the keyboard.", 3
    if isinstance(error, MemoryError):
        return "failed", "Out of memory: try a smaller per_device_train_batch_size or max_length.", 1
    return "failed", f"{type(error).__name__}: {words_of(error)}", 1


INPUT_ERRORS = {errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}
"""What a path that a person named may be; every other error of the file system is the job's own trouble."""


def _disk_ending(error: OSError) -> tuple[State, str, int]:
    """A disk that is full or read-only now interrupts: there is nothing wrong with the run, and it can be resumed."""
    reason = str(explain(error))
    if is_disk_full(error):
        return "interrupted", reason, DISK_FULL
    if error.errno == errno.EROFS:
        return "interrupted", reason, READ_ONLY
    return "failed", reason, InputError.exit_code if error.errno in INPUT_ERRORS else FtstudioError.exit_code


def end_group_with_us() -> None:
    """Have the kernel end this process group when this process ends, by whatever cause and whoever is left (Linux).

    The signal comes with the end of a pipe that no child keeps open. A thread in each child would not do: a pool's
    process may hold the interpreter, or wait in a lock for ever.
    """
    if sys.platform != "linux" or os.getpgrp() != os.getpid():  # a group that others lead is not ours to end
        return
    reader, writer = os.pipe()
    fcntl.fcntl(reader, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(reader, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(reader, fcntl.F_SETFL, fcntl.fcntl(reader, fcntl.F_GETFL) | os.O_ASYNC)
    kept = [writer]  # bare numbers, which no garbage collection closes before the process has its exit code
    os.register_at_fork(after_in_child=lambda: os.close(kept.pop()) if kept else None)


def main() -> None:
    """Entry of the worker process, which leads a session of its own."""
    path, attempt, device = sys.argv[1:]
    run = RunFolder(Path(path))
    end_group_with_us()
    start_guard(run, int(attempt))
    leave_after(lambda: work(run, int(attempt), device), LAST_SECONDS)


if __name__ == "__main__":
    main()
