"""state.toml: written by a run's supervisor alone, and how much of it a reader may believe.

When the supervisor is gone without a last word, readers derive what became of the run (`read_state`); nobody writes
on its behalf. They ask in this order, each question only when the ones before left it open:

    is the state a last word, or another host's?      as it is written: what cannot be seen from here is not judged
    does somebody hold `lock`?                        as it is written; asked twice, around a second reading of
                                                      state.toml, since a run may have ended in between
    did its supervisor leave its last word elsewhere? that: the run's own file system took no more writes
    is this another boot of the machine?              interrupted
    does somebody hold `worker.lock`?                 stopping: the worker noticed, and commits a checkpoint
    does the recorded process live, and is this the   as it is written: the locks of this file system lie
    folder that it works in?
    nothing of it                                     interrupted

A process is its pid and its start: a stranger that got the pid of a dead supervisor is nobody. The supervisor loads
this module and has to stay small, so it imports little.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

from ftstudio.explain import explain
from ftstudio.files import plain_file, state_dir, write_atomic
from ftstudio.locks import lock_holder
from ftstudio.runs.events import ATTEMPTS, newest_first
from ftstudio.runs.folder import RunFolder
from ftstudio.text import quote

State = Literal["queued", "starting", "running", "stopping", "finished", "stopped", "failed", "interrupted"]
LIVE: frozenset[State] = frozenset({"queued", "starting", "running", "stopping"})
ENDED: tuple[State, ...] = ("finished", "stopped", "failed", "interrupted")

UNTRUSTED_LOCKS = "Its process lives though its lock is free: locks on this file system cannot be trusted."
ORPHANED = (
    "Its supervisor was killed; its worker is to commit a checkpoint and leave, and is ended when it does not within "
    "stop_seconds (settings)."
)
RESTARTED = "The machine was restarted."
NEVER_STARTED = "It never started."
KILLED = "Its supervisor was killed."
COPIED = "It is a copy of a run that was live when it was copied: nothing works on it."
GONE = "Its run folder is gone: it was deleted or moved."
MOVED = "Its folder was moved since it started, and its supervisor is gone: a run that is moved while it is live ends."


@dataclass(frozen=True, kw_only=True)
class StateFile:
    """state.toml, read. Times are Unix seconds; `exit_code` is the worker's, negative for a signal.

    `pid_started` is what `process_start` said of the supervisor; `path_key` and `folder` are
    `path_key` and `folder_identity` of the run that the file is about; where it was moved to, the one differs, of a
    copy both do. `queued` is when the run began to wait for its place.
    """

    state: State
    reason: str = ""
    attempt: int = 1
    pid: int | None = None
    pid_started: float | None = None
    worker_pid: int | None = None
    path_key: str = ""
    folder: str = ""
    queued: float | None = None
    started: float = 0.0
    ended: float | None = None
    boot_id: str = ""
    host: str = ""
    device: str = ""
    exit_code: int | None = None


# ------------------------------------------------------------------------------------------- the machine


def host_name() -> str:
    """This host, as state.toml names it; `socket` has the same answer, and costs 10 ms to import."""
    return os.uname().nodename


@lru_cache(maxsize=1)
def boot_id() -> str:
    """Identity of this boot of this machine, or "" where there is none to read."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


def process_start(pid: int) -> float | None:
    """When a process started, in seconds since the boot on Linux; None when there is none (a zombie is none).

    Only good for being compared with what it said before. Since the boot, not the epoch: setting the clock must not
    make another process of it. In a container nobody may reap a dead supervisor, hence the zombies.
    """
    if sys.platform != "linux":
        return _process_start_elsewhere(pid)
    stat = process_stat(pid)
    with contextlib.suppress(ValueError, IndexError):
        return None if stat[0] in b"ZX" else int(stat[19]) / os.sysconf("SC_CLK_TCK")
    return None


