"""Runs under real supervisors, started from the tests' own process, and what is done to them.

`Lab` makes projects of the torch-free plugin in tests/fake_plugin (or of the built-in components), starts their runs as
the command line does, waits for what the files say, and compares how runs ended.
"""

import hashlib
import os
import signal
import time
from pathlib import Path

from ftstudio.locks import lock_holder
from ftstudio.process.launch import resume
from ftstudio.process.wanted import Wanted
from ftstudio.runs.checkpoints import list_checkpoints
from ftstudio.runs.events import Series, read_events
from ftstudio.runs.status import LIVE, read_state

PATIENCE = 120
EXACT = ("loss", "eval_loss", "learning_rate", "grad_norm")


def until(condition, what, seconds=PATIENCE):
    """Wait for a condition's value; a failure names what did not come."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"{what} did not come within {seconds} s")


def started(project, **wish):
    """A run of a project, started: the folder, as `ftstudio run --detach` leaves it."""
    wanted = Wanted(project=project, **wish)
    run = wanted.create(wanted.outlook(), ["test"])
    wanted.start(run)
    return run


def resumed(run):
    return resume(run)


def ended(run, seconds=PATIENCE):
    """The state of a run once it is over and its supervisor is gone, so that it may be resumed."""
    until(lambda: read_state(run).state not in LIVE, f"the end of {run.title}", seconds)
    until(lambda: lock_holder(run.lock) is None, f"the end of the supervisor of {run.title}")
    return read_state(run)


def state_is(run, state):
    return until(lambda: (s := read_state(run)).state == state and s, f"{state} of {run.title}")


def worker_of(run, attempt=1):
    """The pid of the worker of an attempt, once state.toml names it."""

    def pid():
        known = read_state(run)
        assert known.state in LIVE or known.attempt < attempt, known
        return known.attempt == attempt and known.worker_pid

    return until(pid, f"the worker of {run.title}")


def at_step(run, step):
    """Wait until a step was logged."""
    until(lambda: any((e.step or 0) >= step for e in read_events(run.events)), f"step {step} of {run.title}")


def kill(pid, number=signal.SIGKILL):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def kill_both(run, attempt=1):
    """SIGKILL to supervisor and worker at one time: the worker, which is stopped first, sees nothing of it."""
    worker = worker_of(run, attempt)
    kill(worker, signal.SIGSTOP)
    kill(read_state(run).pid)
    kill(worker)
    return worker


def gone(pid):
    """Whether a process has ended; one that nobody reaps, as in some containers, has."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state in "ZX"


def digest(folder):
    """sha256 of the weights in a folder."""
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.glob("*.safetensors"))}


def curves(run):
    """The metrics that a resume must not change, by name, after the rule of resumes."""
    series = Series()
    series.add(read_events(run.events))
    return {name: series.values(name) for name in EXACT if series.values(name)}


def outcome(run):
    """All that has to be equal after an interruption."""
    return digest(run.final), digest(list_checkpoints(run.checkpoints)[-1]), curves(run)
