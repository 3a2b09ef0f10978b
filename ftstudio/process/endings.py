"""How an attempt ended: the worker's last word where it left one, else what its exit and the requests say.

Also what is swept up between attempts. Used by the supervisor alone, so it loads as little as that does.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from ftstudio.files import read_toml, tail_bytes
from ftstudio.runs.control import answer, stop_asked
from ftstudio.runs.events import EventWriter
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.state import GONE, process_stat, workers_word
from ftstudio.runs.status import DISK_FULL, EXIT_CODES, READ_ONLY, age_text

RUN_VARIABLE = "FTSTUDIO_RUN"
"""Set for a worker and inherited by all that it starts: whose they are, should they outlive it."""

VMSTAT = Path("/proc/vmstat")
GROUP_SECONDS = 5.0


@dataclass
class Asked:
    """What was asked of an attempt, or done to it, that its end may come from."""

    terminated: bool = False
    hung_up: bool = False  # of an inline run: its terminal was closed
    killed: bool = False
    stopped: bool = False  # a stop was asked for, and not taken back
    forced_after: float | None = None  # seconds that a stop was not answered for
    memory_ran_out: bool = False  # the kernel killed something for lack of memory meanwhile


def verdict(run: RunFolder, attempt: int, code: int, asked_of_us: Asked) -> tuple[str, str]:
    """State and reason at the end of an attempt; what the worker could not say is added to the events."""
    said = workers_word(run, attempt)
    asked_of_us.stopped = stop_asked(run, attempt)
    answer(run, "stop")
    answer(run, "stopping")
    answer(run, "checkpoint")
    if said is not None:
        return said[0], said[1]
    state, reason = _unsaid(run, code, asked_of_us)
    with contextlib.suppress(OSError):
        events = EventWriter(run.events, attempt)
        events.write("state", state=state, reason=reason)
        events.close()
    return state, reason


def _unsaid(run: RunFolder, code: int, asked_of_us: Asked) -> tuple[str, str]:
    if not run.path.exists():
        return "interrupted", GONE
    if asked_of_us.killed:
        return "interrupted", "Killed on request."
    if asked_of_us.forced_after is not None:
        state, what = ("interrupted", "SIGTERM") if asked_of_us.terminated else ("stopped", "the request to stop")
        return state, (
            f"It did not answer {what} within {age_text(asked_of_us.forced_after)} and was ended by force: what came "
            "after its last checkpoint is lost."
        )
    if code == DISK_FULL:
        return "interrupted", "The disk is full. Free some space, then resume it."
    if code == READ_ONLY:
        return "interrupted", "Its file system became read-only. Make it writable again, then resume it."
    if code < 0:
        wish = " It had been asked to stop." if asked_of_us.stopped else ""
        return "interrupted", _signal_reason(-code, asked_of_us) + wish
    if code == 0:
        return "failed", "The worker exited without finishing: a plugin may have ended the process."
    return "failed", _last_words(run, code)


def _signal_reason(number: int, asked_of_us: Asked) -> str:
    name = signal.Signals(number).name if number in set(signal.Signals) else "unknown"
    reason = f"The worker was ended by signal {number} ({name})."
    if number != signal.SIGKILL:
        return reason
    if asked_of_us.memory_ran_out:
        return (
            f"{reason} The kernel ran out of memory meanwhile: try a smaller per_device_train_batch_size or max_length."
        )
    return f"{reason} Somebody killed it, or it ran out of memory."


def _last_words(run: RunFolder, code: int) -> str:
    lines = tail_bytes(run.console, 4000).decode("utf-8", "replace").strip().splitlines()
    said = f" Its last line: {lines[-1][:200]}" if lines else ""
    return f"The worker ended with exit code {code}.{said}"


# ---------------------------------------------------------------------------------------- between attempts


def goes_on(run: RunFolder, state: str, asked_of_us: Asked, code: int, step_before: int) -> bool:
    """Whether a run with auto_resume starts a new attempt by itself: interrupted by no wish of anybody, with room on
    the disk, and with a newer checkpoint than the attempt began with, so that it cannot go round for ever.

    A worker that left because it was told to, with SIGTERM say, says so by its exit code.
    """
    wished = asked_of_us.killed or asked_of_us.terminated or asked_of_us.stopped or code == EXIT_CODES["interrupted"]
    return (
        state == "interrupted"
        and code != DISK_FULL
        and not wished
        and wants_auto_resume(run)
        and newest_step(run) > step_before
    )


def wants_auto_resume(run: RunFolder) -> bool:
    """What run.toml says; False when it cannot be read."""
    with contextlib.suppress(OSError, ValueError):
        return read_toml(run.record).get("auto_resume") is True
    return False


def newest_step(run: RunFolder) -> int:
    """The step of the newest committed checkpoint, -1 without one; names only."""
    with contextlib.suppress(OSError):
        return max((int(p.name) for p in run.checkpoints.iterdir() if p.name.isdigit()), default=-1)
    return -1


def end_group(group: int) -> None:
    """End what is left of a worker's process group, and wait for it: SIGTERM, after `GROUP_SECONDS` SIGKILL."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + GROUP_SECONDS
        while time.monotonic() < deadline:
            if not _is_left(group):
                return
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, number)
            time.sleep(0.05)


def _is_left(group: int) -> bool:
    """Whether a process of the group lives. A zombie does not: in a container often nobody reaps them, and they take
    signals for ever.
    """
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    processes = (process_stat(int(entry.name)) for entry in Path("/proc").glob("[0-9]*"))
    members = [stat for stat in processes if len(stat) > 2 and int(stat[2]) == group]
    return not members or any(stat[0] not in b"ZX" for stat in members)


def end_leftovers(run: RunFolder) -> None:
    """Kill what a worker of this run started in a session of its own, now or in an earlier attempt (Linux)."""
    mark = f"{RUN_VARIABLE}={run.path}".encode("utf-8", "surrogateescape")
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if entry.name != str(os.getpid()) and mark in (entry / "environ").read_bytes().split(b"\0"):
                os.kill(int(entry.name), signal.SIGKILL)


def oom_kills() -> int:
    """How many processes the kernel has killed for lack of memory since the boot; 0 where it does not say."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in VMSTAT.read_text("ascii").splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0