def process_stat(pid: int) -> list[bytes]:
    """State, parent, group and what follows of /proc/PID/stat (Linux); empty where there is none."""
    with contextlib.suppress(OSError, ValueError):
        stat = Path(f"/proc/{pid}/stat").read_bytes()
        return stat[stat.rindex(b")") + 1 :].split()  # the name before it may hold spaces and brackets
    return []


def _process_start_elsewhere(pid: int) -> float | None:
    import psutil  # noqa: PLC0415 - 10 MB that the supervisor does not have, needed where there is no /proc

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except (psutil.Error, ValueError, OverflowError):
        return None


def folder_identity(folder: Path) -> str:
    """Device and inode of a folder, which stay when it is renamed and differ when it is copied; "" without one."""
    try:
        info = folder.stat()
    except OSError:
        return ""
    return f"{info.st_dev}.{info.st_ino}"


def path_key(run: RunFolder) -> str:
    """A short name for where a run's folder is, by whatever links it was come to."""
    return RunFolder(run.path.resolve()).key


# ---------------------------------------------------------------------------------------------- reading


def read_state(run: RunFolder) -> StateFile:
    """What a reader may believe of a run. Never raises: a damaged file is a reason."""
    known = _read(run)
    if known.state not in LIVE or is_elsewhere(known) or lock_holder(run.lock) is not None:
        return known
    known = _read(run)
    if known.state not in LIVE or lock_holder(run.lock) is not None:
        return known
    return _without_supervisor(run, known)


def is_elsewhere(known: StateFile) -> bool:
    """Whether a run is another host's, so that neither locks nor processes can be asked about it from here."""
    return known.host not in {"", host_name()}


def _without_supervisor(run: RunFolder, known: StateFile) -> StateFile:
    """What became of a run of this host whose lock is free."""
    said = _last_word(run, known)
    if said is not None:
        return said
    here = boot_id()
    if known.boot_id and here and known.boot_id != here:
        return replace(known, state="interrupted", reason=RESTARTED, worker_pid=None)
    if lock_holder(run.worker_lock) is not None:
        return replace(known, state="stopping", reason=ORPHANED)
    copied = known.folder not in {"", folder_identity(run.path)}
    if (
        not copied
        and known.pid is not None
        and known.pid_started is not None
        and process_start(known.pid) == known.pid_started
    ):
        return replace(known, reason=f"{known.reason} {UNTRUSTED_LOCKS}".lstrip())
    moved = known.path_key not in {"", path_key(run)}
    gone = COPIED if copied else MOVED if moved else KILLED
    state, reason, code = workers_word(run, known.attempt) or ("interrupted", gone, None)
    return replace(known, state=state, reason=reason, exit_code=code, worker_pid=None)


def workers_word(run: RunFolder, attempt: int) -> tuple[State, str, int | None] | None:
    """How an attempt ended as its worker says, and with which exit code, when the stream ends with such a word."""
    for event in newest_first(run.events):
        if event.kind == "state" and event.attempt == attempt:
            code = event.data.get("exit_code")
            for state in ENDED:
                if event.data.get("state") == state:
                    return state, str(event.data.get("reason", "")), code if type(code) is int else None
        return None
    return None


def state_before(run: RunFolder, attempt: int) -> State:
    """How the attempt before this one ended, as the events say; without a word of that it was interrupted."""
    for event in newest_first(run.events):
        if event.attempt < attempt - 1:
            break
        for state in ENDED:
            if (event.kind, event.attempt, event.data.get("state")) == ("state", attempt - 1, state):
                return state
    return "interrupted"


def leave_last_word(run: RunFolder, text: str) -> None:
    """Write the last state.toml of a run that takes no more writes to the user's state folder. Raises OSError."""
    path = _last_word_path(run)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, text)


def forget_last_word(run: RunFolder) -> None:
    """A new attempt begins, and writes into the run itself."""
    with contextlib.suppress(OSError):
        _last_word_path(run).unlink()


def _last_word_path(run: RunFolder) -> Path:
    return state_dir() / "last-words" / f"{run.key}.toml"


