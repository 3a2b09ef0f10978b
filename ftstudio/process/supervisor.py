"""The supervisor: the small detached parent of a run. `python -m ftstudio.process.supervisor RUN ATTEMPT DEVICE FD`.

It holds the run's lock, writes state.toml (nobody else does), waits for its slot, starts the worker, forwards SIGTERM
to it, waits, and writes down how it ended. It starts the observers and waits for none of them. It loads no torch and
no plugin, and owes nothing to the terminal that started it. docs/runs.md says in which order things happen, and why.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from ftstudio.errors import FtstudioError
from ftstudio.explain import explain, is_disk_full
from ftstudio.files import Reserve, bound_log, open_log, state_dir, toml_text, write_atomic
from ftstudio.locks import RecordLock, lock_holder, why_locks_fail
from ftstudio.process import endings, heavy
from ftstudio.process.devices import Device, devices_of
from ftstudio.process.observing import Observers
from ftstudio.process.waiting import Turn
from ftstudio.runs.control import answer, asked, see_stop, stop_asked
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.state import (
    GONE,
    boot_id,
    folder_identity,
    forget_last_word,
    host_name,
    leave_last_word,
    path_key,
    process_start,
    read_state,
)
from ftstudio.settings import Settings, read_settings

POLL_SECONDS = 0.1
QUEUE_SECONDS = 0.5
CONSOLE_BYTES = 64 << 20
WITHDRAWN = "Withdrawn from the queue."


class Supervisor:
    """One run, from its place in the queue to its end; with auto_resume that can be several attempts."""

    def __init__(self, run: RunFolder, attempt: int, devices: Sequence[Device], settings: Settings) -> None:
        self.run, self.attempt, self.settings = run, attempt, settings
        self.path_key = path_key(run)
        self.turn = Turn(run, devices, settings.slots)
        self.device = devices[0]
        self.queued: float | None = None
        self.started = time.time()
        self.worker: subprocess.Popen[bytes] | None = None
        self.asked_of_us = endings.Asked()
        self.stop_since: float | None = None
        self.stop_asked = False
        self.reserve: Reserve | None = None
        self.observers = Observers(run)

    # ------------------------------------------------------------------------------------------- state.toml

    def write(self, state: str, reason: str = "", **more: Any) -> None:
        """Write state.toml. Raises OSError."""
        write_atomic(self.run.state, self._state_text(state, reason, more))

    def _state_text(self, state: str, reason: str, more: dict[str, Any]) -> str:
        live = self.worker is not None and self.worker.returncode is None
        return toml_text({
            "state": state,
            "reason": reason,
            "attempt": self.attempt,
            "pid": os.getpid(),
            "pid_started": process_start(os.getpid()),
            "path_key": self.path_key,
            "folder": folder_identity(self.run.path),
            "worker_pid": self.worker.pid if live and self.worker else None,
            "queued": self.queued,
            "started": self.started,
            "boot_id": boot_id(),
            "host": host_name(),
            "device": self.device.name,
            "place": self.device.place,
            **more,
        })  # fmt: skip

    def _say(self, state: str, reason: str = "") -> None:
        """Write a state that is not the last: a disk that is full now keeps no run from going on."""
        with contextlib.suppress(OSError):
            self.write(state, reason)

    def end(self, state: str, reason: str, exit_code: int | None = None) -> None:
        """Write the last state; on a full disk into the room that was reserved for it, and where nothing can be
        written any more into the user's state folder, where readers look for it. A run folder that is gone is not made
        again: readers tell that themselves. Raises OSError.
        """
        more = {"ended": time.time(), "exit_code": exit_code}
        try:
            self.write(state, reason, **more)
        except OSError as error:
            text = self._state_text(state, reason, more)
            if self.reserve is not None and is_disk_full(error):
                self.reserve.replace(self.run.state, text)
            elif error.errno in {errno.EROFS, errno.EIO}:
                leave_last_word(self.run, text)
            elif self.run.path.exists():
                raise

    # ---------------------------------------------------------------------------------------------- the run

    def begin(self) -> None:
        """Join the queue and write the first state: `starting` with a slot in hand, else `queued`. Raises OSError."""
        forget_last_word(self.run)
        self.reserve = Reserve(self.run.path / ".state.reserve")  # that of a supervisor that was killed is used again
        try:
            self.turn.join()
            if self.turn.come():
                self._take_device()
                self.write("starting")
            else:
                self.queued = time.time()
                self.write("queued", self.turn.reason)
        except BaseException:
            self._leave()
            raise

    def supervise(self) -> None:
        """Wait for the slot, start the worker, wait for it, write down how it ended."""
        with self._in_turn() as come:
            while come:
                steps_before = endings.newest_step(self.run)
                state, reason, code = self._one_attempt()
                if not endings.goes_on(self.run, state, self.asked_of_us, code, steps_before):
                    self.end(state, reason, code)
                    return
                self.attempt += 1
                self._say("starting", f"Resumed by itself: {reason}")

    def work_here(self, work: Callable[[], int]) -> None:
        """As `supervise`, with the worker in this very process."""
        with self._in_turn() as come:
            if come:
                self._say("running")
                self.observers.start(self.attempt)
                code = work()
                self.end(*endings.verdict(self.run, self.attempt, code, self.asked_of_us), code)

    @contextlib.contextmanager
    def _in_turn(self) -> Iterator[bool]:
        """Wait for the turn, and give it back after; False when the run ended while it waited."""
        signal.signal(signal.SIGTERM, self._on_term)
        try:
            try:
                come = self._wait_for_turn()
            except KeyboardInterrupt:  # an inline run has a keyboard
                come = False
                self.end("stopped", WITHDRAWN)
            yield come
        finally:
            self._leave()

    def _leave(self) -> None:
        """Give back what was taken for the run: its place, and the room for its last state."""
        with contextlib.suppress(OSError):
            self.turn.leave()
        if self.reserve is not None:
            self.reserve.drop()

    def _wait_for_turn(self) -> bool:
        """Poll until the slot is ours; False when the run was withdrawn meanwhile, which is then its end."""
        said = self.turn.reason
        while self.turn.slot is None:
            time.sleep(QUEUE_SECONDS)
            ended = self._ended_while_waiting()
            if ended is not None:
                self.end(*ended)
                return False
            if self.turn.come():
                self._take_device()
                self._say("starting")
            elif self.turn.reason != said:
                said = self.turn.reason
                self._say("queued", said)
        return True

    def _ended_while_waiting(self) -> tuple[str, str] | None:
        if not self.run.path.exists():
            return "interrupted", GONE
        if see_stop(self.run, self.attempt) or asked(self.run, "kill", self.attempt):
            answer(self.run, "stopping")
            answer(self.run, "kill")
            return "stopped", WITHDRAWN
        if self.asked_of_us.terminated:
            return "interrupted", "Ended by SIGTERM while it waited."
        if self.asked_of_us.hung_up:
            return "interrupted", "Its terminal was closed while it waited."
        return ("stopped", "Its ticket was taken away.") if self.turn.withdrawn() else None

    def _take_device(self) -> None:
        assert self.turn.device is not None
        self.device = self.turn.device

    # ------------------------------------------------------------------------------------------ one attempt

    def _one_attempt(self) -> tuple[str, str, int]:
        """State, reason and exit code of the worker."""
        endings.end_leftovers(self.run)
        before = endings.oom_kills()
        self.worker = self._start()
        self._say("running")
        self.observers.start(self.attempt)
        looked = 0.0
        while self.worker.poll() is None:
            self._look()
            if time.monotonic() - looked > 1.0:
                looked = time.monotonic()
                self._bound_console()
                self.observers.reap()
            time.sleep(POLL_SECONDS)
        endings.end_group(self.worker.pid)
        endings.end_leftovers(self.run)
        self._bound_console()
        code = self.worker.returncode
        self.asked_of_us.memory_ran_out = endings.oom_kills() > before
        return *endings.verdict(self.run, self.attempt, code, self.asked_of_us), code

    def _start(self) -> subprocess.Popen[bytes]:
        console = open_log(self.run.console)
        extra = {"PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1", endings.RUN_VARIABLE: str(self.run.path)}
        try:
            return subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "ftstudio.process.worker",
                    str(self.run.path),
                    str(self.attempt),
                    self.device.name,
                ],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
                env=heavy.environment(**extra),
            )
        finally:
            os.close(console)

    def _on_term(self, signum: int, frame: FrameType | None) -> None:
        self.asked_of_us.terminated = True  # `_look` passes it on: the worker may not be there yet

    def _look(self) -> None:
        """Requests that are the supervisor's to meet, and what follows from those that the worker does not meet."""
        assert self.worker is not None
        if asked(self.run, "kill", self.attempt):
            self.asked_of_us.killed = True
            answer(self.run, "kill")
            self._signal_group(signal.SIGKILL)
        now = time.monotonic()
        stop = stop_asked(self.run, self.attempt)
        if self.stop_since is not None:
            if self.stop_asked and not stop:  # taken back before the worker saw it
                self.stop_since, self.stop_asked = None, False
                self._say("running")
            elif now - self.stop_since > self.settings.stop_seconds:
                self.asked_of_us.forced_after = self.settings.stop_seconds
                self._signal_group(signal.SIGKILL)
        elif stop:
            self.stop_since, self.stop_asked = now, True
            self._say("stopping", "Finishing the step and committing a checkpoint.")
        elif self.asked_of_us.terminated:
            self.stop_since = now
            self._say("stopping", "Preempted by SIGTERM: finishing the step and committing a checkpoint.")
            self.worker.send_signal(signal.SIGTERM)
        elif not self.run.path.exists():
            self.stop_since = now + endings.GROUP_SECONDS - self.settings.stop_seconds  # it can commit nothing any more
            self._signal_group(signal.SIGTERM)

    def _signal_group(self, number: signal.Signals) -> None:
        assert self.worker is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.worker.pid, number)

    def _bound_console(self) -> None:
        with contextlib.suppress(OSError):
            bound_log(self.run.console, CONSOLE_BYTES)


