"""Starting runs: detached under a supervisor, or inline in this process."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from types import FrameType

from ftstudio.errors import InputError
from ftstudio.explain import explained
from ftstudio.files import cache_dir, make_usable, open_log, state_dir
from ftstudio.locks import RecordLock
from ftstudio.process.devices import candidates
from ftstudio.process.endings import RUN_VARIABLE, Asked
from ftstudio.process.supervisor import Supervisor, refusal, sentence
from ftstudio.runs.control import ask
from ftstudio.runs.events import ATTEMPTS
from ftstudio.runs.find import address
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.record import read_record
from ftstudio.runs.state import newest_attempt
from ftstudio.runs.status import LIVE, read_state
from ftstudio.settings import read_settings
from ftstudio.text import quote


def start(run: RunFolder, attempt: int = 1, device: str = "auto") -> None:
    """Start a run under a supervisor of its own, and return once that has a slot or waits in the queue.

    Raises InputError with the supervisor's reason when it does not take the run.
    """
    candidates(device)
    reader, writer = os.pipe()
    command = [
        sys.executable,
        "-P",
        "-m",
        "ftstudio.process.supervisor",
        str(run.path),
        str(attempt),
        device,
        str(writer),
    ]
    with explained(run.console):
        console = open_log(run.console)
    try:
        with explained(run.path):
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                pass_fds=(writer,),
                start_new_session=True,
                cwd="/",
                env={name: value for name, value in os.environ.items() if name != RUN_VARIABLE},
            )
    except BaseException:
        os.close(reader)
        raise
    finally:
        os.close(console)
        os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read().decode("utf-8", "replace")
    child.wait()
    if not said:
        raise InputError(f"The supervisor of {run.title} did not start.", f"See {run.console}.")
    if said != "ok":
        raise InputError(said)


def try_own_folders() -> None:
    """Raise InputError for a folder of ours that a run needs and that cannot be written, before anything is made."""
    make_usable(state_dir(), "state folder", "XDG_STATE_HOME")
    make_usable(cache_dir(), "cache folder", "XDG_CACHE_HOME")


def resume(run: RunFolder, device: str = "auto", *, accept_changed_data: bool = False) -> int:
    """Start a new attempt of a run that ended before its end, and return its number.

    Raises InputError when the run is live, has finished, has lost its settings, or belongs to another host that may
    still run it.
    """
    known = read_state(run)
    if known.state in LIVE:
        where = "" if known.host == socket.gethostname() else f" on {known.host}, as far as can be seen from here"
        raise InputError(
            f"{run.title} is {known.state}{where}.", f"Follow it: ftstudio attach {shlex.quote(address(run))}"
        )
    if known.state == "finished":
        raise InputError(
            f"{run.title} has finished; there is nothing to go on with.",
            f"Go on from it in a new run: {shlex.join(['ftstudio', 'run', str(run.project), '--from', address(run)])}",
        )
    read_record(run)
    try_own_folders()
    attempt = max(known.attempt, newest_attempt(run)) + 1  # state.toml may have been lost, or edited
    if attempt >= ATTEMPTS:
        raise InputError(
            f"{run.title} has no number left for another attempt: its state.toml or its events are damaged.",
            f"Correct `attempt` in {quote(run.state, 200)}, or go on from it in a new run with --from.",
        )
    if accept_changed_data:
        ask(run, "accept-changed-data", attempt)
    start(run, attempt, device)
    return attempt


def begin_here(run: RunFolder, device: str = "auto") -> Callable[[], None]:
    """Join the queue in this process, for breakpoint(): no supervisor outlives the terminal.

    What comes back waits for the turn, works, and writes down how it ended. Raises InputError with the reason when the
    run may not start. Forks: call it where there is one thread.
    """
    # before anybody hears that it waits: Ctrl+C comes once that is said, and is to find the wait
    from ftstudio.process.worker import work  # noqa: PLC0415 - only where a run is worked on

    lock = RecordLock(run.lock)
    try:
        refused = refusal(run, 1, lock)
        if refused:
            raise InputError(refused)
        supervisor = Supervisor(run, 1, candidates(device), read_settings())
        supervisor.begin()
    except OSError as error:
        raise sentence(error, run) from error

    def go_on() -> None:
        asked = supervisor.asked_of_us
        try:
            with _hang_up_noticed(asked):
                supervisor.work_here(lambda: work(run, 1, supervisor.device.name, hung_up=lambda: asked.hung_up))
        finally:
            lock.release()

    return go_on


@contextlib.contextmanager
def _hang_up_noticed(asked: Asked) -> Iterator[None]:
    """Have an inline run end with its terminal. What is written to that from then on goes nowhere: a component that
    prints would fail otherwise. Where SIGHUP is ignored (nohup) the run is meant to stay.
    """
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        yield
        return
    terminals = [descriptor for descriptor in range(3) if os.isatty(descriptor)]  # asked later, none is one

    def on_hang_up(signum: int, frame: FrameType | None) -> None:
        asked.hung_up = True
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in terminals:
            os.dup2(nowhere, descriptor)
        os.close(nowhere)

    before = signal.signal(signal.SIGHUP, on_hang_up)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)