def _last_word(run: RunFolder, known: StateFile) -> StateFile | None:
    """What the supervisor that wrote `known` left elsewhere, if it did."""
    try:
        with plain_file(_last_word_path(run)) as file:
            raw = _parse(file.read())
    except (OSError, ValueError, RecursionError):
        return None
    state: State | None = next((word for word in get_args(State) if word == raw.get("state")), None)
    said = _state_file(state, raw) if state is not None else None
    same = said is not None and (said.attempt, said.pid, said.pid_started) == (
        known.attempt, known.pid, known.pid_started
    )  # fmt: skip
    return said if same else None


def _read(run: RunFolder) -> StateFile:
    """The file as it is, or what is left to say without it."""
    try:
        with plain_file(run.state) as file:
            raw = _parse(file.read())
    except FileNotFoundError:
        if lock_holder(run.lock) is not None:
            return StateFile(state="starting", host=host_name())
        if not run.path.exists():
            return StateFile(state="interrupted", reason=GONE)
        started = os.path.lexists(run.events)
        reason = "Its state.toml is missing." if started else NEVER_STARTED
        return StateFile(state="interrupted", reason=reason, attempt=newest_attempt(run))
    except OSError as error:
        return _unreadable(run, str(explain(error, run.state)))
    except (ValueError, RecursionError) as error:
        return _unreadable(run, f"Its state.toml is damaged: {error}.")
    state: State | None = next((known for known in get_args(State) if known == raw.get("state")), None)
    if state is None:
        return _unreadable(run, f"Its state.toml says {quote(raw.get('state'))}, which is no state that we know.")
    known = _state_file(state, raw)
    return known if 1 <= known.attempt < ATTEMPTS else replace(known, attempt=newest_attempt(run))


def _unreadable(run: RunFolder, reason: str) -> StateFile:
    """A held lock is a live run, whatever its file says."""
    live = lock_holder(run.lock) is not None
    return StateFile(state="running" if live else "interrupted", reason=reason, attempt=newest_attempt(run))


def newest_attempt(run: RunFolder) -> int:
    """The attempt of the last event, 1 where there is none: what a resume counts on when state.toml is lost."""
    for size in (64 << 10, 16 << 20):  # a line may be long: a sample's
        for event in newest_first(run.events, size):
            return max(1, event.attempt)
    return 1


_KINDS: Mapping[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "float": (float, int)}
_FIELDS = {f.name: _KINDS[str(f.type).split(" ", maxsplit=1)[0]] for f in fields(StateFile) if f.name != "state"}


def _state_file(state: State, raw: Mapping[str, Any]) -> StateFile:
    """Keys of other versions are passed over, and so are values of another type."""
    known: dict[str, Any] = {}
    for name, kinds in _FIELDS.items():
        value = raw.get(name)
        if isinstance(value, kinds) and not isinstance(value, bool):
            known[name] = value
    return StateFile(state=state, **known)


_FLAT = re.compile(r'([a-z_]+) = (?:"([^"\\\x00-\x1f\x7f]*)"|(-?(?:0|[1-9]\d{0,17}))(\.\d{1,17})?)\n', re.ASCII)


def _parse(data: bytes) -> dict[str, Any]:
    """The TOML that the supervisor writes: one bare key, string or number a line. Raises ValueError.

    tomllib takes 130 us for it, half of what `status` may spend on a run; whatever else the file holds goes to tomllib.
    """
    text = data.decode()
    values: dict[str, Any] = {}
    at = 0
    while line := _FLAT.match(text, at):
        key, string, whole, fraction = line.groups()
        if key in values:
            break
        if string is not None:
            values[key] = string
        else:
            values[key] = int(whole) if fraction is None else float(whole + fraction)
        at = line.end()
    if at == len(text):
        return values
    import tomllib  # noqa: PLC0415 - 10 ms that `status` need not spend

    return tomllib.loads(text)
