"""The supervisor: the small detached parent of a run. `python -m ftstudio.process.supervisor RUN ATTEMPT DEVICE FD`.

It holds the run's lock, writes state.toml (nobody else does), starts the worker, forwards SIGTERM to it, waits,
and writes down how it ended. It loads no torch and no plugin, and it owes nothing to the terminal that started it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

from ftstudio.files import RecordLock, explain, open_log, tail_bytes, write_toml
from ftstudio.runs.control import answer, asked
from ftstudio.runs.events import EventWriter, parse_event
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.status import boot_id

POLL_SECONDS = 0.1
GROUP_SECONDS = 5.0
STOP_SECONDS = 600.0


class Supervisor:
    """One attempt of one run."""

    def __init__(self, run: RunFolder, attempt: int, device: str) -> None:
        self.run, self.attempt, self.device = run, attempt, device
        self.started = time.time()
        self.worker: subprocess.Popen[bytes] | None = None
        self.terminated = self.killed = self.stopping = False

    def write(self, state: str, reason: str = "", **more: Any) -> None:
        """Write state.toml."""
        live = self.worker is not None and self.worker.returncode is None
        write_toml(
            self.run.state,
            {
                "state": state,
                "reason": reason,
                "attempt": self.attempt,
                "pid": os.getpid(),
                "worker_pid": self.worker.pid if live and self.worker else None,
                "started": self.started,
                "boot_id": boot_id(),
                "host": socket.gethostname(),
                "device": self.device,
                **more,
            },
        )

    def supervise(self) -> None:
        """Start the worker, wait for it, write down how it ended."""
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._on_term)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self.worker = self._start()
        self.write("running")
        while self.worker.poll() is None:
            self._look()
            time.sleep(POLL_SECONDS)
        self._end_group(self.worker.pid)
        state, reason = self._verdict(self.worker.returncode)
        self.write(state, reason, ended=time.time(), exit_code=self.worker.returncode)

    def _start(self) -> subprocess.Popen[bytes]:
        console = open_log(self.run.console)
        try:
            return subprocess.Popen(
                [sys.executable, "-m", "ftstudio.process.worker", str(self.run.path), str(self.attempt), self.device],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )
        finally:
            os.close(console)

    def _on_term(self, signum: int, frame: FrameType | None) -> None:
        self.terminated = True
        if self.worker is not None and self.worker.returncode is None:
            self.worker.send_signal(signal.SIGTERM)

    def _look(self) -> None:
        """Requests that are the supervisor's to meet, and the state that follows from the others."""
        assert self.worker is not None
        if asked(self.run, "kill", self.attempt):
            self.killed = True
            answer(self.run, "kill")
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.worker.pid, signal.SIGKILL)
        if not self.stopping and asked(self.run, "stop", self.attempt):
            self.stopping = True
            self.write("stopping", "Finishing the step and committing a checkpoint.")

    def _end_group(self, group: int) -> None:
        """Nothing that the worker started may outlive it."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            deadline = time.monotonic() + GROUP_SECONDS
            while time.monotonic() < deadline:
                try:
                    os.killpg(group, number)
                except (ProcessLookupError, PermissionError):
                    return
                time.sleep(0.05)

    def _verdict(self, code: int) -> tuple[str, str]:
        """State and reason: the worker's last word where it left one, else what its exit says."""
        last = last_state(self.run, self.attempt)
        if last is not None:
            answer(self.run, "stop")
            return last
        if self.killed:
            state, reason = "interrupted", "Killed on request."
        elif code < 0:
            name = signal.Signals(-code).name
            hint = " It may have run out of memory." if -code == signal.SIGKILL else ""
            state, reason = "interrupted", f"The worker was ended by signal {-code} ({name}).{hint}"
        elif code == 0:
            state, reason = "failed", "The worker exited without finishing: a plugin may have ended the process."
        else:
            state, reason = "failed", self._last_words(code)
        with contextlib.suppress(OSError):
            events = EventWriter(self.run.events, self.attempt)
            events.write("state", state=state, reason=reason)
            events.close()
        return state, reason

    def _last_words(self, code: int) -> str:
        lines = tail_bytes(self.run.console, 4000).decode("utf-8", "replace").strip().splitlines()
        said = f" Its last line: {lines[-1][:200]}" if lines else ""
        return f"The worker ended with exit code {code}.{said}"


def last_state(run: RunFolder, attempt: int) -> tuple[str, str] | None:
    """The worker's last word, when the stream ends with one of this attempt."""
    for line in reversed(tail_bytes(run.events, 64 << 10).splitlines()):
        event = parse_event(line, 0)
        if event is None:
            continue
        final = event.kind == "state" and event.attempt == attempt and event.data.get("state") != "running"
        return (str(event.data.get("state")), str(event.data.get("reason", ""))) if final else None
    return None


def main() -> None:
    """Take the lock, say so through the descriptor, and supervise."""
    path, attempt, device, descriptor = sys.argv[1:]
    if os.fork():
        os._exit(0)
    run, said = RunFolder(Path(path)), int(descriptor)
    lock = RecordLock(run.lock)
    try:
        if not lock.acquire():
            os.write(said, f"{run.title} is running already.".encode())
            return
        supervisor = Supervisor(run, int(attempt), device)
        supervisor.write("starting")
    except OSError as error:
        os.write(said, str(explain(error, run.path)).encode())
        return
    os.write(said, b"started")
    os.close(said)
    try:
        supervisor.supervise()
    except OSError as error:
        with contextlib.suppress(OSError):
            supervisor.write("interrupted", str(explain(error, run.path)), ended=time.time())
    finally:
        lock.release()


if __name__ == "__main__":
    main()
