"""The state of a run: written by its supervisor, derived by everybody else.

`state.toml` says what the supervisor last knew. When it is gone without a last word (its lock is free on the
host that it ran on), readers derive "interrupted"; nobody writes on its behalf.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, cast, get_args

from ftstudio.files import lock_holder, read_toml
from ftstudio.runs.events import EventReader, Series
from ftstudio.runs.folder import RunFolder

State = Literal["queued", "starting", "running", "stopping", "finished", "stopped", "failed", "interrupted"]
LIVE: frozenset[State] = frozenset({"queued", "starting", "running", "stopping"})
EXIT_CODES: Mapping[State, int] = {"finished": 0, "failed": 1, "stopped": 3, "interrupted": 3}
GLYPHS: Mapping[State, str] = {
    "queued": "◌", "starting": "◌", "running": "●", "stopping": "●",
    "finished": "✓", "stopped": "■", "failed": "✗", "interrupted": "✗",
}  # fmt: skip


DISK_FULL = 75
"""Exit code of a worker that ended for lack of space (EX_TEMPFAIL): its last event may not have fitted either."""


@dataclass(frozen=True, kw_only=True)
class StateFile:
    """state.toml, read. `exit_code` is the worker's, negative for a signal."""

    state: State
    reason: str = ""
    attempt: int = 1
    pid: int | None = None
    worker_pid: int | None = None
    started: float = 0.0
    ended: float | None = None
    boot_id: str = ""
    host: str = ""
    device: str = ""
    exit_code: int | None = None


@lru_cache(maxsize=1)
def boot_id() -> str:
    """Identity of this boot of this machine, or "" where there is none to read."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


def read_state(run: RunFolder) -> StateFile:
    """What a reader may believe: the file, or "interrupted" when nobody is left to write it."""
    try:
        raw = read_toml(run.state)
        state = raw["state"]
        if state not in get_args(State):
            raise ValueError(f"unknown state {state!r}")
        known = StateFile(**{k: v for k, v in raw.items() if k in StateFile.__dataclass_fields__})
    except FileNotFoundError:
        if lock_holder(run.lock) is not None:
            return StateFile(state="starting")
        return StateFile(state="interrupted", reason="It never started.")
    except (OSError, ValueError, KeyError, TypeError) as error:
        return StateFile(state="interrupted", reason=f"Its state.toml is damaged: {error}.")
    return _derived(run, known)


def _derived(run: RunFolder, known: StateFile) -> StateFile:
    if known.state not in LIVE or known.host != socket.gethostname():
        return known
    if known.boot_id == boot_id() and lock_holder(run.lock) is not None:
        return known
    reason = "The machine was restarted." if known.boot_id != boot_id() else "Its supervisor was killed."
    values = {**known.__dict__, "state": "interrupted", "reason": reason, "worker_pid": None}
    return StateFile(**values)


@dataclass(frozen=True, kw_only=True)
class Status:
    """What `status` shows of a run. Times are Unix seconds, durations seconds."""

    project: str
    run: str
    path: Path
    state: State
    reason: str
    attempt: int
    host: str
    device: str
    step: int | None = None
    total_steps: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    eta_s: float | None = None
    last_event_t: float | None = None
    phase: str = ""

    def as_json(self) -> dict[str, Any]:
        """The value that `status --json` prints for a run."""
        values = {k: v for k, v in self.__dict__.items() if k != "phase"}
        return {**values, "path": str(self.path), "metrics": dict(self.metrics)}


def read_status(run: RunFolder) -> Status:
    """The status of a run from its files."""
    known = read_state(run)
    reader, series = EventReader(run.events), Series()
    step = total = None
    last_t: float | None = None
    phase, first_step = "", None
    while events := reader.read():
        series.add(events)
        for event in events:
            last_t = event.t
            if event.kind == "phase":
                phase, first_step = str(event.data.get("name", "")), None
            if event.kind == "progress" and event.data.get("unit") == "step":
                step, total = event.data.get("done"), event.data.get("total")
                first_step = first_step or (event.t, step)
    eta = _eta(known.state, first_step, last_t, step, total)
    return Status(
        project=run.project.name, run=run.name, path=run.path, state=known.state, reason=known.reason,
        attempt=known.attempt, host=known.host, device=known.device, step=step, total_steps=total,
        metrics=series.last(), eta_s=eta, last_event_t=last_t, phase=phase,
    )  # fmt: skip


def _eta(
    state: State, first: tuple[float, Any] | None, now: float | None, step: int | None, total: int | None
) -> float | None:
    """Seconds to the last step at this attempt's own pace, or None when that cannot be said."""
    if state != "running" or first is None or now is None or not step or not total:
        return None
    start, start_step = first
    done = step - cast("int", start_step)
    if done <= 0 or now <= start:
        return None
    return round((total - step) * (now - start) / done, 1)


def age_text(seconds: float) -> str:
    """A duration for people: "4 s", "10 min", "2 h 06"."""
    seconds = max(0.0, seconds)
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02d}"


def ago(t: float | None) -> str:
    """How long ago a Unix time was."""
    return "" if t is None else f"{age_text(time.time() - t)} ago"
