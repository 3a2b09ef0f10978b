"""Starting runs: detached under a supervisor, or inline in this process."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from ftstudio.errors import InputError
from ftstudio.files import RecordLock, explained
from ftstudio.process.supervisor import Supervisor, last_state
from ftstudio.runs.folder import RunFolder


def start(run: RunFolder, attempt: int = 1, device: str = "auto") -> None:
    """Start a run under a supervisor of its own, and return once that lives. Raises InputError with its reason."""
    reader, writer = os.pipe()
    command = [sys.executable, "-m", "ftstudio.process.supervisor", str(run.path), str(attempt), device, str(writer)]
    with explained(run.console):
        console = os.open(run.console, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    try:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            pass_fds=(writer,),
            start_new_session=True,
            cwd="/",
        )
    finally:
        os.close(console)
        os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read().decode("utf-8", "replace")
    child.wait()
    if said != "started":
        raise InputError(said or f"The supervisor of {run.title} did not start.", f"See {run.console}.")


def run_inline(run: RunFolder, attempt: int = 1, device: str = "auto") -> int:
    """Run in this process, for breakpoint(): no supervisor outlives the terminal. Returns the exit code."""
    from ftstudio.process.worker import work  # noqa: PLC0415 - plugins, and with them torch, only where a run is

    lock = RecordLock(run.lock)
    with explained(run.path):
        if not lock.acquire():
            raise InputError(f"{run.title} is running already.", "Follow it with 'ftstudio status'.")
        supervisor = Supervisor(run, attempt, device)
        supervisor.write("running")
    try:
        code = work(run, attempt, device)
        state, reason = last_state(run, attempt) or ("failed", f"The worker ended with exit code {code}.")
        supervisor.write(state, reason, ended=time.time(), exit_code=code)
    finally:
        lock.release()
    return code