def refusal(run: RunFolder, attempt: int, lock: RecordLock) -> str:
    """Take the run's lock, or say why this process may not supervise that attempt of it. Raises OSError."""
    state_dir().mkdir(parents=True, exist_ok=True)
    for folder, mend in ((run.path, "Put the project"), (state_dir(), "Set XDG_STATE_HOME to a folder")):
        broken = _locks_broken(folder)
        if broken:
            return (
                f"Record locks do not work in {folder}: {broken}. Without them nobody could tell a live run from a "
                f"dead one. {mend} on a local disk, or on a network file system that has locks."
            )
    if not lock.acquire():
        return f"{run.title} is running already. Follow it: ftstudio attach {shlex.quote(str(run.path))}"
    worker = lock_holder(run.worker_lock)
    if worker is not None:
        return (
            f"A worker of an earlier attempt of {run.title} (process {worker}) still commits its checkpoint. "
            "Try again in a moment."
        )
    if run.state.exists() and read_state(run).attempt >= attempt:
        return (
            f"Attempt {attempt} of {run.title} was started by somebody else meanwhile. "
            f"See: ftstudio status {shlex.quote(str(run.path))}"
        )
    return ""


def _locks_broken(folder: Path) -> str:
    """`why_locks_fail`, asked once a file system and boot."""
    known = state_dir() / "locks" / f"{folder.stat().st_dev}.{boot_id()}"
    if known.exists():
        return ""
    broken = why_locks_fail(folder)
    if not broken:
        with contextlib.suppress(OSError):
            known.parent.mkdir(parents=True, exist_ok=True)
            known.touch()
    return broken


def sentence(error: OSError, run: RunFolder) -> FtstudioError:
    """The sentence for an error of the file system; queue and slots, which it may name, are not in the run's folder."""
    return explain(error, None if isinstance(error.filename, (str, bytes)) else run.path)


def main() -> None:
    """Take the lock, join the queue, say so through the descriptor, and supervise."""
    path, attempt, device, descriptor = sys.argv[1:]
    if os.fork():
        os._exit(0)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    run, said = RunFolder(Path(path)), int(descriptor)
    lock = RecordLock(run.lock)
    try:
        refused = refusal(run, int(attempt), lock)
        if refused:
            os.write(said, refused.encode())
            return
        supervisor = Supervisor(run, int(attempt), devices_of(device), read_settings())
        supervisor.begin()
    except (OSError, FtstudioError) as error:
        os.write(said, str(sentence(error, run) if isinstance(error, OSError) else error).encode())
        return
    os.write(said, b"ok")
    os.close(said)
    try:
        supervisor.supervise()
    except OSError as error:
        with contextlib.suppress(OSError):
            supervisor.end("interrupted", str(sentence(error, run)))
    finally:
        lock.release()


if __name__ == "__main__":
    main()
